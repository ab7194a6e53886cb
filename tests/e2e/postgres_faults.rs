//! The PostgreSQL exporter while its server is away, frozen, hostile, closed to us or locked. In each fault: an answer
//! inside the scraper's timeout, what could be read is there, the reason is named, at most two connections as counted
//! on the server, no growth, recovery without restart, and the password in no output.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::fault::{FaultProxy, Mode};
use e2e::page::Page;
use e2e::servers::postgres::{Postgres, PostgresOptions, literal};
use e2e::watched::{
    BRISK, BUDGET, CANARY, COLLECTORS, LIMIT, MONITOR, TIMED, TIMEOUT_HEADER, does_not_grow, errors, keeps_its_secret, scrape, server,
    wait_fine, watch, watch_as,
};
use e2e::{poll, process};

const SHORT: Duration = Duration::from_secs(2);
const USUAL: Duration = Duration::from_secs(5);

/// One server for the tests that do not stop it.
fn shared() -> &'static Arc<Postgres> {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| server(PostgresOptions::default()))
}

fn up(page: &Page) -> f64 {
    page.value("sage_up", &[]).expect("sage_up is on every page")
}

/// A page of a server that cannot be reached: the reason is named, and what needs no connection is there.
#[track_caller]
fn is_down(page: &Page, reasons: &[&str]) {
    let errors = errors(page);
    assert_eq!((up(page), page.value("pg_up", &[])), (0.0, Some(0.0)), "{errors:?}");
    let reason = errors.get("connect").map_or("none", String::as_str);
    assert!(reasons.contains(&reason), "{reason} is none of {reasons:?}: {errors:?}");
    assert!(!page.has("pg_connections") && !page.has("pg_stat_database_xact_commit"), "values of a server that did not answer");
}

#[track_caller]
fn local_data_is_there(page: &Page, postmasters: f64) {
    assert_eq!(page.value("pg_server_processes", &[("kind", "postmaster")]), Some(postmasters));
    assert_eq!(page.value("pg_log_readable", &[]), Some(1.0));
    for collector in ["footprint", "slow_queries"] {
        assert_eq!(page.value("sage_collector_success", &[("collector", collector)]), Some(1.0), "{collector}");
    }
}

/// Scrapes until the server is up and nothing but the walk, which comes by later, still tells of the fault.
#[track_caller]
fn wait_up(what: &str, exporter: &Exporter) {
    let mut last = Page::default();
    let found = poll::within(LIMIT, || {
        last = scrape(exporter, USUAL);
        (up(&last) == 1.0 && errors(&last).keys().all(|part| TIMED.contains(&part.as_str()))).then_some(())
    });
    assert!(found.is_some(), "waited in vain: {what}: {:?}\n{}", errors(&last), exporter.logs());
}

#[test]
fn a_server_that_comes_goes_and_comes_back() {
    let server = server(PostgresOptions::default());
    server.stop();
    let exporter = watch(server.port(), BRISK);
    for _ in 0..3 {
        is_down(&scrape(&exporter, SHORT), &["refused"]);
    }
    server.restart();
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let before = exporter.open_fds();

    server.kill();
    let page = scrape(&exporter, SHORT);
    is_down(&page, &["refused", "connect"]);
    local_data_is_there(&page, 0.0);
    does_not_grow(&exporter, before, SHORT);
    is_down(&scrape(&exporter, SHORT), &["refused"]);

    server.restart();
    let page = wait_fine(&exporter);
    local_data_is_there(&page, 1.0);
    does_not_grow(&exporter, before, SHORT);
    assert!(watcher.samples() > 20, "{} samples", watcher.samples());
    assert!((1..=BUDGET).contains(&watcher.stop()));
    keeps_its_secret(&exporter);
    let told = exporter.logs().lines().filter(|l| l.contains("fails") && l.contains("refused")).count();
    // Each outage once, and once what the walk met in it for each collector on the timer.
    assert!((2..=2 + TIMED.len()).contains(&told), "{told} lines for two outages:\n{}", exporter.logs());
}

#[test]
fn a_frozen_server_is_told_in_time_and_forgotten_when_it_thaws() {
    let server = server(PostgresOptions::default());
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    server.freeze();
    for timeout in [USUAL, SHORT, Duration::from_secs(1)] {
        let page = scrape(&exporter, timeout);
        is_down(&page, &["timeout"]);
        local_data_is_there(&page, 1.0);
    }
    // Scrapers that give up leave nothing behind, neither here nor, once it goes on, on the server.
    for _ in 0..20 {
        let error = exporter.try_get("/metrics", &[(TIMEOUT_HEADER, "10")], Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    is_down(&scrape(&exporter, SHORT), &["timeout", "overloaded"]);
    server.thaw();
    wait_fine(&exporter);
    does_not_grow(&exporter, before, SHORT);
    poll::until("the server has let go of all but ours", LIMIT, || (server.count_connections(MONITOR) <= BUDGET).then_some(()));
    assert!((1..=BUDGET).contains(&watcher.stop()));
    keeps_its_secret(&exporter);
}

#[test]
fn a_hostile_or_broken_server_costs_a_reason_and_no_memory() {
    let server = shared();
    let proxy = FaultProxy::start(server.address());
    let exporter = watch(proxy.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    let modes: [(Mode, &[&str]); 9] = [
        (Mode::Refuse, &["refused"]),
        (Mode::BlackHole, &["timeout"]),
        (Mode::Garbage, &["decode"]),
        (Mode::Drip, &["timeout"]),
        (Mode::Reset, &["connect"]),
        (Mode::ResetMidAnswer(20), &["connect"]),
        (Mode::CloseAtOnce, &["connect"]),
        (Mode::HostileLength, &["decode"]),
        (Mode::EndlessRows, &["limit", "decode", "timeout"]),
    ];
    for (mode, reasons) in modes {
        proxy.set(mode);
        // The first meets the session that was open before, the second has to connect anew.
        for turn in ["warm", "fresh"] {
            let page = scrape(&exporter, SHORT);
            println!("{mode:?} {turn}: {:?}", errors(&page));
            is_down(&page, reasons);
            local_data_is_there(&page, 1.0);
        }
        let rss = exporter.rss_bytes();
        assert!(rss < 64 * 1024 * 1024, "{mode:?}: RSS {rss}");
        proxy.set(Mode::Pass);
        wait_up(&format!("recovery from {mode:?}"), &exporter);
    }
    for mode in [Mode::Reset, Mode::Garbage] {
        proxy.set(mode);
        does_not_grow(&exporter, before, SHORT);
    }
    proxy.set(Mode::Pass);
    wait_fine(&exporter);
    does_not_grow(&exporter, before, SHORT);
    let most = watcher.stop();
    assert!((1..=BUDGET).contains(&most), "{most} connections at once");
    keeps_its_secret(&exporter);
}

#[test]
fn a_wrong_password_is_told_once_and_right_again_without_restart() {
    let server = server(PostgresOptions::default());
    let set = |password: &str| server.psql(&format!("alter role {MONITOR} password {}", literal(password))).unwrap();
    set("another");
    let exporter = watch_as(server.port(), BRISK, CANARY);
    let lines = |part: &str| {
        let logs = exporter.logs();
        logs.lines().filter(|l| l.contains("fails") && l.contains("auth") && l.contains(&format!("part=\"{part}\""))).count()
    };
    for _ in 0..20 {
        is_down(&scrape(&exporter, SHORT), &["auth"]);
    }
    let page = scrape(&exporter, SHORT);
    assert_eq!(errors(&page).get("login").map(String::as_str), Some("auth"));
    assert_eq!(page.value("sage_login_success", &[]), Some(0.0));
    assert_eq!(lines("connect"), 1, "{}", exporter.logs());
    set(CANARY);
    wait_up("the right password", &exporter);

    // Changed while a session is open: that one keeps working, new logins do not, and both are said.
    set("another");
    let page = poll::until("the login probe fails", LIMIT, || {
        let page = scrape(&exporter, SHORT);
        errors(&page).contains_key("login").then_some(page)
    });
    assert_eq!((up(&page), page.value("sage_login_success", &[])), (1.0, Some(0.0)));
    assert_eq!(errors(&page)["login"], "auth");
    assert!(page.has("pg_connections"), "the warm session still reads");
    for _ in 0..20 {
        scrape(&exporter, SHORT);
    }
    assert_eq!((lines("connect"), lines("login")), (1, 1), "{}", exporter.logs());
    set(CANARY);
    wait_up("the right password again", &exporter);
    keeps_its_secret(&exporter);
}

#[test]
fn locks_on_a_user_s_table_stop_nothing() {
    let server = shared();
    server.psql("create database locked").unwrap();
    // The insert is counted before ANALYZE sets the count, not after.
    server.psql_in("locked", "create table t as select 1 as n; select pg_stat_force_next_flush()").unwrap();
    server.psql_in("locked", "analyze").unwrap();
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    // While the lock stands a new table is found: the walk has really been there.
    let goes_on = |tables: u32| {
        server.psql_in("locked", &format!("create table more{tables} as select 1 as n")).unwrap();
        poll::until("the new table is counted", LIMIT, || {
            let page = scrape(&exporter, USUAL);
            assert!(errors(&page).is_empty(), "{:?}", errors(&page));
            (page.value("pg_tables", &[("datname", "locked")]) == Some(f64::from(tables))).then_some(page)
        })
    };
    let mut holder = server.session("locked");
    holder.query("begin; lock table t in access exclusive mode").unwrap();
    let page = goes_on(2);
    assert_eq!(page.value("pg_locks_count", &[("datname", "locked"), ("mode", "accessexclusivelock")]), Some(1.0));
    assert_eq!(page.value("pg_table_rows", &[("datname", "locked"), ("relname", "t")]), Some(1.0));
    drop(holder);

    let mut reader = server.session("locked");
    reader.query("begin; select count(*) from t").unwrap();
    let waiter = server.spawn_psql("locked", "begin; lock table t in access exclusive mode");
    let waiting = "select count(*) from pg_locks where not granted";
    poll::until("the lock is waited for", LIMIT, || (server.psql(waiting).unwrap() == "1").then_some(()));
    let page = goes_on(3);
    assert_eq!(page.value("pg_lock_waits", &[("mode", "accessexclusivelock")]), Some(1.0));
    assert_eq!(page.value("pg_blocked_sessions", &[]), Some(1.0));
    drop((reader, waiter));
    assert!((1..=BUDGET).contains(&watcher.stop()));
}

/// Backends of the monitoring login by their process titles: also those whose login hangs, which no view shows.
fn backends(server: &Postgres) -> usize {
    let title = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    process::children(server.pid()).iter().filter(|pid| String::from_utf8_lossy(&title(pid)).contains(MONITOR)).count()
}

#[test]
fn a_locked_catalogue_stops_only_those_who_read_it() {
    let server = server(PostgresOptions::default());
    // A login that hangs outlives its client by up to authentication_timeout; the limit of the grants counts it.
    server.psql(&format!("alter role {MONITOR} connection limit {BUDGET}")).unwrap();
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    let mut holder = server.session("postgres");
    holder.query("begin; lock table pg_catalog.pg_database in access exclusive mode").unwrap();
    for _ in 0..5 {
        let page = scrape(&exporter, USUAL);
        let found = errors(&page);
        assert_eq!(up(&page), 1.0, "{found:?}");
        for collector in ["activity", "database", "locks"] {
            assert_eq!(found.get(collector).map(String::as_str), Some("timeout"), "{collector}: {found:?}");
        }
        for collector in ["footprint", "replication", "settings", "slow_queries"] {
            assert_eq!(page.value("sage_collector_success", &[("collector", collector)]), Some(1.0), "{collector}: {found:?}");
        }
        assert!(page.has("pg_settings_max_connections") && page.has("pg_replication_is_replica"));
        // One that the limit turns away is there for a moment only.
        poll::until("two backends, counting logins that hang", SHORT, || (backends(&server) <= BUDGET).then_some(()));
    }
    drop(holder);
    wait_fine(&exporter);
    does_not_grow(&exporter, before, SHORT);
    assert!((1..=BUDGET).contains(&watcher.stop()));
    assert!(backends(&server) <= BUDGET);
    keeps_its_secret(&exporter);
}

#[test]
fn one_slow_collector_costs_the_others_nothing() {
    let server = server(PostgresOptions { settings: vec!["allow_system_table_mods = on".to_owned()], ..PostgresOptions::default() });
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let only_settings_late = |what: &str| {
        let page = scrape(&exporter, USUAL);
        let found = errors(&page);
        assert_eq!(
            (up(&page), found.len(), found.get("settings").map(String::as_str)),
            (1.0, 1, Some("timeout")),
            "{what}: {found:?}\n{}",
            exporter.logs()
        );
        assert!(!page.has("pg_settings_max_connections"), "{what}: half an answer");
        for collector in COLLECTORS.iter().filter(|name| **name != "settings") {
            assert_eq!(page.value("sage_collector_success", &[("collector", collector)]), Some(1.0), "{what}: {collector}");
        }
    };
    // A lock on the view: lock_timeout ends the wait on the server.
    let mut holder = server.session("postgres");
    holder.query("begin; lock table pg_catalog.pg_settings in access exclusive mode").unwrap();
    only_settings_late("locked");
    drop(holder);
    wait_fine(&exporter);
    // A view that takes a minute: statement_timeout ends it on the server, and the session goes on.
    let backend =
        format!("select string_agg(pid::text, ',') from pg_stat_activity where usename = '{MONITOR}' and query like '%recovery%'");
    let session = server.psql(&backend).unwrap();
    let slow = "alter view pg_catalog.pg_settings rename to pg_settings_real;
                create view pg_catalog.pg_settings as select s.* from pg_catalog.pg_settings_real s, pg_catalog.pg_sleep(60);
                grant select on pg_catalog.pg_settings to public";
    server.psql(slow).unwrap();
    only_settings_late("slow");
    only_settings_late("slow again");
    server.psql("drop view pg_catalog.pg_settings; alter view pg_catalog.pg_settings_real rename to pg_settings").unwrap();
    wait_fine(&exporter);
    poll::until("the same session answers", LIMIT, || {
        scrape(&exporter, USUAL);
        server.psql(&backend).unwrap().split(',').any(|pid| session.split(',').any(|s| s == pid)).then_some(())
    });
    assert!((1..=BUDGET).contains(&watcher.stop()));
}
