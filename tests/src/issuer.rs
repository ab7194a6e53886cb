//! A certificate authority of a test: certificates of servers and clients as PEM files.

use std::path::PathBuf;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::temp::TempFolder;

/// An authority; its own certificate is a file of the folder that it was made in.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
}

/// A certificate and its key as files.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, readable for its owner alone.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority whose certificate is `<name>.crt` in the folder.
    pub fn new(folder: &TempFolder, name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.write(&format!("{name}.crt"), &certificate.pem());
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Issues a certificate for these names or addresses, for servers and clients, as `<name>.crt` and `<name>.key`;
    /// files that are there are replaced.
    pub fn issue(&self, folder: &TempFolder, name: &str, names: &[&str]) -> Pair {
        self.issue_until(folder, name, names, None)
    }

    /// A certificate for these names that nobody but itself has signed.
    pub fn own(&self, folder: &TempFolder, name: &str, names: &[&str]) -> Pair {
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Pair {
            certificate: folder.write(&format!("{name}.crt"), &certificate.pem()),
            key: folder.write_secret(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// As [`Self::issue`], ending at this moment.
    pub fn issue_until(&self, folder: &TempFolder, name: &str, names: &[&str], end: Option<SystemTime>) -> Pair {
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(end) = end {
            params.not_after = end.into();
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: folder.write(&format!("{name}.crt"), &certificate.pem()),
            key: folder.write_secret(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}
