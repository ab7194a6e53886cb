//! The section `throughput:` of the configuration file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use sage_common::codes;
use sage_common::config::{Span, refused};
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::config::Section as _;
use crate::config::http::HttpConfig;
use crate::config::http::auth::BasicAuth;
use crate::config::http::proxy::ProxyUrl;
use crate::config::tls::TlsConfig;
use crate::config::types::{IpProtocol, Size, address};
use crate::ping::config::Direction;

/// Most targets.
const MAX_TARGETS: usize = 50;
/// Shortest intervals: lines to the Internet are paid for and shared.
const SHORTEST_OUTSIDE: Duration = Duration::from_secs(15 * 60);
const SHORTEST_INSIDE: Duration = Duration::from_secs(60);
/// Longest transfer.
const LONGEST: Duration = Duration::from_secs(120);
/// Fewer bytes say nothing about a line.
pub const FEWEST: u64 = 64 << 10;

/// A URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Address(pub Url);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The text may hold a password; the error does not repeat it.
        Url::parse(&text)
            .map(Self)
            .map_err(|_| refused(Invalid::new("this is not a URL").hint("write https://HOST/PATH").code(codes::ADDRESS)))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// The whole section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThroughputConfig {
    /// Bytes that all tests together may move in a day (UTC).
    pub daily_budget: Size,
    /// Where bytes spent and last rates are kept over a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_file: Option<PathBuf>,
    /// Targets.
    pub targets: Vec<TargetConfig>,
}

impl Default for ThroughputConfig {
    fn default() -> Self {
        Self { daily_budget: Size(1 << 30), state_file: None, targets: Vec::new() }
    }
}

/// A target.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// The label `target`.
    pub name: String,
    /// Where it lies.
    pub direction: Direction,
    /// What is downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<Address>,
    /// Where to is uploaded, by POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Address>,
    /// Time between two tests; a tenth more or less by chance.
    #[serde(default = "hour")]
    pub interval: Span,
    /// Most bytes of a transfer.
    #[serde(default = "max_bytes")]
    pub max_bytes: Size,
    /// Longest transfer.
    #[serde(default = "max_seconds")]
    pub max_time: Span,
    /// File with the token that is sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Address family that is taken where a name has both.
    #[serde(default = "ip4")]
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    #[serde(default = "yes")]
    pub ip_protocol_fallback: bool,
    /// The proxy that the target is reached through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// Hosts that are reached without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment say which proxy.
    #[serde(default)]
    pub proxy_from_environment: bool,
    /// Who we are to the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_basic_auth: Option<BasicAuth>,
    /// Whether names are left to the proxy.
    #[serde(default)]
    pub skip_resolve_phase_with_proxy: bool,
    /// Address of this machine to connect from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
}

const fn hour() -> Span {
    Span(Duration::from_secs(3600))
}
const fn max_bytes() -> Size {
    Size(25 << 20)
}
const fn max_seconds() -> Span {
    Span(Duration::from_secs(10))
}
const fn ip4() -> IpProtocol {
    IpProtocol::Ip4
}
const fn yes() -> bool {
    true
}

impl TargetConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let refuse = |code, text: String, hint: &str| Err(Invalid::new(text).hint(hint).code(code));
        if self.download.is_none() && self.upload.is_none() {
            return refuse(codes::INCOMPLETE, "there is nothing to transfer".into(), "write `download: URL`, `upload: URL` or both");
        }
        for Address(url) in [&self.download, &self.upload].into_iter().flatten() {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return refuse(codes::ADDRESS, "a transfer is by http or https".into(), "write https://HOST/PATH");
            }
            if !url.username().is_empty() || url.password().is_some() {
                return refuse(
                    codes::SECRET_IN_FILE,
                    "a user or password stands in the URL".into(),
                    "put a token into a file and write `bearer_token_file:`",
                );
            }
            if self.bearer_token_file.is_some() && url.scheme() == "http" && !is_loopback(url) {
                return refuse(codes::INSECURE, "the token would be sent in the clear".into(), "write https://");
            }
        }
        let shortest = if self.direction == Direction::NorthSouth { SHORTEST_OUTSIDE } else { SHORTEST_INSIDE };
        if self.interval.0 < shortest {
            let text = format!("interval: {} is too short for {}", self.interval, self.direction);
            return refuse(codes::RANGE, text, &format!("write {} or more", Span(shortest)));
        }
        if self.max_bytes.0 < FEWEST {
            return refuse(codes::RANGE, "max_bytes: so few bytes say nothing about a line".into(), "write 1MB or more");
        }
        if self.max_time.0 < Duration::from_secs(1) || self.max_time.0 > LONGEST {
            return refuse(codes::RANGE, format!("max_time: {} is no time for a transfer", self.max_time), "write 1s to 2m");
        }
        self.http().validate()
    }

    /// The same as settings of the http prober, by whose ways the target is reached.
    pub fn http(&self) -> HttpConfig {
        let mut http = HttpConfig::default();
        // Transfers are led over HTTP/1.1.
        http.enable_http2 = Some(false);
        http.preferred_ip_protocol = self.preferred_ip_protocol;
        http.ip_protocol_fallback = self.ip_protocol_fallback;
        http.source_ip_address = self.source_ip_address;
        http.tls_config = self.tls_config.clone();
        http.proxy_url = self.proxy_url.clone();
        http.no_proxy = self.no_proxy.clone();
        http.proxy_from_environment = self.proxy_from_environment;
        http.proxy_basic_auth = self.proxy_basic_auth.clone();
        http.skip_resolve_phase_with_proxy = self.skip_resolve_phase_with_proxy;
        http
    }

    /// Most bytes of a day, if nothing is in the way.
    pub fn planned(&self) -> u64 {
        let ways = u64::from(self.download.is_some()) + u64::from(self.upload.is_some());
        let runs = 86_400 / self.interval.0.as_secs().max(1);
        runs.saturating_mul(ways).saturating_mul(self.max_bytes.0)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

impl ThroughputConfig {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut names = BTreeSet::new();
        for target in &self.targets {
            target.validate().map_err(|e| e.within(format_args!("target {}", target.name)))?;
            if !names.insert(&target.name) {
                return Err(Invalid::new(format!("there are two targets with the name {:?}", target.name))
                    .hint("write another `name:`")
                    .code(codes::TWICE));
            }
        }
        if names.len() > MAX_TARGETS {
            return Err(Invalid::new(format!("{} targets", names.len()))
                .hint(format!("at most {MAX_TARGETS}: they are tested one at a time"))
                .code(codes::RANGE));
        }
        Ok(())
    }
}
