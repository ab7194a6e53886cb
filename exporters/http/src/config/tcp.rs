//! Settings of the tcp prober.

use std::net::IpAddr;

use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::tls::TlsConfig;
use super::types::{IpProtocol, Pattern, length_only};
use super::{Section, refused};

/// How the tcp prober asks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// Address family that is taken where a name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
    /// Address of this machine to connect from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip_address: Option<IpAddr>,
    /// What is expected and sent, in turn.
    pub query_response: Vec<Step>,
    /// TLS from the first byte.
    pub tls: bool,
    /// TLS, also after `starttls`.
    pub tls_config: TlsConfig,
}

/// One step of a dialogue.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Lines are read until one matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
    /// Line that is sent then; `${1}` is the first group of the match.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "length_only")]
    pub send: Option<String>,
    /// Whether TLS begins then.
    pub starttls: bool,
    #[serde(skip_serializing, deserialize_with = "refused::expect_bytes")]
    expect_bytes: (),
    #[serde(skip_serializing, deserialize_with = "refused::labels")]
    labels: (),
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            query_response: Vec::new(),
            tls: false,
            tls_config: TlsConfig::default(),
        }
    }
}

impl Section for TcpConfig {
    fn validate(&self) -> Result<(), Invalid> {
        let handshakes = usize::from(self.tls) + self.query_response.iter().filter(|step| step.starttls).count();
        if handshakes > 1 {
            return Err(Invalid::new("TLS begins more than once").hint("write either `tls: true` or one step with `starttls: true`"));
        }
        self.tls_config.validate()
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}
