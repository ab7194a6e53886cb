//! The stream to the server: dial, TLS as PostgreSQL negotiates it, and a guard over the messages.
//!
//! The guard refuses a message that claims to be larger than any answer we ask for, so that a hostile or broken server
//! cannot make us hold its bytes. On shutdown it waits for the server's own end, which is when the backend is gone.
//! Source: PostgreSQL documentation, frontend/backend protocol (message formats; SSL session encryption).

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sage_common::codes;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::{Handshake, Shown};
use sage_common::net::{dial, tls};
use sage_common::os::socket;
use sage_common::service::Phases;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::options::{Options, SslMode};

/// Largest message that we take: a row of our queries is far below a megabyte.
const MAX_MESSAGE: u32 = 16 * 1024 * 1024;

/// Asks a server whether it speaks TLS: length 8, code 1234.5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connected stream whose incoming messages are bounded.
pub struct Guard {
    stream: Box<dyn Stream>,
    /// Bytes of the present message that are still to come.
    left: u32,
    /// Type and length of the next message, as far as they have come.
    header: [u8; 5],
    have: usize,
    certificate_end: Option<i64>,
}

/// Opens the stream that `options` describe and marks the phases resolve, connect and tls.
///
/// # Errors
/// Why there is no stream.
pub async fn open(options: &Options, phases: &mut Phases) -> Result<Guard, CollectError> {
    if options.is_socket() {
        let stream = socket::connect(&Path::new(&options.host).join(format!(".s.PGSQL.{}", options.port))).await?;
        phases.end("connect");
        return Ok(Guard::new(Box::new(stream)));
    }
    let addresses = dial::resolve(&options.host, options.port).await?;
    phases.end("resolve");
    let mut stream = dial::connect(&addresses).await?;
    phases.end("connect");
    let mode = options.ssl_mode();
    if mode == SslMode::Disable {
        return Ok(Guard::new(Box::new(stream)));
    }
    let ask = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_u8().await
    };
    let guard = match ask.await.map_err(|e| CollectError::io("ask the server for TLS", e))? {
        b'S' => {
            let shown = Arc::new(Shown::default());
            let handshake = Handshake { shown: Some(Arc::clone(&shown)), ..Handshake::default() };
            let config = tls::client_config_for(&options.tls(), handshake)?;
            let stream = tls::handshake(stream, config, &options.host).await?;
            Guard { certificate_end: first_end(&shown), ..Guard::new(Box::new(stream)) }
        }
        b'N' if mode == SslMode::Prefer => Guard::new(Box::new(stream)),
        b'N' => {
            return Err(CollectError::new(ErrorKind::Tls, format!("the server {} speaks no TLS", options.host))
                .hint("switch TLS on at the server (ssl = on), or set sslmode: disable if this network is trusted")
                .coded(codes::TLS_NOT_SPOKEN));
        }
        _ => {
            return Err(CollectError::new(ErrorKind::Decode, format!("{}:{} is no PostgreSQL server", options.host, options.port)));
        }
    };
    phases.end("tls");
    Ok(guard)
}

/// When the first of the certificates that the server showed ends, as a Unix time.
fn first_end(shown: &Shown) -> Option<i64> {
    let ends = |der: &[u8]| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.validity().not_after.timestamp());
    shown.chain().iter().filter_map(|der| ends(der)).min()
}

impl Guard {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, left: 0, header: [0; 5], have: 0, certificate_end: None }
    }

    /// When the certificate ends that the server showed, as a Unix time; nothing without TLS.
    pub fn certificate_end(&self) -> Option<i64> {
        self.certificate_end
    }

    /// Follows the messages through newly read bytes.
    fn inspect(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = bytes.len().min(self.left as usize);
                self.left -= u32::try_from(skipped).unwrap_or(self.left);
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else if let (Some(slot), Some((byte, rest))) = (self.header.get_mut(self.have), bytes.split_first()) {
                *slot = *byte;
                self.have += 1;
                bytes = rest;
                if self.have == self.header.len() {
                    let [_, a, b, c, d] = self.header;
                    let length = u32::from_be_bytes([a, b, c, d]);
                    if !(4..=MAX_MESSAGE).contains(&length) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message claims to have {length} bytes")));
                    }
                    self.left = length - 4;
                    self.have = 0;
                }
            }
        }
        Ok(())
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.inspect(new))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Terminate was written; the server closes its end when the backend has left its tables. Our own end stays open
        // until then, so that a new connection does not meet the old backend on the server.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        let mut rest = [0; 1024];
        loop {
            let mut buf = ReadBuf::new(&mut rest);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Pin::new(&mut self.stream).poll_shutdown(cx),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Box::new(tokio::io::empty()))
    }

    #[test]
    fn messages_of_any_split_pass() {
        let mut stream = Vec::new();
        for (tag, payload) in [(b'R', &b"\0\0\0\0"[..]), (b'Z', b"I"), (b'D', &[7; 300]), (b'1', b"")] {
            stream.push(tag);
            stream.extend_from_slice(&u32::try_from(payload.len() + 4).unwrap().to_be_bytes());
            stream.extend_from_slice(payload);
        }
        for size in [1, 2, 3, 5, 7, 64, stream.len()] {
            let mut guard = guard();
            for chunk in stream.chunks(size) {
                guard.inspect(chunk).unwrap();
            }
            assert_eq!((guard.left, guard.have), (0, 0), "chunks of {size}");
        }
    }

    #[test]
    fn absurd_lengths_are_refused() {
        for length in [0_u32, 3, MAX_MESSAGE + 1, 0x7fff_ffff, u32::MAX] {
            let mut bytes = vec![b'R'];
            bytes.extend_from_slice(&length.to_be_bytes());
            assert_eq!(guard().inspect(&bytes).unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
        }
    }
}
