//! Each Redis alert once on a real fault: the shipped rules in a real Prometheus, the real exporter, real servers. Every alert
//! must fire with the seven labels of the inventory, at the host with its fault alone, and end when its fault has ended.
//!
//! As in `alerts.rs`, each `for`, `keep_firing_for` and range is divided by thirty, and so are the intervals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use e2e::drill::shorten;
use e2e::exporter::Exporter;
use e2e::poll;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions, shipped_rules};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::site;
use e2e::temp::TempFolder;

const ALL: Duration = Duration::from_secs(120);

const EXPECTED: [(&str, &str); 3] =
    [("RedisMemoryFull", "cache01"), ("RedisReplicaLinkDown", "cache03"), ("RedisConnectionsRejected", "cache04")];

fn server(settings: &[&str]) -> Redis {
    Redis::start_with(RedisOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..RedisOptions::default() })
}

fn firing(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    let found = prometheus.query(r#"ALERTS{alertstate="firing",alertname=~"Redis.*"}"#).into_iter();
    found.map(|(labels, _)| (labels["alertname"].clone(), labels["host"].clone())).collect()
}

#[test]
fn each_redis_alert_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts");
    // A full one; a primary with its replica; one with few places; and one as full as the first that evicts.
    let cache01 = server(&["maxmemory 10mb"]);
    let mut cache02 = server(&[]);
    let cache03 = Redis::start_replica(&cache02, RedisOptions::default());
    let cache04 = server(&["maxclients 20"]);
    let cache05 = server(&["maxmemory 10mb", "maxmemory-policy allkeys-lru"]);
    let servers = [&cache01, &cache02, &cache03, &cache04, &cache05].map(Redis::port);
    let exporters = servers.map(|port| {
        let config = folder.write("exporter.yml", "modules: {default: {probe_interval: 1s}}\n");
        let args = [format!("--config.file={}", config.display())];
        Exporter::start("sage-redis-exporter", &args.each_ref().map(String::as_str), &[("REDIS_ADDR", &format!("127.0.0.1:{port}"))])
    });
    let job = |n: usize, e: &Exporter| Job {
        name: format!("redis-{n}"),
        address: e.address().to_string(),
        labels: site::labels(&format!("cache0{n}"), "redis", "sys", &format!("cache0{n}.example:9121")),
        ..Job::default()
    };
    let jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job(n, e)).collect();
    let rules = shipped_rules().into_iter().filter(|r| ["redis.yml", "thresholds.rules.yml"].iter().any(|name| r.ends_with(name)));
    let rules: Vec<_> = rules
        .map(|rule| folder.write(&rule.file_name().unwrap().to_string_lossy(), &shorten(&std::fs::read_to_string(&rule).unwrap())))
        .collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules, ..PrometheusOptions::default() });
    let up = || (prometheus.query("sage_up == 1").len() == exporters.len()).then_some(());
    poll::until("all servers are up", ALL, up);
    assert_eq!(firing(&prometheus), BTreeSet::new(), "before any fault");

    // The faults, all at once.
    for full in [&cache01, &cache05] {
        let fill = r#"for i=1,92 do redis.call("set","session:"..i,string.rep("x",100000)) end"#;
        full.cli(&["eval", fill, "0"]).unwrap();
    }
    cache02.kill();
    let expected: BTreeSet<(String, String)> = EXPECTED.map(|(alert, host)| (alert.to_owned(), host.to_owned())).into();
    let mut crowd = Vec::new();
    let mut last = BTreeSet::new();
    let fired = poll::within(ALL, || {
        // Turned away: the server closes those that do not fit, and the next ones come.
        crowd.truncate(18);
        crowd.extend((0..6).filter_map(|_| TcpStream::connect(cache04.address()).ok()));
        last = firing(&prometheus);
        (last == expected).then_some(())
    });
    assert!(fired.is_some(), "{last:?} and not {expected:?}: {:?}", prometheus.alerts());
    for (labels, _) in prometheus.query(r#"ALERTS{alertstate="firing",alertname=~"Redis.*"}"#) {
        for name in ["client", "site", "host", "product", "service", "criticality", "team", "severity"] {
            assert!(labels.get(name).is_some_and(|value| !value.is_empty()), "{name} is missing: {labels:?}");
        }
    }
    for alert in prometheus.alerts() {
        for (name, text) in &alert.annotations {
            assert!(!text.is_empty() && !text.contains("<no value>") && !text.contains("<error"), "{name} of {alert:?}");
        }
    }

    // All faults end.
    drop(crowd);
    cache01.run(&["flushall"]);
    cache02.restart();
    let calm = poll::within(ALL, || firing(&prometheus).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", firing(&prometheus));
}
