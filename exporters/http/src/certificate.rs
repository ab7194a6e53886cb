//! What a server's certificates say of themselves, read with x509-parser.
//!
//! The chain is what the server showed, whether or not the check accepted it; nothing here is trusted for anything but
//! numbers and labels.

use rustls::pki_types::CertificateDer;
use sage_common::put;
use sage_common::sink::Sink;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::metrics::{CERT_NOT_AFTER, SSL_CHAIN_EXPIRY, SSL_CHAIN_INFO, SSL_EARLIEST_EXPIRY};

/// Ends of validity by place in the chain, Unix time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The server's own certificate.
    pub leaf: Option<i64>,
    /// The earliest of those between.
    pub intermediate: Option<i64>,
    /// An authority that vouches for itself; servers need not show it.
    pub root: Option<i64>,
}

impl Ends {
    fn of(shown: &[X509Certificate<'_>]) -> Self {
        let own = |c: &&X509Certificate<'_>| c.subject() == c.issuer();
        let above = shown.get(1..).unwrap_or_default();
        Self {
            leaf: shown.first().map(ends),
            intermediate: above.iter().filter(|c| !own(c)).map(ends).min(),
            root: above.iter().filter(own).map(ends).min(),
        }
    }

    /// Writes a series for each that is there.
    pub fn write(&self, out: &mut Sink) {
        put!(out, CERT_NOT_AFTER { position: "leaf" } = self.leaf);
        put!(out, CERT_NOT_AFTER { position: "intermediate" } = self.intermediate);
        put!(out, CERT_NOT_AFTER { position: "root" } = self.root);
    }
}

/// Writes the series of a chain, the server's own certificate first, and tells its ends. `verified` says whether the check
/// accepted it.
pub fn write(chain: &[CertificateDer<'_>], verified: bool, out: &mut Sink) -> Ends {
    let parsed: Vec<_> = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok()).map(|(_, c)| c).collect();
    put!(out, SSL_EARLIEST_EXPIRY {} = parsed.iter().map(ends).min());
    let ends = Ends::of(&parsed);
    if !verified {
        return ends;
    }
    put!(out, SSL_CHAIN_EXPIRY {} = chain_end(&parsed));
    if let (Some(der), Some(own)) = (chain.first(), parsed.first()) {
        put!(
            out,
            SSL_CHAIN_INFO {
                fingerprint_sha256: fingerprint(der),
                subject: own.subject(),
                issuer: own.issuer(),
                subjectalternative: names(own),
                serialnumber: own.raw_serial_as_string().replace(':', ""),
            } = 1
        );
    }
    ends
}

fn ends(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}

/// The earliest end along the issuers, beginning with the server's own certificate; what else was sent does not count.
fn chain_end(shown: &[X509Certificate<'_>]) -> Option<i64> {
    let mut link = shown.first()?;
    let mut end = ends(link);
    // No chain is longer than what was shown, so a circle of issuers ends too.
    for _ in shown {
        match shown.iter().find(|c| c.subject() == link.issuer() && c.subject() != link.subject()) {
            Some(issuer) => {
                link = issuer;
                end = end.min(ends(link));
            }
            None => break,
        }
    }
    Some(end)
}

/// SHA-256 in hexadecimal, by the cryptography that is here already.
fn fingerprint(der: &CertificateDer<'_>) -> String {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let hash = suite.map(|s| s.common.hash_provider.hash(der));
    hash.iter().flat_map(|h| h.as_ref()).map(|byte| format!("{byte:02x}")).collect()
}

/// DNS names and addresses, separated by commas.
fn names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return String::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    };
    let names: Vec<_> = extension.value.general_names.iter().filter_map(text).collect();
    names.join(",")
}
