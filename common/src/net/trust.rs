//! Which authorities a TLS client of ours trusts: those of a file, else the system's. Read once and kept while nothing
//! changes, since a prober does thousands of handshakes a minute and the system has 150 authorities: to read them each time
//! costs more than the handshake. A file is read again when its time or size is another, the system's store every five minutes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::codes;
use crate::error::{CollectError, ErrorKind};

/// How long the system's store is believed to be as it was.
const SYSTEM: Duration = Duration::from_secs(300);
/// A file that was written so lately may be written again with the same time: it is not kept.
const FRESH: Duration = Duration::from_secs(2);
/// Files that are kept; a configuration has a few, and reloads bring others.
const MOST: usize = 64;

/// A check of chains, and what it was made from.
struct Kept {
    state: State,
    check: Arc<WebPkiServerVerifier>,
}

/// By what it is seen that something has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    File(SystemTime, u64),
    System(Instant),
}

impl State {
    /// What the file, or the system's store, is now; nothing where it cannot be told for sure.
    fn of(ca_file: Option<&Path>) -> Option<Self> {
        let Some(file) = ca_file else { return Some(Self::System(Instant::now())) };
        let data = std::fs::metadata(file).ok()?;
        let modified = data.modified().ok()?;
        modified.elapsed().is_ok_and(|age| age > FRESH).then_some(Self::File(modified, data.len()))
    }

    /// Whether what was made in this state is still good in state `now`.
    fn holds(self, now: Self) -> bool {
        match (self, now) {
            (Self::System(then), Self::System(now)) => now.duration_since(then) < SYSTEM,
            (then, now) => then == now,
        }
    }
}

static KEPT: Mutex<BTreeMap<Option<PathBuf>, Kept>> = Mutex::new(BTreeMap::new());

/// The check of chains against the authorities of the file, or the system's.
///
/// # Errors
/// `Tls` when the file cannot be read or holds nothing usable, or the system trusts nobody.
pub fn check(ca_file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, CollectError> {
    // Asked before the file is read: a change in between is seen the next time.
    let now = State::of(ca_file);
    let key = ca_file.map(Path::to_path_buf);
    if let Some(now) = now
        && let Some(kept) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        && kept.state.holds(now)
    {
        return Ok(Arc::clone(&kept.check));
    }
    let check = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca_file)?), Arc::clone(provider))
        .build()
        .map_err(|e| CollectError::new(ErrorKind::Tls, "prepare the certificate check").caused_by(e))?;
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MOST {
        all.clear();
    }
    match now {
        Some(state) => drop(all.insert(key, Kept { state, check: Arc::clone(&check) })),
        None => drop(all.remove(&key)),
    }
    Ok(check)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, CollectError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|e| {
                CollectError::new(ErrorKind::Tls, format!("use the CA file {}", file.display())).coded(codes::TLS_FILE).caused_by(e)
            })?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        return Err(CollectError::new(ErrorKind::Tls, "no certificate authority is trusted here")
            .hint("install ca-certificates, or name a CA file")
            .coded(codes::TLS_UNTRUSTED));
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CollectError> {
    let refuse = |text: &str| CollectError::new(ErrorKind::Tls, format!("{text} {}", file.display())).coded(codes::TLS_FILE);
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|e| refuse("read the certificate file").caused_by(e))?.collect();
    let found = found.map_err(|e| refuse("read the certificate file").caused_by(e))?;
    if found.is_empty() { Err(refuse("there is no PEM certificate in")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(file: &Path, name: &str) {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    }

    fn age(file: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let folder = std::env::temp_dir().join(format!("sage-trust-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("ca.crt");
        let check = || super::check(Some(&file), &provider).unwrap();
        authority(&file, "first");
        // Written this moment: not kept.
        assert!(!Arc::ptr_eq(&check(), &check()));
        age(&file, 60);
        let first = check();
        assert!(Arc::ptr_eq(&first, &check()));
        // Another file of the same size, and an older time: as when a backup is put in its place.
        authority(&file, "other");
        age(&file, 90);
        let second = check();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &check()));
        std::fs::remove_file(&file).unwrap();
        assert!(super::check(Some(&file), &provider).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_system_is_asked_every_five_minutes() {
        let now = Instant::now();
        let Some(old) = now.checked_sub(SYSTEM) else { return };
        assert!(!State::System(old).holds(State::System(now)));
        assert!(State::System(old + Duration::from_secs(1)).holds(State::System(now)));
    }
}
