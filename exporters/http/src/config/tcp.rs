//! Settings of the tcp prober.

use std::net::IpAddr;

use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::Section;
use super::dialogue::{Protocol, Script, StartTls, Step};
use super::tls::TlsConfig;
use super::types::{Addresses, IpProtocol, address};

/// How the tcp prober asks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// Address family that is taken where a name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
    /// Which addresses of a name are probed.
    pub addresses: Addresses,
    /// Address of this machine to connect from.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    /// What is expected and sent, in turn.
    pub query_response: Vec<Step>,
    /// TLS from the first byte.
    pub tls: bool,
    /// TLS, also after `starttls`.
    pub tls_config: TlsConfig,
    /// The protocol's own way to TLS comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// The server is recognised by its first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
            addresses: Addresses::default(),
            source_ip_address: None,
            query_response: Vec::new(),
            tls: false,
            tls_config: TlsConfig::default(),
            starttls: None,
            protocol: None,
        }
    }
}

impl TcpConfig {
    /// What is said.
    pub fn script(&self) -> Script<'_> {
        Script { tls: self.tls, starttls: self.starttls, protocol: self.protocol, steps: &self.query_response }
    }
}

impl Section for TcpConfig {
    fn validate(&self) -> Result<(), Invalid> {
        self.script().validate()?;
        self.tls_config.validate()
    }

    fn credentials(&self) -> Option<String> {
        self.tls_config.credentials()
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}
