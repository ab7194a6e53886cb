//! The section `ping:` of the configuration file: groups of targets that are pinged in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use sage_common::codes;
use sage_common::config::Span;
use sage_common::desc::legal_name;
use sage_common::error::Invalid;
use sage_common::os::icmp::{MAX_PAYLOAD, Options};
use serde::{Deserialize, Serialize};

use crate::config::icmp::USUAL_PAYLOAD;
use crate::config::types::{IpProtocol, address};
use crate::probes::icmp::host;

/// Most targets of all groups: each has some thirty series.
const MAX_TARGETS: usize = 2000;
/// Most requests a second, all targets together.
const MAX_RATE: f64 = 5000.0;
/// Most names of own labels.
const MAX_LABELS: usize = 8;
/// Key and number of a request stand in its payload.
pub const MIN_PAYLOAD: usize = 16;

/// Where a target lies, as seen from the data centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Outside: the Internet, the offices, the providers.
    NorthSouth,
    /// Inside.
    EastWest,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NorthSouth => "north-south",
            Self::EastWest => "east-west",
        })
    }
}

/// What a ping is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// ICMP; a TCP connection where no ICMP socket may be opened and the target has a port.
    #[default]
    Auto,
    /// An ICMP echo request.
    Icmp,
    /// A TCP connection, also one that is refused: the host has answered.
    Tcp,
}

/// The whole section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PingConfig {
    /// How many of the last pings of a target the loss ratio and the other figures of the window are made of.
    pub window: usize,
    /// How often names are resolved anew.
    pub resolve_interval: Span,
    /// Also the names of smokeping_prober.
    pub smokeping_names: bool,
    /// Targets.
    pub groups: Vec<GroupConfig>,
}

impl Default for PingConfig {
    fn default() -> Self {
        Self { window: 60, resolve_interval: Span(Duration::from_secs(60)), smokeping_names: false, groups: Vec::new() }
    }
}

/// Targets that are pinged in the same way.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Where they lie.
    pub direction: Direction,
    /// How they are pinged.
    #[serde(default)]
    pub method: Method,
    /// Time between the beginnings of two bursts.
    #[serde(default = "second")]
    pub interval: Span,
    /// Pings of a burst.
    #[serde(default = "one")]
    pub count: u32,
    /// Time between two pings of a burst.
    #[serde(default = "spacing")]
    pub spacing: Span,
    /// After this a ping is lost; what comes later is late.
    #[serde(default = "second")]
    pub timeout: Span,
    /// Port for pings by TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Bytes of payload.
    #[serde(default = "payload")]
    pub payload_size: usize,
    /// Whether a packet that is too big for the way is refused instead of being cut.
    #[serde(default)]
    pub dont_fragment: bool,
    /// Time to live or hop limit; none: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Address of this machine to send from.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    /// Address family that is taken where a name has both.
    #[serde(default = "ip4")]
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    #[serde(default = "yes")]
    pub ip_protocol_fallback: bool,
    /// Whom.
    pub targets: Vec<TargetConfig>,
}

/// A target.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// Name or address.
    pub host: String,
    /// The label `target`; none: the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Port for pings by TCP, instead of the group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Labels of one's own, on `ping_target_info`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

const fn second() -> Span {
    Span(Duration::from_secs(1))
}
const fn spacing() -> Span {
    Span(Duration::from_millis(100))
}
const fn one() -> u32 {
    1
}
const fn payload() -> usize {
    USUAL_PAYLOAD
}
const fn ip4() -> IpProtocol {
    IpProtocol::Ip4
}
const fn yes() -> bool {
    true
}

impl TargetConfig {
    /// The label `target`.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.host)
    }
}

impl GroupConfig {
    /// How the packets leave.
    pub fn options(&self) -> Options {
        Options { ttl: self.ttl.filter(|ttl| *ttl > 0), dont_fragment: self.dont_fragment, source: self.source_ip_address }
    }

    fn validate(&self) -> Result<(), Invalid> {
        let refuse = |code, text: String, hint: &str| Err(Invalid::new(text).hint(hint).code(code));
        if !(1..=100).contains(&self.count) {
            return refuse(codes::RANGE, format!("count: {} pings are no burst", self.count), "write 1 to 100");
        }
        if self.interval.0 < Duration::from_millis(100) || self.spacing.0 < Duration::from_millis(10) {
            return refuse(
                codes::RANGE,
                "pings follow each other too closely".into(),
                "write an interval of 100ms and a spacing of 10ms, or more",
            );
        }
        if self.spacing.0 * (self.count - 1) >= self.interval.0 && self.count > 1 {
            return refuse(
                codes::CONFLICT,
                format!("a burst of {} pings, one each {}, is longer than the interval of {}", self.count, self.spacing, self.interval),
                "lower count or spacing, or raise the interval",
            );
        }
        if self.timeout.0 < Duration::from_millis(10) || self.timeout.0 > Duration::from_secs(30) {
            return refuse(codes::RANGE, format!("timeout: {} cannot be waited for", self.timeout), "write 10ms to 30s");
        }
        if !(MIN_PAYLOAD..=MAX_PAYLOAD).contains(&self.payload_size) {
            let text = format!("payload_size: {} bytes", self.payload_size);
            return refuse(codes::RANGE, text, "write 16 to 65507: key and number of the ping take 16");
        }
        for target in &self.targets {
            if host(&target.host).is_none() {
                return refuse(
                    codes::ADDRESS,
                    format!("{:?} is not a host", target.host),
                    "write a name or an address, without port or scheme",
                );
            }
            if self.method == Method::Tcp && target.port.or(self.port).is_none() {
                return refuse(
                    codes::INCOMPLETE,
                    format!("{}: a ping by TCP needs a port", target.name()),
                    "write `port: 443`, in the group or for the target",
                );
            }
        }
        Ok(())
    }
}

impl PingConfig {
    /// The names of all own labels.
    pub fn label_names(&self) -> Vec<String> {
        let all = self.groups.iter().flat_map(|group| &group.targets).flat_map(|target| target.labels.keys());
        all.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !(1..=1000).contains(&self.window) {
            return Err(Invalid::new(format!("window: {} pings", self.window)).hint("write 1 to 1000").code(codes::RANGE));
        }
        if self.resolve_interval.0 < Duration::from_secs(1) {
            return Err(Invalid::new("resolve_interval must be at least 1s").hint("write `resolve_interval: 60s`").code(codes::RANGE));
        }
        let (mut names, mut rate) = (BTreeSet::new(), 0.0);
        for (group, number) in self.groups.iter().zip(1..) {
            group.validate().map_err(|e| e.within(format_args!("group {number}")))?;
            rate += group.targets.len() as f64 * f64::from(group.count) / group.interval.0.as_secs_f64();
            for target in &group.targets {
                if !names.insert(target.name()) {
                    let text = format!("group {number}: there are two targets with the name {:?}", target.name());
                    return Err(Invalid::new(text).hint("write a `name:` of its own for each").code(codes::TWICE));
                }
            }
        }
        if names.len() > MAX_TARGETS || rate > MAX_RATE {
            let text = format!("{} targets with {rate:.0} pings a second are too many for one exporter", names.len());
            let hint = format!("at most {MAX_TARGETS} targets and {MAX_RATE} pings a second: raise the interval, or run two exporters");
            return Err(Invalid::new(text).hint(hint).code(codes::RANGE));
        }
        let labels = self.label_names();
        let taken = |name: &str| {
            matches!(name, "target" | "ip" | "ip_version" | "direction" | "method" | "job" | "instance") || name.starts_with("__")
        };
        if let Some(bad) = labels.iter().find(|name| !legal_name(name) || taken(name)) {
            return Err(Invalid::new(format!("labels: {bad:?} cannot be a label here"))
                .hint("letters, digits and underscores; not target, ip, ip_version, direction, method, job or instance")
                .code(codes::FORM));
        }
        if labels.len() > MAX_LABELS {
            return Err(Invalid::new(format!("labels: {} different names", labels.len()))
                .hint(format!("at most {MAX_LABELS} in all"))
                .code(codes::RANGE));
        }
        Ok(())
    }
}
