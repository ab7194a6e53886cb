//! TLS to targets: one stack (rustls) and one provider (aws-lc-rs) for all exporters.
//!
//! Verification is full unless an option with a plain name says otherwise. Trust comes from the given CA file, else from
//! the system's store.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::trust::{self, certificates};
use crate::codes;
use crate::error::{CollectError, ErrorKind};

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// Chain, dates and name.
    #[default]
    #[serde(rename = "verify-full")]
    #[value(name = "verify-full")]
    Full,
    /// Chain and dates, but not the name.
    #[serde(rename = "verify-ca")]
    #[value(name = "verify-ca")]
    Chain,
    /// Nothing: the line is encrypted, but the other end may be anybody.
    #[serde(rename = "insecure")]
    #[value(name = "insecure")]
    Nothing,
}

/// What a TLS client of ours trusts and shows.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// How much is checked.
    pub verify: Verify,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
}

/// The certificates that a server showed, kept also when the check refused them: what is wrong with a certificate is
/// best told by the certificate itself.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    chain: Vec<CertificateDer<'static>>,
    accepted: bool,
}

impl Shown {
    /// The chain of the last handshake, the server's own certificate first; empty when none came.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).chain.clone()
    }

    /// Whether the check let it pass; also where the handshake failed later.
    pub fn accepted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).accepted
    }
}

/// What a prober asks of a handshake, over what every client wants.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Versions to offer; never empty.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Protocols to offer by ALPN.
    pub protocols: Vec<Vec<u8>>,
    /// Where the server's chain is put.
    pub shown: Option<Arc<Shown>>,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS.to_vec(), protocols: Vec::new(), shown: None }
    }
}

/// Makes the client configuration; reads the files anew, so that renewed ones need no restart.
///
/// # Errors
/// `Tls` when a file cannot be read or holds nothing usable.
pub fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, CollectError> {
    client_config_for(options, Handshake::default())
}

/// As `client_config`, with the versions, the protocols and the record that a prober wants.
///
/// # Errors
/// As `client_config`.
pub fn client_config_for(options: &TlsOptions, handshake: Handshake) -> Result<Arc<ClientConfig>, CollectError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let refuse = |text: String| CollectError::new(ErrorKind::Tls, text).coded(codes::TLS_FILE);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&handshake.versions)
        .map_err(|e| refuse("prepare TLS".to_owned()).caused_by(e))?;
    let verifier = verifier(options, provider)?;
    // A resumed session shows no certificate, so what is recorded is not resumed.
    let resumption = if handshake.shown.is_some() { Resumption::disabled() } else { Resumption::default() };
    let verifier = match handshake.shown {
        Some(shown) => Arc::new(Recording { inner: verifier, shown }),
        None => verifier,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| refuse(format!("read the key file {}", key.display())).caused_by(e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| refuse("use the client certificate".to_owned()).caused_by(e))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(refuse("a client certificate needs both its certificate and its key file".to_owned()));
        }
    };
    config.alpn_protocols = handshake.protocols;
    config.resumption = resumption;
    Ok(Arc::new(config))
}

fn verifier(options: &TlsOptions, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, CollectError> {
    Ok(match options.verify {
        Verify::Nothing => Arc::new(Lenient { inner: None, provider }),
        verify => {
            let inner = trust::check(options.ca_file.as_deref(), &provider)?;
            if verify == Verify::Full { inner } else { Arc::new(Lenient { inner: Some(inner), provider }) }
        }
    })
}

/// Does the handshake on a connected stream.
///
/// # Errors
/// `Tls` with the reason of the refusal; `Connect` when the other end hung up.
pub async fn handshake<T>(stream: T, config: Arc<ClientConfig>, host: &str) -> Result<TlsStream<T>, CollectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|e| {
        CollectError::new(ErrorKind::Tls, format!("{host:?} is no name that a certificate can have")).coded(codes::TLS_NAME).caused_by(e)
    })?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|e| failed(format!("TLS handshake with {host}"), e))
}

/// An input/output error of a TLS stream: `Tls` where it is TLS that refuses, else the connection's own. The refusal of a
/// client certificate comes with the first read after the handshake.
pub fn failed(context: impl Into<String>, error: std::io::Error) -> CollectError {
    // rustls wraps its refusals in an io::Error; what it does not wrap is the connection itself.
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        CollectError::new(ErrorKind::Tls, context).caused_by(error)
    } else {
        CollectError::io(context, error)
    }
}

/// A verifier that keeps the chain before it asks the real one.
#[derive(Debug)]
struct Recording {
    inner: Arc<dyn ServerCertVerifier>,
    shown: Arc<Shown>,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|c| c.clone().into_owned()).collect();
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = Record { chain, accepted: verdict.is_ok() };
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A verifier that lets the name, or everything, pass. The handshake's signatures are checked all the same.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
