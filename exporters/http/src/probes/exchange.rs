//! One request and its answer over a connection of its own, with the phases timed.

use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::join;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, LAST_MODIFIED};
use hyper::{Response, Version};
use hyper_util::rt::TokioIo;
use sage_common::error::CollectError;
use sage_common::net::http::{MAX_HEAD, broken, drive};

use super::body::{self, Body};
use super::hop::Hop;
use super::http::Facts;
use super::line;
use super::request::{self, Dress};
use super::tasks::Tasks;
use super::telling;
use crate::config::http::HttpConfig;
use crate::connection::Phase;
use crate::token;

/// What is known from an answer's head.
#[derive(Debug)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// 1.0, 1.1 or 2.0.
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
            version: match answer.version() {
                Version::HTTP_10 => 1.0,
                Version::HTTP_2 => 2.0,
                _ => 1.1,
            },
            tls,
            by_proxy,
            content_length: text(CONTENT_LENGTH).and_then(|v| v.parse().ok()),
            last_modified: modified.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|d| d.as_secs()),
            headers: answer.headers().clone(),
        }
    }
}

/// How an exchange ended.
pub enum Ended<'a> {
    /// The answer sends us on.
    Elsewhere(Box<Hop<'a>>),
    /// The last answer, with its body.
    Here(Body),
}

/// How an answer is read.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whether redirects are followed.
    pub follows: bool,
    /// Whether somebody looks at the body.
    pub looks: bool,
}

/// Asks at one hop, with a token where the module wants one; with another one if a kept one is not taken.
///
/// # Errors
/// The reason why there is no whole answer.
pub async fn ask<'a>(hop: &Hop<'a>, http: &HttpConfig, how: How, facts: &mut Facts) -> Result<Ended<'a>, CollectError> {
    let Some(oauth) = http.oauth2.as_ref().filter(|_| hop.home) else {
        return once(hop, http, None, how, facts).await;
    };
    // Who may not see the token is no reason to ask for one.
    let (host, port) = hop.place()?;
    hop.fence.by(hop.is_tls()).may_be(&host, port)?;
    let first = token::get(oauth, http, &mut facts.seen).await?;
    let ended = once(hop, http, Some(first.value.clone()), how, facts).await?;
    let unwanted = matches!(ended, Ended::Here(_)) && facts.head.as_ref().is_some_and(|head| head.status == 401);
    if !(unwanted && first.kept) {
        return Ok(ended);
    }
    oauth.store.forget(&first);
    let second = token::get(oauth, http, &mut facts.seen).await?;
    once(hop, http, Some(second.value), how, facts).await
}

/// Makes one request.
///
/// # Errors
/// The reason why there is no whole answer.
pub async fn once<'a>(
    hop: &Hop<'a>,
    http: &HttpConfig,
    token: Option<HeaderValue>,
    how: How,
    facts: &mut Facts,
) -> Result<Ended<'a>, CollectError> {
    let line = line::connect(hop, http, &mut facts.seen).await?;
    let (by_proxy, two) = (line.proxy.is_some(), facts.seen.http2);
    let jar = facts.jar.as_ref().and_then(|jar| jar.header(&hop.url));
    let request = request::build(hop, http, Dress { proxy: line.proxy, token, two, cookies: jar })?;
    facts.seen.clock.log.say(|| telling::request(hop, &request));
    facts.seen.clock.enter(Phase::Processing);
    let io = TokioIo::new(line.stream);
    let ended = if two {
        let tasks = Tasks::default();
        let begun = http2::Builder::new(tasks.clone()).max_header_list_size(MAX_HEAD as u32).handshake(io).await;
        let (mut sender, connection) = begun.map_err(|e| broken("begin HTTP/2", e))?;
        let work = async {
            let answer = sender.send_request(request).await.map_err(|e| broken("read the answer's head", e))?;
            take(answer, hop, http, how, by_proxy, facts).await
        };
        drive(join(connection.boxed(), tasks.run().boxed()), work).await
    } else {
        let begun = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(io).await;
        let (mut sender, connection) = begun.map_err(|e| broken("begin HTTP", e))?;
        let work = async {
            let answer = sender.send_request(request).await.map_err(|e| broken("read the answer's head", e))?;
            take(answer, hop, http, how, by_proxy, facts).await
        };
        drive(connection, work).await
    };
    facts.seen.clock.stop();
    ended
}

async fn take<'a>(
    answer: Response<Incoming>,
    hop: &Hop<'a>,
    http: &HttpConfig,
    how: How,
    by_proxy: bool,
    facts: &mut Facts,
) -> Result<Ended<'a>, CollectError> {
    facts.seen.clock.enter(Phase::Transfer);
    facts.seen.clock.log.say(|| telling::answer(&answer));
    facts.head = Some(Head::of(&answer, hop.is_tls(), by_proxy));
    facts.answered = true;
    if let Some(jar) = &mut facts.jar {
        jar.keep(&hop.url, answer.headers());
    }
    if how.follows
        && let Some(next) = hop.next(&answer)?
    {
        return Ok(Ended::Elsewhere(Box::new(next)));
    }
    let body = body::read(answer.into_body(), http, how.looks).await?;
    facts.body_length = body.length;
    facts
        .seen
        .clock
        .log
        .say(|| body.length.map_or_else(|| "the body was not read to its end".to_owned(), |n| format!("{n} bytes of body")));
    Ok(Ended::Here(body))
}
