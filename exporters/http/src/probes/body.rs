//! The body of an answer, read within bounds: on the line, and after decompression.

use std::io::{self, Write};

use brotli_decompressor::BrotliDecoderParameter;
use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sage_common::error::CollectError;
use sage_common::net::http::broken;

use crate::config::http::HttpConfig;
use crate::reason::Reason;

/// Bytes that the decoder of br hands over at once.
const CHUNK: usize = 16 << 10;
/// Most bytes read where the module sets no limit.
const DEFAULT_LIMIT: u64 = 10 << 20;

/// A body, as far as the module needs it.
#[derive(Debug, Default)]
pub struct Body {
    /// Its bytes, where a regular expression looks at them.
    pub bytes: Vec<u8>,
    /// Its length; none when it was not read to its end.
    pub length: Option<u64>,
}

/// Takes bytes up to a limit, and keeps them only if they are looked at later.
#[derive(Default)]
struct Intake {
    bytes: Vec<u8>,
    length: u64,
    limit: u64,
    keep: bool,
    full: bool,
}

impl Write for Intake {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = self.length.saturating_add(data.len() as u64);
        if length > self.limit {
            self.full = true;
            return Err(io::Error::other("the limit is reached"));
        }
        self.length = length;
        if self.keep {
            self.bytes.extend_from_slice(data);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Plain(Intake),
    Gzip(Box<GzDecoder<Intake>>),
    Zlib(Box<ZlibDecoder<Intake>>),
    Deflate(Box<DeflateDecoder<Intake>>),
    Brotli(Box<DecompressorWriter<Intake>>),
    /// Deflate by name, of which the first byte tells which kind it is.
    Undecided(Option<Intake>),
}

impl Decoder {
    fn new(name: &str, intake: Intake) -> Self {
        match name {
            "gzip" => Self::Gzip(Box::new(GzDecoder::new(intake))),
            "deflate" => Self::Undecided(Some(intake)),
            "br" => {
                let mut decoder = DecompressorWriter::new(intake, CHUNK);
                // The window of the standard, 16 MiB at most; the larger ones of an extension are refused.
                decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Self::Brotli(Box::new(decoder))
            }
            _ => Self::Plain(intake),
        }
    }

    /// Some servers send the bare stream where the standard wants that of zlib, whose first byte has 8 in its low half.
    fn decide(&mut self, data: &[u8]) {
        if let (Self::Undecided(intake), Some(first)) = (&mut *self, data.first())
            && let Some(intake) = intake.take()
        {
            let zlib = first & 0x0f == 8 && data.get(1).is_none_or(|second| (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
            *self =
                if zlib { Self::Zlib(Box::new(ZlibDecoder::new(intake))) } else { Self::Deflate(Box::new(DeflateDecoder::new(intake))) };
        }
    }

    fn take(&mut self, data: &[u8]) -> io::Result<()> {
        self.decide(data);
        match self {
            Self::Plain(intake) => intake.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Zlib(decoder) => decoder.write_all(data),
            Self::Deflate(decoder) => decoder.write_all(data),
            Self::Brotli(decoder) => decoder.write_all(data),
            Self::Undecided(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Undecided(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn intake(&mut self) -> &mut Intake {
        match self {
            Self::Plain(intake) => intake,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Undecided(intake) => intake.get_or_insert_default(),
        }
    }
}

/// Reads a body. With no limit set, a larger one than the default is not read further, and is no failure unless a
/// regular expression has to see it.
///
/// # Errors
/// `Limit` when it is too large, `Decode` when it is not compressed as it should be.
pub async fn read(mut incoming: Incoming, http: &HttpConfig, keep: bool) -> Result<Body, CollectError> {
    let limit = if http.body_size_limit.0 == 0 { DEFAULT_LIMIT } else { http.body_size_limit.0 };
    let intake = Intake { bytes: Vec::new(), length: 0, limit, keep, full: false };
    let mut decoder = Decoder::new(&http.compression, intake);
    // What gzip expands to nothing is bounded on the line.
    let mut on_line = 0_u64;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| broken("read the body", e))?;
        let Some(data) = frame.data_ref() else { continue };
        on_line = on_line.saturating_add(data.len() as u64);
        if on_line > limit {
            decoder.intake().full = true;
        } else if let Err(error) = decoder.take(data) {
            not_as_wanted(&mut decoder, error, http)?;
        }
        if decoder.intake().full {
            return too_large(http, keep);
        }
    }
    if let Err(error) = decoder.finish() {
        not_as_wanted(&mut decoder, error, http)?;
    }
    let intake = decoder.intake();
    if intake.full {
        return too_large(http, keep);
    }
    Ok(Body { bytes: std::mem::take(&mut intake.bytes), length: Some(intake.length) })
}

fn not_as_wanted(decoder: &mut Decoder, error: io::Error, http: &HttpConfig) -> Result<(), CollectError> {
    if decoder.intake().full {
        return Ok(());
    }
    Err(Reason::BODY_ENCODING.error(format!("the body is not {0}, as `compression: {0}` wants it", http.compression)).caused_by(error))
}

fn too_large(http: &HttpConfig, keep: bool) -> Result<Body, CollectError> {
    let set = http.body_size_limit.0 != 0;
    if !set && !keep {
        return Ok(Body::default());
    }
    let limit = if set { http.body_size_limit.0 } else { DEFAULT_LIMIT };
    Err(Reason::BODY_SIZE.error(format!("the body is larger than {limit} bytes")).hint("write a larger `body_size_limit:`"))
}
