//! The collectors of the whole instance: what is done on the server is what they tell, on all versions, and what a role
//! without grants may not see is said and not guessed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version, literal};
use e2e::watched::{CANARY, LIMIT, MONITOR, errors, scrape, server, watch};

const TIMEOUT: Duration = Duration::from_secs(10);

/// All that is on request, and timers that keep nobody waiting.
const ALL: &str = "modules:
  default:
    probe_interval: 1s
    collectors:
      activity_autovacuum: {enabled: true}
      buffercache: {enabled: true, interval: 1s}
      io: {enabled: true}
      memory: {interval: 1s}
      process_idle: {enabled: true}
      statements: {enabled: true, interval: 1s, top: 1000}
";

/// A server that archives in vain, prepares transactions and counts statements.
fn busy(version: Version) -> Arc<Postgres> {
    let settings = [
        "archive_mode = on",
        "archive_command = '/bin/false'",
        "wal_level = logical",
        "max_prepared_transactions = 5",
        "shared_preload_libraries = pg_stat_statements",
        "track_io_timing = on",
        "autovacuum_naptime = 1s",
    ];
    let settings = settings.map(str::to_owned).to_vec();
    let server = server(PostgresOptions { version, settings, ..PostgresOptions::default() });
    server.psql("create schema stats; grant usage on schema stats to public").unwrap();
    server.psql("create extension pg_stat_statements schema stats; create extension pg_buffercache schema stats").unwrap();
    server
}

fn number(server: &Postgres, sql: &str) -> f64 {
    server.psql(sql).unwrap().parse().unwrap()
}

#[track_caller]
fn get(page: &Page, name: &str, labels: &[(&str, &str)]) -> f64 {
    page.value(name, labels).unwrap_or_else(|| panic!("{name} {labels:?} is missing"))
}

/// Scrapes until `done` holds for the page, and returns it.
#[track_caller]
fn seen(what: &str, exporter: &Exporter, done: impl Fn(&Page) -> bool) -> Page {
    let mut last = Page::default();
    let found = poll::within(LIMIT, || {
        last = scrape(exporter, TIMEOUT);
        done(&last).then_some(())
    });
    assert!(found.is_some(), "waited in vain: {what}: {:?}\n{}", errors(&last), exporter.logs());
    last
}

/// Lets transactions come and go.
fn spend(server: &Postgres, transactions: u32) {
    let block = format!("do $$ begin for i in 1..{transactions} loop perform txid_current(); commit; end loop; end $$");
    server.psql(&block).unwrap();
}

#[test]
fn checkpoints_wal_and_the_archiver_are_told_on_all_versions() {
    for version in Version::ALL {
        let server = busy(version);
        let exporter = watch(server.port(), ALL);
        let from = |major| version.major() >= major;
        let walked = |p: &Page| p.has("pg_stat_statements_calls_total") && p.has("pg_buffercache_summary_buffers_used") == from(16);
        let before = seen("the walk has been there", &exporter, walked);
        assert_eq!(errors(&before).len(), 0, "{version:?}: {:?}", errors(&before));
        let requested = get(&before, "pg_stat_bgwriter_checkpoints_req_total", &[]);
        assert_eq!(before.types["pg_stat_bgwriter_stats_reset_total"], "gauge");
        assert_eq!(before.types["pg_stat_bgwriter_buffers_alloc_total"], "counter");
        let (location, bytes) = (get(&before, "pg_xlog_location_bytes", &[]), before.value("pg_stat_wal_bytes_total", &[]));

        server.psql("create table filled as select generate_series(1, 20000) as id").unwrap();
        let switched = number(&server, "select pg_switch_wal() - '0/0'");
        server.psql("checkpoint").unwrap();
        let after = seen("the checkpoint and the failure", &exporter, |p| {
            get(p, "pg_stat_bgwriter_checkpoints_req_total", &[]) > requested && get(p, "pg_stat_archiver_failed_count", &[]) > 0.0
        });
        assert_eq!(get(&after, "pg_stat_bgwriter_checkpoints_req_total", &[]), requested + 1.0, "{version:?}");
        assert!(get(&after, "pg_stat_bgwriter_buffers_checkpoint_total", &[]) > 0.0, "{version:?}");
        assert_eq!(after.value("pg_stat_checkpointer_num_requested_total", &[]), from(17).then_some(requested + 1.0));
        assert_eq!(after.has("pg_stat_checkpointer_num_done_total"), from(18));
        // The table went to disk by the backend's own hand when it was extended.
        let pages = number(&server, "select pg_relation_size('filled') / 8192");
        seen("the backend's writes", &exporter, |p| get(p, "pg_stat_bgwriter_buffers_backend_total", &[]) >= pages);

        assert!(get(&after, "pg_xlog_location_bytes", &[]) >= switched.max(location), "{version:?}");
        assert_eq!(after.has("pg_stat_wal_bytes_total"), from(14));
        if let Some(bytes) = bytes {
            seen("the WAL is counted", &exporter, |p| get(p, "pg_stat_wal_bytes_total", &[]) > bytes + 1e6);
        }
        assert_eq!(get(&after, "pg_wal_size_bytes", &[]), get(&after, "pg_wal_segments", &[]) * 16.0 * 1024.0 * 1024.0);

        assert_eq!(get(&after, "pg_archiver_enabled", &[]), 1.0);
        assert!(get(&after, "pg_archiver_ready_segments", &[]) >= 1.0, "{version:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let failed = get(&after, "pg_archiver_last_failure_timestamp_seconds", &[]);
        assert!((now - 60.0..=now + 1.0).contains(&failed), "{failed} of {now}");
        assert!(!after.has("pg_archiver_last_success_timestamp_seconds") && !after.has("pg_stat_archiver_last_archive_age"));
        server.psql("alter system set archive_command = '/bin/true'").unwrap();
        server.psql("select pg_reload_conf(), pg_switch_wal()").unwrap();
        let well = seen("archived at last", &exporter, |p| p.has("pg_archiver_last_success_timestamp_seconds"));
        assert!(get(&well, "pg_stat_archiver_archived_count", &[]) >= 1.0);
        assert!(get(&well, "pg_stat_archiver_last_archive_age", &[]) < 60.0);
        seen("nothing waits", &exporter, |p| get(p, "pg_archiver_ready_segments", &[]) == 0.0);

        // What each version has, and what it has not.
        assert_eq!(after.has("pg_stat_io_writes_total"), from(16), "{version:?}");
        if from(16) {
            let client = [("backend_type", "client backend"), ("object", "relation"), ("context", "normal")];
            let hits = number(
                &server,
                "select hits from pg_stat_io where backend_type = 'client backend' and object = 'relation' and context = 'normal'",
            );
            assert!((1.0..=hits).contains(&get(&after, "pg_stat_io_hits_total", &client)), "{version:?}: {hits}");
            let buffers =
                get(&after, "pg_buffercache_summary_buffers_used", &[]) + get(&after, "pg_buffercache_summary_buffers_unused", &[]);
            assert_eq!(buffers, 2048.0, "16 MB");
            assert_eq!(after.series("pg_buffercache_buffers").iter().map(|s| s.value).sum::<f64>(), buffers);
        }
        assert_eq!(after.has("pg_shared_memory_bytes"), from(15), "{version:?}");
        assert_eq!(after.has("pg_stat_database_sessions_total"), from(14), "{version:?}");
        assert!(get(&after, "pg_stat_slru_blocks_hit_total", &[("slru", "transaction")]) > 0.0, "{version:?}");
        assert_eq!(after.series("pg_stat_slru_blocks_read_total").len(), 8, "{version:?}");
    }
}

#[test]
fn who_holds_vacuum_back_is_told_by_name() {
    let server = busy(Version::V15);
    let exporter = watch(server.port(), ALL);
    let age = |p: &Page, holder: &str| get(p, "pg_xmin_horizon_age_xids", &[("holder", holder)]);
    let page = seen("nobody holds", &exporter, |p| age(p, "transaction") == 0.0);
    let all = ["transaction", "prepared", "slot", "standby"];
    assert_eq!(all.map(|holder| age(&page, holder)), [0.0; 4]);
    assert_eq!((get(&page, "pg_prepared_xacts_count", &[]), get(&page, "pg_prepared_xacts_oldest_seconds", &[])), (0.0, 0.0));
    assert_eq!(get(&page, "pg_idle_in_transaction_seconds", &[]), 0.0);
    assert_eq!(get(&page, "pg_long_running_transactions_oldest_timestamp_seconds", &[]), 0.0);

    // A snapshot that somebody keeps.
    let mut reader = server.session("postgres");
    reader.query("begin isolation level repeatable read; select 1").unwrap();
    spend(&server, 50);
    let page =
        seen("the reader holds", &exporter, |p| age(p, "transaction") >= 50.0 && get(p, "pg_idle_in_transaction_seconds", &[]) > 0.5);
    assert_eq!((age(&page, "prepared"), age(&page, "slot"), age(&page, "standby")), (0.0, 0.0, 0.0));
    let idle = get(&page, "pg_idle_in_transaction_seconds", &[]);
    assert!(get(&page, "pg_long_running_transactions_oldest_timestamp_seconds", &[]) >= idle);
    assert_eq!(get(&page, "pg_long_running_transactions", &[]), 0.0, "none has been open for a minute");
    // The peer's histogram has the session in the bucket of its time.
    let of_reader = [("state", "idle in transaction"), ("application_name", "harness")];
    assert_eq!(get(&page, "pg_process_idle_seconds_count", &of_reader), 1.0);
    assert_eq!(get(&page, "pg_process_idle_seconds_bucket", &[&of_reader[..], &[("le", "300")]].concat()), 1.0);
    drop(reader);
    let over = |p: &Page| age(p, "transaction") == 0.0 && get(p, "pg_idle_in_transaction_seconds", &[]) == 0.0;
    seen("the reader is gone", &exporter, over);

    server.psql("begin; create table promised (); prepare transaction 'held'").unwrap();
    spend(&server, 50);
    let page = seen("the prepared one holds", &exporter, |p| age(p, "prepared") >= 50.0);
    assert_eq!(get(&page, "pg_prepared_xacts_count", &[]), 1.0);
    assert!(get(&page, "pg_prepared_xacts_oldest_seconds", &[]) > 0.0);
    assert_eq!(age(&page, "transaction"), 0.0);
    server.psql("rollback prepared 'held'").unwrap();
    seen("it is rolled back", &exporter, |p| age(p, "prepared") == 0.0 && get(p, "pg_prepared_xacts_count", &[]) == 0.0);

    server.psql("select pg_create_logical_replication_slot('kept', 'pgoutput')").unwrap();
    spend(&server, 50);
    let page = seen("the slot holds", &exporter, |p| age(p, "slot") >= 50.0);
    assert_eq!((age(&page, "transaction"), age(&page, "prepared")), (0.0, 0.0));
    server.psql("select pg_drop_replication_slot('kept')").unwrap();
    seen("the slot is gone", &exporter, |p| age(p, "slot") == 0.0);

    // The horizon of standbys without a slot.
    let options = PostgresOptions {
        settings: vec![
            "hot_standby_feedback = on".to_owned(),
            "wal_receiver_status_interval = 1s".to_owned(),
            "max_prepared_transactions = 5".to_owned(),
        ],
        ..PostgresOptions::default()
    };
    let standby = Postgres::start_standby(&server, options);
    let mut far = standby.session("postgres");
    far.query("begin isolation level repeatable read; select 1").unwrap();
    // Its feedback must be there before the transactions that it is to hold.
    let told = "select count(*) from pg_stat_replication where backend_xmin is not null";
    poll::until("the feedback came", LIMIT, || (server.psql(told).unwrap() == "1").then_some(()));
    spend(&server, 50);
    let page = seen("the standby holds", &exporter, |p| age(p, "standby") >= 50.0);
    assert_eq!((age(&page, "transaction"), age(&page, "slot")), (0.0, 0.0));

    // Ages of databases are those of the server, also of those that nobody may enter.
    let xid = number(&server, "select age(datfrozenxid) from pg_database where datname = 'template0'");
    let page = scrape(&exporter, TIMEOUT);
    let told = get(&page, "pg_database_xid_age", &[("datname", "template0")]);
    assert!((xid..xid + 20.0).contains(&told), "{told}, {xid}");
    assert_eq!(get(&page, "pg_database_wraparound_age_datfrozenxid_seconds", &[("datname", "template0")]), told);
    assert!(page.has("pg_database_mxid_age") && page.has("pg_database_wraparound_age_datminmxid_seconds"));
}

#[test]
fn sessions_roles_statements_and_memory_are_those_of_the_server() {
    let server = busy(Version::V15);
    let activity = "      activity: {labels: [usename, application_name], top: 2}\n      long_running_transactions: {longer_than: 1s}\n";
    let exporter = watch(server.port(), &format!("{ALL}{activity}"));
    server.psql("create role web login connection limit 7; create role crew nologin connection limit 3").unwrap();
    let mut marked = server.session("postgres");
    for _ in 0..7 {
        marked.query("select 'marker' as marker where 1 = 2").unwrap();
    }
    let mut open = server.session("postgres");
    open.query("set application_name = 'it''s me'; begin; select 1").unwrap();
    let id = server.psql("select queryid from stats.pg_stat_statements where query like 'select % as marker where%'").unwrap();
    let page = seen("the statement", &exporter, |p| {
        // The two collectors of transactions look one after the other.
        p.value("pg_stat_statements_calls_total", &[("queryid", &id)]) == Some(7.0)
            && get(p, "pg_long_running_transactions", &[]) == 1.0
            && p.value("pg_stat_activity_max_tx_duration", &[("application_name", "it's me")]).is_some_and(|age| age >= 1.0)
    });
    assert_eq!(page.value("pg_stat_statements_rows_total", &[("user", "postgres"), ("datname", "postgres"), ("queryid", &id)]), Some(0.0));
    assert!(get(&page, "pg_stat_statements_seconds_total", &[("queryid", &id)]) < 1.0);
    assert_eq!(get(&page, "pg_stat_statements_calls_total", &[("queryid", "_other")]), 0.0, "the top takes all");
    assert!(!exporter.get("/metrics").text().contains("marker"), "a text is on the page");

    let of = |application: &str, state: &str| {
        page.value("pg_stat_activity_count", &[("application_name", application), ("state", state), ("usename", "postgres")])
    };
    assert_eq!((of("harness", "idle"), of("it's me", "idle in transaction")), (Some(1.0), Some(1.0)));
    assert!(get(&page, "pg_backends", &[("backend_type", "client backend")]) >= 3.0);
    assert_eq!(get(&page, "pg_backends", &[("backend_type", "checkpointer")]), 1.0);
    let mut third = server.session("postgres");
    third.query("set application_name = 'third'; select 1").unwrap();
    let page = seen("the third is one of the others", &exporter, |p| {
        p.value("pg_stat_activity_count", &[("application_name", "_other")]).is_some()
    });
    assert_eq!(page.series("pg_stat_activity_count").iter().map(|s| s.value).sum::<f64>(), 3.0);

    // Roles with a limit that may log in.
    let limits: BTreeSet<&str> = page.series("pg_roles_connection_limit").iter().map(|s| s.labels["rolname"].as_str()).collect();
    assert_eq!(limits, BTreeSet::from([MONITOR, "web"]));
    assert_eq!(
        (get(&page, "pg_roles_connection_limit", &[("rolname", "web")]), get(&page, "pg_role_connections", &[("rolname", "web")])),
        (7.0, 0.0)
    );
    assert!((1.0..=2.0).contains(&get(&page, "pg_role_connections", &[("rolname", MONITOR)])));

    // Sessions of psql come over the socket, ours over TCP without TLS.
    assert_eq!((get(&page, "pg_ssl_enabled", &[]), get(&page, "pg_ssl_sessions", &[("protocol", "socket")])), (0.0, 3.0));
    assert!(
        get(&page, "pg_ssl_sessions", &[("protocol", "none")]) >= 1.0 && get(&page, "pg_ssl_sessions", &[("protocol", "TLSv1.3")]) == 0.0
    );
    assert!(!page.has("pg_ssl_certificate_expiry_timestamp_seconds"));

    let started = number(&server, "select extract(epoch from pg_postmaster_start_time())");
    assert!((get(&page, "pg_postmaster_start_time_seconds", &[]) - started).abs() < 0.01);
    let memory: f64 = page.series("pg_shared_memory_bytes").iter().map(|s| s.value).sum();
    assert_eq!(memory, number(&server, "select sum(allocated_size) from pg_shmem_allocations"));
    assert!(get(&page, "pg_shared_memory_bytes", &[("area", "Buffer Blocks")]) >= 16.0 * 1024.0 * 1024.0);
    assert_eq!(page.series("pg_shared_memory_bytes").len(), 12, "ten, the rest, the unused");
    assert_eq!(errors(&page).len(), 0, "{:?}", errors(&page));
}

#[test]
fn a_vacuum_is_seen_while_it_runs() {
    let server = busy(Version::V15);
    let exporter = watch(server.port(), ALL);
    let running = |p: &Page, starter: &str| get(p, "pg_vacuums_running", &[("starter", starter)]);
    let page = seen("no vacuum", &exporter, |p| running(p, "autovacuum") == 0.0);
    assert!(!page.has("pg_stat_progress_vacuum_phase"));
    server.psql("create database shop").unwrap();
    for database in ["postgres", "shop"] {
        let large = "create table large with (autovacuum_enabled = off) as select generate_series(1, 50000) as id; delete from large where id % 2 = 0";
        server.psql_in(database, large).unwrap();
    }
    server.psql("alter role postgres set vacuum_cost_delay = '100ms'; alter role postgres set vacuum_cost_limit = 1").unwrap();
    let here = server.spawn_psql("postgres", "vacuum large");
    let page =
        seen("the vacuum", &exporter, |p| running(p, "session") == 1.0 && get(p, "pg_stat_progress_vacuum_heap_blks_scanned", &[]) > 0.0);
    let large = [("datname", "postgres"), ("relname", "large")];
    assert_eq!(get(&page, "pg_stat_progress_vacuum_phase", &[&large[..], &[("phase", "scanning heap")]].concat()), 1.0);
    assert_eq!(page.series("pg_stat_progress_vacuum_phase").iter().map(|s| s.value).sum::<f64>(), 1.0);
    assert_eq!(get(&page, "pg_stat_progress_vacuum_heap_blks", &large), 222.0);
    assert!(get(&page, "pg_stat_progress_vacuum_heap_blks_scanned", &large) < 222.0);
    // It holds no other VACUUM back.
    assert_eq!(get(&page, "pg_xmin_horizon_age_xids", &[("holder", "transaction")]), 0.0);
    drop(here);
    seen("it is cancelled", &exporter, |p| running(p, "session") == 0.0 && !p.has("pg_stat_progress_vacuum_phase"));

    // A worker of autovacuum, in a database where nobody of us is: its own words name the table.
    let slow = "alter table large set (autovacuum_enabled = on, autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
                autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)";
    server.psql_in("shop", slow).unwrap();
    let large = [("datname", "shop"), ("relname", "public.large")];
    // Others may be at work in a catalogue meanwhile.
    let page = seen("the worker", &exporter, |p| p.value("pg_stat_progress_vacuum_heap_blks", &large).is_some());
    assert!(running(&page, "autovacuum") >= 1.0);
    assert_eq!(get(&page, "pg_stat_progress_vacuum_heap_blks", &large), 222.0);
    let page = seen("its words", &exporter, |p| p.has("pg_stat_activity_autovacuum_timestamp_seconds"));
    assert!(get(&page, "pg_stat_activity_autovacuum_timestamp_seconds", &[("relname", "large")]) > 1.7e9);
    assert!(get(&page, "pg_autovacuum_workers", &[("purpose", "upkeep")]) >= 1.0);
    assert_eq!(get(&page, "pg_autovacuum_workers", &[("purpose", "wraparound")]), 0.0);
}

#[test]
fn the_certificate_and_the_sessions_over_tls_are_seen() {
    let server = busy(Version::V15);
    server.offer_tls(30);
    let exporter = watch(server.port(), ALL);
    let page = seen("TLS", &exporter, |p| p.value("pg_ssl_sessions", &[("protocol", "TLSv1.3")]).is_some_and(|n| n >= 1.0));
    assert_eq!((get(&page, "pg_ssl_enabled", &[]), get(&page, "pg_ssl_sessions", &[("protocol", "none")])), (1.0, 0.0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let days = (get(&page, "pg_ssl_certificate_expiry_timestamp_seconds", &[]) - now) / 86_400.0;
    assert!((29.9..=30.0).contains(&days), "{days}");
    // A renewed one is seen at the next login, though the session between scrapes still stands on the old one.
    server.offer_tls(90);
    seen("the new one", &exporter, |p| (get(p, "pg_ssl_certificate_expiry_timestamp_seconds", &[]) - now) / 86_400.0 > 89.0);
}

#[test]
fn a_role_without_grants_reads_what_it_may_and_says_what_it_lacks() {
    let server = Postgres::start(PostgresOptions::default());
    server.psql(&format!("create role {MONITOR} login password {}", literal(CANARY))).unwrap();
    let _other = server.session("postgres");
    let exporter = watch(server.port(), ALL);
    let page = seen("the page", &exporter, |p| p.has("pg_wal_segments") || errors(p).contains_key("process_idle"));
    // Denied as a whole.
    let denied: BTreeSet<&str> = ["activity_autovacuum", "process_idle"].into();
    let failed: Vec<(String, String)> = errors(&page).into_iter().filter(|(name, _)| denied.contains(name.as_str())).collect();
    assert!(failed.len() == 2 && failed.iter().all(|(_, reason)| reason == "permission"), "{failed:?}");
    // In part.
    for name in [
        "pg_wal_segments",
        "pg_wal_size_bytes",
        "pg_shared_memory_bytes",
        "pg_process_idle_seconds_count",
        "pg_stat_statements_calls_total",
    ] {
        assert!(!page.has(name), "{name}");
    }
    for name in [
        "pg_xlog_location_bytes",
        "pg_stat_wal_bytes_total",
        "pg_stat_bgwriter_buffers_alloc_total",
        "pg_database_xid_age",
        "pg_prepared_xacts_count",
    ] {
        assert!(page.has(name), "{name}");
    }
    for collector in ["wal", "archiver", "bgwriter", "wraparound", "xmin_horizon", "ssl", "roles", "slru"] {
        assert_eq!(get(&page, "sage_collector_success", &[("collector", collector)]), 1.0, "{collector}");
    }
    assert_eq!(get(&page, "pg_archiver_enabled", &[]), 0.0, "nothing is archived here");
    assert!(get(&page, "pg_ssl_sessions", &[("protocol", "unknown")]) >= 1.0);
    assert!(get(&page, "pg_connections", &[("state", "unknown")]) >= 1.0);
    // The extension is not there at all: nothing to read, and no failure.
    assert!(page.value("sage_collector_success", &[("collector", "statements")]).is_none());
}
