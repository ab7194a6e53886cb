//! The tcp prober: connects, then leads a dialogue.

use std::sync::Arc;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::Shown as Chain;
use sage_common::prober::Outcome;
use url::Host;

use super::Ask;
use super::dialogue::{self, Shown};
use crate::config::tcp::TcpConfig;
use crate::config::tls::TlsConfig;
use crate::connection::{self, Route, Secure, Seen};

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

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = TcpConfig::default();
    let tcp = ask.module.tcp.as_ref().unwrap_or(&default);
    let (mut seen, mut shown) = (Seen::default(), Shown::default());
    let ended = ask.deadline.run(talk(ask.target, tcp, &mut seen, &mut shown)).await;
    let ended = ended.unwrap_or_else(|_| Err(seen.clock.timeout()));
    seen.clock.stop();
    seen.write(ask.out);
    shown.write(&tcp.script(), ask.out);
    Outcome { answered: seen.connected, success: ended.is_ok(), error: ended.err() }
}

async fn talk(target: &str, tcp: &TcpConfig, seen: &mut Seen, shown: &mut Shown) -> Result<(), CollectError> {
    let (host, port) = parse(target).map_err(|text| CollectError::new(ErrorKind::Internal, text))?;
    let script = tcp.script();
    // Files are read before the clock runs and before the target waits for us.
    let secure = script.needs_tls().then(|| secure(&tcp.tls_config, connection::bare(&host))).transpose()?;
    let route = Route { preferred: tcp.preferred_ip_protocol, fallback: tcp.ip_protocol_fallback, source: tcp.source_ip_address };
    let stream = connection::open(&host, port, route, seen).await?;
    dialogue::lead(&script, Box::new(stream), port, secure, seen, shown).await
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
