//! Holds the repository's rules, limits, runbooks, tests and dashboards to the catalogues of the built exporters, then
//! runs Prometheus' and Alertmanager's own checkers over the files, which the linter does not repeat.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::lint::{self, catalogue::Catalogue};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// What an exporter declares, from its own `metrics --json`.
fn declared(name: &str) -> String {
    let binary = e2e::exporter::binary(name);
    let out = Command::new(&binary).args(["metrics", "--json"]).output().expect("the exporter starts");
    assert!(out.status.success(), "{}: {}", binary.display(), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("JSON is UTF-8")
}

/// Runs a checker in a folder of the repository and shows what it said when it is not content.
fn passes(folder: &str, program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).current_dir(root().join(folder)).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; install the Debian packages prometheus and prometheus-alertmanager"));
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {}:\n{said}", args.join(" "));
}

/// The files of `alert-rules/` that match, relative to it.
fn rule_files() -> Vec<String> {
    let names = lint::files(&root().join("alert-rules"), ".yml").into_iter();
    let names = names.filter_map(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()));
    names.filter(|n| !n.ends_with(".test.yml") && n != "thresholds.yml").collect()
}

#[test]
fn rules_runbooks_and_dashboards_keep_the_house_rules() {
    let mut catalogue = Catalogue::builtin();
    for exporter in e2e::exporter::all() {
        catalogue.add_json(&declared(&exporter)).expect("the catalogues agree");
    }
    let findings = lint::repository(&root(), &catalogue);
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Their tests are a stage of their own (`make test`, `make lint`).
#[test]
fn promtool_accepts_the_rules() {
    let mut files = rule_files();
    assert!(files.len() >= 2, "{files:?}");
    files.push("generated/thresholds.rules.yml".to_owned());
    let mut args = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    args.extend(files.iter().map(String::as_str));
    passes("alert-rules", "promtool", &args);
}

#[test]
fn the_reference_configuration_is_valid() {
    passes("packaging/prometheus", "promtool", &["check", "config", "prometheus.yml"]);
    passes("packaging/prometheus", "amtool", &["check-config", "alertmanager.yml"]);
}

/// Each line of `routes.test` is a set of labels, `=>`, and the receivers that must be told.
#[test]
fn alerts_reach_the_receivers_of_the_table() {
    let table = std::fs::read_to_string(root().join("packaging/prometheus/routes.test")).expect("routes.test");
    let mut rows = 0;
    for line in table.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let (labels, receivers) = line.split_once("=>").expect("labels => receivers");
        let verify = format!("--verify.receivers={}", receivers.trim());
        let mut args = vec!["config", "routes", "test", "--config.file=alertmanager.yml", &verify];
        args.extend(labels.split_whitespace());
        passes("packaging/prometheus", "amtool", &args);
        rows += 1;
    }
    assert!(rows >= 10, "{rows} rows");
}

/// The tables of promises and threats name a file and the tests in it: "`file.rs`: `test`, `test`".
#[test]
fn every_promise_names_a_test_that_exists() {
    let named = regex::Regex::new(r"`([\w/]+\.rs)`: ((?:`\w+`(?:, )?)+)").expect("a pattern");
    let mut seen = 0;
    for page in ["README.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(root().join(page)).expect(page);
        for (_, [file, tests]) in named.captures_iter(&text).map(|c| c.extract()) {
            let place = if file.contains('/') { root().join(file) } else { root().join("tests/e2e").join(file) };
            let code = std::fs::read_to_string(&place).unwrap_or_else(|e| panic!("{page}: {file}: {e}"));
            for test in tests.split(", ").map(|test| test.trim_matches('`')) {
                // A function, or a row of a table of tests.
                let is_it = |line: &str| line.contains(&format!("fn {test}(")) || line.trim_start().starts_with(&format!("{test}: "));
                assert!(code.lines().any(is_it), "{page}: {file} has no test {test}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 30, "{seen} tests");
}
