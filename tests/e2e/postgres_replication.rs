//! Replication as the exporter tells it, at real servers: an idle standby is not late, a cut link is told and counted by
//! the clock, a pause is no error, and every way in which WAL no longer comes or is no longer applied has its own state.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::sync::Arc;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::fault::{FaultProxy, Mode};
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{PASSWORD, Postgres, PostgresOptions, SUPERUSER};
use e2e::watched::{LIMIT, errors, scrape, server, watch};

const TIMEOUT: Duration = Duration::from_secs(10);
const PLAIN: &str = "modules: {default: {probe_interval: 1s}}\n";
/// A standby that notices a dead link, and comes back, within seconds.
const QUICK: [&str; 2] = ["wal_receiver_timeout = 3s", "wal_retrieve_retry_interval = 100ms"];
/// What is told of replay as a whole.
const STATE: &str = "pg_replication_apply_state";

fn options(settings: &[&str]) -> PostgresOptions {
    PostgresOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..PostgresOptions::default() }
}

fn primary(settings: &[&str]) -> Arc<Postgres> {
    server(options(settings))
}

fn do_sql(server: &Postgres, sql: &str) {
    server.psql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// The labels' value of the one series of `name` that is 1.
fn present(page: &Page, name: &str, label: &str) -> String {
    let ones: Vec<_> = page.series(name).into_iter().filter(|s| s.value == 1.0).map(|s| s.labels[label].clone()).collect();
    assert!(ones.len() <= 1, "{name}: {ones:?}");
    ones.into_iter().next().unwrap_or_default()
}

fn value(page: &Page, name: &str) -> f64 {
    page.value(name, &[]).unwrap_or_else(|| panic!("{name} is missing: {:?}", errors(page)))
}

/// Scrapes until `done`, and tells the last state of replay if that never comes.
#[track_caller]
fn seen(what: &str, exporter: &Exporter, mut done: impl FnMut(&Page) -> bool) -> Page {
    let mut last = Page::default();
    let found = poll::within(LIMIT, || {
        last = scrape(exporter, TIMEOUT);
        done(&last).then_some(())
    });
    let lag = last.value("pg_replication_lag_seconds", &[]);
    assert!(found.is_some(), "not seen: {what}; state {}, lag {lag:?}, {:?}", present(&last, STATE, "state"), errors(&last));
    last
}

#[track_caller]
fn seen_state(exporter: &Exporter, state: &str) -> Page {
    seen(state, exporter, |page| present(page, STATE, "state") == state)
}

#[test]
fn an_idle_standby_is_not_late_and_a_cut_link_is_told_by_the_clock() {
    let primary = primary(&[]);
    do_sql(&primary, "select pg_create_physical_replication_slot('db02'); create table t as select 1 as n");
    let proxy = FaultProxy::start(primary.address());
    let standby = Postgres::start_standby_through(&primary, proxy.address(), options(&[QUICK[0], QUICK[1], "primary_slot_name = 'db02'"]));
    let (above, below) = (watch(primary.port(), PLAIN), watch(standby.port(), PLAIN));
    do_sql(&primary, "insert into t values (2)");
    seen("the row", &below, |page| page.value("pg_replication_last_replay_seconds", &[]).is_some());

    // Idle for longer than the receiver's patience: the last transaction grows old, the standby is not late.
    let page = seen("an idle primary", &below, |page| {
        assert_eq!(page.value("pg_replication_lag_seconds", &[]), Some(0.0), "{}", present(page, STATE, "state"));
        value(page, "pg_replication_last_replay_seconds") > 5.0
    });
    assert_eq!(present(&page, STATE, "state"), "streaming");
    assert_eq!(present(&page, "pg_wal_receiver_status", "status"), "streaming");
    assert_eq!((value(&page, "pg_replication_apply_ok"), value(&page, "pg_wal_replay_paused")), (1.0, 0.0));
    let heard = value(&page, "pg_wal_receiver_last_message_timestamp_seconds");
    assert_eq!(page.value("pg_stat_wal_receiver_last_msg_receipt_time", &[("slot_name", "db02")]), Some(heard));
    assert_eq!(page.value("pg_stat_wal_receiver_status", &[("slot_name", "db02")]), Some(2.0));
    assert_eq!(page.value("pg_wal_receiver_upstream_info", &[("upstream_host", "127.0.0.1")]), Some(1.0));
    let last = value(&page, "pg_replication_last_applied_timestamp_seconds");
    let committed: f64 = standby.psql("select extract(epoch from pg_last_xact_replay_timestamp())").unwrap().parse().unwrap();
    assert!((last - committed).abs() < 0.001, "{last} {committed}");

    let page =
        seen("the standby at its primary", &above, |page| page.value("pg_replication_standbys", &[("state", "streaming")]) == Some(1.0));
    let name = standby.standby_name();
    assert_eq!(page.value("pg_stat_replication_pg_wal_lsn_diff", &[("application_name", &name), ("slot_name", "db02")]), Some(0.0));
    assert_eq!(page.value("pg_replication_standby_sync_state", &[("application_name", &name), ("sync_state", "async")]), Some(1.0));
    assert_eq!(page.value("pg_replication_slots_active", &[("slot_name", "db02"), ("slot_type", "physical")]), Some(1.0));
    assert_eq!(page.value("pg_replication_expected_standby_connected", &[("name", "db02"), ("source", "slot")]), Some(1.0));
    assert_eq!((value(&page, "pg_replication_lag_seconds"), value(&page, "pg_replication_expected_standbys_missing")), (0.0, 0.0));

    // Refused and silent: two ways of a network to be gone.
    for (mode, states) in [(Mode::Refuse, &["receiver_gone"][..]), (Mode::BlackHole, &["receiver_silent", "receiver_gone"])] {
        proxy.set(mode);
        let page = seen("a cut link", &below, |page| states.contains(&present(page, STATE, "state").as_str()));
        let (lag, age) = (value(&page, "pg_replication_lag_seconds"), value(&page, "pg_replication_last_replay_seconds"));
        assert!(lag > 0.0 && lag < age, "{mode:?}: the link was cut {lag} s ago, the last transaction is {age} s old");
        assert_eq!(value(&page, "pg_replication_apply_ok"), 0.0);
        seen("the lag grows", &below, |page| value(page, "pg_replication_lag_seconds") > lag + 2.0);
        let page = seen("the standby is missing", &above, |page| value(page, "pg_replication_expected_standbys_missing") == 1.0);
        assert_eq!(page.value("pg_replication_expected_standby_connected", &[("name", "db02")]), Some(0.0));
        proxy.set(Mode::Pass);
        let page = seen_state(&below, "streaming");
        assert_eq!((value(&page, "pg_replication_lag_seconds"), value(&page, "pg_replication_apply_ok")), (0.0, 1.0));
    }
}

#[test]
fn a_pause_is_no_error_and_a_conflict_is_neither() {
    let primary = primary(&[]);
    do_sql(&primary, "create table t as select 1 as n");
    let standby = Postgres::start_standby(&primary, options(&["max_standby_streaming_delay = -1"]));
    let exporter = watch(standby.port(), PLAIN);
    seen_state(&exporter, "streaming");
    do_sql(&standby, "select pg_wal_replay_pause()");
    // Later on it is `paused`; WAL goes on coming.
    let page = seen_state(&exporter, "paused");
    assert_eq!((value(&page, "pg_wal_replay_paused"), value(&page, "pg_replication_apply_ok")), (1.0, 0.0));
    assert_eq!(present(&page, "pg_wal_replay_pause_state", "state"), "paused");
    assert_eq!(value(&page, "pg_wal_receiver_running"), 1.0);
    do_sql(&primary, "insert into t values (2)");
    seen("the lag of a pause", &exporter, |page| page.value("pg_replication_lag_seconds", &[]).is_some_and(|lag| lag > 1.0));
    do_sql(&standby, "select pg_wal_replay_resume()");
    seen("the pause is over", &exporter, |page| present(page, STATE, "state") == "streaming" && value(page, "pg_wal_replay_paused") == 0.0);

    // Startup wants the lock that a reader holds.
    let mut reader = standby.session("postgres");
    reader.query("begin; select count(*) from t").unwrap();
    do_sql(&primary, "alter table t add column more int");
    let page = seen_state(&exporter, "conflict");
    assert_eq!((value(&page, "pg_wal_replay_paused"), value(&page, "pg_replication_apply_ok")), (0.0, 0.0));
    drop(reader);
    let page = seen_state(&exporter, "streaming");
    let by_lock = |page: &Page| page.value("pg_stat_database_conflicts_confl_lock", &[("datname", "postgres")]);
    assert_eq!(by_lock(&page), Some(0.0), "it was waited for");

    // Not waited for any longer, the reader is cancelled, and the cause is counted.
    do_sql(&standby, "alter system set max_standby_streaming_delay = 0");
    do_sql(&standby, "select pg_reload_conf()");
    let mut reader = standby.session("postgres");
    reader.query("begin; select count(*) from t").unwrap();
    do_sql(&primary, "alter table t add column still_more int");
    let page = seen("the conflict is counted", &exporter, |page| by_lock(page) == Some(1.0));
    assert_eq!(page.value("pg_stat_database_conflicts", &[("datname", "postgres")]), Some(1.0));
    assert_eq!(page.value("pg_stat_database_conflicts_confl_snapshot", &[("datname", "postgres")]), Some(0.0));
    let above = watch(primary.port(), PLAIN);
    let page = seen("the primary's page", &above, |page| page.value("sage_up", &[]) == Some(1.0));
    assert!(!page.has("pg_stat_database_conflicts_confl_lock") && page.has("pg_stat_database_conflicts"));
}

#[test]
fn a_standby_that_is_not_given_its_wal_any_more() {
    let primary = primary(&["wal_keep_size = 0"]);
    do_sql(&primary, "create table t as select 1 as n");
    let standby = Postgres::start_standby(&primary, options(&QUICK));
    let exporter = watch(standby.port(), PLAIN);
    seen_state(&exporter, "streaming");
    standby.stop();
    for _ in 0..3 {
        do_sql(&primary, "insert into t values (2); select pg_switch_wal(); checkpoint");
    }
    standby.restart();
    let page = seen_state(&exporter, "receiver_gone");
    assert_eq!(value(&page, "pg_replication_apply_ok"), 0.0);
    assert!(standby.log().contains("has already been removed"), "{}", standby.log());
}

#[test]
fn a_cascade_and_a_promotion() {
    // Without full pages no base backup can be taken of a standby.
    let primary = primary(&["full_page_writes = on"]);
    let middle = Postgres::start_standby(&primary, PostgresOptions::default());
    let last = Postgres::start_standby(&middle, PostgresOptions::default());
    let all = [&*primary, &middle, &last].map(|server| watch(server.port(), PLAIN));
    do_sql(&primary, "create table t as select 1 as n");
    let page = seen("the cascade", &all[1], |page| page.value("pg_replication_standbys", &[("state", "streaming")]) == Some(1.0));
    let name = last.standby_name();
    let caught_up = |page: &Page| page.value("pg_stat_replication_pg_wal_lsn_diff", &[("application_name", &name)]) == Some(0.0);
    seen("the last one has caught up", &all[1], caught_up);
    assert_eq!((value(&page, "pg_replication_is_replica"), present(&page, STATE, "state").as_str()), (1.0, "streaming"));
    assert!(!page.has("pg_replication_expected_standbys"), "a standby expects nobody");
    let id = |page: &Page| page.series("pg_system_identifier_info")[0].labels["system_identifier"].clone();
    let control = primary.psql("select system_identifier from pg_control_system()").unwrap();
    for exporter in &all {
        let page = seen("lag 0", exporter, |page| page.value("pg_replication_lag_seconds", &[]) == Some(0.0));
        assert_eq!((id(&page), value(&page, "pg_timeline")), (control.clone(), 1.0));
    }
    let positions = all.each_ref().map(|exporter| value(&scrape(exporter, TIMEOUT), "pg_wal_position_bytes"));
    assert!(positions.iter().all(|at| (at - positions[0]).abs() < 1e6), "{positions:?}");

    // Two primaries of one system identifier, on two timelines; the cascade follows its own upstream.
    do_sql(&middle, "select pg_promote()");
    let page = seen("a second primary", &all[1], |page| value(page, "pg_replication_is_replica") == 0.0);
    assert_eq!((id(&page), value(&page, "pg_timeline"), page.has(STATE)), (control.clone(), 2.0, false));
    let old = scrape(&all[0], TIMEOUT);
    assert_eq!((id(&old), value(&old, "pg_timeline"), value(&old, "pg_replication_is_replica")), (control, 1.0, 0.0));
    assert_ne!(value(&page, "pg_postmaster_start_time_seconds"), value(&old, "pg_postmaster_start_time_seconds"));
    seen("the cascade changes its timeline", &all[2], |page| page.value("pg_timeline", &[]) == Some(2.0));
}

#[test]
fn a_log_shipping_standby_and_an_archive_that_falls_silent() {
    let primary = primary(&["archive_mode = on", "archive_command = ''"]);
    let archive = primary.make_folder("archive");
    do_sql(&primary, &format!("alter system set archive_command = 'cp %p {}/%f'", archive.display()));
    do_sql(&primary, "select pg_reload_conf(); create table t as select 1 as n");
    let standby = Postgres::start_log_shipping(&primary, &archive, options(&QUICK[1..]));
    let exporter = watch(standby.port(), PLAIN);
    do_sql(&primary, "insert into t values (2); select pg_switch_wal()");
    let rows = || (standby.psql("select count(*) from t").as_deref() == Ok("2")).then_some(());
    poll::until("the archive delivers", LIMIT, rows);
    // The primary is idle: nothing comes, nothing is late.
    let page = seen("an idle archive", &exporter, |page| {
        value(page, "pg_replication_last_replay_seconds") > 4.0 && page.value("pg_replication_lag_seconds", &[]) == Some(0.0)
    });
    assert_eq!((present(&page, STATE, "state").as_str(), value(&page, "pg_replication_apply_ok")), ("archive", 1.0));
    assert_eq!(value(&page, "pg_wal_receiver_running"), 0.0);

    // restore_command no longer delivers. The standby itself cannot know; compared with the primary it shows, and with
    // a site's word on how often something must come it shows alone.
    do_sql(&standby, "alter system set restore_command = 'false'");
    do_sql(&standby, "select pg_reload_conf()");
    for _ in 0..3 {
        do_sql(&primary, "insert into t values (3); select pg_switch_wal()");
    }
    let above = watch(primary.port(), PLAIN);
    let (there, here) = (scrape(&above, TIMEOUT), scrape(&exporter, TIMEOUT));
    let behind = value(&there, "pg_wal_position_bytes") - value(&here, "pg_wal_position_bytes");
    assert!(behind > 2.0 * value(&there, "pg_wal_segment_size_bytes"), "{behind} bytes");
    assert_eq!(present(&here, STATE, "state"), "archive");
    let strict = "modules: {default: {collectors: {replication: {archive_silence: 2s}}}}\n";
    let strict = watch(standby.port(), strict);
    let page = seen_state(&strict, "archive_silent");
    assert_eq!(value(&page, "pg_replication_apply_ok"), 0.0);
    assert!(value(&page, "pg_replication_lag_seconds") > 2.0);
    do_sql(&standby, &format!("alter system set restore_command = 'cp {}/%f %p'", archive.display()));
    do_sql(&standby, "select pg_reload_conf()");
    let level = |page: &Page| value(&there, "pg_wal_position_bytes") - value(page, "pg_wal_position_bytes") < 1e6;
    seen("the archive delivers again", &exporter, level);
}

#[test]
fn a_subscription_that_breaks_on_a_unique_violation() {
    let publisher = primary(&["wal_level = logical"]);
    let subscriber = primary(&QUICK[1..]);
    for server in [&publisher, &subscriber] {
        do_sql(server, "create table t(id int primary key)");
    }
    do_sql(&publisher, "create publication p for table t");
    let connection = format!("host=127.0.0.1 port={} user={SUPERUSER} password={PASSWORD} dbname=postgres", publisher.port());
    do_sql(&subscriber, &format!("create subscription shop_sub connection '{connection}' publication p"));
    let (above, below) = (watch(publisher.port(), PLAIN), watch(subscriber.port(), PLAIN));
    const SUB: [(&str, &str); 2] = [("datname", "postgres"), ("subname", "shop_sub")];
    let of = |page: &Page, name: &str| page.value(name, &SUB);
    let page = seen("a running subscription", &below, |page| {
        of(page, "pg_subscription_worker_running") == Some(1.0) && of(page, "pg_subscription_sync_workers") == Some(0.0)
    });
    assert_eq!(present(&page, "pg_subscription_state", "state"), "running");
    assert_eq!((of(&page, "pg_subscription_apply_errors_total"), value(&page, "pg_subscriptions")), (Some(0.0), 1.0));
    assert!(of(&page, "pg_subscription_last_message_timestamp_seconds").is_some());

    do_sql(&subscriber, "insert into t values (1)");
    do_sql(&publisher, "insert into t values (1)");
    let page = seen("errors", &below, |page| of(page, "pg_subscription_apply_errors_total").is_some_and(|n| n >= 2.0));
    assert!(!errors(&page).contains_key("subscriptions"), "{:?}", errors(&page));
    seen("no worker", &below, |page| present(page, "pg_subscription_state", "state") == "no_worker");
    seen("the slot has no consumer", &above, |page| {
        page.value("pg_replication_slots_active", &[("slot_name", "shop_sub"), ("slot_type", "logical")]) == Some(0.0)
    });
    do_sql(&subscriber, "alter subscription shop_sub set (disable_on_error = true)");
    let page = seen("it gives up", &below, |page| present(page, "pg_subscription_state", "state") == "disabled_on_error");
    let errors = of(&page, "pg_subscription_apply_errors_total").unwrap();

    do_sql(&subscriber, "delete from t where id = 1");
    do_sql(&subscriber, "alter subscription shop_sub enable");
    let page = seen("it goes on", &below, |page| of(page, "pg_subscription_worker_running") == Some(1.0));
    assert_eq!(of(&page, "pg_subscription_apply_errors_total"), Some(errors));
    poll::until("the row", LIMIT, || (subscriber.psql("select count(*) from t").as_deref() == Ok("1")).then_some(()));
    seen("all is confirmed", &below, |page| of(page, "pg_subscription_lag_bytes") == Some(0.0));
}

#[test]
fn a_slot_that_nobody_reads_keeps_wal_until_it_is_lost() {
    let primary = primary(&["max_slot_wal_keep_size = 32MB"]);
    do_sql(&primary, "select pg_create_physical_replication_slot('gone', true); create table t(n int)");
    let exporter = watch(primary.port(), "modules: {default: {collectors: {replication_slots: {max: 1}}}}\n");
    const SLOT: [(&str, &str); 2] = [("slot_name", "gone"), ("slot_type", "physical")];
    let before = scrape(&exporter, TIMEOUT);
    let kept = before.value("pg_replication_slots_retained_bytes", &SLOT).unwrap();
    assert!(before.value("pg_replication_slots_safe_wal_size_bytes", &SLOT).is_some_and(|safe| safe > 16e6));
    assert_eq!(present(&before, "pg_replication_slots_wal_status", "wal_status"), "reserved");
    do_sql(&primary, "insert into t values (1); select pg_switch_wal()");
    let page = scrape(&exporter, TIMEOUT);
    let now = page.value("pg_replication_slots_retained_bytes", &SLOT).unwrap();
    assert!(now > kept && page.value("pg_replication_slots_pg_wal_lsn_diff", &SLOT) == Some(now), "{kept} {now}");
    assert_eq!(page.value("pg_replication_slots_active", &SLOT), Some(0.0));
    assert_eq!(page.value("pg_replication_expected_standby_connected", &[("name", "gone"), ("source", "slot")]), Some(0.0));
    for _ in 0..6 {
        do_sql(&primary, "insert into t values (1); select pg_switch_wal()");
    }
    do_sql(&primary, "checkpoint");
    let page = seen("the slot is lost", &exporter, |page| present(page, "pg_replication_slots_wal_status", "wal_status") == "lost");
    assert_eq!(page.value("pg_replication_slots_retained_bytes", &SLOT), None, "it keeps nothing any more");
    assert_eq!(page.value("pg_replication_expected_standby_connected", &[("name", "gone")]), Some(0.0), "and is missed all the same");

    // Bounded: what has no series is counted.
    do_sql(&primary, "select pg_create_physical_replication_slot('more')");
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!(page.series("pg_replication_slots_active").len(), 1);
    assert_eq!(page.value("sage_series_dropped", &[("family", "pg_replication_slots_retained_bytes")]), Some(1.0));
    assert_eq!(page.value("pg_replication_slots", &[("slot_type", "physical")]), Some(2.0));
}

#[test]
fn who_is_expected_is_said_by_the_site_or_by_the_server() {
    let primary = primary(&["synchronous_standby_names = 'FIRST 1 (db02, \"db 03\")'", "synchronous_commit = local"]);
    let by_server = watch(primary.port(), PLAIN);
    let page = scrape(&by_server, TIMEOUT);
    let missing: Vec<_> =
        page.series("pg_replication_expected_standby_connected").iter().map(|s| (s.labels["name"].clone(), s.value)).collect();
    assert_eq!(missing, [("db 03".to_owned(), 0.0), ("db02".to_owned(), 0.0)]);
    assert_eq!(value(&page, "pg_replication_expected_standbys"), 2.0);
    let standby = Postgres::start_standby(&primary, PostgresOptions::default());
    let config =
        format!("modules: {{default: {{collectors: {{standbys: {{expected: [{}, db09]}}}}}}}}\n", standby.standby_name().to_uppercase());
    let by_site = watch(primary.port(), &config);
    let page = seen("the one and not the other", &by_site, |page| value(page, "pg_replication_expected_standbys_missing") == 1.0);
    assert_eq!(page.value("pg_replication_expected_standby_connected", &[("name", "db09"), ("source", "option")]), Some(0.0));
    assert_eq!(value(&page, "pg_replication_expected_standbys"), 2.0);
    assert_eq!(value(&page, "pg_sync_replication_waiters"), 0.0);
}
