//! The PostgreSQL exporter on the versions beside Debian's, in a short round each: all collectors work and tell what the
//! server says of itself, on a primary and on its standby; and a wrong password, a lock, a frozen server and one that is
//! down are each told with their reason, inside the scraper's timeout, with two connections, and forgotten without a
//! restart. The whole round runs on PostgreSQL 15.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::sync::Arc;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version, literal};
use e2e::watched::{BRISK, BUDGET, CANARY, COLLECTORS, LIMIT, MONITOR, TIMED, errors, keeps_its_secret, scrape, server, wait_fine, watch};

const SHORT: Duration = Duration::from_secs(2);
const USUAL: Duration = Duration::from_secs(5);

/// A page of a server that does not answer: down, with this reason, and what needs no connection is there.
#[track_caller]
fn is_down(page: &Page, reasons: &[&str]) {
    let errors = errors(page);
    assert_eq!(page.value("sage_up", &[]), Some(0.0), "{errors:?}");
    assert!(errors.get("connect").is_some_and(|reason| reasons.contains(&reason.as_str())), "none of {reasons:?}: {errors:?}");
    assert!(!page.has("pg_connections"), "values of a server that did not answer");
    assert!(page.has("sage_scrape_duration_seconds"));
}

/// Waits until all is well and the walk has been in `shop`, and holds each value against what the server itself says.
#[track_caller]
fn tells_what_the_server_says(server: &Postgres, exporter: &Exporter) -> Page {
    wait_fine(exporter);
    let page = poll::until("the walk has been everywhere", LIMIT, || {
        let page = scrape(exporter, USUAL);
        let size = page.value("pg_database_size_bytes", &[("datname", "shop")]);
        (size.is_some() && page.value("pg_tables", &[("datname", "shop")]).is_some()).then_some(page)
    });
    let number = |sql: &str| server.psql(sql).unwrap().parse::<f64>().unwrap();
    let values = [
        ("pg_settings_server_version_num", "show server_version_num"),
        ("pg_settings_max_connections", "show max_connections"),
        ("pg_connections_max", "select current_setting('max_connections')::int - 3"),
        ("pg_replication_is_replica", "select pg_is_in_recovery()::int"),
    ];
    for (name, sql) in values {
        assert_eq!(page.value(name, &[]), Some(number(sql)), "{name}");
    }
    let size = page.value("pg_database_size_bytes", &[("datname", "shop")]).unwrap();
    assert!(size > 1e6 && (size - number("select pg_database_size('shop')")).abs() < 1e6, "{size}");
    let statics = page.series("pg_static");
    assert_eq!(statics.len(), 1);
    let major = server.version().major();
    assert!(statics[0].labels["short_version"].starts_with(&format!("{major}.")), "{statics:?}");
    for collector in COLLECTORS {
        assert_eq!(page.value("sage_collector_success", &[("collector", collector)]), Some(1.0), "{collector}");
    }
    page
}

/// Scrapes until the server is up and nothing but the walk, which comes by later, still tells of a fault.
#[track_caller]
fn wait_up(what: &str, exporter: &Exporter) {
    poll::until(what, LIMIT, || {
        let page = scrape(exporter, USUAL);
        let fine = errors(&page).keys().all(|part| TIMED.contains(&part.as_str()));
        (page.value("sage_up", &[]) == Some(1.0) && fine).then_some(())
    });
}

fn a_lock_stops_nothing(server: &Postgres, exporter: &Exporter) {
    let mut holder = server.session("shop");
    holder.query("begin; lock table customer in access exclusive mode").unwrap();
    let waiter = server.spawn_psql("shop", "select count(*) from customer");
    let found = poll::until("the wait is told", LIMIT, || {
        let page = scrape(exporter, USUAL);
        assert!(errors(&page).is_empty(), "{:?}", errors(&page));
        (page.value("pg_blocked_sessions", &[]) == Some(1.0)).then_some(page)
    });
    assert_eq!(found.value("pg_locks_count", &[("datname", "shop"), ("mode", "accessexclusivelock")]), Some(1.0));
    assert_eq!(found.value("pg_table_rows", &[("datname", "shop"), ("relname", "customer")]), Some(100.0));
    drop((holder, waiter));

    // The catalogue itself: who reads it is late, and says so; the rest is there.
    let mut holder = server.session("postgres");
    holder.query("begin; lock table pg_catalog.pg_database in access exclusive mode").unwrap();
    let page = scrape(exporter, USUAL);
    assert_eq!(page.value("sage_up", &[]), Some(1.0), "{:?}", errors(&page));
    assert_eq!(errors(&page).get("database").map(String::as_str), Some("timeout"));
    assert!(page.has("pg_settings_max_connections") && page.has("pg_replication_is_replica"));
    drop(holder);
    wait_fine(exporter);
}

fn short_round(version: Version) {
    let server: Arc<Postgres> =
        server(PostgresOptions { settings: vec!["max_connections = 40".to_owned()], ..PostgresOptions::of(version) });
    server.psql("create database shop").unwrap();
    server.psql_in("shop", "create table customer as select generate_series(1, 100) as id").unwrap();
    server.psql_in("shop", "vacuum analyze customer").unwrap();
    let set = |password: &str| server.psql(&format!("alter role {MONITOR} password {}", literal(password))).unwrap();

    set("another");
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    is_down(&scrape(&exporter, SHORT), &["auth"]);
    set(CANARY);
    tells_what_the_server_says(&server, &exporter);
    a_lock_stops_nothing(&server, &exporter);

    server.freeze();
    is_down(&scrape(&exporter, SHORT), &["timeout"]);
    server.thaw();
    wait_up("the server goes on", &exporter);
    assert!(watcher.samples() > 20, "{} samples", watcher.samples());
    assert!((1..=BUDGET).contains(&watcher.stop()));

    server.kill();
    let page = scrape(&exporter, SHORT);
    is_down(&page, &["refused", "connect"]);
    assert_eq!(page.value("pg_server_processes", &[("kind", "postmaster")]), Some(0.0));
    server.restart();
    let page = wait_fine(&exporter);
    assert_eq!(page.value("pg_server_processes", &[("kind", "postmaster")]), Some(1.0));
    keeps_its_secret(&exporter);

    let standby = Postgres::start_standby(&server, PostgresOptions::default());
    let exporter = watch(standby.port(), BRISK);
    let page = tells_what_the_server_says(&standby, &exporter);
    assert_eq!(page.value("pg_replication_role", &[("role", "standby")]), Some(1.0));
    assert_eq!(page.value("pg_replication_apply_ok", &[]), Some(1.0));
}

#[test]
fn postgresql_13() {
    short_round(Version::V13);
}

#[test]
fn postgresql_17() {
    short_round(Version::V17);
}

#[test]
fn postgresql_18() {
    short_round(Version::V18);
}
