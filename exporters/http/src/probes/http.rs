//! The http prober: follows redirects up to the answer that counts, then judges it.

use std::time::Duration;

use sage_common::error::CollectError;
use sage_common::prober::Outcome;
use sage_common::put;
use sage_common::sink::Sink;

use super::exchange::{self, Ended, Head};
use super::hop::Hop;
use super::judge::judge;
use super::{Ask, request};
use crate::config::http::HttpConfig;
use crate::connection::{Phase, Seen};
use crate::known;
use crate::metrics::{
    FAILED_DUE_TO_REGEX, HTTP_BODY_LENGTH, HTTP_CONTENT_LENGTH, HTTP_DURATION, HTTP_LAST_MODIFIED, HTTP_REDIRECTS, HTTP_SSL,
    HTTP_STATUS_CODE, HTTP_VERSION,
};
use crate::reason::Reason;

/// Most redirects that are followed.
const MAX_REDIRECTS: u32 = 10;

/// The five phases of blackbox_exporter, each with ours that it takes in.
const PHASES: [(&str, &[Phase]); 5] = [
    ("resolve", &[Phase::Resolve]),
    ("connect", &[Phase::Connect, Phase::ProxyTls, Phase::ProxyConnect]),
    ("tls", &[Phase::Tls]),
    ("processing", &[Phase::Processing]),
    ("transfer", &[Phase::Transfer]),
];

/// What a probe knows so far; it outlives the probe's time.
#[derive(Debug, Default)]
pub struct Facts {
    /// The connections.
    pub seen: Seen,
    /// Whether any answer came.
    pub answered: bool,
    /// The last answer's head.
    pub head: Option<Head>,
    /// The last answer's length, when it was read to its end.
    pub body_length: Option<u64>,
    /// Whether a regular expression decided.
    pub failed_by_regex: bool,
    redirects: u32,
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = HttpConfig::default();
    let http = ask.module.http.as_ref().unwrap_or(&default);
    let mut facts = Facts::default();
    facts.seen.known_as = Some(format!("{} {:?}", ask.target, http.tls_config.server_name));
    let ended = ask.deadline.run(follow(ask.target, http, &mut facts)).await;
    let ended = ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()));
    facts.seen.clock.stop();
    if ended.is_ok()
        && facts.head.as_ref().is_some_and(|head| !head.tls)
        && let Some(name) = &facts.seen.known_as
    {
        known::forget(name);
    }
    facts.write(ask.out);
    Outcome { answered: facts.answered || facts.seen.showed_certificate(), success: ended.is_ok(), error: ended.err() }
}

async fn follow(target: &str, http: &HttpConfig, facts: &mut Facts) -> Result<(), CollectError> {
    let mut hop = Hop::first(target, request::method(http), request::body(http)?)?;
    loop {
        match exchange::ask(&hop, http, facts).await? {
            Ended::Here(body) => return judge(http, facts, &body.bytes),
            Ended::Elsewhere(_) if facts.redirects == MAX_REDIRECTS => {
                let text = format!("more than {MAX_REDIRECTS} redirects; the last one came from {}", hop.shown());
                return Err(Reason::REDIRECT_LOOP.error(text));
            }
            Ended::Elsewhere(next) => {
                facts.redirects += 1;
                hop = next;
            }
        }
    }
}

impl Facts {
    fn write(&self, out: &mut Sink) {
        self.seen.write(out);
        put!(out, FAILED_DUE_TO_REGEX {} = self.failed_by_regex);
        put!(out, HTTP_REDIRECTS {} = self.redirects);
        for (phase, parts) in PHASES {
            put!(out, HTTP_DURATION { phase } = parts.iter().map(|part| self.seen.clock.spent(*part)).sum::<Duration>());
        }
        let head = self.head.as_ref();
        put!(out, HTTP_STATUS_CODE {} = head.map_or(0, |h| h.status));
        put!(out, HTTP_SSL {} = head.map(|h| h.tls));
        put!(out, HTTP_VERSION {} = head.map(|h| h.version));
        put!(out, HTTP_CONTENT_LENGTH {} = head.and_then(|h| h.content_length));
        put!(out, HTTP_LAST_MODIFIED {} = head.and_then(|h| h.last_modified));
        put!(out, HTTP_BODY_LENGTH {} = self.body_length);
    }
}
