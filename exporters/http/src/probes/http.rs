//! The http prober: follows redirects up to the answer that counts, then judges it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::Method;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;
use sage_common::prober::Outcome;
use sage_common::put;
use sage_common::sink::Sink;

use super::addresses::{self, Many, Start};
use super::cookies::Jar;
use super::exchange::{self, Ended, Head, How};
use super::hop::Hop;
use super::judge::judge;
use super::{Ask, line, request, steps};
use crate::allowed::Fence;
use crate::config::http::HttpConfig;
use crate::connection::{Phase, Seen};
use crate::metrics::{
    FAILED_DUE_TO_REGEX, HTTP_BODY_LENGTH, HTTP_CONTENT_LENGTH, HTTP_DURATION, HTTP_LAST_MODIFIED, HTTP_REDIRECTS, HTTP_SSL,
    HTTP_STATUS_CODE, HTTP_VERSION,
};
use crate::reason::Reason;
use crate::{hostname, known};

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
    /// The cookies, where there are steps.
    pub jar: Option<Jar>,
    /// The steps that ran.
    pub steps: Vec<steps::Done>,
    /// Whether a regular expression decided.
    pub failed_by_regex: bool,
    redirects: u32,
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = HttpConfig::default();
    let http = hostname::http(ask.module.http.as_ref().unwrap_or(&default), ask.hostname);
    let http = &*http;
    let (target, fence) = (ask.target, ask.module.fence());
    let place = Hop::first(target, Method::GET, Bytes::new(), fence).and_then(|hop| Ok((hop.place()?, hop.is_tls()))).ok();
    let tls = place.as_ref().is_some_and(|(_, tls)| *tls);
    let many = Many {
        which: http.addresses,
        route: line::route(http, fence.by(tls)),
        place: place.map(|(place, _)| place),
        hostname: ask.hostname.and_then(hostname::host),
        log: ask.log,
    };
    addresses::probe(many, ask.deadline, ask.out, |start, deadline| run(target, http, fence, start, deadline).boxed()).await
}

async fn run(target: &str, http: &HttpConfig, fence: Fence<'_>, start: Start, deadline: Deadline) -> addresses::Ended<Facts> {
    let mut facts = Facts { seen: start.seen, ..Facts::default() };
    facts.seen.known_as = Some(format!("{target} {:?}", http.tls_config.server_name));
    let ended = match start.ready {
        Err(error) => Err(error),
        Ok(()) if http.steps.is_empty() => {
            let ended = deadline.run(one(target, http, fence, &mut facts)).await;
            ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()))
        }
        Ok(()) => steps::run(target, http, fence, deadline, &mut facts).await,
    };
    facts.seen.clock.stop();
    (facts, ended)
}

async fn one(target: &str, http: &HttpConfig, fence: Fence<'_>, facts: &mut Facts) -> Result<(), CollectError> {
    let hop = Hop::first(target, request::method(http), request::body(http)?, fence)?;
    let rules = [http.fail_if_body_matches_regexp.len(), http.fail_if_body_not_matches_regexp.len()];
    let json = http.fail_if_body_json_matches.len() + http.fail_if_body_json_not_matches.len();
    let looks = json + rules.into_iter().sum::<usize>() > 0;
    let body = follow(hop, http, How { follows: http.follows(), looks }, facts).await?;
    judge(http, facts, &body)
}

/// Asks at a hop and where it redirects, up to the answer that counts.
///
/// # Errors
/// The reason why there is none.
pub async fn follow(mut hop: Hop<'_>, http: &HttpConfig, how: How, facts: &mut Facts) -> Result<Vec<u8>, CollectError> {
    let mut redirects = 0;
    loop {
        match exchange::ask(&hop, http, how, facts).await? {
            Ended::Here(body) => return Ok(body.bytes),
            Ended::Elsewhere(_) if redirects == MAX_REDIRECTS => {
                let text = format!("more than {MAX_REDIRECTS} redirects; the last one came from {}", hop.shown());
                return Err(Reason::REDIRECT_LOOP.error(text));
            }
            Ended::Elsewhere(next) => {
                redirects += 1;
                facts.redirects += 1;
                hop = *next;
            }
        }
    }
}

impl addresses::Facts for Facts {
    fn answered(&self) -> bool {
        self.answered || self.seen.showed_certificate()
    }

    fn write(&self, ended: &Result<(), CollectError>, out: &mut Sink) {
        if ended.is_ok()
            && self.head.as_ref().is_some_and(|head| !head.tls)
            && let Some(name) = &self.seen.known_as
        {
            known::forget(name);
        }
        self.seen.write(out);
        steps::write(&self.steps, out);
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
