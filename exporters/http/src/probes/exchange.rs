//! One request and its answer over a connection of its own, with the phases timed.

use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HeaderMap, LAST_MODIFIED};
use hyper::{Response, Version};
use hyper_util::rt::TokioIo;
use sage_common::error::CollectError;
use sage_common::net::http::{MAX_HEAD, broken, drive};

use super::body::{self, Body};
use super::hop::Hop;
use super::http::Facts;
use super::{line, request};
use crate::config::http::HttpConfig;
use crate::connection::Phase;

/// What is known from an answer's head.
#[derive(Debug)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// 1.0 or 1.1.
    pub version: f64,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whether a proxy could have given it in the target's stead.
    pub by_proxy: bool,
    /// Length of the body as declared.
    pub content_length: Option<u64>,
    /// Last-Modified, Unix time.
    pub last_modified: Option<u64>,
    /// All headers.
    pub headers: HeaderMap,
}

impl Head {
    fn of(answer: &Response<Incoming>, tls: bool, by_proxy: bool) -> Self {
        let text = |name| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let modified = text(LAST_MODIFIED).and_then(|v| httpdate::parse_http_date(v).ok());
        Self {
            status: answer.status().as_u16(),
            version: if answer.version() == Version::HTTP_10 { 1.0 } else { 1.1 },
            tls,
            by_proxy,
            content_length: text(CONTENT_LENGTH).and_then(|v| v.parse().ok()),
            last_modified: modified.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|d| d.as_secs()),
            headers: answer.headers().clone(),
        }
    }
}

/// How an exchange ended.
pub enum Ended {
    /// The answer sends us on.
    Elsewhere(Hop),
    /// The last answer, with its body.
    Here(Body),
}

/// Asks at one hop.
///
/// # Errors
/// The reason why there is no whole answer.
pub async fn ask(hop: &Hop, http: &HttpConfig, facts: &mut Facts) -> Result<Ended, CollectError> {
    let line = line::connect(hop, http, &mut facts.seen).await?;
    let by_proxy = line.proxy.is_some();
    let request = request::build(hop, http, line.proxy)?;
    facts.seen.clock.enter(Phase::Processing);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(line.stream)).await.map_err(|e| broken("begin HTTP", e))?;
    let work = async {
        let answer = sender.send_request(request).await.map_err(|e| broken("read the answer's head", e))?;
        facts.seen.clock.enter(Phase::Transfer);
        facts.head = Some(Head::of(&answer, hop.is_tls(), by_proxy));
        facts.answered = true;
        if http.follows()
            && let Some(next) = hop.next(&answer)?
        {
            return Ok(Ended::Elsewhere(next));
        }
        let body = body::read(answer.into_body(), http).await?;
        facts.body_length = body.length;
        Ok(Ended::Here(body))
    };
    let ended = drive(connection, work).await;
    facts.seen.clock.stop();
    ended
}
