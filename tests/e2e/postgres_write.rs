//! The write probe at real servers: it writes one row and nothing on a standby, every way in which a write can fail has its
//! own reason, and a COMMIT that hangs is cancelled and never joined by a second one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::watched::{BUDGET, LIMIT, MONITOR, errors, keeps_its_secret, scrape, server, watch};
use e2e::{poll, process};

const TIMEOUT: Duration = Duration::from_secs(10);
const WRITING: &str = "modules: {default: {probe_interval: 1s, write_interval: 1s}}\n";
/// Backends of the exporter whose COMMIT waits for a standby.
const WAITING: &str = "select count(*) from pg_stat_activity where usename = 'sage_monitor' and wait_event = 'SyncRep'";

/// Runs the shipped SQL for the role of the tests.
fn prepare(server: &Postgres) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporters/postgres/grants/write-probe.sql");
    let sql = std::fs::read_to_string(file).unwrap();
    let ours = sql.replace("TO sage;", &format!("TO {MONITOR};")).replace("ROLE sage ", &format!("ROLE {MONITOR} "));
    assert_eq!(ours.matches(MONITOR).count(), 3, "{ours}");
    do_sql(server, &ours);
}

fn do_sql(server: &Postgres, sql: &str) {
    server.psql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn count(server: &Postgres, sql: &str) -> usize {
    server.psql(sql).unwrap().parse().unwrap()
}

#[track_caller]
fn seen(what: &str, exporter: &Exporter, mut done: impl FnMut(&Page) -> bool) -> Page {
    let mut last = Page::default();
    let found = poll::within(LIMIT, || {
        last = scrape(exporter, TIMEOUT);
        done(&last).then_some(())
    });
    assert!(found.is_some(), "not seen: {what}: {:?}\n{}", errors(&last), exporter.logs());
    last
}

/// A write that failed for `reason`, and nothing else that did.
#[track_caller]
fn seen_reason(exporter: &Exporter, reason: &str) -> Page {
    let page = seen(reason, exporter, |page| errors(page).get("write").is_some_and(|found| found == reason));
    assert_eq!(page.value("sage_write_success", &[]), Some(0.0));
    assert_eq!((page.value("sage_up", &[]), page.value("sage_login_success", &[])), (Some(1.0), Some(1.0)));
    assert_eq!(errors(&page).len(), 1, "{:?}", errors(&page));
    page
}

#[track_caller]
fn seen_written(exporter: &Exporter) -> Page {
    seen("a write", exporter, |page| page.value("sage_write_success", &[]) == Some(1.0))
}

#[test]
fn it_writes_its_one_row_on_request_and_never_on_a_standby() {
    let server = server(PostgresOptions::default());
    let silent = watch(server.port(), "modules: {default: {probe_interval: 1s}}\n");
    prepare(&server);
    prepare(&server);
    let standby = Postgres::start_standby(&server, PostgresOptions::default());
    let (exporter, below) = (watch(server.port(), WRITING), watch(standby.port(), WRITING));
    let page = seen_written(&exporter);
    for phase in ["update", "commit"] {
        let time = page.value("sage_write_duration_seconds", &[("phase", phase)]).unwrap();
        assert!(time > 0.0 && time < 3.0, "{phase}: {time}");
    }
    let written = || server.psql("select count(*), max(written) from sage.write_probe").unwrap();
    let first = written();
    assert!(first.starts_with("1|"), "{first}");
    poll::until("it writes again", LIMIT, || {
        let page = scrape(&exporter, TIMEOUT);
        assert!(page.value("sage_write_age_seconds", &[]).is_some_and(|age| age < 5.0));
        (written() != first).then_some(())
    });
    // Where nobody asks for it, and on a standby, there is nothing: neither a write nor a failure.
    for exporter in [&silent, &below] {
        let page = seen("an exporter at work", exporter, |page| page.value("sage_login_success", &[]) == Some(1.0));
        assert!(!page.has("sage_write_success") && !page.has("sage_write_age_seconds"));
        assert!(!errors(&page).contains_key("write"), "{:?}", errors(&page));
    }
    assert!(!standby.log().contains("read-only transaction"), "it tried to write on a standby:\n{}", standby.log());
    // Promoted, it is written to; the session that is kept between scrapes learns of it.
    do_sql(&standby, "select pg_promote()");
    seen_written(&below);
    keeps_its_secret(&exporter);
}

#[test]
fn each_way_in_which_a_write_fails_has_its_reason() {
    let server = server(PostgresOptions::default());
    let exporter = watch(server.port(), WRITING);
    let page = seen_reason(&exporter, "permission");
    assert!(!page.has("sage_write_duration_seconds"));
    prepare(&server);
    seen_written(&exporter);

    do_sql(&server, "alter system set default_transaction_read_only = on");
    do_sql(&server, "select pg_reload_conf()");
    seen_reason(&exporter, "read_only");
    do_sql(&server, "set default_transaction_read_only = off; alter system reset default_transaction_read_only");
    do_sql(&server, "select pg_reload_conf()");
    seen_written(&exporter);

    // The role alone: that is our own setup.
    do_sql(&server, "alter role sage_monitor set default_transaction_read_only = on");
    seen_reason(&exporter, "permission");
    prepare(&server);
    seen_written(&exporter);

    // The server's own code for a full disk, raised where the row is written.
    let full = "create function sage.no_space() returns trigger language plpgsql as
        $$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
        create trigger no_space before update on sage.write_probe for each row execute function sage.no_space()";
    do_sql(&server, full);
    seen_reason(&exporter, "disk_full");
    do_sql(&server, "drop trigger no_space on sage.write_probe");
    seen_written(&exporter);

    do_sql(&server, "delete from sage.write_probe");
    seen_reason(&exporter, "permission");
    prepare(&server);
    seen_written(&exporter);
    let mut holder = server.session("postgres");
    holder.query("begin; lock table sage.write_probe in access exclusive mode").unwrap();
    seen_reason(&exporter, "timeout");
    drop(holder);
    seen_written(&exporter);
    do_sql(&server, "drop schema sage cascade");
    seen_reason(&exporter, "permission");
}

/// A primary that waits for its only standby at each commit, the standby, and the exporter that writes.
fn synchronous() -> (Arc<Postgres>, Postgres, Exporter) {
    let primary = server(PostgresOptions::default());
    prepare(&primary);
    do_sql(&primary, "create table t(n int)");
    let standby = Postgres::start_standby(&primary, PostgresOptions::default());
    do_sql(&primary, &format!("alter system set synchronous_standby_names = '{}'", standby.standby_name()));
    do_sql(&primary, "select pg_reload_conf()");
    let exporter = watch(primary.port(), WRITING);
    seen_written(&exporter);
    let page = seen("a synchronous standby", &exporter, |page| {
        page.value("pg_replication_standby_sync_state", &[("sync_state", "sync")]) == Some(1.0)
    });
    assert_eq!(page.value("pg_replication_expected_standby_connected", &[("source", "sync")]), Some(1.0));
    (primary, standby, exporter)
}

#[test]
fn commits_that_hang_are_told_and_do_not_pile_up() {
    let (primary, standby, exporter) = synchronous();
    let watcher = primary.watch_connections(MONITOR);
    standby.stop();
    let user = primary.spawn_psql("postgres", "insert into t values (1)");
    let page = seen_reason(&exporter, "sync_standby");
    assert!(page.value("sage_write_duration_seconds", &[("phase", "update")]).is_some(), "the change of the row was fine");
    assert_eq!(page.value("sage_write_duration_seconds", &[("phase", "commit")]), None);
    let page = seen("the waiter", &exporter, |page| page.value("pg_sync_replication_longest_wait_seconds", &[]).is_some_and(|s| s > 5.0));
    assert_eq!(page.value("pg_sync_replication_waiters", &[]), Some(1.0), "the user, and not ourselves");
    assert_eq!(page.value("pg_replication_expected_standbys_missing", &[]), Some(1.0));
    // Again and again, one at a time: what is late is cancelled on the server.
    for _ in 0..3 {
        poll::until("a commit of ours waits", LIMIT, || {
            let waiting = count(&primary, WAITING);
            assert!(waiting <= 1, "{waiting} wait");
            scrape(&exporter, TIMEOUT);
            (waiting == 1).then_some(())
        });
        poll::until("it is cancelled", LIMIT, || (count(&primary, WAITING) == 0).then_some(()));
    }
    seen("logins go on", &exporter, |page| page.value("sage_login_age_seconds", &[]).is_some_and(|age| age < 2.0));

    standby.restart();
    seen_written(&exporter);
    let page = seen("nobody waits", &exporter, |page| page.value("pg_sync_replication_waiters", &[]) == Some(0.0));
    assert_eq!(page.value("pg_sync_replication_longest_wait_seconds", &[]), Some(0.0));
    assert_eq!(primary.psql("select count(*) from t").unwrap(), "1");
    drop(user);
    assert!(watcher.samples() > 20, "{} samples", watcher.samples());
    assert!((1..=BUDGET).contains(&watcher.stop()), "more than {BUDGET} connections");
}

#[test]
fn a_commit_that_a_killed_exporter_has_left_is_ended_by_the_next_one() {
    let (primary, standby, exporter) = synchronous();
    standby.stop();
    let find = "select pid from pg_stat_activity where usename = 'sage_monitor' and wait_event = 'SyncRep'";
    let pid: u32 = poll::until("a commit of ours waits", LIMIT, || {
        scrape(&exporter, TIMEOUT);
        let pid = primary.psql(find).unwrap().parse().ok()?;
        process::signal("KILL", &[exporter.pid()]);
        Some(pid)
    });
    drop(exporter);
    // The server does not see that nobody waits for the answer.
    assert_eq!(primary.psql(find).unwrap(), pid.to_string());
    let next = watch(primary.port(), WRITING);
    seen_reason(&next, "sync_standby");
    assert_eq!(count(&primary, &format!("select count(*) from pg_stat_activity where pid = {pid}")), 0);
    assert!(next.logs().contains("an exporter which was killed had left"), "{}", next.logs());
    standby.restart();
    seen_written(&next);
}

#[test]
fn a_backend_that_does_not_go_is_waited_for() {
    let (primary, standby, exporter) = synchronous();
    let watcher = primary.watch_connections(MONITOR);
    standby.stop();
    // A commit of ours that no cancel reaches, since its process stands still.
    let find = "select pid from pg_stat_activity where usename = 'sage_monitor' and wait_event = 'SyncRep'";
    let pid: u32 = poll::until("a commit of ours waits", LIMIT, || {
        scrape(&exporter, TIMEOUT);
        let pid = primary.psql(find).unwrap().parse().ok()?;
        process::signal("STOP", &[pid]);
        Some(pid)
    });
    seen_reason(&exporter, "sync_standby");
    let page = seen("no other write", &exporter, |page| page.value("sage_write_age_seconds", &[]).is_some_and(|age| age > 8.0));
    assert_eq!(page.value("sage_connections", &[("state", "spare")]), Some(1.0), "it counts as ours");
    assert_eq!(count(&primary, find.replace("pid", "count(*)").as_str()), 1);
    process::signal("CONT", &[pid]);
    seen("the next write", &exporter, |page| page.value("sage_write_age_seconds", &[]).is_some_and(|age| age < 3.0));
    standby.restart();
    seen_written(&exporter);
    assert!((1..=BUDGET).contains(&watcher.stop()), "more than {BUDGET} connections");
}
