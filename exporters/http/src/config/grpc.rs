//! Settings of the grpc prober.

use std::collections::BTreeMap;

use hyper::header::{HeaderName, HeaderValue};
use sage_common::codes;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize, Serializer};

use super::Section;
use super::tls::TlsConfig;
use super::types::IpProtocol;
use crate::allowed::is_secret;

/// How the grpc prober asks for the health of a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcConfig {
    /// The service; empty asks for the server as a whole.
    pub service: String,
    /// What is sent beside the question, several values each.
    #[serde(serialize_with = "names_only", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Vec<String>>,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Its settings.
    pub tls_config: TlsConfig,
    /// Address family that is taken where a name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            service: String::new(),
            metadata: BTreeMap::new(),
            tls: false,
            tls_config: TlsConfig::default(),
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
        }
    }
}

/// Values may hold a token, so `print-config` shows the names.
fn names_only<S: Serializer>(metadata: &BTreeMap<String, Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metadata.keys().map(|name| (name, "<hidden>")))
}

/// Longest name of a service.
const MAX_SERVICE: usize = 1024;

impl Section for GrpcConfig {
    fn validate(&self) -> Result<(), Invalid> {
        if self.service.len() > MAX_SERVICE {
            return Err(Invalid::new("service: this is no name of a service").hint("write `service: package.Service`").code(codes::RANGE));
        }
        for (name, values) in &self.metadata {
            if name.eq_ignore_ascii_case("authorization") {
                return Err(Invalid::new("metadata: a secret does not stand in this file")
                    .hint("ask a health service that needs no token")
                    .code(codes::SECRET_IN_FILE));
            }
            let reserved = ["grpc-", "content-type", "te", ":"].iter().any(|start| name.starts_with(start));
            if reserved || name.ends_with("-bin") || HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Invalid::new(format!("metadata: {name:?} cannot be sent"))
                    .hint("a name is letters, digits and hyphens, and none that gRPC itself sends")
                    .code(codes::FORM));
            }
            if values.iter().any(|value| HeaderValue::from_str(value).is_err()) {
                return Err(Invalid::new(format!("metadata: a value of {name} cannot be sent"))
                    .hint("a value is one line of printable characters")
                    .code(codes::FORM));
            }
        }
        self.tls_config.validate()
    }

    fn credentials(&self) -> Option<String> {
        let telling = self.metadata.keys().find(|name| is_secret(name)).map(|name| format!("metadata: {name}"));
        telling.or_else(|| self.tls_config.credentials())
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}
