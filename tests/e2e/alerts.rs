//! Each alert once on a real fault: the shipped rules in a real Prometheus and Alertmanager, the real exporter, real
//! PostgreSQL servers. Every alert must fire with the seven labels of the inventory, and end when its fault has ended;
//! nothing else may fire.
//!
//! The rules are the shipped ones but for two things. Times: each `for`, `keep_firing_for` and range is divided by
//! [`SHORTER`] by a mechanical rewrite, and so are the intervals of scrape, evaluation and login probe (30 s become 1 s),
//! so that every rule sees as many samples as on a site. Limits: some are lowered by overrides in the form that
//! `thresholds.yml` has, which shows that overrides work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::lint::rules::WATCHDOG;
use e2e::lint::thresholds::{self, Override};
use e2e::poll;
use e2e::servers::alertmanager::Alertmanager;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions, shipped_rules};
use e2e::site;
use e2e::temp::TempFolder;
use regex::{Captures, Regex};

/// The reference interval of scrapes and evaluations, 30 s, over that of this test.
const SHORTER: u64 = 30;
/// Of a step, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Of all alerts together: the longest `for` is 20 s here, and slow statements are counted over a real minute.
const ALL: Duration = Duration::from_secs(120);
const PASSWORD: &str = "monitor";

/// Alert, host, limit: lowered so that a fault of seconds passes it.
const OVERRIDES: [(&str, &str, f64); 3] =
    [("PostgresSessionsBlocked", "db01", 2.0), ("PostgresSlowQueries", "db01", 2.0), ("PostgresReplicationLag", "db02", 10.0)];

/// What must fire: alert, host, severity. db01 and db02 are a primary and its standby, db03 to db05 servers of their own;
/// the exporters of db06 and db07 watch db01's server, that of db08 is missing.
const EXPECTED: [(&str, &str, &str); 9] = [
    ("PostgresSessionsBlocked", "db01", "critical"),
    ("PostgresSlowQueries", "db01", "warning"),
    ("PostgresReplicationLag", "db02", "warning"),
    ("PostgresConnectionsNearLimit", "db03", "critical"),
    ("PostgresLoginFailing", "db04", "critical"),
    ("SageServiceDown", "db05", "critical"),
    ("SageMonitoringBlind", "db06", "warning"),
    ("SageExporterDown", "db07", "critical"),
    ("SageTargetMissing", "db08", "warning"),
];

/// What the fault of db04 may raise besides, when this machine is slow: all slots are taken there for moments.
const BESIDES: [(&str, &str); 2] = [("PostgresConnectionsNearLimit", "db04"), ("SageServiceDown", "db04")];

/// The rules with each time divided by [`SHORTER`].
fn shorten(rules: &str) -> String {
    let time = Regex::new(r"(?m)(\bfor: |keep_firing_for: |\[)(\d+)m(\]|$)").unwrap();
    let short = time.replace_all(rules, |c: &Captures| {
        let seconds = c[2].parse::<u64>().unwrap() * 60;
        assert_eq!(seconds % SHORTER, 0, "{}", &c[0]);
        format!("{}{}s{}", &c[1], seconds / SHORTER, &c[3])
    });
    let left = Regex::new(r"(?m)^\s*(for|keep_firing_for): .*[^s]$|\[[^\]]*[mhdw]\]").unwrap();
    assert!(!left.is_match(&short), "a time was not shortened: {:?}", left.find(&short));
    short.into_owned()
}

/// The limits as shipped, with the overrides of this test before those that are there.
fn limits(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join(thresholds::SOURCE)).unwrap();
    let mut all = thresholds::read(&text).unwrap();
    for (alert, host, value) in OVERRIDES {
        let entry = all.thresholds.iter_mut().find(|t| t.alert == alert).unwrap();
        let matches = BTreeMap::from([("host".to_owned(), host.to_owned())]);
        assert!(value < entry.value, "{alert}: the override lowers nothing");
        entry.overrides.insert(0, Override { matches, value, reason: "a fault of seconds".to_owned() });
    }
    thresholds::generate(&all)
}

fn server(settings: &[&str]) -> Postgres {
    let server =
        Postgres::start(PostgresOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..PostgresOptions::default() });
    server.create_monitor("sage", PASSWORD, 4);
    server
}

fn watch(folder: &TempFolder, server: &Postgres, user: &str) -> Exporter {
    let config = folder.write("exporter.yml", "modules: {default: {probe_interval: 1s}}\n");
    let port = server.port();
    let env = [
        ("DATA_SOURCE_URI", format!("127.0.0.1:{port}/postgres?sslmode=disable")),
        ("DATA_SOURCE_USER", user.to_owned()),
        ("DATA_SOURCE_PASS", PASSWORD.to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    Exporter::start("sage-postgres-exporter", &[&format!("--config.file={}", config.display())], &env)
}

fn job(host: &str, address: String) -> Job {
    Job {
        name: format!("postgres-{host}"),
        address,
        labels: site::labels(host, "postgres", "dba", &format!("{host}.example:9187")),
        ..Job::default()
    }
}

/// Labels of what `query` finds by alert and host, the sign of life left out.
fn alerts(prometheus: &Prometheus, query: &str) -> BTreeMap<(String, String), BTreeMap<String, String>> {
    let found = prometheus.query(query).into_iter().map(|(labels, _)| labels);
    let named = found.map(|labels| ((labels["alertname"].clone(), labels.get("host").cloned().unwrap_or_default()), labels));
    named.filter(|((alert, _), _)| alert != WATCHDOG).collect()
}

fn named(pairs: impl IntoIterator<Item = (&'static str, &'static str)>) -> BTreeSet<(String, String)> {
    pairs.into_iter().map(|(alert, host)| (alert.to_owned(), host.to_owned())).collect()
}

const FIRING: &str = r#"ALERTS{alertstate="firing"}"#;
const EVER: &str = r#"max by (alertname, host) (max_over_time(ALERTS{alertstate="firing"}[10m]))"#;

/// Lets others take the last slot of db04 and give it back, each time until Prometheus has seen it, until it is `over`.
fn take_and_give(db04: &Postgres, prometheus: &Prometheus, over: &AtomicBool) {
    let seen = |query: &str| {
        let answer = || (over.load(Ordering::Relaxed) || !prometheus.query(query).is_empty()).then_some(());
        poll::within(LIMIT, answer);
    };
    while !over.load(Ordering::Relaxed) {
        let last = db04.session("postgres");
        seen(r#"sage_login_success{host="db04"} == 0"#);
        drop(last);
        seen(r#"sage_login_success{host="db04"} == 1"#);
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story in the order of events: faults, alerts, ends")]
fn every_alert_fires_on_a_real_fault_and_ends_with_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = TempFolder::new("alerts");
    let (db01, db03, db04, db05) = (server(&[]), server(&["max_connections = 33"]), server(&["max_connections = 20"]), server(&[]));
    db01.psql("create table drill(id int); insert into drill values (1)").unwrap();
    db01.create_monitor("sage_other", PASSWORD, 4);
    db01.pgbench_init("postgres", 1);
    let db02 = Postgres::start_standby(&db01, PostgresOptions::default());
    let watched =
        [(&db01, "sage"), (&db02, "sage"), (&db03, "sage"), (&db04, "sage"), (&db05, "sage"), (&db01, "sage_other"), (&db01, "sage")];
    let exporters = watched.map(|(server, user)| watch(&folder, server, user));
    let jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job(&format!("db0{n}"), e.address().to_string())).collect();
    let missing = job("db08", exporters[0].address().to_string());

    let shipped = shipped_rules().into_iter().filter(|r| !r.ends_with("thresholds.rules.yml"));
    let mut rules: Vec<_> = shipped
        .map(|rule| folder.write(&rule.file_name().unwrap().to_string_lossy(), &shorten(&std::fs::read_to_string(&rule).unwrap())))
        .collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    rules.push(folder.write("thresholds.yml", &limits(&root)));
    let inventory: Vec<Job> = jobs.iter().chain([&missing]).cloned().collect();
    rules.push(folder.write("inventory.yml", &site::expected(&inventory)));
    let alertmanager = Alertmanager::start();
    let mut options = PrometheusOptions { jobs, rules, alertmanager: Some(alertmanager.address()), ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&options);
    let _writes = db01.pgbench_run("postgres", 1, 5);
    let up = || (prometheus.query("sage_up == 1 and sage_login_success == 1").len() == exporters.len()).then_some(());
    poll::until("all servers are up", LIMIT, up);
    // A standby that has replayed nothing yet has no lag to tell.
    let replayed = || (!prometheus.query(r#"pg_replication_last_replay_seconds{host="db02"}"#).is_empty()).then_some(());
    poll::until("the standby replays", LIMIT, replayed);
    let early: BTreeSet<_> = alerts(&prometheus, FIRING).into_keys().collect();
    assert!(early.is_subset(&named([("SageTargetMissing", "db08")])), "{early:?} before any fault");

    // The faults, all at once.
    let mut holder = db01.session("postgres");
    holder.query("begin; update drill set id = 2").unwrap();
    let waiter = db01.spawn_psql("postgres", "update drill set id = 3");
    let _slow = [(); 3].map(|()| db01.spawn_psql("postgres", "select pg_sleep(1.2)"));
    db02.psql("select pg_wal_replay_pause()").unwrap();
    // Of 30 slots; the exporter uses up to two, so that it can still log in.
    let crowd: Vec<_> = (0..28).map(|_| db03.session("postgres")).collect();
    // Of 17 slots: with the exporter's two all are taken, so that one more turns its login away.
    let queue: Vec<_> = (0..15).map(|_| db04.session("postgres")).collect();
    db05.kill();
    db01.psql("alter role sage_other nologin").unwrap();
    exporters[6].signal("KILL");
    let expected = named(EXPECTED.map(|(alert, host, _)| (alert, host)));
    let over = AtomicBool::new(false);
    let (mut fired, mut lag, mut told) = (BTreeMap::new(), false, false);
    std::thread::scope(|scope| {
        scope.spawn(|| take_and_give(&db04, &prometheus, &over));
        poll::within(ALL, || {
            fired.extend(alerts(&prometheus, FIRING));
            lag |= !prometheus.query(r#"pg_replication_lag_seconds{host="db02"} > 10"#).is_empty();
            let text = |alert: &serde_json::Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
            let down = |a: &serde_json::Value| text(a, "alertname") == "SageServiceDown" && text(a, "host") == "db05";
            told |= alertmanager.alerts().iter().any(down);
            (lag && told && expected.iter().all(|pair| fired.contains_key(pair))).then_some(())
        });
        over.store(true, Ordering::Relaxed);
    });
    let silent: Vec<_> = expected.iter().filter(|pair| !fired.contains_key(*pair)).collect();
    assert!(silent.is_empty(), "these do not fire: {silent:?}\n{:?}", prometheus.alerts());
    assert!(lag, "the paused standby shows no lag: {:?}", prometheus.query("pg_replication_lag_seconds"));
    assert!(told, "Alertmanager does not hold SageServiceDown: {:?}", alertmanager.alerts());
    for (alert, host, severity) in EXPECTED {
        let labels = &fired[&(alert.to_owned(), host.to_owned())];
        let wanted = site::labels(host, "postgres", "dba", &format!("{host}.example:9187"));
        for (name, value) in wanted.iter().chain([&("severity".to_owned(), severity.to_owned())]) {
            assert_eq!(labels.get(name), Some(value), "{alert} at {host}: {name}");
        }
    }
    for alert in prometheus.alerts() {
        for (name, text) in &alert.annotations {
            assert!(!text.is_empty() && !text.contains("<no value>") && !text.contains("<error"), "{name} of {alert:?}");
        }
    }

    // All faults end.
    drop((holder, waiter, crowd, queue));
    db02.psql("select pg_wal_replay_resume()").unwrap();
    db05.restart();
    db01.psql("alter role sage_other login").unwrap();
    let again = watch(&folder, &db01, "sage");
    options.jobs[6].address = again.address().to_string();
    options.jobs.push(missing);
    prometheus.reload(&options);
    let calm = poll::within(ALL, || alerts(&prometheus, FIRING).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    let unasked: Vec<_> = ever.difference(&expected).filter(|pair| !named(BESIDES).contains(*pair)).collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
}
