//! The PostgreSQL exporter against a healthy server: the values are those of the server, the standby tells its role and
//! lag, what vanishes there vanishes here, pages stay bounded, and many scrapers at once cost no more connections.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::watched::{
    BRISK, BUDGET, CANARY, COLLECTORS, LIMIT, MONITOR, does_not_grow, errors, keeps_its_secret, scrape, scrape_at, server, wait_fine, watch,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// One server for the tests that leave no trace another one would see.
fn shared() -> &'static Arc<Postgres> {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| server(PostgresOptions::default()))
}

fn number(server: &Postgres, sql: &str) -> f64 {
    server.psql(sql).unwrap().parse().unwrap()
}

/// Scrapes until `done` returns something for the page.
#[track_caller]
fn seen<T>(what: &str, exporter: &Exporter, mut done: impl FnMut(&Page) -> Option<T>) -> T {
    poll::until(what, LIMIT, || done(&scrape(exporter, TIMEOUT)))
}

/// `name{labels}` of the page as `get("name", &[("label", "value")])`, which must be there.
macro_rules! get {
    ($page:expr, $name:literal $(, $label:literal = $value:literal)*) => {
        $page.value($name, &[$(($label, $value)),*]).unwrap_or_else(|| panic!("{} {:?} is missing", $name, [$(($label, $value)),*] as [(&str, &str); _]))
    };
}

#[test]
fn every_collector_tells_what_the_server_does() {
    let server = Postgres::start(PostgresOptions {
        settings: vec!["max_connections = 50".to_owned(), "superuser_reserved_connections = 4".to_owned()],
        slow_query: Some(Duration::from_millis(100)),
        ..PostgresOptions::default()
    });
    // The limit that the grants set: the exporter must do with it.
    server.create_monitor(MONITOR, CANARY, 2);
    server.psql("create database shop").unwrap();
    let tables = "create table customer as select generate_series(1, 1000) as id; create table country as select 1 as id;
                  create index on customer (id); select pg_stat_force_next_flush()";
    server.psql_in("shop", tables).unwrap();
    // In a session of its own: the inserts are counted before ANALYZE sets the count, not after.
    server.psql_in("shop", "analyze").unwrap();
    let mut locker = server.session("shop");
    locker.query("begin; lock table customer in access exclusive mode").unwrap();
    let mut idle = server.session("shop");
    idle.query("begin; select 1").unwrap();
    let waiter = server.spawn_psql("shop", "select count(*) from customer");
    let waiting = "select count(*) from pg_locks where not granted";
    poll::until("the reader waits", LIMIT, || (server.psql(waiting).unwrap() == "1").then_some(()));

    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    let page = seen("the walk has been everywhere", &exporter, |p| p.value("pg_tables", &[("datname", "shop")]).map(|_| p.clone()));
    for collector in COLLECTORS {
        assert_eq!(page.value("pg_scrape_collector_success", &[("collector", collector)]), Some(1.0), "{collector}");
    }
    assert_eq!(get!(page, "pg_up"), 1.0);
    assert_eq!(get!(page, "pg_exporter_last_scrape_error"), 0.0);
    let minor = number(&server, "show server_version_num") % 10_000.0;
    assert_eq!(page.value("pg_static", &[("short_version", &format!("15.{minor}.0"))]), Some(1.0));
    assert_eq!(get!(page, "sage_login_success"), 1.0);
    for phase in ["resolve", "connect", "tls", "login", "request"] {
        assert!(page.value("sage_login_duration_seconds", &[("phase", phase)]).is_some_and(|s| (0.0..3.0).contains(&s)), "{phase}");
    }
    assert_eq!(get!(page, "sage_connections", "state" = "warm"), 1.0);

    // tables, also of a database where somebody holds a table exclusively
    assert_eq!(get!(page, "pg_tables", "datname" = "shop"), 2.0);
    assert_eq!(get!(page, "pg_tables", "datname" = "postgres"), 0.0);
    assert_eq!(get!(page, "pg_table_rows", "datname" = "shop", "schemaname" = "public", "relname" = "customer"), 1000.0);
    assert_eq!(get!(page, "pg_table_rows", "datname" = "shop", "schemaname" = "public", "relname" = "country"), 1.0);
    let size = server.psql_in("shop", "select 8192 * sum(relpages) from pg_class where relname like 'customer%'").unwrap();
    assert_eq!(get!(page, "pg_table_size_bytes", "datname" = "shop", "relname" = "customer"), size.parse::<f64>().unwrap());
    assert_eq!(get!(page, "pg_stat_user_tables_n_tup_ins", "datname" = "shop", "relname" = "customer"), 1000.0);
    assert!(get!(page, "pg_stat_user_tables_last_analyze", "datname" = "shop", "relname" = "customer") > 1.7e9);
    let size = number(&server, "select pg_database_size('shop')");
    assert!((get!(page, "pg_database_size_bytes", "datname" = "shop") / size - 1.0).abs() < 0.2);

    // locks
    assert_eq!(get!(page, "pg_blocked_sessions"), 1.0);
    assert_eq!(get!(page, "pg_blocking_sessions"), 1.0);
    assert!(get!(page, "pg_longest_blocked_seconds") > 0.0);
    assert_eq!(get!(page, "pg_lock_waits", "mode" = "accesssharelock"), 1.0);
    assert_eq!(get!(page, "pg_locks_count", "datname" = "shop", "mode" = "accessexclusivelock"), 1.0);

    // sessions
    assert_eq!(get!(page, "pg_stat_activity_count", "datname" = "shop", "state" = "idle in transaction"), 2.0);
    assert_eq!(get!(page, "pg_stat_activity_count", "datname" = "shop", "state" = "active"), 1.0);
    assert_eq!(get!(page, "pg_connections", "state" = "idle in transaction"), 2.0);
    assert_eq!(get!(page, "pg_connections_max"), 46.0);
    let oldest = get!(page, "pg_oldest_transaction_seconds");
    assert_eq!(get!(page, "pg_stat_activity_max_tx_duration", "datname" = "shop", "state" = "idle in transaction"), oldest);
    seen("the transaction grows older", &exporter, |p| (get!(p, "pg_oldest_transaction_seconds") > oldest).then_some(()));

    // settings, replication, database
    assert_eq!(get!(page, "pg_settings_max_connections"), 50.0);
    assert_eq!(get!(page, "pg_settings_shared_buffers_bytes"), 16.0 * 1024.0 * 1024.0);
    assert_eq!(get!(page, "pg_settings_fsync"), 0.0);
    assert_eq!(get!(page, "pg_replication_is_replica"), 0.0);
    assert_eq!(get!(page, "pg_replication_lag_seconds"), 0.0);
    assert_eq!(get!(page, "pg_replication_standbys", "state" = "streaming"), 0.0);
    let backends = get!(page, "pg_stat_database_numbackends", "datname" = "shop");
    assert!((3.0..=4.0).contains(&backends), "three sessions, and perhaps the walk: {backends}");
    seen("the rows are counted", &exporter, |p| (get!(p, "pg_stat_database_tup_inserted", "datname" = "shop") >= 1001.0).then_some(()));

    // what a server on this machine uses
    assert_eq!(get!(page, "pg_server_processes", "kind" = "postmaster"), 1.0);
    let clients = get!(page, "pg_server_processes", "kind" = "client");
    assert!((4.0..=6.0).contains(&clients), "three sessions and ours: {clients}");
    assert!(get!(page, "pg_memory_bytes", "kind" = "private") > 1e6);
    assert!(get!(page, "pg_memory_bytes", "kind" = "shared") > 1e6);

    // the log: a statement over the threshold of the server, but not over a second, does not count
    let before = get!(page, "pg_slow_queries_total", "source" = "log");
    assert_eq!(get!(page, "pg_log_readable"), 1.0);
    server.psql("select pg_sleep(0.2)").unwrap();
    server.psql("select pg_sleep(1.2)").unwrap();
    let page = seen("the slow statement", &exporter, |p| (get!(p, "pg_slow_queries_total", "source" = "log") > before).then(|| p.clone()));
    assert_eq!(get!(page, "pg_slow_queries_total", "source" = "log"), before + 1.0);
    assert!(get!(page, "pg_slow_queries_last_minute") >= 1.0);
    assert_eq!(get!(page, "pg_log_parse_errors_total"), 0.0);

    drop(locker);
    seen("nobody is blocked", &exporter, |p| (get!(p, "pg_blocked_sessions") == 0.0).then_some(()));
    drop((idle, waiter));
    let none = |p: &Page| (get!(p, "pg_connections", "state" = "idle in transaction") == 0.0).then_some(());
    seen("the transactions are over", &exporter, none);
}

#[test]
fn a_standby_tells_its_lag_its_pause_and_its_promotion() {
    let primary = server(PostgresOptions::default());
    let standby = Postgres::start_standby(&primary, PostgresOptions::default());
    let (first, second) = (watch(primary.port(), BRISK), watch(standby.port(), BRISK));

    let page = wait_fine(&first);
    let name = format!("standby{}", standby.port());
    let diff = page.value("pg_stat_replication_pg_wal_lsn_diff", &[("application_name", &name), ("state", "streaming")]);
    assert!(diff.is_some_and(|bytes| bytes < 1e6), "{diff:?}");
    assert_eq!(get!(page, "pg_replication_standbys", "state" = "streaming"), 1.0);

    let role = |p: &Page| (get!(p, "pg_replication_is_replica"), get!(p, "pg_replication_role", "role" = "standby"));
    let page = wait_fine(&second);
    assert_eq!(role(&page), (1.0, 1.0));
    assert_eq!(get!(page, "pg_replication_apply_ok"), 1.0);
    primary.psql("create table written as select 1 as n").unwrap();
    let page = seen("an idle standby has no lag", &second, |p| {
        (p.value("pg_replication_lag_seconds", &[]) == Some(0.0) && p.has("pg_replication_last_applied_timestamp_seconds"))
            .then(|| p.clone())
    });
    assert!(get!(page, "pg_replication_last_replay_seconds") > 0.0);

    standby.psql("select pg_wal_replay_pause()").unwrap();
    primary.psql("insert into written select generate_series(1, 1000)").unwrap();
    let lags = |p: &Page| get!(p, "pg_replication_apply_ok") == 0.0 && get!(p, "pg_replication_lag_seconds") > 0.0;
    seen("the pause and its lag are seen", &second, |p| lags(p).then_some(()));
    seen("the primary sees it too", &first, |p| {
        p.value("pg_stat_replication_pg_wal_lsn_diff", &[("application_name", &name)]).filter(|bytes| *bytes > 10_000.0)
    });
    standby.psql("select pg_wal_replay_resume()").unwrap();
    let well = |p: &Page| get!(p, "pg_replication_apply_ok") == 1.0 && get!(p, "pg_replication_lag_seconds") == 0.0;
    seen("it has caught up", &second, |p| well(p).then_some(()));

    standby.psql("select pg_promote()").unwrap();
    let page = seen("the promotion is seen over the session that was open before", &second, |p| (role(p).0 == 0.0).then(|| p.clone()));
    assert_eq!(role(&page), (0.0, 0.0));
    assert_eq!(get!(page, "pg_replication_lag_seconds"), 0.0);
    assert!(!page.has("pg_replication_apply_ok"));
    assert_eq!(
        get!(
            seen("its standby is gone", &first, |p| (!p.has("pg_stat_replication_pg_wal_lsn_diff")).then(|| p.clone())),
            "pg_replication_standbys",
            "state" = "streaming"
        ),
        0.0
    );
}

#[test]
fn a_dropped_database_is_gone_at_the_next_scrape() {
    let server = shared();
    server.psql("create database doomed").unwrap();
    server.psql_in("doomed", "create table t as select 1 as n; analyze t").unwrap();
    // No short timers here: what vanishes must not wait for the next walk.
    let exporter = watch(server.port(), "");
    let of_doomed =
        |p: &Page| p.samples.iter().filter(|s| s.labels.values().any(|v| v == "doomed")).map(|s| s.name.clone()).collect::<Vec<_>>();
    wait_fine(&exporter);
    let names = seen("the walk has been there", &exporter, |p| p.value("pg_tables", &[("datname", "doomed")]).map(|_| of_doomed(p)));
    for name in ["pg_tables", "pg_table_rows", "pg_database_size_bytes", "pg_stat_database_xact_commit", "pg_indexes"] {
        assert!(names.iter().any(|n| n == name), "{name} is not among {names:?}");
    }
    server.psql("drop database doomed").unwrap();
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!(of_doomed(&page), Vec::<String>::new());
    assert_eq!(errors(&page).len(), 0, "{:?}", errors(&page));
    assert_eq!(get!(page, "pg_tables", "datname" = "postgres"), 0.0);
}

#[test]
fn many_tables_become_one_line_and_a_page_has_an_end() {
    let server = Arc::new(Postgres::start(PostgresOptions::default()));
    server.create_monitor(MONITOR, CANARY, 10);
    server.psql("create database wide").unwrap();
    let many = "do $$ begin for n in 1..300 loop
                  execute format('create table t%s as select generate_series(1, %s) as id', n, n); end loop; end $$;
                select pg_stat_force_next_flush()";
    server.psql_in("wide", many).unwrap();
    server.psql_in("wide", "analyze").unwrap();

    let exporter = watch(server.port(), "modules: {default: {collectors: {tables: {top: 7}}}}");
    wait_fine(&exporter);
    let page = seen("the walk has been there", &exporter, |p| p.value("pg_tables", &[("datname", "wide")]).map(|_| p.clone()));
    assert_eq!(get!(page, "pg_tables", "datname" = "wide"), 300.0);
    let of_wide = |name: &str| page.series(name).iter().filter(|s| s.labels["datname"] == "wide").count();
    assert_eq!(of_wide("pg_table_rows"), 8);
    assert_eq!(of_wide("pg_table_size_bytes"), 8);
    assert_eq!(of_wide("pg_stat_user_tables_n_live_tup"), 7);
    // The largest by pages: those with more than a page's worth of rows come first.
    assert_eq!(get!(page, "pg_table_rows", "datname" = "wide", "relname" = "t300"), 300.0);
    let all: f64 = page.series("pg_table_rows").iter().filter(|s| s.labels["datname"] == "wide").map(|s| s.value).sum();
    assert_eq!(all, 300.0 * 301.0 / 2.0);
    assert!(get!(page, "pg_table_rows", "datname" = "wide", "relname" = "_other") > 10_000.0);

    let exporter = watch(server.port(), "modules: {default: {max_series: 100}}");
    let page = seen("the cut page", &exporter, |p| p.has("sage_series_dropped").then(|| p.clone()));
    assert_eq!(get!(page, "sage_up"), 1.0);
    let read = page.samples.iter().filter(|s| s.name.starts_with("pg_") && !s.name.starts_with("pg_scrape_")).count();
    assert!(read <= 105, "{read} series of the server");
    assert!(get!(page, "sage_series_dropped", "family" = "pg_settings_work_mem_bytes") >= 1.0);
    assert_eq!(get!(page, "sage_collector_success", "collector" = "settings"), 1.0);
}

#[test]
fn many_scrapers_at_once_share_two_connections() {
    let server = shared();
    let exporter = watch(server.port(), BRISK);
    let watcher = server.watch_connections(MONITOR);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    for count in [20, 50] {
        let pages: Vec<Page> = thread::scope(|scope| {
            let scrapes: Vec<_> = (0..count).map(|_| scope.spawn(|| scrape(&exporter, TIMEOUT))).collect();
            scrapes.into_iter().map(|s| s.join().unwrap()).collect()
        });
        for page in &pages {
            assert_eq!((get!(page, "sage_up"), errors(page).len()), (1.0, 0), "{:?}", errors(page));
            assert!(page.has("pg_connections") && page.has("pg_settings_max_connections"));
        }
        // One answer for all who asked together: the same scrape took the same time.
        let mut times: Vec<String> = pages.iter().map(|p| get!(p, "sage_scrape_duration_seconds").to_string()).collect();
        times.sort();
        times.dedup();
        assert!(times.len() <= count / 2, "{} scrapes of {count}", times.len());
    }
    for round in 0..3 {
        let ask = |names: [&'static str; 2]| {
            let exporter = &exporter;
            move || (names, scrape_at(exporter, &format!("/metrics?collect[]={}&collect[]={}", names[0], names[1]), TIMEOUT))
        };
        let pages = thread::scope(|scope| {
            let jobs = [scope.spawn(ask(["activity", "locks"])), scope.spawn(ask(["settings", "replication"]))];
            jobs.map(|job| job.join().unwrap())
        });
        for (names, page) in pages {
            let mut ran: Vec<&str> = page.series("sage_collector_success").iter().map(|s| s.labels["collector"].as_str()).collect();
            ran.sort_unstable();
            let mut wanted = names.to_vec();
            wanted.sort_unstable();
            assert_eq!((ran, errors(&page).len()), (wanted, 0), "round {round}: {:?}", errors(&page));
        }
    }
    does_not_grow(&exporter, before, TIMEOUT);
    assert!(watcher.samples() > 20, "{} samples", watcher.samples());
    assert!((1..=BUDGET).contains(&watcher.stop()));
    assert_eq!(server.count_connections(MONITOR).min(1), 1, "the warm session is kept");
    keeps_its_secret(&exporter);
}
