//! The ladder and the alerts on outages, each once on a real fault: the shipped rules in a real Prometheus and
//! Alertmanager, the real exporter, real PostgreSQL servers. Every alert must fire with the seven labels of the inventory,
//! and end when its fault has ended; nothing else may fire. `e2e::drill` says what is faster than on a site.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use e2e::drill::{self, EVER, FIRING, Lowered, PASSWORD, alerts, is_of_a_busy_machine, job, named, watch};
use e2e::exporter::Exporter;
use e2e::issuer::Authority;
use e2e::poll;
use e2e::servers::alertmanager::Alertmanager;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::temp::TempFolder;
use serde_json::json;

/// Of a step, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Of all alerts together: the longest `for` is 20 s here, and slow statements are counted over a real minute.
const ALL: Duration = Duration::from_secs(120);

const EACH_SECOND: &str = "probe_interval: 1s";

/// Alert, host, limit: lowered so that a fault of seconds passes it.
const OVERRIDES: [Lowered; 3] =
    [("PostgresSessionsBlocked", "db01", 2.0), ("PostgresSlowQueries", "db01", 2.0), ("PostgresReplicationLag", "db02", 10.0)];

/// What must fire: alert, host, severity. db01 and db02 are a primary and its standby, db03 to db05 servers of their own;
/// the exporters of db06 and db07 watch db01's server, that of db08 is missing.
const EXPECTED: [(&str, &str, &str); 10] = [
    ("PostgresSessionsBlocked", "db01", "critical"),
    ("PostgresSlowQueries", "db01", "warning"),
    ("PostgresReplicationLag", "db02", "warning"),
    ("PostgresConnectionsNearLimit", "db03", "warning"),
    ("PostgresConnectionsFull", "db03", "critical"),
    ("PostgresLoginFailing", "db04", "critical"),
    ("SageServiceDown", "db05", "critical"),
    ("SageMonitoringBlind", "db06", "warning"),
    ("SageExporterDown", "db07", "critical"),
    ("SageTargetMissing", "db08", "warning"),
];

/// What the fault of db04 may raise besides, when this machine is slow: all slots are taken there for moments.
const BESIDES: [(&str, &str); 3] =
    [("PostgresConnectionsNearLimit", "db04"), ("PostgresConnectionsFull", "db04"), ("SageServiceDown", "db04")];

fn server(settings: &[&str]) -> Postgres {
    let server =
        Postgres::start(PostgresOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..PostgresOptions::default() });
    server.create_monitor("sage", PASSWORD, 4);
    server
}

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
    let folder = TempFolder::new("alerts");
    let (db01, db03, db04, db05) = (server(&[]), server(&["max_connections = 33"]), server(&["max_connections = 20"]), server(&[]));
    db01.psql("create table drill(id int); insert into drill values (1)").unwrap();
    db01.create_monitor("sage_other", PASSWORD, 4);
    db01.pgbench_init("postgres", 1);
    let db02 = Postgres::start_standby(&db01, PostgresOptions::default());
    let watched =
        [(&db01, "sage"), (&db02, "sage"), (&db03, "sage"), (&db04, "sage"), (&db05, "sage"), (&db01, "sage_other"), (&db01, "sage")];
    let exporters = watched.map(|(server, user)| watch(&folder, server.port(), user, EACH_SECOND));
    let jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job(&format!("db0{n}"), e.address().to_string())).collect();
    let missing = job("db08", exporters[0].address().to_string());

    let inventory: Vec<Job> = jobs.iter().chain([&missing]).cloned().collect();
    let rules = drill::rules(&folder, &OVERRIDES, &inventory);
    let alertmanager = Alertmanager::start();
    let mut options = PrometheusOptions { jobs, rules, alertmanager: Some(alertmanager.address()), ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&options);
    let _writes = db01.pgbench_run("postgres", 1, 5);
    let up = || (prometheus.query("sage_up == 1 and sage_login_success == 1").len() == exporters.len()).then_some(());
    poll::until("all servers are up", LIMIT, up);
    // A standby that has replayed nothing yet has no lag to tell.
    let replayed = || (!prometheus.query(r#"pg_replication_last_replay_seconds{host="db02"}"#).is_empty()).then_some(());
    poll::until("the standby replays", LIMIT, replayed);
    let early: BTreeSet<_> = alerts(&prometheus, FIRING).into_keys().filter(|pair| !is_of_a_busy_machine(pair)).collect();
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
    drill::assert_complete(&fired, &EXPECTED, &prometheus);

    // All faults end.
    drop((holder, waiter, crowd, queue));
    db02.psql("select pg_wal_replay_resume()").unwrap();
    db05.restart();
    db01.psql("alter role sage_other login").unwrap();
    let again = watch(&folder, db01.port(), "sage", EACH_SECOND);
    options.jobs[6].address = again.address().to_string();
    options.jobs.push(missing);
    prometheus.reload(&options);
    let calm = poll::within(ALL, || alerts(&prometheus, FIRING).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    let unasked = ever.difference(&expected).filter(|pair| !named(BESIDES).contains(*pair) && !is_of_a_busy_machine(pair));
    let unasked: Vec<_> = unasked.collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
}

/// The certificate of an exporter's own port, taken anew without a restart while a real Prometheus scrapes over it.
#[test]
fn the_end_of_the_exporters_own_certificate_is_told_and_a_new_one_ends_it() {
    let folder = TempFolder::new("certificate");
    let authority = Authority::new(&folder, "authority");
    let days = |n: u64| Some(SystemTime::now() + Duration::from_secs(n * 86_400));
    authority.issue_until(&folder, "web", &["127.0.0.1"], days(10));
    let web = folder.write("web.yml", "tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n");
    let exporter = Exporter::launch("sage-http-exporter", &[&format!("--web.config.file={}", web.display())], &[]);
    let job = Job {
        access: json!({"scheme": "https", "tls_config": {"ca_file": authority.file.display().to_string()}}),
        ..job("db09", exporter.address().to_string())
    };
    let rules = drill::rules(&folder, &[], std::slice::from_ref(&job));
    let prometheus = Prometheus::start(&PrometheusOptions { jobs: vec![job], rules, ..PrometheusOptions::default() });
    let fires = || alerts(&prometheus, FIRING).into_keys().map(|(alert, _)| alert).collect::<Vec<_>>();
    poll::until("the end is told", ALL, || (fires() == ["SageWebCertificateEnding"]).then_some(()));
    authority.issue_until(&folder, "web", &["127.0.0.1"], days(90));
    poll::until("a new one ends it", ALL, || fires().is_empty().then_some(()));
    assert_eq!(prometheus.query(r#"up{host="db09"} == 1"#).len(), 1, "{}", exporter.logs());
}
