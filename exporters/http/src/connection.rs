//! One connection to a target: resolve, connect, TLS, each timed, with what was seen kept when the probe is cut off.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ProtocolVersion};
use sage_common::error::CollectError;
pub use sage_common::net::http::Stream;
use sage_common::net::tls::Shown;
use sage_common::net::{dial, tls};
use sage_common::prober::log::Log;
use sage_common::put;
use sage_common::sink::Sink;
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::Host;

use crate::allowed::Fence;
use crate::config::types::IpProtocol;
use crate::metrics::{CERT_AGE, DNS_LOOKUP, IP_ADDR_HASH, IP_PROTOCOL, PHASE, PROXY, TLS_CIPHER, TLS_VERIFY_OK, TLS_VERSION};
use crate::reason::Reason;
use crate::{address, certificate, known};

/// A part of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A token is asked for.
    Token,
    /// The resolver is asked.
    Resolve,
    /// The connection is made, to the proxy where there is one.
    Connect,
    /// The TLS handshake with the proxy.
    ProxyTls,
    /// The proxy is asked for the way on.
    ProxyConnect,
    /// The TLS handshake.
    Tls,
    /// From the request to the answer's head.
    Processing,
    /// The rest of the answer.
    Transfer,
}

impl Phase {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::ProxyTls => "proxy_tls",
            Self::ProxyConnect => "proxy_connect",
            Self::Tls => "tls",
            Self::Processing => "first_byte",
            Self::Transfer => "transfer",
        }
    }

    /// Why a probe failed whose time ran out in this phase.
    const fn timeout(self) -> (Reason, &'static str) {
        match self {
            Self::Token => (Reason::TOKEN_TIMEOUT, "no token in time"),
            Self::Resolve => (Reason::DNS_TIMEOUT, "the resolver did not answer in time"),
            Self::Connect => (Reason::CONNECT_TIMEOUT, "the connection was not made in time"),
            Self::ProxyTls => (Reason::PROXY_TIMEOUT, "the TLS handshake with the proxy did not end in time"),
            Self::ProxyConnect => (Reason::PROXY_TIMEOUT, "the proxy made no connection in time"),
            Self::Tls => (Reason::TLS_TIMEOUT, "the TLS handshake did not end in time"),
            Self::Processing => (Reason::FIRST_BYTE_TIMEOUT, "no answer in time"),
            Self::Transfer => (Reason::BODY_TIMEOUT, "the answer did not end in time"),
        }
    }
}

/// Adds up the time of each phase.
#[derive(Debug, Default)]
pub struct Clock {
    spent: BTreeMap<Phase, Duration>,
    running: Option<(Phase, Instant)>,
    /// Whether it is the way to the proxy that is looked for.
    pub to_proxy: bool,
    /// What is told to people who want to know.
    pub log: Log,
}

impl Clock {
    /// Ends the phase that runs and begins another.
    pub fn enter(&mut self, phase: Phase) {
        self.stop();
        self.log.say(|| format!("{} begins", phase.name()));
        self.running = Some((phase, Instant::now()));
    }

    /// Ends the phase that runs.
    pub fn stop(&mut self) {
        if let Some((phase, since)) = self.running.take() {
            let spent = since.elapsed();
            self.log.say(|| format!("{} took {:.6} s", phase.name(), spent.as_secs_f64()));
            *self.spent.entry(phase).or_default() += spent;
        }
    }

    /// Time spent in a phase so far.
    pub fn spent(&self, phase: Phase) -> Duration {
        self.spent.get(&phase).copied().unwrap_or_default()
    }

    /// The error of a probe whose time ran out now.
    pub fn timeout(&self) -> CollectError {
        let (reason, text) = self.running.map_or((Reason::TIMEOUT, "the time is over"), |(phase, _)| phase.timeout());
        let (reason, text) = if self.to_proxy { (Reason::PROXY_TIMEOUT, "the proxy was not reached in time") } else { (reason, text) };
        reason.error(text)
    }
}

/// Where from and by which family to connect.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Who may be asked.
    pub fence: Fence<'a>,
    /// The family that is taken where a name has both.
    pub preferred: IpProtocol,
    /// Whether the other one will do.
    pub fallback: bool,
    /// Address of this machine.
    pub source: Option<IpAddr>,
}

/// TLS of the last connection.
#[derive(Debug)]
struct Tls {
    shown: Arc<Shown>,
    agreed: Option<(String, String)>,
    verified: bool,
    checked: bool,
}

/// What the connections of a probe showed so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Time of each phase.
    pub clock: Clock,
    /// Whether the last connection was made.
    pub connected: bool,
    /// Whether HTTP/2 was agreed on in the last handshake.
    pub http2: bool,
    /// Who named the proxy of the last connection and its scheme, where the module has one.
    pub proxy: Option<(&'static str, String)>,
    /// What the target's certificates are kept by; nothing is kept without it.
    pub known_as: Option<String>,
    address: Option<IpAddr>,
    /// The address that is asked of a host, instead of one that the resolver tells.
    pin: Option<(Host, IpAddr)>,
    tls: Option<Tls>,
}

/// Reads `HOST` or `HOST:PORT`, an IPv6 address in brackets; no port where none is written. `None`: it is neither.
pub fn place(text: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        _ => (text, None),
    };
    Some((Host::parse(host).ok()?, port))
}

/// A host as the resolver and a certificate want it: an IPv6 address without brackets.
pub fn bare(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    }
}

/// Resolves the target, and begins the phase of connecting; what was seen of a connection before is forgotten.
///
/// # Errors
/// Those of the resolver; `forbidden` for addresses that are never asked, `target_not_allowed` for those that the module is
/// not for.
pub async fn locate(host: &Host, port: u16, route: Route<'_>, seen: &mut Seen) -> Result<SocketAddr, CollectError> {
    seen.reset();
    route.fence.may_be(host, port)?;
    let pinned = seen.pin.as_ref().filter(|(own, _)| own == host).map(|(_, ip)| SocketAddr::new(*ip, port));
    let chosen = match pinned {
        Some(pinned) => pinned,
        None => look_up(host, port, route, seen).await?,
    };
    route.fence.is(host, port, chosen.ip())?;
    seen.address.get_or_insert(chosen.ip());
    seen.clock.enter(Phase::Connect);
    Ok(chosen)
}

/// The address of a host, be it the target or a proxy; who may be asked is not looked at.
///
/// # Errors
/// Those of the resolver; `forbidden` for addresses that are never asked.
pub async fn look_up(host: &Host, port: u16, route: Route<'_>, seen: &mut Seen) -> Result<SocketAddr, CollectError> {
    seen.clock.enter(Phase::Resolve);
    let name = bare(host);
    let found = dial::resolve(&name, port).await?;
    let shown = |found: &[SocketAddr]| found.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>().join(", ");
    seen.clock.log.say(|| format!("{name} is {}", shown(&found)));
    address::choose(&name, &found, route.preferred, route.fallback)
}

/// Resolves and connects.
///
/// # Errors
/// Those of `locate` and of the system.
pub async fn open(host: &Host, port: u16, route: Route<'_>, seen: &mut Seen) -> Result<TcpStream, CollectError> {
    let chosen = locate(host, port, route, seen).await?;
    connect(chosen, route, seen).await
}

/// Connects.
///
/// # Errors
/// Those of the system.
pub async fn connect(chosen: SocketAddr, route: Route<'_>, seen: &mut Seen) -> Result<TcpStream, CollectError> {
    seen.clock.enter(Phase::Connect);
    seen.clock.log.say(|| format!("connect to {chosen}"));
    let stream = match route.source {
        Some(source) => dial::connect_from(source, chosen).await?,
        None => dial::connect(&[chosen]).await?,
    };
    seen.clock.stop();
    seen.connected = true;
    Ok(stream)
}

/// A client's side of TLS that is ready to be used.
pub struct Secure {
    /// Versions, trust, our certificate.
    pub config: Arc<ClientConfig>,
    /// Where the server's chain will be.
    pub shown: Arc<Shown>,
    /// The name that the certificate must have.
    pub name: String,
    /// Whether the certificate is checked.
    pub checked: bool,
}

impl Secure {
    /// Does the handshake.
    ///
    /// # Errors
    /// `Tls` with the reason of the refusal; `Connect` when the target hung up.
    pub async fn start<T: Stream + 'static>(self, stream: T, seen: &mut Seen) -> Result<Box<dyn Stream>, CollectError> {
        seen.clock.enter(Phase::Tls);
        let state = seen.tls.insert(Tls { shown: self.shown, agreed: None, verified: false, checked: self.checked });
        let stream = tls::handshake(stream, self.config, &self.name).await?;
        let agreed = stream.get_ref().1;
        let version = agreed.protocol_version().map_or("", version_name);
        let suite = agreed.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite()));
        // rustls calls the suites of TLS 1.3 TLS13_*; the registry of the protocol calls them TLS_*.
        let cipher = suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1);
        seen.clock.log.say(|| format!("agreed on {version} with {cipher}; the name is {}", self.name));
        seen.http2 = agreed.alpn_protocol() == Some(b"h2");
        state.agreed = Some((version.to_owned(), cipher));
        state.verified = self.checked;
        seen.clock.stop();
        Ok(Box::new(stream))
    }
}

const fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => "unknown",
    }
}

impl Seen {
    /// Nothing yet, and what will be is told to `log`.
    pub fn telling(log: Log) -> Self {
        Self { clock: Clock { log, ..Clock::default() }, ..Self::default() }
    }

    /// Asks this address of `host`, which the resolver told in that time.
    pub fn pinned(host: Host, ip: IpAddr, resolve: Duration, log: Log) -> Self {
        log.say(|| format!("the address {ip} of {host} is asked"));
        let mut seen = Self { pin: Some((host, ip)), ..Self::telling(log) };
        seen.clock.spent.insert(Phase::Resolve, resolve);
        seen
    }

    /// Forgets what was seen of a connection before.
    pub fn reset(&mut self) {
        (self.connected, self.tls, self.http2) = (false, None, false);
    }

    /// True when the target showed a certificate.
    pub fn showed_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.shown.chain().is_empty())
    }

    /// Writes what this probe knows of certificates, or else what one before it knew.
    fn certificates(&self, out: &mut Sink) {
        if let Some(tls) = self.tls.as_ref().filter(|_| self.showed_certificate()) {
            let ends = certificate::write(&tls.shown.chain(), tls.verified, out);
            put!(out, TLS_VERIFY_OK {} = tls.checked.then(|| tls.shown.accepted()));
            put!(out, CERT_AGE {} = 0);
            ends.write(out);
            if let Some(name) = &self.known_as {
                known::keep(name, ends);
            }
        } else if let Some((ends, age)) = self.known_as.as_deref().and_then(known::last) {
            put!(out, CERT_AGE {} = age);
            ends.write(out);
        }
    }

    /// Writes name resolution, phases, address and TLS.
    pub fn write(&self, out: &mut Sink) {
        put!(out, DNS_LOOKUP {} = self.clock.spent(Phase::Resolve));
        for (phase, spent) in &self.clock.spent {
            put!(out, PHASE { phase: phase.name() } = *spent);
        }
        put!(out, IP_PROTOCOL {} = self.address.map(address::protocol));
        put!(out, IP_ADDR_HASH {} = self.address.map(address::hash));
        if let Some((source, scheme)) = &self.proxy {
            put!(out, PROXY { source, scheme } = 1);
        }
        self.certificates(out);
        let Some(tls) = &self.tls else { return };
        if let Some((version, cipher)) = &tls.agreed {
            put!(out, TLS_VERSION { version } = 1);
            put!(out, TLS_CIPHER { cipher } = 1);
        }
    }
}
