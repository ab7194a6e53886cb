//! Certificates of a test authority on a real nginx: good with an intermediate, expired, not yet valid, self-signed, for
//! another name, without its intermediate; each with its reason, and its end told all the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "test file")]

use e2e::exporter::Exporter;
use e2e::issuer::Pair;
use e2e::page::Page;
use e2e::probed::{AMPLE, BINARY, path};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::TempFolder;
use e2e::watched::scrape_at;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Starts of the years 2020, 2090 and 2099, Unix time.
const EXPIRED: f64 = 1_577_836_800.0;
const INTERMEDIATE: f64 = 3_786_912_000.0;
const GOOD: f64 = 4_070_908_800.0;

fn params(name: &str, from: i32, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    params
}

fn authority(name: &str, until: i32) -> CertificateParams {
    let mut params = params(name, 2019, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A root, an intermediate below it, and what they issue.
struct Chain {
    folder: TempFolder,
    below: Issuer<'static, KeyPair>,
    intermediate: String,
}

impl Chain {
    fn new() -> Self {
        let folder = TempFolder::new("chain");
        let (root, key) = (authority("root.example", 2099), KeyPair::generate().unwrap());
        folder.write("root.crt", &root.self_signed(&key).unwrap().pem());
        let root = Issuer::new(root, key);
        let (params, key) = (authority("intermediate.example", 2090), KeyPair::generate().unwrap());
        let intermediate = params.signed_by(&key, &root).unwrap().pem();
        Self { folder, below: Issuer::new(params, key), intermediate }
    }

    /// A server with a certificate and what stands below it in the file; self-signed without `issued`.
    fn server(&self, params: &CertificateParams, issued: bool, below: &str) -> Nginx {
        let key = KeyPair::generate().unwrap();
        let certificate = if issued { params.signed_by(&key, &self.below) } else { params.self_signed(&key) };
        let pair = Pair {
            certificate: self.folder.write("server.crt", &format!("{}{below}", certificate.unwrap().pem())),
            key: self.folder.write_secret("server.key", &key.serialize_pem()),
        };
        Nginx::start(&NginxOptions { tls: Some(pair), ..NginxOptions::default() })
    }
}

fn reason(page: &Page) -> Option<&str> {
    page.series("probe_error_info").first().and_then(|sample| sample.labels.get("reason")).map(String::as_str)
}

fn end(page: &Page, position: &str) -> Option<f64> {
    page.value("probe_cert_not_after_timestamp_seconds", &[("position", position)])
}

#[test]
fn every_certificate_has_its_reason_and_tells_its_end() {
    let chain = Chain::new();
    let config = format!(
        "modules: {{tls: {{prober: http, http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}}}}}}}\n",
        chain.folder.join("root.crt").display()
    );
    let exporter = Exporter::start(BINARY, &[&format!("--config.file={}", chain.folder.write("http.yml", &config).display())], &[]);
    let below = chain.intermediate.clone();
    for (params, issued, below, why, leaf, intermediate) in [
        (params("127.0.0.1", 2019, 2099), true, below.as_str(), None, GOOD, Some(INTERMEDIATE)),
        (params("127.0.0.1", 2019, 2020), true, &below, Some("tls_expired"), EXPIRED, Some(INTERMEDIATE)),
        (params("127.0.0.1", 2098, 2099), true, &below, Some("tls_not_yet_valid"), GOOD, Some(INTERMEDIATE)),
        (params("other.example", 2019, 2099), true, &below, Some("tls_name"), GOOD, Some(INTERMEDIATE)),
        (params("127.0.0.1", 2019, 2099), true, "", Some("tls_untrusted"), GOOD, None),
        (params("127.0.0.1", 2019, 2099), false, "", Some("tls_untrusted"), GOOD, None),
    ] {
        let mut server = chain.server(&params, issued, below);
        let path = path("tls", server.tls_url("/stub_status"));
        let page = scrape_at(&exporter, &path, AMPLE);
        let fine = if why.is_none() { 1.0 } else { 0.0 };
        assert_eq!((reason(&page), page.value("probe_success", &[])), (why, Some(fine)), "{why:?}: {page:?}");
        assert_eq!((end(&page, "leaf"), end(&page, "intermediate"), end(&page, "root")), (Some(leaf), intermediate, None), "{why:?}");
        assert_eq!((page.value("probe_tls_verify_ok", &[]), page.value("probe_cert_age_seconds", &[])), (Some(fine), Some(0.0)), "{why:?}");
        server.stop();
        let page = scrape_at(&exporter, &path, AMPLE);
        assert_eq!((reason(&page), end(&page, "leaf")), (Some("refused"), Some(leaf)), "known while it is down: {page:?}");
        assert!(page.value("probe_cert_age_seconds", &[]).unwrap() > 0.0, "{page:?}");
        assert_eq!(page.value("probe_tls_verify_ok", &[]), None);
    }
}
