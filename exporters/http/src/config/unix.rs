//! Settings of the unix prober: those of a dialogue, over a Unix socket.

use sage_common::codes;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::Section;
use super::dialogue::{Protocol, Script, Step};
use super::tls::TlsConfig;

/// How the unix prober asks.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnixConfig {
    /// What is expected and sent, in turn.
    pub query_response: Vec<Step>,
    /// TLS from the first byte.
    pub tls: bool,
    /// TLS, also after `starttls`.
    pub tls_config: TlsConfig,
    /// The server is recognised by its first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

impl UnixConfig {
    /// What is said.
    pub fn script(&self) -> Script<'_> {
        Script { tls: self.tls, starttls: None, protocol: self.protocol, steps: &self.query_response }
    }
}

impl Section for UnixConfig {
    fn validate(&self) -> Result<(), Invalid> {
        self.script().validate()?;
        if self.protocol.is_some_and(|protocol| protocol.name().is_none()) {
            return Err(Invalid::new("protocol: a Unix socket has no port that tells what is spoken there")
                .hint("name it: `protocol: postgresql`")
                .code(codes::CONFLICT));
        }
        if self.script().needs_tls() && self.tls_config.server_name.is_none() && !self.tls_config.insecure_skip_verify {
            return Err(Invalid::new("tls_config: a socket has no name that a certificate could have")
                .hint("write `server_name: NAME`")
                .code(codes::INCOMPLETE));
        }
        self.tls_config.validate()
    }

    fn credentials(&self) -> Option<String> {
        self.tls_config.credentials()
    }

    fn prefer_ip4(&mut self) {}
}
