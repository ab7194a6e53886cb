//! The icmp prober: one echo request, one reply, over a socket of its own.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::dial;
use sage_common::os::icmp::{self, Echo, Family};
use sage_common::prober::Outcome;
use sage_common::put;
use tokio::time::Instant;
use url::Host;

use super::Ask;
use crate::address;
use crate::allowed::Fence;
use crate::config::icmp::IcmpConfig;
use crate::connection::bare;
use crate::metrics::{DNS_LOOKUP, ICMP_DURATION, ICMP_HOP_LIMIT, IP_ADDR_HASH, IP_PROTOCOL};
use crate::random::nonce;
use crate::reason::Reason;

/// The host of a target: a name, an address, an IPv6 address with or without brackets.
pub fn host(target: &str) -> Option<String> {
    match target.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_string()),
        Err(_) => Host::parse(target).ok().map(|host| bare(&host)),
    }
}

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    host(target).map(drop).ok_or_else(|| "the target is not a host: write target=gw.example.com, without port or scheme".to_owned())
}

/// What was seen, also when the time runs out.
#[derive(Default)]
struct Facts {
    /// Resolve, setup, rtt: those that have begun.
    spent: [Duration; 3],
    running: Option<(usize, Instant)>,
    address: Option<IpAddr>,
    hop_limit: Option<u8>,
}

const PHASES: [&str; 3] = ["resolve", "setup", "rtt"];

impl Facts {
    fn enter(&mut self, phase: usize) {
        self.stop();
        self.running = Some((phase, Instant::now()));
    }

    fn stop(&mut self) {
        if let Some((phase, since)) = self.running.take()
            && let Some(spent) = self.spent.get_mut(phase)
        {
            *spent = since.elapsed();
        }
    }
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = IcmpConfig::default();
    let config = ask.module.icmp.as_ref().unwrap_or(&default);
    let mut facts = Facts::default();
    let ended = ask.deadline.run(talk(ask.target, config, ask.module.fence(), &mut facts)).await;
    let ended = ended.unwrap_or_else(|_| {
        Err(match facts.running {
            Some((0, _)) => Reason::DNS_TIMEOUT.error("the resolver did not answer in time"),
            _ => Reason::TIMEOUT.error("no reply in time"),
        })
    });
    facts.stop();
    for (phase, spent) in PHASES.iter().zip(facts.spent) {
        put!(ask.out, ICMP_DURATION { phase } = spent);
    }
    put!(ask.out, ICMP_HOP_LIMIT {} = facts.hop_limit);
    put!(ask.out, DNS_LOOKUP {} = facts.spent.first().copied());
    put!(ask.out, IP_PROTOCOL {} = facts.address.map(address::protocol));
    put!(ask.out, IP_ADDR_HASH {} = facts.address.map(address::hash));
    Outcome { answered: ended.is_ok(), success: ended.is_ok(), error: ended.err() }
}

async fn talk(target: &str, config: &IcmpConfig, fence: Fence<'_>, facts: &mut Facts) -> Result<(), CollectError> {
    /// Identifiers of our raw sockets: each its own, so that probes at the same time do not meet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let host = host(target).ok_or_else(|| CollectError::new(ErrorKind::Internal, "the target is not a host"))?;
    let named = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Host::Ipv4(ip),
        Ok(IpAddr::V6(ip)) => Host::Ipv6(ip),
        Err(_) => Host::Domain(host.clone()),
    };
    fence.may_be(&named, 0)?;
    facts.enter(0);
    let found = dial::resolve(&host, 0).await?;
    let to = address::choose(&host, &found, config.preferred_ip_protocol, config.ip_protocol_fallback)?.ip().to_canonical();
    fence.is(&named, 0, to)?;
    facts.address = Some(to);
    facts.enter(1);
    let ident = (std::process::id() as u16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let echo = Echo::open(Family::of(to), &config.options(), ident)?;
    // Nobody who does not see the request can make up its reply.
    let payload: Vec<u8> = nonce().to_be_bytes().into_iter().cycle().take(config.payload()).collect();
    let mut buffer = icmp::buffer(payload.len());
    facts.enter(2);
    let sent = echo.send(to, ident, &payload).map_err(|e| {
        let doing = format!("send an echo request to {to}");
        let hint = "the way takes smaller packets alone: lower `payload_size`, or write `dont_fragment: false`";
        if icmp::reason(&e) == "too_big" { Reason::TOO_BIG.error(doing).caused_by(e).hint(hint) } else { CollectError::io(doing, e) }
    })?;
    loop {
        let reply = echo.receive(&mut buffer).await.map_err(|e| CollectError::io("receive the echo reply", e))?;
        if (reply.sequence, reply.payload, reply.from.to_canonical()) == (ident, &payload[..], to) {
            facts.stop();
            if let Some(rtt) = facts.spent.last_mut() {
                *rtt = reply.at.saturating_duration_since(sent);
            }
            facts.hop_limit = reply.hop_limit;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_alone() {
        for (target, want) in [
            ("gw.example.com", Some("gw.example.com")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("http://a/", None),
            ("a:80", None),
            ("", None),
        ] {
            assert_eq!(host(target).as_deref(), want, "{target}");
            assert_eq!(accept(target).is_ok(), want.is_some(), "{target}");
        }
    }
}
