//! A PostgreSQL watched by the shipped exporter: the monitoring login with an awkward password, scrapes held to the
//! scraper's timeout, and the promises that hold in every fault: at most two connections, no growth, no password in
//! any output.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::exporter::Exporter;
use crate::page::Page;
use crate::poll;
use crate::said::{self, Ended};
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::temp::TempFolder;

/// The exporter's binary.
pub const BINARY: &str = "sage-postgres-exporter";
/// The monitoring login.
pub const MONITOR: &str = "sage_monitor";
/// Its password: each character is one that some layer would like to interpret.
pub const CANARY: &str = "p@$$w0rd#=?{%}'\"\\ :/";
/// A part of it that no escaping changes.
const TRACE: &str = "w0rd";
/// Connections that the exporter may hold.
pub const BUDGET: usize = 2;
/// How a scraper says how long it waits.
pub const TIMEOUT_HEADER: &str = "X-Prometheus-Scrape-Timeout-Seconds";
/// The collectors that run unasked on every version and role.
pub const COLLECTORS: [&str; 27] = [
    "activity",
    "archiver",
    "bgwriter",
    "cluster",
    "database",
    "database_size",
    "footprint",
    "indexes",
    "locks",
    "long_running_transactions",
    "postmaster",
    "prepared_transactions",
    "progress_vacuum",
    "replication",
    "replication_slots",
    "roles",
    "sequences",
    "settings",
    "slow_queries",
    "slru",
    "ssl",
    "standbys",
    "statio",
    "tables",
    "wal",
    "wraparound",
    "xmin_horizon",
];
/// Those on a timer.
pub const TIMED: [&str; 6] = ["database_size", "indexes", "memory", "sequences", "statio", "tables"];

/// A module whose timers and login probe do not keep a test waiting.
pub const BRISK: &str = "modules:
  default:
    probe_interval: 1s
    collectors:
      database_size: {interval: 1s}
      indexes: {interval: 1s}
      sequences: {interval: 1s}
      statio: {interval: 1s}
      tables: {interval: 1s}
";

/// Long enough for a step on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server with the monitoring login. Its connection limit lies above the budget, so that a third connection
/// would be counted and not be refused.
pub fn server(options: PostgresOptions) -> Arc<Postgres> {
    let server = Postgres::start(options);
    server.create_monitor(MONITOR, CANARY, 10);
    Arc::new(server)
}

/// The peer's three variables.
pub fn environment(port: u16, password: &str) -> [(&'static str, String); 3] {
    [
        ("DATA_SOURCE_URI", format!("127.0.0.1:{port}/postgres")),
        ("DATA_SOURCE_USER", MONITOR.to_owned()),
        ("DATA_SOURCE_PASS", password.to_owned()),
    ]
}

/// Starts the exporter for the server behind `port` with this configuration file.
#[track_caller]
pub fn watch(port: u16, config: &str) -> Exporter {
    watch_as(port, config, CANARY)
}

/// As [`watch`], with another password.
#[track_caller]
pub fn watch_as(port: u16, config: &str, password: &str) -> Exporter {
    let folder = TempFolder::new("config");
    let file = folder.write("postgres.yml", config);
    let env = environment(port, password);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &env)
}

/// One scrape as a scraper with this timeout does it: answered in time, 200, well formed, without the password.
#[track_caller]
pub fn scrape_at(exporter: &Exporter, path: &str, timeout: Duration) -> Page {
    let seconds = timeout.as_secs_f64().to_string();
    let answer = exporter.try_get(path, &[(TIMEOUT_HEADER, &seconds)], timeout + Duration::from_secs(20));
    let answer = answer.unwrap_or_else(|e| panic!("{path}: {e}\n{}", exporter.logs()));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{path}: {text}");
    assert!(answer.elapsed < timeout, "answered after {:?} of {timeout:?}:\n{text}", answer.elapsed);
    assert!(!tells(&text), "the password is on the page");
    Page::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// As [`scrape_at`] on `/metrics`.
#[track_caller]
pub fn scrape(exporter: &Exporter, timeout: Duration) -> Page {
    scrape_at(exporter, "/metrics", timeout)
}

/// Scrapes until a page is as wanted.
#[track_caller]
pub fn until(what: &str, exporter: &Exporter, check: impl Fn(&Page) -> bool) -> Page {
    let mut last = Page::default();
    let found = poll::within(LIMIT, || {
        last = scrape(exporter, Duration::from_secs(10));
        check(&last).then_some(())
    });
    assert!(found.is_some(), "{what}: {:?}\n{}", errors(&last), exporter.logs());
    last
}

/// What fails, by part: `sage_error` as collector and reason.
pub fn errors(page: &Page) -> BTreeMap<String, String> {
    let label = |labels: &BTreeMap<String, String>, name| labels.get(name).cloned().unwrap_or_default();
    page.series("sage_error").iter().map(|s| (label(&s.labels, "collector"), label(&s.labels, "reason"))).collect()
}

/// Scrapes until nothing fails and all collectors have run, and returns that page.
#[track_caller]
pub fn wait_fine(exporter: &Exporter) -> Page {
    let mut last = Page::default();
    let fine = poll::within(LIMIT, || {
        last = scrape(exporter, Duration::from_secs(10));
        let ran = |name: &&str| last.value("sage_collector_success", &[("collector", name)]) == Some(1.0);
        (last.value("sage_up", &[]) == Some(1.0) && errors(&last).is_empty() && COLLECTORS.iter().all(ran)).then_some(())
    });
    let missing: Vec<&str> =
        COLLECTORS.into_iter().filter(|c| last.value("sage_collector_success", &[("collector", c)]) != Some(1.0)).collect();
    assert!(fine.is_some(), "does not come to work: {:?}, did not run: {missing:?}\n{}", errors(&last), exporter.logs());
    last
}

/// True when the text holds the password, escaped or not.
pub fn tells(text: &str) -> bool {
    text.contains(TRACE)
}

/// Runs a command of the exporter to its end.
#[track_caller]
pub fn says(args: &[&str], env: &[(&str, &str)]) -> Ended {
    said::says(BINARY, args, env)
}

/// Looks for the password in all that a running exporter shows.
#[track_caller]
pub fn keeps_its_secret(exporter: &Exporter) {
    for path in ["/", "/metrics", "/probe?target=default", "/-/healthy", "/-/ready", "/nothing", "/metrics?collect[]=nothing"] {
        assert!(!tells(&exporter.get(path).text()), "{path} shows the password");
    }
    assert!(!tells(&exporter.logs()), "the log shows the password:\n{}", exporter.logs());
}

/// Fifty scrapes, then it holds no more than before: no descriptor above `fds` (as [`Exporter::open_fds`] tells while all
/// is well) but one of a walk under way, and at most 4 MB of memory more than after the first scrapes.
#[track_caller]
pub fn does_not_grow(exporter: &Exporter, fds: usize, timeout: Duration) {
    for _ in 0..5 {
        scrape(exporter, timeout);
    }
    let rss = exporter.rss_bytes();
    for _ in 0..50 {
        scrape(exporter, timeout);
    }
    let settled = poll::within(LIMIT, || (exporter.open_fds() <= fds + 1).then_some(()));
    assert!(settled.is_some(), "{} descriptors, {fds} before", exporter.open_fds());
    let now = exporter.rss_bytes();
    assert!(now < rss + 4 * 1024 * 1024, "RSS grew from {rss} to {now}");
}
