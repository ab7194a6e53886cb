//! The alerts of replication and of the write probe, each on a real fault: a link that is cut under a synchronous standby,
//! a second primary, a subscription that breaks, a server that takes no writes. Times are divided as in alerts.rs. Every
//! alert must fire with the labels of the inventory and end with its fault (a promotion has no end); nothing else may fire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use e2e::drill::{self, EVER, FIRING, Lowered, PASSWORD, alerts, assert_complete, is_of_a_busy_machine, job, named};
use e2e::fault::{FaultProxy, Mode};
use e2e::poll;
use e2e::servers::postgres::{PASSWORD as SUPERUSER_PASSWORD, Postgres, PostgresOptions, SUPERUSER};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::temp::TempFolder;

const ALL: Duration = Duration::from_secs(120);

const OVERRIDES: [Lowered; 2] = [("PostgresCommitStalled", "db01", 2.0), ("PostgresSlotRetainsWal", "db01", 1e6)];

/// db01 and db02 are a primary and its synchronous standby, db03 and db04 a primary and a standby that is promoted, db05
/// and db06 publisher and subscriber, db07 takes no writes.
const EXPECTED: [(&str, &str, &str); 8] = [
    ("PostgresCommitStalled", "db01", "critical"),
    ("PostgresReplicationBroken", "db02", "critical"),
    ("PostgresStandbyMissing", "db01", "warning"),
    ("PostgresSlotRetainsWal", "db01", "warning"),
    ("PostgresTwoPrimaries", "db03", "critical"),
    ("PostgresTwoPrimaries", "db04", "critical"),
    ("PostgresSubscriptionFailing", "db06", "warning"),
    ("PostgresWriteFailing", "db07", "critical"),
];

/// The cut standby is behind, too.
const BESIDES: [(&str, &str); 1] = [("PostgresReplicationLag", "db02")];

fn do_sql(server: &Postgres, sql: &str) {
    server.psql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn options(settings: &[&str]) -> PostgresOptions {
    PostgresOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..PostgresOptions::default() }
}

fn server(settings: &[&str]) -> Postgres {
    let server = Postgres::start(options(settings));
    server.create_monitor("sage", PASSWORD, 4);
    let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporters/postgres/grants/write-probe.sql");
    do_sql(&server, &std::fs::read_to_string(probe).unwrap());
    server
}

fn reload(server: &Postgres, setting: &str) {
    do_sql(server, &format!("alter system {setting}"));
    do_sql(server, "select pg_reload_conf()");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story in the order of events: faults, alerts, ends")]
fn every_alert_of_replication_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts-replication");
    let quick = ["wal_retrieve_retry_interval = 100ms", "wal_receiver_timeout = 3s", "wal_sender_timeout = 3s"];
    let (db01, db03) = (server(&quick[2..]), server(&[]));
    let (db05, db06, db07) = (server(&["wal_level = logical"]), server(&quick[..1]), server(&[]));
    do_sql(&db01, "select pg_create_physical_replication_slot('db02')");
    let proxy = FaultProxy::start(db01.address());
    let settings = [quick[0], quick[1], "primary_slot_name = 'db02'"];
    let db02 = Postgres::start_standby_through(&db01, proxy.address(), options(&settings));
    reload(&db01, &format!("set synchronous_standby_names = '{}'", db02.standby_name()));
    let db04 = Postgres::start_standby(&db03, PostgresOptions::default());
    for server in [&db05, &db06] {
        do_sql(server, "create table t(id int primary key)");
    }
    do_sql(&db05, "create publication p for table t");
    let publisher = format!("host=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname=postgres", db05.port());
    do_sql(&db06, &format!("create subscription shop connection '{publisher}' publication p"));

    let exporters = [&db01, &db02, &db03, &db04, &db05, &db06, &db07]
        .map(|server| drill::watch(&folder, server.port(), "sage", "probe_interval: 1s, write_interval: 1s"));
    let jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job(&format!("db0{n}"), e.address().to_string())).collect();
    let rules = drill::rules(&folder, &OVERRIDES, &jobs);
    let options = PrometheusOptions { jobs, rules, ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&options);
    let fine = || {
        let up = prometheus.query("sage_up == 1 and sage_login_success == 1").len() == exporters.len();
        let written = prometheus.query("sage_write_success == 1").len() == 5;
        let running = !prometheus.query(r#"pg_subscription_state{state="running"} == 1"#).is_empty();
        (up && written && running && alerts(&prometheus, FIRING).is_empty()).then_some(())
    };
    assert!(poll::within(ALL, fine).is_some(), "not well before any fault: {:?}", alerts(&prometheus, FIRING).into_keys());

    // The faults, all at once.
    proxy.set(Mode::Refuse);
    let user = db01.spawn_psql("postgres", "create table drill(n int)");
    // WAL without a commit, since commits hang.
    do_sql(&db01, "select count(pg_logical_emit_message(false, 'drill', repeat('x', 1000000))) from generate_series(1, 4)");
    do_sql(&db04, "select pg_promote()");
    do_sql(&db06, "insert into t values (1)");
    do_sql(&db05, "insert into t values (1)");
    reload(&db07, "set default_transaction_read_only = on");
    let expected = named(EXPECTED.map(|(alert, host, _)| (alert, host)));
    let mut fired: BTreeMap<_, _> = BTreeMap::new();
    poll::within(ALL, || {
        fired.extend(alerts(&prometheus, FIRING));
        expected.iter().all(|pair| fired.contains_key(pair)).then_some(())
    });
    let silent: Vec<_> = expected.iter().filter(|pair| !fired.contains_key(*pair)).collect();
    assert!(silent.is_empty(), "these do not fire: {silent:?}\n{:?}", prometheus.alerts());
    assert_complete(&fired, &EXPECTED, &prometheus);

    // The faults end, but for the promotion, which nothing takes back.
    proxy.set(Mode::Pass);
    do_sql(&db06, "delete from t where id = 1");
    do_sql(&db07, "set default_transaction_read_only = off; alter system reset default_transaction_read_only");
    do_sql(&db07, "select pg_reload_conf()");
    let calm = || alerts(&prometheus, FIRING).into_keys().all(|(alert, _)| alert == "PostgresTwoPrimaries").then_some(());
    assert!(poll::within(ALL, calm).is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    let unasked: Vec<_> =
        ever.difference(&expected).filter(|pair| !named(BESIDES).contains(*pair) && !is_of_a_busy_machine(pair)).collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
    drop(user);
}
