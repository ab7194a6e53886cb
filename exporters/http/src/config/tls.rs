//! `tls_config`: what is trusted, shown and offered in a TLS handshake.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, SupportedProtocolVersion};
use sage_common::codes;
use sage_common::error::{CollectError, Invalid};
use sage_common::net::tls::{self, Handshake, Shown, TlsOptions, Verify};
use serde::{Deserialize, Serialize};

use super::refused;

/// A version of TLS as blackbox_exporter writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum TlsVersion {
    /// 1.0, never spoken by this exporter.
    #[serde(rename = "TLS10")]
    Tls10,
    /// 1.1, never spoken by this exporter.
    #[serde(rename = "TLS11")]
    Tls11,
    /// 1.2.
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// TLS of one module.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Nothing of the certificate is checked.
    pub insecure_skip_verify: bool,
    /// Authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The client's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that the certificate must have, instead of the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Oldest version to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// Newest version to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    #[serde(skip_serializing, deserialize_with = "refused::ca")]
    ca: (),
    #[serde(skip_serializing, deserialize_with = "refused::cert")]
    cert: (),
    #[serde(skip_serializing, deserialize_with = "refused::key")]
    key: (),
}

impl TlsConfig {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(Invalid::new("tls_config: a client certificate needs both files")
                .hint("write cert_file and key_file")
                .code(codes::INCOMPLETE));
        }
        if self.versions().is_empty() {
            let broken = self.max_version.is_some_and(|newest| newest < TlsVersion::Tls12);
            return Err(Invalid::new(
                "tls_config: no version is left between min_version and max_version; only TLS 1.2 and 1.3 are spoken",
            )
            .hint("write `min_version: TLS12`, and no max_version")
            .code(if broken { codes::INSECURE } else { codes::CONFLICT }));
        }
        Ok(())
    }

    /// The key by which targets see who we are.
    pub fn credentials(&self) -> Option<String> {
        self.cert_file.as_ref().map(|_| "tls_config: the certificate of `cert_file`".to_owned())
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)]
            .into_iter()
            .filter(|(v, _)| self.min_version.is_none_or(|min| min <= *v) && self.max_version.is_none_or(|max| *v <= max))
            .map(|(_, version)| version)
            .collect()
    }

    /// Makes the client's side of a handshake; the server's chain will be in `shown`. At `home`, the host that the
    /// target names, our certificate is shown where asked for; elsewhere never.
    ///
    /// # Errors
    /// `Tls` when a file cannot be used.
    pub fn client(&self, protocols: &[&str], home: bool, shown: &Arc<Shown>) -> Result<Arc<ClientConfig>, CollectError> {
        let own = |file: &Option<PathBuf>| file.clone().filter(|_| home);
        let options = TlsOptions {
            verify: if self.insecure_skip_verify { Verify::Nothing } else { Verify::Full },
            ca_file: self.ca_file.clone(),
            cert_file: own(&self.cert_file),
            key_file: own(&self.key_file),
        };
        let handshake = Handshake {
            versions: self.versions(),
            protocols: protocols.iter().map(|p| p.as_bytes().to_vec()).collect(),
            shown: Some(Arc::clone(shown)),
        };
        tls::client_config_for(&options, handshake)
    }
}
