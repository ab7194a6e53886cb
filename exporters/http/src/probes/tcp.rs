//! The tcp prober: connects, then leads a dialogue.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt as _;
use sage_common::deadline::Deadline;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::Shown as Chain;
use sage_common::prober::Outcome;
use sage_common::sink::Sink;
use url::Host;

use super::Ask;
use super::addresses::{self, Many, Start};
use super::dialogue::{self, Shown};
use crate::config::dialogue::Script;
use crate::config::tcp::TcpConfig;
use crate::config::tls::TlsConfig;
use crate::connection::{self, Route, Secure, Seen};
use crate::hostname;

/// Reads `host:port`.
fn parse(target: &str) -> Result<(Host, u16), String> {
    let wrong = || "the target is not HOST:PORT: write target=example.com:5432".to_owned();
    connection::place(target).and_then(|(host, port)| Some((host, port?))).ok_or_else(wrong)
}

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    parse(target).map(drop)
}

/// What a probe knows so far; it outlives the probe's time.
struct Facts<'a> {
    seen: Seen,
    shown: Shown,
    script: Script<'a>,
}

impl addresses::Facts for Facts<'_> {
    fn answered(&self) -> bool {
        self.seen.connected
    }

    fn write(&self, _: &Result<(), CollectError>, out: &mut Sink) {
        self.seen.write(out);
        self.shown.write(&self.script, out);
    }
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = TcpConfig::default();
    let mut tcp = Cow::Borrowed(ask.module.tcp.as_ref().unwrap_or(&default));
    if let Some(name) = ask.hostname.filter(|_| tcp.tls_config.server_name.is_none()) {
        tcp.to_mut().tls_config.server_name = hostname::certificate(name);
    }
    let tcp = &*tcp;
    let script = tcp.script();
    let route = Route {
        fence: ask.module.fence().by(script.needs_tls()),
        preferred: tcp.preferred_ip_protocol,
        fallback: tcp.ip_protocol_fallback,
        source: tcp.source_ip_address,
    };
    let (target, many) = (
        ask.target,
        Many { which: tcp.addresses, route, place: parse(ask.target).ok(), hostname: ask.hostname.and_then(hostname::host), log: ask.log },
    );
    addresses::probe(many, ask.deadline, ask.out, |start, deadline| run(target, tcp, route, start, deadline).boxed()).await
}

async fn run<'a>(target: &str, tcp: &'a TcpConfig, route: Route<'_>, start: Start, deadline: Deadline) -> addresses::Ended<Facts<'a>> {
    let mut facts = Facts { seen: start.seen, shown: Shown::default(), script: tcp.script() };
    let ended = match start.ready {
        Err(error) => Err(error),
        Ok(()) => {
            let ended = deadline.run(talk(target, tcp, route, &mut facts)).await;
            ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()))
        }
    };
    facts.seen.clock.stop();
    (facts, ended)
}

async fn talk(target: &str, tcp: &TcpConfig, route: Route<'_>, facts: &mut Facts<'_>) -> Result<(), CollectError> {
    let (host, port) = parse(target).map_err(|text| CollectError::new(ErrorKind::Internal, text))?;
    // Files are read before the clock runs and before the target waits for us.
    let secure = facts.script.needs_tls().then(|| secure(&tcp.tls_config, connection::bare(&host))).transpose()?;
    let stream = connection::open(&host, port, route, &mut facts.seen).await?;
    dialogue::lead(&facts.script, Box::new(stream), port, secure, &mut facts.seen, &mut facts.shown).await
}

/// A client's side of TLS with the name that the module gives, or else this one.
///
/// # Errors
/// `Tls` when a file cannot be used.
pub fn secure(config: &TlsConfig, name: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Chain::default());
    Ok(Secure {
        config: config.client(&[], true, &shown)?,
        shown,
        name: config.server_name.clone().unwrap_or(name),
        checked: !config.insecure_skip_verify,
    })
}
