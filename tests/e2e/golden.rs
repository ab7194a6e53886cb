//! The page of a seeded PostgreSQL, compared with the one that is kept: families, help, types and labels, with values and
//! what varies masked. It holds every declared family or says why it cannot, and passes the strict reader and promtool.
//! `SAGE_GOLDEN=write cargo test -p e2e --test golden` writes it anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::exporter::run;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::watched::{BINARY, CANARY, LIMIT, MONITOR, scrape, wait_fine, watch};
use sage_common::parse;
use serde_json::Value;

/// What stands for a masked value.
const MASK: &str = "?";

fn golden(ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/postgres-15.{ending}"))
}

/// The rules beside the page. Of TOML it takes `[section]` and `"key" = "text"` lines.
struct Rules(BTreeMap<String, BTreeMap<String, String>>);

impl Rules {
    fn read() -> Self {
        let path = golden("toml");
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section = String::new();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let text = |part: &str| part.trim().strip_prefix('"').and_then(|p| p.strip_suffix('"')).map(str::to_owned);
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once(" = ") {
                let (Some(key), Some(value)) = (text(key), text(value)) else { panic!("{}:{}: {line}", path.display(), number + 1) };
                sections.entry(section.clone()).or_default().insert(key, value);
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "{}:{}: {line}", path.display(), number + 1);
            }
        }
        Self(sections)
    }

    fn section(&self, name: &str) -> &BTreeMap<String, String> {
        self.0.get(name).unwrap_or_else(|| panic!("the rules have no [{name}]"))
    }

    /// The page with its values and the labels of `[labels]` masked, each series once.
    fn mask(&self, page: &str) -> String {
        let mut out = String::new();
        let mut last = String::new();
        for line in page.lines() {
            if line.starts_with('#') || line.is_empty() {
                out += &format!("{line}\n");
                continue;
            }
            let sample = Page::parse(line).unwrap().samples.remove(0);
            let label = |(name, value): (&String, &String)| {
                let masked = self.section("labels").contains_key(name);
                format!("{name}={:?}", if masked { MASK } else { value })
            };
            let labels: Vec<String> = sample.labels.iter().map(label).collect();
            let line = if labels.is_empty() { sample.name } else { format!("{}{{{}}}", sample.name, labels.join(",")) };
            if line != last {
                out += &format!("{line} {MASK}\n");
            }
            last = line;
        }
        out
    }
}

/// `*` stands for anything, once.
fn like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
        None => pattern == name,
    }
}

fn first_difference(old: &str, new: &str) -> Option<String> {
    let (kept, now): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (kept.iter().copied().collect(), now.iter().copied().collect());
    let gone: Vec<&&str> = before.difference(&after).take(20).collect();
    let come: Vec<&&str> = after.difference(&before).take(20).collect();
    (kept != now).then(|| format!("gone: {gone:#?}\nnew: {come:#?}\n(none of both: the order has changed)"))
}

#[test]
fn the_page_is_the_one_that_is_kept() {
    // Nothing that would come and go by itself: no autovacuum, no login probe and no walk between the scrapes.
    let server = Postgres::start(PostgresOptions {
        settings: vec!["autovacuum = off".to_owned(), "track_io_timing = on".to_owned()],
        slow_query: Some(Duration::from_secs(1)),
    });
    server.create_monitor(MONITOR, CANARY, 2);
    server.psql("create database shop").unwrap();
    let seed =
        "select pg_stat_reset(); create table customer as select generate_series(1, 100) as id; create table country as select 1 as id";
    server.psql_in("shop", seed).unwrap();
    server.psql_in("shop", "vacuum analyze customer").unwrap();
    let standby = Postgres::start_standby(&server, PostgresOptions::default());
    let mut locker = server.session("shop");
    locker.query("begin; lock table customer in access exclusive mode").unwrap();
    let _waiter = server.spawn_psql("shop", "select count(*) from customer");
    let waiting = "select count(*) from pg_locks where not granted";
    poll::until("the reader waits", LIMIT, || (server.psql(waiting).unwrap() == "1").then_some(()));

    let rules = Rules::read();
    let config = "modules: {default: {probe_interval: 1h, collectors: {tables: {top: 1}}}}\n";
    let exporter = watch(server.port(), config);
    wait_fine(&exporter);
    let text = || exporter.get("/metrics").text();
    poll::until("the walk has been everywhere", LIMIT, || {
        let page = scrape(&exporter, Duration::from_secs(10));
        let idle = page.value("sage_connections", &[("state", "spare")]) == Some(0.0);
        let walked = page.value("pg_tables", &[("datname", "shop")]).is_some();
        (idle && walked && server.count_connections(MONITOR) == 1).then_some(())
    });
    let page = text();
    let masked = rules.mask(&page);
    let again = rules.mask(&text());
    assert_eq!(first_difference(&masked, &again), None, "the second scrape differs from the first");
    let other = Page::parse(&exporter.get("/probe?target=default").text()).unwrap();
    assert!(!other.samples.is_empty() && other.types.keys().all(|name| page.contains(&format!("# TYPE {name} "))));
    drop(standby);

    if std::env::var_os("SAGE_GOLDEN").is_some_and(|v| v == "write") {
        fs::write(golden("prom"), &masked).unwrap();
    }
    let kept = fs::read_to_string(golden("prom")).unwrap();
    if let Some(difference) = first_difference(&kept, &masked) {
        panic!("the page has changed; SAGE_GOLDEN=write keeps the new one:\n{difference}");
    }
    holds_what_is_declared(&rules, &page);
    is_strictly_right(&page, &exporter.get_with("/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")]).text());
    pleases_promtool(&rules, &page);
}

/// Every declared family is on the page, with its type and labels, or `absent` says why not; and nothing else is.
fn holds_what_is_declared(rules: &Rules, text: &str) {
    let declared: Vec<Value> = serde_json::from_slice(&run(BINARY, &["metrics", "--json"], &[]).stdout).unwrap();
    let page = Page::parse(text).unwrap();
    let absent = rules.section("absent");
    let mut wrong = Vec::new();
    for family in &declared {
        let (name, kind) = (family["name"].as_str().unwrap(), family["type"].as_str().unwrap());
        let mine = |other: &str| if family["pattern"] == true { other.starts_with(name) } else { other == name };
        let found: Vec<&str> = page.types.keys().map(String::as_str).filter(|other| mine(other)).collect();
        match (found.is_empty(), absent.contains_key(name)) {
            (true, false) => wrong.push(format!("{name} is declared and not on the page")),
            (false, true) => wrong.push(format!("{name} is on the page and said to be absent")),
            _ => {}
        }
        wrong.extend(found.iter().filter(|n| page.types[**n] != kind).map(|n| format!("{n} is no {kind}")));
        let labels: BTreeSet<&str> = family["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        for sample in page.samples.iter().filter(|s| mine(&s.name)) {
            if sample.labels.keys().map(String::as_str).collect::<BTreeSet<_>>() != labels {
                wrong.push(format!("{}{:?} has other labels than {labels:?}", sample.name, sample.labels));
            }
        }
    }
    let is_declared = |name: &str| {
        declared.iter().any(|f| {
            let declared = f["name"].as_str().unwrap();
            name == declared || f["pattern"] == true && name.starts_with(declared)
        })
    };
    wrong.extend(page.types.keys().filter(|n| !is_declared(n)).map(|n| format!("{n} is on the page and not declared")));
    let known = |name: &String| declared.iter().any(|f| f["name"] == name.as_str());
    wrong.extend(absent.keys().filter(|n| !known(n)).map(|n| format!("{n} is said to be absent and not declared")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn is_strictly_right(text: &str, open: &str) {
    for (page, format) in [(text, parse::Format::Text), (open, parse::Format::OpenMetrics)] {
        match parse::strict(page, format) {
            Ok(read) => assert!(read.families.len() > 250, "{} families", read.families.len()),
            Err(faults) => panic!("{format:?}: {}", faults.iter().take(10).map(|f| format!("{f}\n")).collect::<String>()),
        }
    }
}

/// What promtool complains of is waived by name, and each waiver is needed.
fn pleases_promtool(rules: &Rules, page: &str) {
    let mut promtool = Command::new("/usr/bin/promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: install the Debian package prometheus");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    let waived = rules.section("promtool");
    let mut used = BTreeSet::new();
    for line in said.lines() {
        let (name, _) = line.split_once(' ').unwrap_or((line, ""));
        let waiver = waived.iter().find(|(pattern, complaint)| like(pattern, name) && line.contains(complaint.as_str()));
        let (pattern, _) = waiver.unwrap_or_else(|| panic!("promtool: {line}"));
        used.insert(pattern);
    }
    let unused: Vec<&String> = waived.keys().filter(|p| !used.contains(p)).collect();
    assert!(unused.is_empty(), "waivers that nothing needs: {unused:?}\n{said}");
}
