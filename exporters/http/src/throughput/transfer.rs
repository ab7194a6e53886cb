//! One transfer: connects, asks, counts from the first byte on, and stops at the cap of bytes or of time.
//!
//! What it takes to connect, to shake hands and to be answered is not part of the rate. Nothing is compressed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sage_common::config::secret::Secret;
use sage_common::deadline::Deadline;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::http::{MAX_HEAD, broken, drive};
use tokio::time::Instant;
use url::Url;

use super::config::{FEWEST, TargetConfig};
use crate::allowance::Allowance;
use crate::allowed::Fence;
use crate::connection::Seen;
use crate::filling::{Filling, Progress};
use crate::probes::hop::Hop;
use crate::probes::line::{self, Line};
use crate::reason::Reason;

/// Longest time from the first step to the first byte of the answer.
const SETUP: Duration = Duration::from_secs(10);
/// Longest time that an answer to an upload takes after its last byte was handed to the system.
const DRAIN: Duration = Duration::from_secs(30);

/// What a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Bytes of body.
    pub bytes: u64,
    /// Time that they took, from the first one on.
    pub time: Duration,
    /// Bytes a second.
    pub rate: f64,
}

impl Moved {
    /// `counted` of the bytes came after the first piece, in `time`.
    fn new(bytes: u64, counted: u64, time: Duration, ended: bool) -> Result<Self, CollectError> {
        if ended && bytes < FEWEST || time.is_zero() || counted == 0 {
            let text = format!("{bytes} bytes are too few to tell how fast the line is");
            return Err(Reason::TOO_SHORT.error(text).hint("transfer 1MB or more"));
        }
        Ok(Self { bytes, time, rate: counted as f64 / time.as_secs_f64() })
    }
}

type Asked = Request<BoxBody<Bytes, std::convert::Infallible>>;

fn request(method: Method, url: &Url, target: &TargetConfig) -> Result<hyper::http::request::Builder, CollectError> {
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut builder = Request::builder().method(method).uri(path);
    builder = builder.header(HOST, authority).header(ACCEPT_ENCODING, "identity").header(CACHE_CONTROL, "no-cache");
    builder = builder.header(USER_AGENT, concat!("sage-http-exporter/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &target.bearer_token_file {
        let token = Secret::File(file.clone()).read()?;
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| CollectError::new(ErrorKind::Auth, "the token cannot stand in a header"))?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    Ok(builder)
}

/// The line to the target, straight or through a proxy.
async fn connect(url: &Url, target: &TargetConfig, seen: &mut Seen) -> Result<Line, CollectError> {
    let hop = Hop { url: url.clone(), method: Method::GET, body: Bytes::new(), headers: HeaderMap::new(), home: true, fence: Fence::OPEN };
    line::connect(&hop, &target.http(), seen).await
}

/// Has a proxy pass the request on, where one is asked in the place of the target.
fn pass_on(asked: &mut Asked, url: &Url, proxy: Option<Option<HeaderValue>>) -> Result<(), CollectError> {
    let Some(credential) = proxy else { return Ok(()) };
    let unfit = |_| CollectError::new(ErrorKind::Internal, "the URL cannot be asked for at a proxy");
    *asked.uri_mut() = url.as_str().parse::<hyper::Uri>().map_err(unfit)?;
    if let Some(credential) = credential {
        asked.headers_mut().insert(PROXY_AUTHORIZATION, credential);
    }
    Ok(())
}

/// Refuses what is not the answer to a transfer.
fn judge(answer: &Response<Incoming>) -> Result<(), CollectError> {
    let status = answer.status();
    let hint = match status.as_u16() {
        200..=299 => return Ok(()),
        300..=399 => "write the URL that it redirects to",
        407 => return Err(line::no_entry()),
        401 | 403 => return Err(CollectError::new(ErrorKind::Auth, format!("the far end says {status}")).hint("see `bearer_token_file`")),
        413 | 416 => "lower `max_bytes`: the far end gives less for one request",
        429 | 503 => "the far end's own budget is used up, or it is busy",
        _ => "try it: curl -o /dev/null URL",
    };
    Err(Reason::HTTP_STATUS.error(format!("the far end says {status}")).hint(hint))
}

/// Connects and runs `exchange` over it; what it takes to get there has its own limit.
async fn over<T, F: Future<Output = Result<T, CollectError>>>(
    url: &Url,
    target: &TargetConfig,
    mut asked: Asked,
    exchange: impl FnOnce(http1::SendRequest<BoxBody<Bytes, std::convert::Infallible>>, Asked) -> F,
) -> Result<T, CollectError> {
    let mut seen = Seen::default();
    let connected = Deadline::after(SETUP).run(connect(url, target, &mut seen)).await;
    let line = connected.unwrap_or_else(|_| Err(seen.clock.timeout()))?;
    pass_on(&mut asked, url, line.proxy)?;
    let begun = http1::Builder::new().max_buf_size(MAX_HEAD.max(512 << 10)).handshake(TokioIo::new(line.stream)).await;
    let (sender, connection) = begun.map_err(|e| broken("begin HTTP", e))?;
    drive(connection, exchange(sender, asked)).await
}

/// Downloads, at most `cap` bytes.
///
/// # Errors
/// Why there is no rate.
pub async fn download(url: &Url, target: &TargetConfig, cap: u64, allowance: &Allowance) -> Result<Moved, CollectError> {
    let asked: Asked = built(request(Method::GET, url, target)?, Empty::new().boxed())?;
    over(url, target, asked, |mut sender, asked| async move {
        let answer = Deadline::after(SETUP).run(sender.send_request(asked)).await;
        let answer = answer.map_err(|_| Reason::FIRST_BYTE_TIMEOUT.error("no answer in time"))?;
        let answer = answer.map_err(|e| broken("read the answer's head", e))?;
        judge(&answer)?;
        let mut body = answer.into_body();
        let (mut bytes, mut first, mut last) = (0_u64, None, Instant::now());
        let mut deadline = Deadline::after(SETUP);
        loop {
            let frame = match deadline.run(body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|e| broken("read the answer's body", e))?,
                Ok(None) => break,
                // The time is over; that nothing came at the end of it counts, too.
                Err(_) if first.is_some() => return ended(bytes, first, Instant::now(), false),
                Err(_) => return Err(Reason::FIRST_BYTE_TIMEOUT.error("the answer has no body in time")),
            };
            let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { continue };
            let length = data.len() as u64;
            allowance.take(length, SystemTime::now());
            bytes += length;
            last = Instant::now();
            if first.is_none() {
                first = Some((last, length));
                deadline = Deadline::after(target.max_time.0);
            }
            if bytes >= cap {
                return ended(bytes, first, last, false);
            }
        }
        ended(bytes, first, last, true)
    })
    .await
}

fn ended(bytes: u64, first: Option<(Instant, u64)>, last: Instant, whole: bool) -> Result<Moved, CollectError> {
    let (begun, length) = first.unwrap_or((last, 0));
    Moved::new(bytes, bytes.saturating_sub(length), last.saturating_duration_since(begun), whole)
}

/// Uploads, at most `cap` bytes; the far end's answer is the end of it.
///
/// # Errors
/// Why there is no rate.
pub async fn upload(url: &Url, target: &TargetConfig, cap: u64, allowance: &Allowance) -> Result<Moved, CollectError> {
    /// What was taken and not sent is given back, also when the task ends in the middle.
    struct Taken<'a>(&'a Allowance, u64, Arc<Progress>);
    impl Drop for Taken<'_> {
        fn drop(&mut self) {
            self.0.give_back(self.1.saturating_sub(self.2.handed()));
        }
    }
    let cap = allowance.take(cap, SystemTime::now());
    let (body, progress) = Filling::new(cap, target.max_time.0, false);
    let _taken = Taken(allowance, cap, Arc::clone(&progress));
    let builder = request(Method::POST, url, target)?.header(CONTENT_TYPE, "application/octet-stream");
    let asked: Asked = built(builder, body.boxed())?;
    over(url, target, asked, |mut sender, asked| async move {
        let answer = Deadline::after(SETUP + target.max_time.0 + DRAIN).run(sender.send_request(asked)).await;
        let answer = answer.map_err(|_| Reason::BODY_TIMEOUT.error("the far end did not take it all in time"))?;
        let at = Instant::now();
        let answer = answer.map_err(|e| broken("send the body", e))?;
        judge(&answer)?;
        let bytes = progress.handed();
        Moved::new(bytes, bytes, at.saturating_duration_since(progress.begun().unwrap_or(at)), true)
    })
    .await
}

fn built<B>(builder: hyper::http::request::Builder, body: B) -> Result<Request<B>, CollectError> {
    builder.body(body).map_err(|e| CollectError::new(ErrorKind::Internal, "make the request").caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_is_not_part_of_the_rate() {
        let (first, second) = (Instant::now(), Duration::from_secs(2));
        let moved = ended(1_000_000, Some((first, 200_000)), first + second, true).unwrap();
        assert_eq!(moved, Moved { bytes: 1_000_000, time: second, rate: 400_000.0 });
        for (bytes, piece, time, whole) in
            [(1000, 100, second, true), (70_000, 70_000, second, true), (1_000_000, 1, Duration::ZERO, false)]
        {
            let error = ended(bytes, Some((first, piece)), first + time, whole).unwrap_err();
            assert_eq!(Reason::of(&error).name, "too_short", "{bytes} {piece}");
        }
        // Slow is not short: the time was over before more came.
        assert!(ended(1000, Some((first, 100)), first + second, false).is_ok());
    }
}
