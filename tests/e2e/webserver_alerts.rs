//! Each alert of NGINX and Apache once on a real fault: the shipped rules in a real Prometheus, the real exporters, real servers.
//! Every alert must fire with the seven labels of the inventory, at the host with its fault alone, and end with its fault.
//!
//! As in `alerts.rs`, each `for`, `keep_firing_for` and range is divided by thirty, and so are the intervals; limits that a fault of
//! seconds cannot pass are lowered by overrides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use e2e::drill::{limits, shorten};
use e2e::exporter::Exporter;
use e2e::http;
use e2e::poll;
use e2e::process;
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions, shipped_rules};
use e2e::site;
use e2e::temp::TempFolder;
use e2e::watched_web::{APACHE, NGINX, watch};

const ALL: Duration = Duration::from_secs(120);
const EVER: &str = r#"max by (alertname, host) (max_over_time(ALERTS{alertstate="firing",alertname=~"Nginx.*|Apache.*"}[10m]))"#;
const FIRING: &str = r#"ALERTS{alertstate="firing",alertname=~"Nginx.*|Apache.*"}"#;

/// Connections that say this.
fn say(address: SocketAddr, text: &str, count: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(text.as_bytes()).ok()?;
        Some(stream)
    };
    (0..count).filter_map(open).collect()
}

/// Requests that have begun and do not go on: each holds a connection, at Apache a worker.
fn begin(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    say(address, "GET / HTTP/1.1\r\nHost: shop.example\r\n", count)
}

/// Whole requests whose answers nobody waits for.
fn ask(address: SocketAddr, path: &str, count: usize) -> Vec<TcpStream> {
    say(address, &format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n"), count)
}

fn found(prometheus: &Prometheus, query: &str) -> BTreeSet<(String, String)> {
    prometheus.query(query).into_iter().map(|(labels, _)| (labels["alertname"].clone(), labels["host"].clone())).collect()
}

#[test]
fn each_alert_of_a_web_server_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts");
    // NGINX: few places; many connections; a broken page and workers that die; nothing wrong.
    let broken = "location = /shop { proxy_pass http://127.0.0.1:1; }";
    let nginx = |server: &str, worker_connections| {
        Nginx::start(&NginxOptions { server: server.to_owned(), worker_connections, ..NginxOptions::default() })
    };
    // NGINX takes back the place of a connection that waits, and none of one that is being answered.
    let slow = format!("location = /slow {{ limit_rate 1; return 200 {}; }}", "x".repeat(500));
    let mut sites = vec![nginx(&slow, 40), nginx("", 500), nginx(broken, 100), nginx("location = /shop { return 200; }", 100)];
    let target =
        |s: &Nginx, path: &str| format!("url: {}\npid_file: {}\nprobe_path: {path}", s.url("/stub_status"), s.pid_file().display());
    let mut exporters: Vec<(&str, String, Exporter)> = Vec::new();
    for ((n, server), path) in (1..).zip(&sites).zip(["/", "/", "/shop", "/shop"]) {
        exporters.push(("nginx", format!("web0{n}"), watch(NGINX, &target(server, path))));
    }
    // Apache: no idle worker; slow requests; a broken page behind a balancer without members; nothing wrong.
    let balancer =
        "<Proxy balancer://shop>\nBalancerMember http://127.0.0.1:1 retry=0\n</Proxy>\nProxyPass /shop balancer://shop\nProxyStatus On\n";
    let proxy = vec!["proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests"];
    let limited = "<Location /big>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 8\n</Location>\n";
    let start = |modules: Vec<&'static str>, settings: &str, processes| {
        Apache::start(&ApacheOptions { modules, settings: settings.to_owned(), processes, ..ApacheOptions::default() })
    };
    let farm = [start(vec![], "", 2), start(vec!["ratelimit", "env"], limited, 4), start(proxy, balancer, 4), start(vec![], "", 2)];
    farm[1].folder().write("www/big", &"x".repeat(20_000));
    for ((n, server), path) in (5..).zip(&farm).zip(["/", "/", "/shop", "/"]) {
        let target = format!("url: {}\npid_file: {}\nprobe_path: {path}", server.url("/server-status"), server.pid_file().display());
        exporters.push(("apache", format!("web0{n}"), watch(APACHE, &target)));
    }
    let job = |(product, host, e): &(&str, String, Exporter)| Job {
        name: format!("{product}-{host}"),
        address: e.address().to_string(),
        labels: site::labels(host, product, "app", &format!("{host}.example:9113")),
        ..Job::default()
    };
    let jobs: Vec<Job> = exporters.iter().map(job).collect();
    let mut rules: Vec<_> = shipped_rules()
        .into_iter()
        .filter(|r| ["nginx.yml", "apache.yml"].iter().any(|name| r.ends_with(name)))
        .map(|rule| folder.write(&rule.file_name().unwrap().to_string_lossy(), &shorten(&std::fs::read_to_string(&rule).unwrap())))
        .collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    rules.push(folder.write("limits.yml", &limits(&[("NginxConnectionsHigh", "web02", 50.0), ("ApacheRequestsSlow", "web06", 0.5)])));
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules, ..PrometheusOptions::default() });
    let up = || (prometheus.query("sage_up == 1").len() == exporters.len()).then_some(());
    poll::until("all servers are up", ALL, up);

    // The faults, all at once; two hosts have theirs from the start.
    let expected: BTreeSet<(String, String)> = [
        ("NginxConnectionsDropped", "web01"),
        ("NginxConnectionsHigh", "web02"),
        ("NginxProbeFailing", "web03"),
        ("NginxWorkersDying", "web03"),
        ("ApacheWorkersExhausted", "web05"),
        ("ApacheWorkersNearLimit", "web05"),
        ("ApacheRequestsSlow", "web06"),
        ("ApacheProbeFailing", "web07"),
        ("ApacheBalancerMemberDown", "web07"),
    ]
    .map(|(alert, host)| (alert.to_owned(), host.to_owned()))
    .into();
    let crowd = begin(sites[1].address(), 80);
    // One of ten workers is left for the exporter.
    let busy = begin(farm[0].address(), 9);
    let mut last = BTreeSet::new();
    let mut downloads = Vec::new();
    let mut rounds = 0_u32;
    let fired = poll::within(ALL, || {
        rounds += 1;
        // A rush: those that do not fit are dropped, and it is over before the next scrape.
        if rounds.is_multiple_of(5) {
            drop(ask(sites[0].address(), "/slow", 60));
        }
        if rounds.is_multiple_of(20) {
            process::signal("KILL", &sites[2].children());
            let address = farm[1].address();
            downloads.push(std::thread::spawn(move || http::get(address, "/big", &[], ALL).map(|answer| answer.status)));
        }
        last = found(&prometheus, EVER);
        (last == expected).then_some(())
    });
    assert!(fired.is_some(), "{last:?} and not {expected:?}: {:?}", prometheus.alerts());
    for (labels, _) in prometheus.query(FIRING) {
        for name in ["client", "site", "host", "product", "service", "criticality", "team", "severity"] {
            assert!(labels.get(name).is_some_and(|value| !value.is_empty()), "{name} is missing: {labels:?}");
        }
    }
    for alert in prometheus.alerts() {
        for (name, text) in &alert.annotations {
            assert!(!text.is_empty() && !text.contains("<no value>") && !text.contains("<error"), "{name} of {alert:?}");
        }
    }
    for download in downloads {
        assert_eq!(download.join().unwrap().unwrap(), 200);
    }

    // All faults end.
    drop((crowd, busy));
    let well = |server: &mut Nginx| {
        server.configure(&NginxOptions { server: "location = /shop { return 200; }".to_owned(), ..NginxOptions::default() });
        server.restart();
    };
    well(&mut sites[2]);
    let backend = Nginx::start(&NginxOptions { server: "location /shop { return 200; }".to_owned(), ..NginxOptions::default() });
    farm[2].configure(&ApacheOptions {
        modules: vec!["proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests"],
        settings: balancer.replace("127.0.0.1:1 ", &format!("{} ", backend.address())),
        processes: 4,
        ..ApacheOptions::default()
    });
    farm[2].reload();
    let calm = poll::within(ALL, || found(&prometheus, FIRING).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", found(&prometheus, FIRING));
}
