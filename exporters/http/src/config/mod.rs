//! The modules of a blackbox.yml: every documented key of the http and tcp probers is honoured, or refused by name.

pub mod http;
pub mod refused;
pub mod tcp;
pub mod tls;
pub mod types;

use std::time::Duration;

use sage_common::config::Span;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use crate::probes::Kind;
use http::HttpConfig;
use tcp::TcpConfig;
use types::IpProtocol;

/// One named way of probing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the keys that are refused hold nothing")]
pub struct ModuleConfig {
    /// Which prober asks.
    pub prober: Kind,
    /// Longest probe, whatever the scraper allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How the http prober asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpConfig>,
    /// How the tcp prober asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpConfig>,
    #[serde(default, skip_serializing, deserialize_with = "refused::dns")]
    dns: (),
    #[serde(default, skip_serializing, deserialize_with = "refused::icmp")]
    icmp: (),
    #[serde(default, skip_serializing, deserialize_with = "refused::grpc")]
    grpc: (),
    #[serde(default, skip_serializing, deserialize_with = "refused::unix")]
    unix: (),
    #[serde(default, skip_serializing, deserialize_with = "refused::websocket")]
    websocket: (),
}

impl ModuleConfig {
    /// A module with all defaults, but IPv4 first: without a file of settings nobody asked for IPv6.
    pub fn plain(name: &str) -> Option<Self> {
        let mut module = Self {
            prober: Kind::find(name)?,
            timeout: None,
            http: Some(HttpConfig::default()),
            tcp: Some(TcpConfig::default()),
            dns: (),
            icmp: (),
            grpc: (),
            unix: (),
            websocket: (),
        };
        module.http = module.http.filter(|_| name == "http").map(|mut http| {
            http.preferred_ip_protocol = IpProtocol::Ip4;
            http
        });
        module.tcp = module.tcp.filter(|_| name == "tcp").map(|mut tcp| {
            tcp.preferred_ip_protocol = IpProtocol::Ip4;
            tcp
        });
        Some(module)
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.timeout.is_some_and(|t| t.0 == Duration::ZERO) {
            return Err(Invalid::new("timeout must be greater than 0").hint("write `timeout: 5s`"));
        }
        let name = self.prober.name();
        for (section, given) in [("http", self.http.is_some()), ("tcp", self.tcp.is_some())] {
            if given && section != name {
                return Err(Invalid::new(format!("the prober is {name}, but there are settings for {section}"))
                    .hint(format!("write `prober: {section}`, or remove `{section}:`")));
            }
        }
        if let Some(http) = &self.http {
            http.validate()?;
        }
        if let Some(tcp) = &self.tcp {
            tcp.validate()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod refusals;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_modules_are_valid_and_ask_ipv4_first() {
        let http = ModuleConfig::plain("http").unwrap();
        http.validate().unwrap();
        assert_eq!(http.http.unwrap().preferred_ip_protocol, IpProtocol::Ip4);
        assert!(http.tcp.is_none());
        let tcp = ModuleConfig::plain("tcp").unwrap();
        tcp.validate().unwrap();
        assert_eq!(tcp.tcp.unwrap().preferred_ip_protocol, IpProtocol::Ip4);
        assert!(ModuleConfig::plain("icmp").is_none());
    }
}
