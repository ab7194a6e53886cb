//! Names with several addresses, some of which are down, hang or say no: `addresses: first`, `any` and `all` at a real server
//! that listens on some of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::probed::{AMPLE, BINARY, path, why};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::scrape_at;

/// 2 and 5 are well, 3 refuses, 4 says 503. The resolver has an order of its own, so that no test wants one within a family.
const HOSTS: [(&str, &[&str]); 7] = [
    ("mixed", &["127.0.0.2", "127.0.0.3"]),
    ("sick", &["127.0.0.2", "127.0.0.4"]),
    ("good", &["127.0.0.2", "127.0.0.5"]),
    ("hung", &["::1", "127.0.0.2"]),
    ("six", &["127.0.0.3", "::1", "127.0.0.2"]),
    ("meta", &["127.0.0.2", "169.254.169.254"]),
    ("down", &["127.0.0.3"]),
];

fn asked(page: &Page) -> Vec<(String, f64)> {
    page.series("probe_address_success").iter().map(|sample| (sample.labels["address"].clone(), sample.value)).collect()
}

#[test]
fn one_any_or_all_addresses_of_a_name() {
    let (folder, port) = (TempFolder::new("addresses"), free_port());
    let server = ["127.0.0.2", "127.0.0.4", "127.0.0.5"].map(|ip| format!("listen {ip}:{port};\n")).concat()
        + "location = /up { if ($server_addr = 127.0.0.4) { return 503; } return 200 'up'; }\n";
    let _server = Nginx::start(&NginxOptions { server, ..NginxOptions::default() });
    // Takes connections and says nothing, where this machine has IPv6.
    let silent = TcpListener::bind(("::1", port)).ok();
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for (name, addresses) in HOSTS {
        for address in addresses {
            let _ = writeln!(hosts, "{address} {name}.example");
        }
    }
    for last in 1..=20 {
        let _ = writeln!(hosts, "127.0.9.{last} crowd.example");
    }
    let modules = ["first", "any", "all"].map(|which| {
        format!(
            "  {which}: {{prober: http, http: {{preferred_ip_protocol: ip4, addresses: {which}}}}}\n  \
             tcp_{which}: {{prober: tcp, tcp: {{preferred_ip_protocol: ip4, addresses: {which}}}}}\n"
        )
    });
    let six = "  six: {prober: http, http: {addresses: any}}\n";
    let fenced = "  fenced: {prober: http, allowed_targets: [127.0.0.2], http: {preferred_ip_protocol: ip4, addresses: any}}\n";
    let file = folder.write("http.yml", &format!("modules:\n{}{six}{fenced}", modules.concat()));
    let hosts = folder.write("hosts", &hosts);
    let Some(exporter) = Exporter::start_with_hosts(BINARY, &hosts, &[&format!("--config.file={}", file.display())]) else { return };
    let at = |name: &str, module: &str, limit: Duration| {
        let target = if module.starts_with("tcp") { format!("{name}.example:{port}") } else { format!("http://{name}.example:{port}/up") };
        scrape_at(&exporter, &path(module, &target), limit)
    };
    let ask = |name: &str, module: &str| at(name, module, AMPLE);

    for (name, module, success, reason, addresses) in [
        ("good", "first", 1.0, None, vec![]),
        ("down", "first", 0.0, Some("refused"), vec![]),
        ("down", "any", 0.0, Some("refused"), vec![("127.0.0.3", 0.0)]),
        ("mixed", "all", 0.0, Some("refused"), vec![("127.0.0.2", 1.0), ("127.0.0.3", 0.0)]),
        ("sick", "all", 0.0, Some("http_status"), vec![("127.0.0.2", 1.0), ("127.0.0.4", 0.0)]),
        ("good", "all", 1.0, None, vec![("127.0.0.2", 1.0), ("127.0.0.5", 1.0)]),
        // Where all must be well, it is all of the preferred family.
        ("six", "all", 0.0, Some("refused"), vec![("127.0.0.2", 1.0), ("127.0.0.3", 0.0)]),
        ("mixed", "tcp_all", 0.0, Some("refused"), vec![("127.0.0.2", 1.0), ("127.0.0.3", 0.0)]),
        ("sick", "tcp_all", 1.0, None, vec![("127.0.0.2", 1.0), ("127.0.0.4", 1.0)]),
        ("meta", "all", 0.0, Some("forbidden"), vec![]),
        ("mixed", "fenced", 0.0, Some("target_not_allowed"), vec![]),
    ] {
        let page = ask(name, module);
        assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(success), reason), "{name} {module}: {page:?}");
        let mut seen = asked(&page);
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(seen, addresses.iter().map(|(ip, fine)| ((*ip).to_owned(), *fine)).collect::<Vec<_>>(), "{name} {module}");
    }
    for (name, module) in [("mixed", "any"), ("sick", "any"), ("six", "any"), ("mixed", "tcp_any")] {
        let page = ask(name, module);
        assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(1.0), None), "{name} {module}: {page:?}");
        let seen = asked(&page);
        assert_eq!(seen.iter().filter(|(_, fine)| *fine == 1.0).map(|(ip, _)| ip.as_str()).collect::<Vec<_>>(), ["127.0.0.2"], "{seen:?}");
        assert!(seen.iter().all(|(ip, _)| ip != "::1"), "the other family comes last: {seen:?}");
    }

    let page = ask("sick", "all");
    assert_eq!(page.value("probe_address_error_info", &[("address", "127.0.0.4"), ("reason", "http_status")]), Some(1.0), "{page:?}");
    assert!(page.value("probe_address_duration_seconds", &[("address", "127.0.0.2")]).unwrap() > 0.0);

    let started = Instant::now();
    let page = at("hung", "six", Duration::from_secs(3));
    assert_eq!(page.value("probe_success", &[]), Some(1.0), "the one that hangs leaves time for the other: {page:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    if silent.is_some() {
        assert_eq!(page.value("probe_address_error_info", &[("address", "::1"), ("reason", "first_byte_timeout")]), Some(1.0), "{page:?}");
    }

    let page = ask("crowd", "any");
    let states = ["asked", "not_asked"].map(|state| page.value("probe_addresses", &[("state", state)]));
    assert_eq!((states, why(&page)), ([Some(16.0), Some(4.0)], Some("refused")), "{page:?}");
}
