//! Handshakes with our own TLS as the file describes it, in memory: what is spoken, and whose certificate is taken.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};

use super::file::parse;
use super::tls::Tls;
use crate::error::Invalid;
use crate::os::files::{PERMISSIONS, permit};

/// A folder with `web.crt` and `web.key` for localhost and `ca.crt`, an authority of clients; removed when dropped.
struct Folder {
    path: PathBuf,
    server: CertificateDer<'static>,
    authority: Issuer<'static, KeyPair>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sage-web-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let folder = Self { server: server.der().clone(), authority: Issuer::new(ca, ca_key), path };
        folder.write("web.crt", &server.pem());
        folder.write("web.key", &key.serialize_pem());
        folder.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
        folder.write("ca.crt", &ca_cert.pem());
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path.join(name), text).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        permit(&self.path.join(name), mode).unwrap();
    }

    /// What becomes of a file whose `tls_server_config` has these lines besides certificate and key.
    fn load(&self, lines: &[&str]) -> Result<Tls, Invalid> {
        self.load_with("cert_file: web.crt\n  key_file: web.key", lines)
    }

    fn load_with(&self, first: &str, lines: &[&str]) -> Result<Tls, Invalid> {
        let text = format!("tls_server_config:\n  {first}\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>());
        let settings = parse(&text, &self.path.join("web.yml").display().to_string())?;
        settings.tls.unwrap().load(settings.http2)
    }

    /// A client's certificate with these names, signed by the authority or by itself.
    fn client(&self, names: Vec<SanType>, signed: bool) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = if signed { params.signed_by(&key, &self.authority) } else { params.self_signed(&key) };
        (certificate.unwrap().der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// Version and cipher of a handshake, or why there is none.
    async fn greet(
        &self,
        tls: &Tls,
        client: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Result<(ProtocolVersion, String), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let (here, there) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("localhost").unwrap();
        let connect = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, here);
        let accept = tokio_rustls::TlsAcceptor::from(Arc::clone(&tls.config)).accept(there);
        let (connected, accepted) = tokio::join!(connect, accept);
        // Of TLS 1.3, the client learns later than the server that it was refused.
        let accepted = accepted.map_err(|e| e.to_string())?;
        connected.map_err(|e| e.to_string())?;
        let session = accepted.get_ref().1;
        Ok((session.protocol_version().unwrap(), format!("{:?}", session.negotiated_cipher_suite().unwrap().suite())))
    }
}

#[tokio::test]
async fn versions_and_ciphers_are_those_of_the_file() {
    let folder = Folder::new("versions");
    for (lines, version, cipher) in [
        (&[][..], ProtocolVersion::TLSv1_3, "TLS13_"),
        (&["max_version: TLS12"], ProtocolVersion::TLSv1_2, "TLS_ECDHE_ECDSA_"),
        (&["min_version: TLS13"], ProtocolVersion::TLSv1_3, "TLS13_"),
        (&["cipher_suites: [TLS_CHACHA20_POLY1305_SHA256]"], ProtocolVersion::TLSv1_3, "TLS13_CHACHA20_POLY1305_SHA256"),
        (
            &["max_version: TLS12", "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305]"],
            ProtocolVersion::TLSv1_2,
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
        // Ciphers of TLS 1.2 say nothing about 1.3.
        (&["cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"], ProtocolVersion::TLSv1_3, "TLS13_"),
    ] {
        let tls = folder.load(lines).map_err(|e| format!("{lines:?}: {e}")).unwrap();
        let (spoken, suite) = folder.greet(&tls, None).await.unwrap();
        assert!(spoken == version && suite.starts_with(cipher), "{lines:?}: {spoken:?} {suite}");
    }
    let tls = folder.load(&["curve_preferences: [CurveP384, CurveP256]", "prefer_server_cipher_suites: false"]).unwrap();
    let groups: Vec<_> = tls.config.crypto_provider().kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
    assert_eq!((groups, tls.config.ignore_client_order), (vec!["secp384r1".to_owned(), "secp256r1".to_owned()], false));
    assert_eq!(tls.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let end = folder.load(&[]).unwrap().not_after.unwrap();
    assert!(end > std::time::SystemTime::now());
}

#[tokio::test]
async fn clients_are_verified_as_the_file_says() {
    let folder = Folder::new("clients");
    let dns = |name: &str| vec![SanType::DnsName(name.try_into().unwrap())];
    let required = folder.load(&["client_auth_type: RequireAndVerifyClientCert", "client_ca_file: ca.crt"]).unwrap();
    assert!(required.clients_known);
    assert!(folder.greet(&required, Some(folder.client(dns("anybody"), true))).await.is_ok());
    assert!(folder.greet(&required, Some(folder.client(dns("anybody"), false))).await.unwrap_err().contains("UnknownIssuer"));
    assert!(folder.greet(&required, None).await.unwrap_err().contains("no certificates"));

    let if_given = folder.load(&["client_auth_type: VerifyClientCertIfGiven", "client_ca_file: ca.crt"]).unwrap();
    assert!(!if_given.clients_known);
    assert!(folder.greet(&if_given, None).await.is_ok());
    assert!(folder.greet(&if_given, Some(folder.client(dns("anybody"), true))).await.is_ok());
    assert!(folder.greet(&if_given, Some(folder.client(dns("anybody"), false))).await.is_err());

    let none = folder.load(&["client_auth_type: NoClientCert"]).unwrap();
    assert!(!none.clients_known && folder.greet(&none, None).await.is_ok());

    let sans = "client_allowed_sans: [prometheus.example, monitor@example.org, 'spiffe://example/prometheus', 192.0.2.7, '2001:DB8:0::1']";
    let named = folder.load(&["client_auth_type: RequireAndVerifyClientCert", "client_ca_file: ca.crt", sans]).unwrap();
    for (name, taken) in [
        (dns("prometheus.example"), true),
        (dns("sub.prometheus.example"), false),
        (dns("example"), false),
        (vec![SanType::Rfc822Name("monitor@example.org".try_into().unwrap())], true),
        (vec![SanType::Rfc822Name("prometheus.example@x".try_into().unwrap())], false),
        (vec![SanType::URI("spiffe://example/prometheus".try_into().unwrap())], true),
        (vec![SanType::IpAddress(IpAddr::from([192, 0, 2, 7]))], true),
        (vec![SanType::IpAddress(IpAddr::from([192, 0, 2, 8]))], false),
        (vec![SanType::IpAddress(IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))], true),
        (Vec::new(), false),
    ] {
        let met = folder.greet(&named, Some(folder.client(name.clone(), true))).await;
        assert_eq!(met.is_ok(), taken, "{name:?}: {met:?}");
    }
    // The right name in a certificate of nobody's is worth nothing.
    assert!(folder.greet(&named, Some(folder.client(dns("prometheus.example"), false))).await.is_err());
}

#[test]
fn files_that_do_not_do_are_told() {
    let folder = Folder::new("files");
    let shown = |name: &str| folder.path.join(name).display().to_string();
    let refused = |first: &str, lines: &[&str]| folder.load_with(first, lines).map(|_| ()).unwrap_err();
    let mismatch = refused("cert_file: web.crt\n  key_file: other.key", &[]);
    assert!(mismatch.message.contains("the key does not belong to the certificate"), "{mismatch}");
    if PERMISSIONS {
        folder.mode("web.key", 0o644);
        let open = refused("cert_file: web.crt\n  key_file: web.key", &[]);
        assert!(open.message.contains("every user of this machine can read or change the key"), "{open}");
        assert_eq!(open.hint, Some(format!("chmod 640 {}", shown("web.key"))));
        folder.mode("web.key", 0o640);
    }
    assert!(folder.load(&[]).is_ok());
    let swapped = refused("cert_file: web.key\n  key_file: web.crt", &[]);
    assert!(swapped.message.contains("there is no certificate in PEM form"), "{swapped}");
    let no_ca =
        refused("cert_file: web.crt\n  key_file: web.key", &["client_auth_type: RequireAndVerifyClientCert", "client_ca_file: web.key"]);
    assert!(no_ca.message.contains(&format!("client_ca_file {}: there is no certificate", shown("web.key"))), "{no_ca}");
    let no_suite = refused(
        "cert_file: web.crt\n  key_file: web.key",
        &["min_version: TLS12", "max_version: TLS12", "cipher_suites: [TLS_AES_128_GCM_SHA256]"],
    );
    assert!(no_suite.message.contains("none of cipher_suites is of a version that is spoken"), "{no_suite}");
}

#[test]
fn a_key_in_the_file_itself_wants_a_file_that_is_closed() {
    let folder = Folder::new("inline");
    let indented = |name: &str| std::fs::read_to_string(folder.path.join(name)).unwrap().replace('\n', "\n    ");
    let text = format!("tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n", indented("web.crt"), indented("web.key"));
    folder.write("web.yml", &text);
    let load = |path: &Path| super::Web::load(Some(path)).map(|_| ());
    load(&folder.path.join("web.yml")).unwrap();
    folder.mode("web.yml", 0o644);
    let open = load(&folder.path.join("web.yml"));
    assert_eq!(open.is_err(), PERMISSIONS);
    if let Err(open) = open {
        assert!(open.message.ends_with("every user of this machine can read or change the key in this file"), "{open}");
        assert!(!open.to_string().contains("BEGIN"), "{open}");
    }
}
