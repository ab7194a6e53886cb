//! Slow statements in the log of a real server: each format, prefixes of all sorts, each way of rotation, and what must not
//! count: our own statements, what users type, lines that tell of the same statement twice, and old lines read late.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version};
use e2e::watched::{LIMIT, MONITOR, scrape, server, wait_fine, watch};

/// Every statement from 50 ms on is written, and slow from 200 ms on.
const CONFIG: &str = "modules: {default: {probe_interval: 1h, collectors: {slow_queries: {threshold: 200ms}}}}\n";
const SLOW: &str = "select pg_sleep(0.25)";

fn logging(version: Version, settings: &[&str]) -> Arc<Postgres> {
    let settings = settings.iter().map(|s| (*s).to_owned()).collect();
    server(PostgresOptions { version, settings, slow_query: Some(Duration::from_millis(50)), ..PostgresOptions::default() })
}

fn page(exporter: &Exporter) -> Page {
    scrape(exporter, Duration::from_secs(10))
}

#[track_caller]
fn total(page: &Page) -> f64 {
    page.value("pg_slow_queries_total", &[("source", "log")]).unwrap_or_else(|| panic!("no count: {:?}", page.series("sage_error")))
}

/// Waits until `count` statements have been counted, and not more.
#[track_caller]
fn counts(what: &str, exporter: &Exporter, count: f64) -> Page {
    let mut last = 0.0;
    let found = poll::within(LIMIT, || {
        let page = page(exporter);
        last = page.value("pg_slow_queries_total", &[("source", "log")]).unwrap_or(last);
        (last >= count).then_some(page)
    });
    let found = found.unwrap_or_else(|| panic!("{what}: {last} of {count}\n{}", exporter.logs()));
    assert_eq!(total(&found), count, "{what}");
    assert_eq!(found.value("pg_log_readable", &[]), Some(1.0), "{what}");
    found
}

/// Statements that are slow once, and others that look like it.
fn mixed_load(server: &Postgres) {
    server.psql(SLOW).unwrap();
    server.psql("select pg_sleep(0.1)").unwrap();
    // Over several lines, one of which looks like a record of its own, in each format.
    server.psql("select pg_sleep(0.25), '\nLOG:  duration: 9000.0 ms  statement: \"x\",\n2026-11-22 00:10:01.123 UTC,\"a\",\"b\",1,\"[local]\",1.1,1,\"S\",2026-11-22 00:10:00 UTC,3/2,0,LOG,00000,\"duration: 9000.0 ms  statement: x\",,,,,,,,,\"psql\",\"\",,0\n{\"error_severity\":\"LOG\",\"message\":\"duration: 9000.0 ms  statement: x\"}\n'").unwrap();
    // A statement that fails is written, too: STATEMENT.
    server.psql("select 1/0, ' LOG:  duration: 9000.0 ms  statement: x'").unwrap_err();
    // One line of more than 64 KiB.
    server.psql(&format!("select pg_sleep(0.25), '{}'", "long, \"x\" ".repeat(20_000))).unwrap();
    // Prepared: parse, bind and execute have lines of their own.
    server.psql("prepare p as select pg_sleep($1); execute p(0.25)").unwrap();
}

/// Of these four are slow.
const MIXED: f64 = 4.0;

fn each_format(version: Version, settings: &[&str]) {
    let server = logging(version, settings);
    let exporter = watch(server.port(), CONFIG);
    let page = wait_fine(&exporter);
    assert_eq!(page.value("pg_slow_queries_threshold_seconds", &[]), Some(0.2));
    let before = total(&page);
    mixed_load(&server);
    let name = format!("{version:?} {settings:?}");
    let page = counts(&name, &exporter, before + MIXED);
    assert!(page.value("pg_slow_queries_last_minute", &[]).unwrap() >= MIXED, "{name}");
    // A later one comes alone: nothing before it was left open.
    server.psql(SLOW).unwrap();
    let page = counts(&name, &exporter, before + MIXED + 1.0);
    assert_eq!(page.value("pg_log_parse_errors_total", &[]), Some(0.0), "{name}");
}

#[test]
fn stderr_with_prefixes_of_all_sorts() {
    each_format(Version::V13, &["log_line_prefix = ''", "log_timezone = 'Asia/Kolkata'"]);
    each_format(
        Version::V15,
        &[
            "log_line_prefix = '%t:%r:%u@%d:[%p]: '",
            "log_timezone = 'Europe/Berlin'",
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
        ],
    );
    each_format(Version::V17, &["log_line_prefix = '%n %c %l %q%h %b %i %e %s %v %x '"]);
    each_format(Version::V18, &["log_line_prefix = '<%-8p|%10a> %Q %P %% '", "log_duration = on"]);
}

#[test]
fn csvlog_and_jsonlog() {
    each_format(Version::V13, &["log_destination = 'csvlog'", "log_timezone = 'America/St_Johns'"]);
    each_format(Version::V15, &["log_destination = 'stderr, jsonlog, csvlog'"]);
    each_format(Version::V18, &["log_destination = 'csvlog,stderr'", "log_line_prefix = ''"]);
}

#[test]
fn statements_of_our_own_do_not_count() {
    for settings in [
        &["log_line_prefix = '%m [%p] %q%u@%d/%a '"][..],
        &["log_line_prefix = '%m [%p] '"],
        &["log_destination = 'csvlog'"],
        &["log_destination = 'jsonlog'"],
    ] {
        let server = server(PostgresOptions {
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            slow_query: Some(Duration::ZERO),
            ..PostgresOptions::default()
        });
        let exporter = watch(server.port(), "modules: {default: {collectors: {slow_queries: {threshold: 0s}}}}\n");
        wait_fine(&exporter);
        // Everything is slow here; only what the harness asks may count.
        let own = format!("select count(*) from pg_stat_activity where usename = '{MONITOR}'");
        server.psql(&own).unwrap();
        let before = total(&page(&exporter));
        for _ in 0..10 {
            page(&exporter);
        }
        server.psql("select 'mark'").unwrap();
        let after = poll::until("the mark", LIMIT, || Some(total(&page(&exporter))).filter(|now| *now > before));
        assert!(after - before <= 2.0, "{settings:?}: {before} {after}\n{}", server.log());
    }
}

/// Neither application nor process in the prefix: it is said that our own may be among those counted.
#[test]
fn a_prefix_that_tells_nobody_is_said() {
    let server = logging(Version::V15, &["log_line_prefix = '%m '"]);
    let exporter = watch(server.port(), CONFIG);
    wait_fine(&exporter);
    server.psql(SLOW).unwrap();
    let page = counts("nobody", &exporter, 1.0);
    assert_eq!(page.value("sage_error", &[("collector", "slow_queries"), ("reason", "permission")]), Some(1.0));
}

#[test]
fn rotation_by_the_server_by_renaming_and_by_truncation() {
    for kind in ["stderr", "csvlog", "jsonlog"] {
        let destination = format!("log_destination = '{kind}'");
        let server = logging(Version::V15, &[&destination, "log_filename = 'pg-%H%M%S.log'", "log_truncate_on_rotation = off"]);
        let exporter = watch(server.port(), CONFIG);
        wait_fine(&exporter);
        let mut count = total(&page(&exporter));
        let mut slow = |what: &str, before: u8| {
            server.psql(SLOW).unwrap();
            count += 1.0 + f64::from(before);
            counts(&format!("{kind}: {what}"), &exporter, count);
        };
        let present = || PathBuf::from(server.psql(&format!("select pg_current_logfile('{kind}')")).unwrap());
        slow("before", 0);
        // The server turns to a new file by itself; its name changes with the second.
        let old = present();
        poll::until("another file", LIMIT, || {
            server.psql("select pg_rotate_logfile()").unwrap();
            (present() != old).then_some(())
        });
        slow("after the server's rotation", 0);
        // Renamed by an administrator: the server writes on into the old file until it is told.
        let path = present();
        fs::rename(&path, path.with_extension("old")).unwrap();
        server.psql(SLOW).unwrap();
        poll::until("the server opens a file anew", LIMIT, || {
            server.psql("select pg_rotate_logfile()").unwrap();
            present().exists().then_some(())
        });
        slow("after renaming", 1);
        // copytruncate: copied, and cut to nothing under the server's hands.
        let path = present();
        fs::copy(&path, path.with_extension("copy")).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        slow("after copytruncate", 0);
        slow("and goes on", 0);
    }
}

#[test]
fn old_lines_read_late_are_not_of_this_minute() {
    let server = logging(Version::V15, &["log_timezone = 'Asia/Tokyo'"]);
    let exporter = watch(server.port(), CONFIG);
    wait_fine(&exporter);
    let before = page(&exporter);
    let now = server.psql("select to_char(now() at time zone 'Asia/Tokyo', 'YYYY-MM-DD HH24:MI:SS.MS')").unwrap();
    let old = server.psql("select to_char(now() at time zone 'Asia/Tokyo' - interval '2 minutes', 'YYYY-MM-DD HH24:MI:SS.MS')").unwrap();
    let mut file = OpenOptions::new().append(true).open(server.log_file()).unwrap();
    for time in [&old, &old, &now] {
        writeln!(file, "{time} JST [1] app@shop/app LOG:  duration: 900.0 ms  statement: x").unwrap();
    }
    let page = counts("three lines", &exporter, total(&before) + 3.0);
    let recent = |page: &Page| page.value("pg_slow_queries_last_minute", &[]).unwrap();
    assert_eq!(recent(&page), recent(&before) + 1.0);
}

#[test]
fn a_log_that_cannot_be_read_or_understood_is_said_and_not_zero() {
    let server = logging(Version::V15, &[]);
    let exporter = watch(server.port(), CONFIG);
    wait_fine(&exporter);
    let log = server.log_file();
    fs::rename(&log, log.with_extension("away")).unwrap();
    let page = poll::until("the log is gone", LIMIT, || {
        let page = page(&exporter);
        (page.value("pg_log_readable", &[]) == Some(0.0)).then_some(page)
    });
    assert!(!page.has("pg_slow_queries_total") && !page.has("pg_slow_queries_last_minute"));
    fs::rename(log.with_extension("away"), &log).unwrap();
    server.psql(SLOW).unwrap();
    poll::until("it is back", LIMIT, || {
        (self::page(&exporter).value("pg_slow_queries_total", &[("source", "log")]) >= Some(1.0)).then_some(())
    });

    // A folder in the file's place can be read by nobody, not even root.
    fs::rename(&log, log.with_extension("away")).unwrap();
    fs::create_dir(&log).unwrap();
    poll::until("no file", LIMIT, || (self::page(&exporter).value("pg_log_readable", &[]) == Some(0.0)).then_some(()));
    fs::remove_dir(&log).unwrap();

    // It writes no slow statements at all.
    let silent = e2e::watched::server(PostgresOptions { slow_query: None, ..PostgresOptions::default() });
    let exporter = watch(silent.port(), CONFIG);
    let page = poll::until("the server was asked", LIMIT, || {
        let page = self::page(&exporter);
        (page.value("sage_up", &[]) == Some(1.0)).then_some(page)
    });
    assert!(!page.has("pg_slow_queries_total") && !page.has("pg_log_readable"));
}
