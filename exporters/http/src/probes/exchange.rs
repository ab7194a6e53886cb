//! One request and its answer over a connection of its own, with the phases timed.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HeaderMap, LAST_MODIFIED};
use hyper::{Response, Version};
use hyper_util::rt::TokioIo;
use sage_common::error::CollectError;
use sage_common::net::http::{MAX_HEAD, broken, drive};
use sage_common::net::tls::Shown;

use super::body::{self, Body};
use super::hop::Hop;
use super::http::Facts;
use super::request;
use crate::config::http::HttpConfig;
use crate::connection::{self, Phase, Route, Secure, Seen, Stream};

/// What is known from an answer's head.
#[derive(Debug)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// 1.0 or 1.1.
    pub version: f64,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Length of the body as declared.
    pub content_length: Option<u64>,
    /// Last-Modified, Unix time.
    pub last_modified: Option<u64>,
    /// All headers.
    pub headers: HeaderMap,
}

impl Head {
    fn of(answer: &Response<Incoming>, tls: bool) -> Self {
        let text = |name| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let modified = text(LAST_MODIFIED).and_then(|v| httpdate::parse_http_date(v).ok());
        Self {
            status: answer.status().as_u16(),
            version: if answer.version() == Version::HTTP_10 { 1.0 } else { 1.1 },
            tls,
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
    let stream = connect(hop, http, &mut facts.seen).await?;
    let request = request::build(hop, http)?;
    facts.seen.clock.enter(Phase::Processing);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(|e| broken("begin HTTP", e))?;
    let work = async {
        let answer = sender.send_request(request).await.map_err(|e| broken("read the answer's head", e))?;
        facts.seen.clock.enter(Phase::Transfer);
        facts.head = Some(Head::of(&answer, hop.is_tls()));
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

async fn connect(hop: &Hop, http: &HttpConfig, seen: &mut Seen) -> Result<Box<dyn Stream>, CollectError> {
    let (host, port) = hop.place()?;
    // Files are read before the clock runs and before the target waits for us.
    let secure = hop.is_tls().then(|| secure(hop, http, connection::bare(&host))).transpose()?;
    let route = Route { preferred: http.preferred_ip_protocol, fallback: http.ip_protocol_fallback, source: http.source_ip_address };
    let stream = connection::open(&host, port, route, seen).await?;
    match secure {
        Some(secure) => secure.start(stream, seen).await,
        None => Ok(Box::new(stream)),
    }
}

fn secure(hop: &Hop, http: &HttpConfig, host: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Shown::default());
    let config = http.tls_config.client(&["http/1.1"], hop.home, &shown)?;
    // A name that the module gives is that of the target; other hosts have their own.
    let given = http.tls_config.server_name.as_deref().or_else(|| request::configured_host(http).map(without_port));
    Ok(Secure {
        config,
        shown,
        name: given.filter(|_| hop.home).map_or(host, str::to_owned),
        checked: !http.tls_config.insecure_skip_verify,
    })
}

/// The host of a Host header.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.trim_start_matches('[').trim_end_matches(']'),
        _ => authority,
    }
}
