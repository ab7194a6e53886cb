//! Each Redis alert once on a real fault: the shipped rules in a real Prometheus and Alertmanager, the real exporter, real
//! servers, replicas, a cluster and Sentinels. Every alert must fire with the labels of the inventory, at the host with its
//! fault alone, and end when its fault has ended; nothing else may fire. `e2e::drill` says what is faster than on a site.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::drill::{self, EVER, FIRING, Lowered, alerts, is_of_a_busy_machine, named};
use e2e::exporter::Exporter;
use e2e::fault::{FaultProxy, Mode};
use e2e::poll;
use e2e::servers::alertmanager::Alertmanager;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::site;
use e2e::temp::{TempFolder, free_port};

/// Of a step, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Of all alerts together: the longest `for` is 20 s here.
const ALL: Duration = Duration::from_secs(120);

/// Alert, host, limit: lowered so that a fault of seconds passes it.
const OVERRIDES: [Lowered; 5] = [
    ("RedisSaveTooOld", "cache07", 5.0),
    ("RedisSlowCommands", "cache08", 10.0),
    ("RedisFullResyncs", "cache09", 1.0),
    ("RedisReplicaBehind", "cache09", 1e6),
    ("RedisKeySearchTooOld", "cache12", 3.0),
];

/// What must fire: alert, host, severity. cache02 and cache03 are a primary and its replica, so are cache12 and cache13; cache05
/// and cache06 stand behind a bad road; cache09 has two replicas that nobody watches, cache14 two partners in a cluster, and
/// cache15 is a Sentinel.
const EXPECTED: [(&str, &str, &str); 27] = [
    ("RedisMemoryFull", "cache01", "critical"),
    ("RedisMemoryNearLimit", "cache01", "warning"),
    ("RedisWritesRefused", "cache01", "critical"),
    ("RedisWriteFailing", "cache01", "critical"),
    ("RedisReplicaLinkDown", "cache03", "warning"),
    ("RedisNoPrimary", "cache03", "critical"),
    ("RedisConnectionsRejected", "cache04", "critical"),
    ("RedisConnectionsNearLimit", "cache04", "warning"),
    ("RedisLoginFailing", "cache05", "critical"),
    ("RedisLoginSlow", "cache06", "warning"),
    ("RedisSaveFailed", "cache07", "warning"),
    ("RedisSaveTooOld", "cache07", "warning"),
    ("RedisWritesRefused", "cache07", "critical"),
    ("RedisWriteFailing", "cache07", "critical"),
    ("RedisKeysEvicted", "cache08", "warning"),
    ("RedisAofFailing", "cache08", "warning"),
    ("RedisSlowCommands", "cache08", "warning"),
    ("RedisFullResyncs", "cache09", "warning"),
    ("RedisReplicaBehind", "cache09", "warning"),
    ("RedisTwoPrimaries", "cache12", "critical"),
    ("RedisTwoPrimaries", "cache13", "critical"),
    ("RedisKeySearchTooOld", "cache12", "warning"),
    ("RedisClusterDown", "cache14", "critical"),
    ("RedisClusterNodeDown", "cache14", "warning"),
    ("RedisClusterNodeSuspected", "cache14", "warning"),
    ("RedisSentinelCannotFailOver", "cache15", "warning"),
    ("RedisSentinelPrimaryDown", "cache15", "critical"),
];

/// What these faults raise besides: the killed primary is down, and so are for moments the server without a place and the one
/// behind the broken road.
const BESIDES: [(&str, &str); 5] = [
    ("SageServiceDown", "cache02"),
    ("SageServiceDown", "cache04"),
    ("RedisLoginFailing", "cache04"),
    ("SageServiceDown", "cache05"),
    ("RedisLoginFailing", "cache06"),
];

/// These three must have reached Alertmanager.
const TOLD: [(&str, &str); 3] =
    [("RedisMemoryFull", "cache01"), ("RedisReplicaLinkDown", "cache03"), ("RedisConnectionsRejected", "cache04")];

fn options(settings: &[String]) -> RedisOptions {
    RedisOptions { settings: settings.to_vec(), ..RedisOptions::default() }
}

fn server(settings: &[&str]) -> Redis {
    Redis::start_with(options(&settings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()))
}

/// Settings of a module that writes.
const WRITES: &str = ", write_interval: 1s";
/// The same of one that counts keys, ten a second: fewer than the fault makes.
const COUNTS: &str = ", collectors: {keys_count: {interval: 1s, keys_per_run: 10}}";

fn watch(folder: &TempFolder, port: u16, settings: &str) -> Exporter {
    let checks = if settings == COUNTS { "targets: {cache: {checks: {count_keys: ['session:*'], batch_size: 10}}}\n" } else { "" };
    let config = format!("{checks}modules: {{default: {{probe_interval: 1s{settings}}}}}\n");
    let config = folder.write(&format!("exporter-{port}.yml"), &config);
    let args = [format!("--config.file={}", config.display())];
    Exporter::start("sage-redis-exporter", &args.each_ref().map(String::as_str), &[("REDIS_ADDR", &format!("127.0.0.1:{port}"))])
}

/// Three primaries of a cluster, all slots served.
fn cluster() -> Vec<Redis> {
    let node = |n: u32| {
        Redis::start_with(options(&[
            "cluster-enabled yes".to_owned(),
            "cluster-node-timeout 1000".to_owned(),
            format!("cluster-config-file nodes-{n}.conf"),
            format!("cluster-port {}", free_port()),
        ]))
    };
    let nodes: Vec<Redis> = (0..3).map(node).collect();
    let addresses: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
    let words = ["--cluster", "create"].into_iter().chain(addresses.iter().map(String::as_str)).chain(["--cluster-yes"]);
    let made = nodes[0].cli(&words.collect::<Vec<_>>()).unwrap();
    assert!(made.contains("All 16384 slots covered"), "{made}");
    nodes
}

/// A Sentinel that knows one primary by two names: `shop` needs a second Sentinel to be held for dead, `blog` does not.
fn sentinel(primary: &Redis) -> Redis {
    let watch = |name: &str, quorum: u32| {
        [
            format!("sentinel monitor {name} 127.0.0.1 {} {quorum}", primary.port()),
            format!("sentinel down-after-milliseconds {name} 1000"),
            format!("sentinel failover-timeout {name} 2000"),
        ]
    };
    Redis::start_with(RedisOptions { sentinel: true, ..options(&[watch("shop", 2), watch("blog", 1)].concat()) })
}

/// Cuts the road of cache05 and mends it, each time until Prometheus has seen it, until it is `over`.
fn cut_and_mend(road: &FaultProxy, prometheus: &Prometheus, over: &AtomicBool) {
    for (mode, value) in [(Mode::Refuse, 0), (Mode::Pass, 1)].into_iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        road.set(mode);
        let query = format!(r#"sage_login_success{{host="cache05"}} == {value}"#);
        poll::within(LIMIT, || (over.load(Ordering::Relaxed) || !prometheus.query(&query).is_empty()).then_some(()));
    }
    road.set(Mode::Pass);
}

/// Fills a server with 10 MB of memory nearly or wholly.
fn fill(server: &Redis, from: u32, to: u32) {
    let script = format!(r#"for i={from},{to} do redis.call("set","session:"..i,string.rep("x",100000)) end"#);
    server.cli(&["eval", &script, "0"]).unwrap();
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story in the order of events: faults, alerts, ends")]
fn each_redis_alert_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts-redis");
    let cache01 = server(&["maxmemory 10mb"]);
    let mut cache02 = server(&[]);
    let cache03 = Redis::start_replica(&cache02, RedisOptions::default());
    let cache04 = server(&["maxclients 20"]);
    let far = server(&[]);
    let (road05, road06) = (FaultProxy::start(far.address()), FaultProxy::start(far.address()));
    let cache07 = server(&["save 3600 1000000"]);
    let cache08 = server(&["maxmemory 10mb", "maxmemory-policy allkeys-lru", "appendonly yes"]);
    let cache09 = server(&[]);
    let [restless, frozen] = [(); 2].map(|()| Redis::start_replica(&cache09, RedisOptions::default()));
    let cache12 = server(&[]);
    let cache13 = Redis::start_replica(&cache12, RedisOptions::default());
    let mut nodes = cluster();
    let mut watched_by_sentinels = server(&[]);
    let cache15 = sentinel(&watched_by_sentinels);
    let mut second = sentinel(&watched_by_sentinels);
    // What was never written to has no history to lose.
    cache02.run(&["set", "a", "1"]);
    cache12.run(&["set", "a", "1"]);
    let watched = [
        ("cache01", cache01.port(), WRITES),
        ("cache02", cache02.port(), ""),
        ("cache03", cache03.port(), ""),
        ("cache04", cache04.port(), ""),
        ("cache05", road05.port(), ""),
        ("cache06", road06.port(), ""),
        ("cache07", cache07.port(), WRITES),
        ("cache08", cache08.port(), ""),
        ("cache09", cache09.port(), ""),
        ("cache12", cache12.port(), COUNTS),
        ("cache13", cache13.port(), ""),
        ("cache14", nodes[0].port(), WRITES),
        ("cache15", cache15.port(), ""),
    ];
    let exporters = watched.map(|(_, port, settings)| watch(&folder, port, settings));
    let job = |host: &str, exporter: &Exporter| Job {
        name: format!("redis-{host}"),
        address: exporter.address().to_string(),
        labels: site::labels(host, "redis", "sys", &format!("{host}.example:9121")),
        ..Job::default()
    };
    let jobs: Vec<Job> = watched.iter().zip(&exporters).map(|((host, _, _), exporter)| job(host, exporter)).collect();
    let rules = drill::rules(&folder, &OVERRIDES, &jobs);
    let alertmanager = Alertmanager::start();
    let settings =
        PrometheusOptions { jobs: jobs.clone(), rules, alertmanager: Some(alertmanager.address()), ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&settings);
    let fine = || {
        let up = prometheus.query("sage_up == 1 and sage_login_success == 1").len() == exporters.len();
        let written = prometheus.query("sage_write_success == 1").len() == 3;
        let quorum = prometheus.query("redis_sentinel_quorum_ok == 1").len() == 2;
        let replica = !prometheus.query(r#"redis_master_repl_offset{host="cache03"} > 0"#).is_empty();
        let searched = !prometheus.query(r#"redis_keys_count_search_timestamp_seconds{host="cache12"}"#).is_empty();
        (up && written && quorum && replica && searched && alerts(&prometheus, FIRING).is_empty()).then_some(())
    };
    assert!(poll::within(ALL, fine).is_some(), "not well before any fault: {:?}", alerts(&prometheus, FIRING).into_keys());

    // The faults, all at once.
    fill(&cache01, 1, 110);
    cache02.kill();
    road06.set(Mode::LateStart(Duration::from_millis(400)));
    std::fs::create_dir_all(cache07.folder().join("dump.rdb/taken")).unwrap();
    cache07.run(&["set", "a", "1"]);
    cache07.cli(&["bgsave"]).unwrap();
    let aof = cache08.folder().join("appendonlydir");
    std::fs::rename(&aof, cache08.folder().join("away")).unwrap();
    std::fs::write(&aof, "").unwrap();
    cache08.cli(&["bgrewriteaof"]).unwrap();
    cache08.run(&["config", "set", "slowlog-log-slower-than", "0"]);
    frozen.freeze();
    let load = r#"for i=1,40 do redis.call("set","load:"..i,string.rep("x",1000000)) end"#;
    cache09.cli(&["eval", load, "0"]).unwrap();
    cache12.cli(&["eval", r#"for i=1,2000 do redis.call("set","session:"..i,"x") end"#, "0"]).unwrap();
    cache13.run(&["replicaof", "no", "one"]);
    // With one of three gone the other two hold it for dead; the last one alone can only suspect.
    nodes[1].kill();
    second.kill();
    watched_by_sentinels.kill();
    let failed = || (!prometheus.query(r#"redis_cluster_nodes{state="failed"} == 1"#).is_empty()).then_some(());
    poll::until("the majority holds a node for dead", LIMIT, failed);
    nodes[2].kill();

    let expected = named(EXPECTED.map(|(alert, host, _)| (alert, host)));
    let over = AtomicBool::new(false);
    let mut fired = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut crowd = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| cut_and_mend(&road05, &prometheus, &over));
        poll::within(ALL, || {
            // What goes on: users are refused and turned away, keys are evicted, a replica loses its history.
            for server in [&cache01, &cache07] {
                let _ = server.cli(&["set", "basket", "x"]);
            }
            crowd.truncate(17);
            crowd.extend((0..6).filter_map(|_| TcpStream::connect(cache04.address()).ok()));
            fill(&cache08, 1, 120);
            for words in [&["replicaof", "no", "one"][..], &["set", "x", "y"], &["replicaof", "127.0.0.1", &cache09.port().to_string()]] {
                restless.cli(words).unwrap();
            }
            let copied = || restless.info("master_link_status").contains("up").then_some(());
            poll::within(Duration::from_secs(5), copied);
            fired.extend(alerts(&prometheus, FIRING));
            let text = |alert: &serde_json::Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
            told.extend(alertmanager.alerts().iter().map(|alert| (text(alert, "alertname"), text(alert, "host"))));
            (expected.iter().all(|pair| fired.contains_key(pair)) && named(TOLD).is_subset(&told)).then_some(())
        });
        over.store(true, Ordering::Relaxed);
    });
    let silent: Vec<_> = expected.iter().filter(|pair| !fired.contains_key(*pair)).collect();
    assert!(silent.is_empty(), "these do not fire: {silent:?}\n{:?}", prometheus.alerts());
    assert!(named(TOLD).is_subset(&told), "Alertmanager holds only {told:?}");
    drill::assert_complete_as(&fired, &EXPECTED, &jobs, &prometheus);
    let texts: Vec<String> = prometheus.alerts().into_iter().filter_map(|mut alert| alert.annotations.remove("description")).collect();
    for text in
        ["most of them with OOM.", "most of them with MISCONF.", "reason oom.", "is one of 2 primaries", "the primary blog (127.0.0.1:"]
    {
        assert!(texts.iter().any(|t| t.contains(text)), "no alert says {text:?}: {texts:#?}");
    }

    // All faults end.
    drop(crowd);
    cache01.run(&["flushall"]);
    cache02.restart();
    road06.set(Mode::Pass);
    std::fs::remove_dir_all(cache07.folder().join("dump.rdb")).unwrap();
    cache07.run(&["save"]);
    // The write probe writes on: without this the snapshot is too old again after the lowered limit.
    cache07.run(&["config", "set", "save", ""]);
    cache08.run(&["config", "set", "slowlog-log-slower-than", "10000"]);
    std::fs::remove_file(&aof).unwrap();
    std::fs::rename(cache08.folder().join("away"), &aof).unwrap();
    cache08.cli(&["bgrewriteaof"]).unwrap();
    frozen.thaw();
    cache12.run(&["flushall"]);
    cache13.run(&["replicaof", "127.0.0.1", &cache12.port().to_string()]);
    nodes.iter_mut().skip(1).for_each(Redis::restart);
    second.restart();
    watched_by_sentinels.restart();
    let calm = poll::within(ALL, || alerts(&prometheus, FIRING).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    let unasked = ever.difference(&expected).filter(|pair| !named(BESIDES).contains(*pair) && !is_of_a_busy_machine(pair));
    let unasked: Vec<_> = unasked.collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
}
