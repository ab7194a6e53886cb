//! The dns prober of the shipped binary and a real Unbound: datagrams, connections, TLS, answers too large for a datagram, and
//! what goes wrong.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::probed::{AMPLE, BINARY, path};
use e2e::servers::unbound::Unbound;
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{errors, scrape_at};

const ZONE: &str = r#"  local-zone: "example.test." static
  local-data: "example.test. 300 IN SOA ns.example.test. root.example.test. 2026112201 3600 900 604800 300"
  local-data: "example.test. 300 IN NS ns.example.test."
  local-data: "www.example.test. 60 IN A 192.0.2.10"
  local-data: "www.example.test. 60 IN A 192.0.2.11"
  local-data: "www.example.test. 60 IN AAAA 2001:db8::10"
  local-data: "example.test. 300 IN MX 10 mail.example.test."
  local-data: 'example.test. 300 IN TXT "v=spf1 -all" "second part"'
  local-data: "_ldap._tcp.example.test. 60 IN SRV 1 2 389 ldap.example.test."
  local-data: 'example.test. 300 IN CAA 0 issue "ca.example.test"'
  local-data: "big.example.test. 60 IN A 192.0.2.1"
"#;

/// 80 addresses: more than 512 bytes.
fn zone() -> String {
    let big = |i| format!("  local-data: \"big.example.test. 60 IN A 198.51.100.{i}\"\n");
    ZONE.to_owned() + &(1..=80).map(big).collect::<String>()
}

fn module(name: &str, rest: &str) -> String {
    format!("  {name}:\n    prober: dns\n    dns: {{preferred_ip_protocol: ip4, {rest}}}\n")
}

struct Setting {
    exporter: Exporter,
    server: Unbound,
    _folder: TempFolder,
}

impl Setting {
    fn new() -> Self {
        let folder = TempFolder::new("dns");
        let issuer = Authority::new(&folder, "authority");
        let pair = issuer.issue(&folder, "dns", &["127.0.0.1"]);
        let server = Unbound::start(Some(&pair), &zone());
        let trust = format!("tls_config: {{ca_file: {}}}", folder.join("authority.crt").display());
        let config = [
            "modules:\n".to_owned(),
            module("a", r"query_name: www.example.test, query_type: A, validate_answer_rrs: {fail_if_not_matches_regexp: ['^www\.example\.test\.\t60\tIN\tA\t192\.0\.2\.1[01]$'], fail_if_none_matches_regexp: ['\.11$']}"),
            module("strict", r"query_name: www.example.test, query_type: A, validate_answer_rrs: {fail_if_matches_regexp: ['192\.0\.2\.11']}"),
            module("tcp", "query_name: www.example.test, query_type: AAAA, transport_protocol: tcp"),
            module("tls", &format!("query_name: www.example.test, query_type: A, transport_protocol: tcp, dns_over_tls: true, {trust}")),
            module("untrusted", "query_name: www.example.test, query_type: A, transport_protocol: tcp, dns_over_tls: true"),
            module("soa", r"query_name: example.test, query_type: SOA, validate_answer_rrs: {fail_if_not_matches_regexp: ['\tSOA\tns\.example\.test\. root\.example\.test\. 2026112201 3600 900 604800 300$']}"),
            module("txt", r#"query_name: example.test, query_type: TXT, validate_answer_rrs: {fail_if_not_matches_regexp: ['\tTXT\t"v=spf1 -all" "second part"$']}"#),
            module("srv", r"query_name: _ldap._tcp.example.test, query_type: SRV, validate_answer_rrs: {fail_if_not_matches_regexp: ['\tSRV\t1 2 389 ldap\.example\.test\.$']}"),
            module("caa", r#"query_name: example.test, query_type: CAA, validate_answer_rrs: {fail_if_not_matches_regexp: ['\tCAA\t0 issue "ca\.example\.test"$']}"#),
            module("big", r"query_name: big.example.test, query_type: A"),
            module("missing", "query_name: nobody.example.test, query_type: A"),
            module("missing_is_fine", r"query_name: nobody.example.test, query_type: A, valid_rcodes: [NXDOMAIN], validate_authority_rrs: {fail_if_not_matches_regexp: ['\tSOA\t']}"),
            module("version", r"query_name: version.server, query_type: TXT, query_class: CH, validate_answer_rrs: {fail_if_not_matches_regexp: ['\tCH\tTXT\t.unbound ']}"),
        ]
        .concat();
        let file = format!("--config.file={}", folder.write("dns.yml", &config).display());
        let exporter = Exporter::start(BINARY, &[&file], &[]);
        Self { exporter, server, _folder: folder }
    }

    fn probe(&self, module: &str) -> Page {
        self.probe_at(module, &self.server.address().to_string(), AMPLE)
    }

    fn probe_at(&self, module: &str, target: &str, time: Duration) -> Page {
        scrape_at(&self.exporter, &path(module, target), time)
    }
}

fn verdict(page: &Page) -> (Option<f64>, Option<String>) {
    (page.value("probe_success", &[]), errors(page).remove("probe"))
}

fn fine() -> (Option<f64>, Option<String>) {
    (Some(1.0), None)
}

fn fails(reason: &str) -> (Option<f64>, Option<String>) {
    (Some(0.0), Some(reason.to_owned()))
}

#[test]
fn answers_of_a_real_server() {
    let mut at = Setting::new();
    for module in ["a", "tcp", "soa", "txt", "srv", "caa", "missing_is_fine", "version"] {
        let page = at.probe(module);
        assert_eq!(verdict(&page), fine(), "{module}: {page:?}");
        assert_eq!(
            (page.value("probe_dns_query_succeeded", &[]), page.value("probe_dns_truncated", &[])),
            (Some(1.0), Some(0.0)),
            "{module}"
        );
        assert_eq!(page.value("probe_ip_protocol", &[]), Some(4.0), "{module}");
    }
    let page = at.probe("a");
    assert_eq!((page.value("probe_dns_answer_rrs", &[]), page.value("probe_dns_rcode", &[])), (Some(2.0), Some(0.0)));
    assert_eq!((page.value("probe_dns_authority_rrs", &[]), page.value("probe_dns_additional_rrs", &[])), (Some(0.0), Some(0.0)));
    assert!(page.value("probe_dns_duration_seconds", &[("phase", "request")]).unwrap() > 0.0);
    assert_eq!(page.value("probe_dns_serial", &[]), None);
    assert_eq!(at.probe("soa").value("probe_dns_serial", &[]), Some(2_026_112_201.0));

    let page = at.probe("strict");
    assert_eq!((verdict(&page), page.value("probe_dns_query_succeeded", &[])), (fails("regex"), Some(1.0)));
    let page = at.probe("missing");
    assert_eq!((verdict(&page), page.value("probe_dns_rcode", &[]), page.value("sage_up", &[])), (fails("rcode"), Some(3.0), Some(1.0)));
    assert_eq!(page.value("probe_dns_authority_rrs", &[]), Some(1.0));

    let page = at.probe("big");
    assert_eq!(verdict(&page), fine());
    assert_eq!((page.value("probe_dns_truncated", &[]), page.value("probe_dns_answer_rrs", &[])), (Some(1.0), Some(81.0)));

    let tls = at.server.tls_address().to_string();
    let page = at.probe_at("tls", &tls, AMPLE);
    assert_eq!(verdict(&page), fine(), "{page:?}");
    assert!(page.value("probe_ssl_earliest_cert_expiry", &[]).is_some() && page.has("probe_tls_version_info"), "{page:?}");
    let page = at.probe_at("untrusted", &tls, AMPLE);
    assert_eq!((verdict(&page), page.has("probe_ssl_earliest_cert_expiry")), (fails("tls"), true), "{page:?}");

    // Nobody listens any more: the system says so for datagrams, too.
    at.server.stop();
    for module in ["a", "tcp"] {
        let page = at.probe(module);
        assert_eq!((verdict(&page), page.value("probe_dns_query_succeeded", &[])), (fails("refused"), Some(0.0)), "{module}");
        assert_eq!((page.value("sage_up", &[]), page.value("probe_dns_answer_rrs", &[])), (Some(0.0), None), "{module}");
    }
    let page = at.probe_at("a", "169.254.169.254", AMPLE);
    assert_eq!(verdict(&page), fails("forbidden"));
    for bad in ["dns.example:0", "http://x/", "a b"] {
        assert_eq!(at.exporter.get(&path("a", bad)).status, 400, "{bad}");
    }
}

/// A server that answers each query with what `answer` makes of it.
fn server(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..size]) {
                socket.send_to(&datagram, from).unwrap();
            }
        }
    });
    address
}

#[test]
fn hostile_answers() {
    let at = Setting::new();
    let silent = server(|_| Vec::new());
    let page = at.probe_at("a", &silent, Duration::from_secs(1));
    assert_eq!((verdict(&page), page.value("probe_dns_query_succeeded", &[])), (fails("timeout"), Some(0.0)));
    assert!(page.value("probe_dns_duration_seconds", &[("phase", "request")]).unwrap() > 0.3, "{page:?}");
    // The number is right and the rest is none.
    let garbage = server(|query| vec![[&query[..2], &[0xff; 40]].concat()]);
    assert_eq!(verdict(&at.probe_at("a", &garbage, AMPLE)), fails("decode"));
    // A compressed name that points at itself.
    let circle = server(|query| vec![[&query[..2], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12]].concat()]);
    assert_eq!(verdict(&at.probe_at("a", &circle, AMPLE)), fails("decode"));
    // Somebody who guesses: wrong number, wrong question; then the server itself, which refuses.
    let spoofed = server(|query| {
        let (mut number, mut question, mut refused) = (query.to_vec(), query.to_vec(), query.to_vec());
        for answer in [&mut number, &mut question, &mut refused] {
            answer[2] |= 0x80;
        }
        number[0] ^= 0xff;
        question[13] ^= 0x01;
        refused[3] |= 5;
        vec![number, question, refused]
    });
    let page = at.probe_at("a", &spoofed, AMPLE);
    assert_eq!((verdict(&page), page.value("probe_dns_rcode", &[])), (fails("rcode"), Some(5.0)));
    // Too large for a datagram, and no way to get the rest.
    let truncated = server(|query| {
        let mut answer = query.to_vec();
        answer[2] |= 0x82;
        vec![answer]
    });
    let page = at.probe_at("a", &truncated, AMPLE);
    assert_eq!((verdict(&page), page.value("sage_up", &[])), (fails("refused"), Some(1.0)));
    let free = format!("127.0.0.1:{}", free_port());
    assert_eq!(verdict(&at.probe_at("a", &free, AMPLE)), fails("refused"));
}
