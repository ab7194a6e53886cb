//! TLS of our own port: certificate, versions, ciphers, and the certificates of clients.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, aws_lc_rs as lc};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, SupportedCipherSuite,
};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::codes;
use crate::error::Invalid;
use crate::os;

/// The names of the format for what rustls has.
pub mod choices {
    use super::{ClientAuth, SupportedCipherSuite, lc};
    use rustls::crypto::SupportedKxGroup;

    /// Of `client_auth_type`: those that verify, and that nobody is asked.
    pub const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
        ("NoClientCert", ClientAuth::None),
        ("VerifyClientCertIfGiven", ClientAuth::IfGiven),
        ("RequireAndVerifyClientCert", ClientAuth::Required),
    ];
    /// Of `min_version` and `max_version`: the second number of the version.
    pub const VERSIONS: &[(&str, u8)] = &[("TLS12", 2), ("TLS13", 3)];
    /// Of `curve_preferences`.
    pub const CURVES: &[(&str, &dyn SupportedKxGroup)] =
        &[("CurveP256", lc::kx_group::SECP256R1), ("CurveP384", lc::kx_group::SECP384R1), ("X25519", lc::kx_group::X25519)];
    /// Of `cipher_suites`; two have a short and a long name.
    pub const SUITES: &[(&str, SupportedCipherSuite)] = &[
        ("TLS_AES_128_GCM_SHA256", lc::cipher_suite::TLS13_AES_128_GCM_SHA256),
        ("TLS_AES_256_GCM_SHA384", lc::cipher_suite::TLS13_AES_256_GCM_SHA384),
        ("TLS_CHACHA20_POLY1305_SHA256", lc::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", lc::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", lc::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", lc::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", lc::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", lc::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", lc::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", lc::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", lc::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ];
}

/// PEM text, or the file that it stands in.
pub enum Pem {
    /// In the web configuration file itself.
    Inline(String),
    /// In a file of its own.
    File(PathBuf),
}

impl Pem {
    /// Whether it stands in the web configuration file itself.
    pub fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// The file that it stands in.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// The text, and what to call it in a message about `key`.
    fn read(&self, key: &str) -> Result<(Vec<u8>, String), Invalid> {
        match self {
            Self::Inline(text) => Ok((text.as_bytes().to_vec(), format!("tls_server_config: {key}"))),
            Self::File(path) => {
                let shown = path.display();
                let name = format!("tls_server_config: {key}_file {shown}");
                std::fs::read(path).map(|text| (text, name.clone())).map_err(|e| Invalid::unreadable(name, path, &e))
            }
        }
    }

    fn certificates(&self, key: &str) -> Result<Vec<CertificateDer<'static>>, Invalid> {
        let (text, name) = self.read(key)?;
        match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(Invalid::new(format!("{name}: there is no certificate in PEM form"))
                .hint("it begins with -----BEGIN CERTIFICATE-----")
                .code(codes::TLS_FILE)),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Invalid> {
        if let Self::File(path) = self
            && os::files::open_to_all(path)
        {
            let shown = path.display();
            let text = format!("tls_server_config: key_file {shown}: every user of this machine can read or change the key");
            return Err(Invalid::new(text).hint(format!("chmod 640 {shown}")).code(codes::SECRET_OPEN));
        }
        let (text, name) = self.read("key")?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            Invalid::new(format!("{name}: there is no private key in PEM form"))
                .hint("it begins with -----BEGIN PRIVATE KEY-----, without a password")
                .code(codes::TLS_FILE)
        })
    }
}

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate is verified if the client has one.
    IfGiven,
    /// A certificate of the authority.
    Required,
}

/// `tls_server_config`, checked.
pub struct TlsSettings {
    /// The chain, our own certificate first.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// Authorities of clients' certificates.
    pub client_ca: Option<Pem>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate has one; empty: any.
    pub allowed_sans: Vec<String>,
    /// Oldest and newest version: 2 for 1.2, 3 for 1.3.
    pub versions: (u8, u8),
    /// Ciphers in order; `None`: those of rustls.
    pub suites: Option<Vec<SupportedCipherSuite>>,
    /// Our order of ciphers counts, not the client's.
    pub server_order: bool,
    /// Groups of the key exchange in order; `None`: those of rustls.
    pub curves: Option<Vec<&'static dyn rustls::crypto::SupportedKxGroup>>,
}

/// TLS ready for use.
pub struct Tls {
    /// For the handshake.
    pub config: Arc<ServerConfig>,
    /// When our certificate ends.
    pub not_after: Option<SystemTime>,
    /// Every client shows a certificate that is verified.
    pub clients_known: bool,
}

impl TlsSettings {
    /// Reads the files and makes the configuration.
    ///
    /// # Errors
    /// A file that cannot be read, is open to all, or does not fit the others.
    pub fn load(&self, http2: bool) -> Result<Tls, Invalid> {
        let provider = Arc::new(self.provider());
        let failed = |e: &dyn std::fmt::Display| Invalid::new(format!("tls_server_config: {e}")).code(codes::TLS_FILE);
        let chain = self.cert.certificates("cert")?;
        let not_after = chain.first().and_then(end);
        let versions: Vec<_> = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)]
            .into_iter()
            .filter(|(number, _)| (self.versions.0..=self.versions.1).contains(number))
            .map(|(_, version)| version)
            .collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).map_err(|_| {
            failed(&"none of cipher_suites is of a version that is spoken").hint("add a cipher of that version, or remove cipher_suites")
        })?;
        let mut config =
            builder.with_client_cert_verifier(self.clients(provider)?).with_single_cert(chain, self.key.key()?).map_err(|e| {
                let text = match e {
                    rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
                    other => format!("certificate and key cannot be used: {other}"),
                };
                failed(&text).hint("compare: openssl x509 -in CERT -noout -pubkey; openssl pkey -in KEY -pubout")
            })?;
        config.ignore_client_order = self.server_order;
        config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(Tls { config: Arc::new(config), not_after, clients_known: self.client_auth == ClientAuth::Required })
    }

    /// Ciphers of TLS 1.3 are narrowed only where some are named: the peer's format cannot choose among them.
    fn provider(&self) -> CryptoProvider {
        let mut provider = lc::default_provider();
        if let Some(named) = &self.suites {
            let is_13 = |suite: &SupportedCipherSuite| suite.version().version == rustls::ProtocolVersion::TLSv1_3;
            let newest: Vec<_> = provider.cipher_suites.iter().copied().filter(|suite| is_13(suite)).collect();
            provider.cipher_suites =
                if named.iter().any(is_13) { named.clone() } else { newest.into_iter().chain(named.clone()).collect() };
        }
        if let Some(curves) = &self.curves {
            provider.kx_groups = curves.clone();
        }
        provider
    }

    fn clients(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Invalid> {
        let Some(ca) = self.client_ca.as_ref().filter(|_| self.client_auth != ClientAuth::None) else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let failed = |e: &dyn std::fmt::Display| Invalid::new(format!("tls_server_config: client_ca: {e}")).code(codes::TLS_FILE);
        let mut roots = RootCertStore::empty();
        for certificate in ca.certificates("client_ca")? {
            roots.add(certificate).map_err(|e| failed(&e))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if self.client_auth == ClientAuth::IfGiven { builder.allow_unauthenticated() } else { builder };
        let inner = builder.build().map_err(|e| failed(&e))?;
        Ok(if self.allowed_sans.is_empty() { inner } else { Arc::new(Allowed { inner, names: self.allowed_sans.clone() }) })
    }
}

/// When a certificate ends.
fn end(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A verifier that, after the chain, wants one of some names in the certificate.
#[derive(Debug)]
struct Allowed {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Allowed {
    fn has_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let mut found = parsed.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        found.any(|names| names.iter().any(|name| self.is_allowed(name)))
    }

    fn is_allowed(&self, name: &GeneralName<'_>) -> bool {
        let text = match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => name,
            GeneralName::IPAddress(bytes) => {
                let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                return address.is_ok_and(|address| self.names.iter().any(|allowed| allowed.parse() == Ok(address)));
            }
            _ => return false,
        };
        self.names.iter().any(|allowed| allowed == text)
    }
}

impl ClientCertVerifier for Allowed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        if self.has_name(end_entity) { Ok(verified) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
