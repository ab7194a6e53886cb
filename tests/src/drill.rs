//! Alerts on real faults: the shipped rules in a real Prometheus, the real exporter at real servers, all of it faster than
//! on a site. Two things differ from what is shipped. Times: each `for`, `keep_firing_for` and range is divided by
//! [`SHORTER`] by a mechanical rewrite, and so are the intervals of scrape, evaluation and login probe (30 s become 1 s),
//! so that every rule sees as many samples as on a site; what is written in hours is divided by [`SHORTER_HOURS`].
//! Limits: some are lowered by overrides in the form that `thresholds.yml` has, which shows that overrides work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::{Captures, Regex};

use crate::exporter::Exporter;
use crate::lint::rules::WATCHDOG;
use crate::lint::thresholds::{self, Override};
use crate::servers::prometheus::{Job, Prometheus, shipped_rules};
use crate::site;
use crate::temp::TempFolder;

/// The reference interval of scrapes and evaluations, 30 s, over that of a drill.
pub const SHORTER: u64 = 30;
/// The same for times in hours, which say only that the matter is slow: an hour becomes ten seconds.
pub const SHORTER_HOURS: u64 = 360;
/// The monitoring account's password.
pub const PASSWORD: &str = "monitor";
/// Every alert that fires.
pub const FIRING: &str = r#"ALERTS{alertstate="firing"}"#;
/// Every alert that has fired since the drill began.
pub const EVER: &str = r#"max by (alertname, host) (max_over_time(ALERTS{alertstate="firing"}[10m]))"#;

/// Alert, host, limit: lowered so that a fault of seconds passes it.
pub type Lowered = (&'static str, &'static str, f64);

/// The rules with each time divided.
///
/// # Panics
/// When a time is left that is not in whole minutes or hours.
pub fn shorten(rules: &str) -> String {
    let time = Regex::new(r"(?m)(\bfor: |keep_firing_for: |interval: |\[)(\d+)([mh])(\]|$)").unwrap();
    let short = time.replace_all(rules, |c: &Captures| {
        let number = c[2].parse::<u64>().unwrap();
        let (seconds, by) = if &c[3] == "h" { (number * 3600, SHORTER_HOURS) } else { (number * 60, SHORTER) };
        assert_eq!(seconds % by, 0, "{}", &c[0]);
        format!("{}{}s{}", &c[1], seconds / by, &c[4])
    });
    let wait = |line: &str| ["for: ", "keep_firing_for: ", "interval: "].iter().find_map(|p| line.strip_prefix(p)).map(str::to_owned);
    let odd = |time: &String| time.strip_suffix('s').is_none_or(|seconds| seconds.parse::<u64>().is_err());
    let range = Regex::new(r"\[[^\]]*[mhdw]\]").unwrap();
    let left = short.lines().filter_map(|line| wait(line.trim())).find(odd);
    let left = left.or_else(|| range.find(&short).map(|found| found.as_str().to_owned()));
    assert!(left.is_none(), "a time was not shortened: {left:?}");
    short.into_owned()
}

/// The limits as shipped, with these overrides before those that are there.
///
/// # Panics
/// For an alert without a limit, and an override that lowers nothing.
pub fn limits(overrides: &[Lowered]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(thresholds::SOURCE);
    let mut all = thresholds::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    for (alert, host, value) in overrides {
        let entry = all.thresholds.iter_mut().find(|t| t.alert == *alert).unwrap_or_else(|| panic!("{alert} has no limit"));
        let matches = BTreeMap::from([("host".to_owned(), (*host).to_owned())]);
        assert!(*value < entry.value, "{alert}: the override lowers nothing");
        entry.overrides.insert(0, Override { matches, value: *value, reason: "a fault of seconds".to_owned() });
    }
    thresholds::generate(&all)
}

/// All shipped rules shortened, the limits with these overrides, and the inventory of what is expected, as files.
///
/// # Panics
/// When a shipped file cannot be read.
pub fn rules(folder: &TempFolder, overrides: &[Lowered], expected: &[Job]) -> Vec<PathBuf> {
    let shipped = shipped_rules().into_iter().filter(|r| !r.ends_with("thresholds.rules.yml"));
    let mut rules: Vec<_> = shipped
        .map(|rule| folder.write(&rule.file_name().unwrap().to_string_lossy(), &shorten(&std::fs::read_to_string(&rule).unwrap())))
        .collect();
    assert!(rules.len() >= 2, "{rules:?}");
    rules.push(folder.write("thresholds.yml", &limits(overrides)));
    rules.push(folder.write("inventory.yml", &site::expected(expected)));
    rules
}

/// An exporter that watches the server at a local port as `user`, with these settings of its module besides those that are default.
pub fn watch(folder: &TempFolder, port: u16, user: &str, settings: &str) -> Exporter {
    let config = folder.write(&format!("exporter-{user}-{port}.yml"), &format!("modules: {{default: {{{settings}}}}}\n"));
    let env = [
        ("DATA_SOURCE_URI", format!("127.0.0.1:{port}/postgres?sslmode=prefer")),
        ("DATA_SOURCE_USER", user.to_owned()),
        ("DATA_SOURCE_PASS", PASSWORD.to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    Exporter::start("sage-postgres-exporter", &[&format!("--config.file={}", config.display())], &env)
}

/// The scrape job of a host's exporter.
pub fn job(host: &str, address: String) -> Job {
    Job {
        name: format!("postgres-{host}"),
        address,
        labels: site::labels(host, "postgres", "dba", &format!("{host}.example:9187")),
        ..Job::default()
    }
}

/// Alerts by name and host, with all labels.
pub type Alerts = BTreeMap<(String, String), BTreeMap<String, String>>;

/// What `query` finds, the sign of life left out.
pub fn alerts(prometheus: &Prometheus, query: &str) -> Alerts {
    let found = prometheus.query(query).into_iter().map(|(labels, _)| labels);
    let named = found.map(|labels| ((labels["alertname"].clone(), labels.get("host").cloned().unwrap_or_default()), labels));
    named.filter(|((alert, _), _)| alert != WATCHDOG).collect()
}

/// Whether a busy machine raises this at any server, without a fault: a login that takes longer than its limit.
pub fn is_of_a_busy_machine((alert, _): &(String, String)) -> bool {
    alert.ends_with("LoginSlow")
}

/// Alerts and hosts as the keys of [`Alerts`].
pub fn named(pairs: impl IntoIterator<Item = (&'static str, &'static str)>) -> BTreeSet<(String, String)> {
    pairs.into_iter().map(|(alert, host)| (alert.to_owned(), host.to_owned())).collect()
}

/// That each expected alert (name, host, severity) has every label of its target, and that no alert of Prometheus has a
/// text with a hole.
///
/// # Panics
/// When that is not so; the text names alert and label.
#[track_caller]
pub fn assert_complete(fired: &Alerts, expected: &[(&str, &str, &str)], prometheus: &Prometheus) {
    let jobs: Vec<Job> = expected.iter().map(|(_, host, _)| job(host, String::new())).collect();
    assert_complete_as(fired, expected, &jobs, prometheus);
}

/// As [`assert_complete`], for alerts of the targets of these jobs.
///
/// # Panics
/// As [`assert_complete`].
#[track_caller]
pub fn assert_complete_as(fired: &Alerts, expected: &[(&str, &str, &str)], jobs: &[Job], prometheus: &Prometheus) {
    for (alert, host, severity) in expected {
        let labels = &fired[&((*alert).to_owned(), (*host).to_owned())];
        let of_host = |job: &&Job| job.labels.iter().any(|(name, value)| name == "host" && value == host);
        let wanted = &jobs.iter().find(of_host).unwrap_or_else(|| panic!("{host} has no job")).labels;
        for (name, value) in wanted.iter().chain([&("severity".to_owned(), (*severity).to_owned())]) {
            assert_eq!(labels.get(name), Some(value), "{alert} at {host}: {name}");
        }
    }
    for alert in prometheus.alerts() {
        for (name, text) in &alert.annotations {
            assert!(!text.is_empty() && !text.contains("<no value>") && !text.contains("<error"), "{name} of {alert:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn every_time_is_shorter() {
        let rules = "interval: 2m\nexpr: increase(a[15m]) > increase(b[1h])\n  for: 2m\n  keep_firing_for: 5m\n  for: 1h\n";
        let short = "interval: 4s\nexpr: increase(a[30s]) > increase(b[10s])\n  for: 4s\n  keep_firing_for: 10s\n  for: 10s\n";
        assert_eq!(shorten(rules), short);
    }

    #[test]
    #[should_panic(expected = "was not shortened")]
    fn an_odd_time_is_refused() {
        shorten("for: 1m30s\n");
    }
}
