//! The linter of the repository: holds alert rules, limits, runbook pages, promtool tests and dashboards to the metrics
//! the exporters declare and to the house rules of on-call. It reads files and returns findings; `e2e/lint.rs` runs it
//! with the catalogues of the built exporters, and promtool beside it.

pub mod alertmanager;
pub mod catalogue;
pub mod dashboards;
pub mod ladder;
mod looks;
pub mod platform;
pub mod query;
pub mod rules;
pub mod runbooks;
pub mod template;
pub mod thresholds;
pub mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use catalogue::Catalogue;
use rules::Rule;

/// Checks everything under `alert-rules/` and `dashboards/` of the repository at `root`, and the reference Alertmanager's
/// inhibitions. Each finding begins with the
/// file, and the alert or panel; no findings: clean.
#[must_use]
pub fn repository(root: &Path, catalogue: &Catalogue) -> Vec<String> {
    let mut catalogue = catalogue.clone();
    catalogue.add_recorded(&recorded(root));
    let catalogue = &catalogue;
    let mut lint = Lint { root, catalogue, findings: Vec::new(), alerts: BTreeMap::new(), every: Vec::new(), pages: BTreeMap::new() };
    let limits = lint.limits();
    lint.rules(&limits);
    lint.runbooks();
    for limit in &limits {
        if !lint.alerts.contains_key(limit) {
            lint.findings.push(format!("{}: {limit} is no alert", thresholds::SOURCE));
        }
    }
    lint.dashboards(&limits);
    lint.findings.extend(ladder::check(&lint.every));
    lint.inhibitions();
    lint.watched();
    lint.findings
}

/// The files of a folder with this ending, sorted; empty when there is no such folder.
#[must_use]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<PathBuf> = entries.filter(|p| p.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

/// The recording rules of `alert-rules/`; files that do not parse are findings elsewhere.
fn recorded(root: &Path) -> Vec<Rule> {
    let paths = files(&root.join("alert-rules"), ".yml").into_iter().filter(|p| *p != root.join(thresholds::SOURCE));
    let parsed = paths.filter_map(|p| rules::parse(&std::fs::read_to_string(p).ok()?).ok());
    parsed.flat_map(|f| f.groups).flat_map(|g| g.rules).filter(|r| r.record.is_some()).collect()
}

struct Lint<'a> {
    root: &'a Path,
    catalogue: &'a Catalogue,
    findings: Vec<String>,
    /// Each alert with one of its rules (an alert may have one rule per severity).
    alerts: BTreeMap<String, Rule>,
    /// All rules of all files.
    every: Vec<Rule>,
    /// The text of each alert's page.
    pages: BTreeMap<String, String>,
}

impl Lint<'_> {
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }

    /// The text of a file; a file that cannot be read is a finding, and empty.
    fn read(&mut self, path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_else(|error| {
            self.findings.push(format!("{}: {error}", self.name(path)));
            String::new()
        })
    }

    /// Parses a file; what does not parse is a finding.
    fn parsed<T>(&mut self, path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.read(path);
        parse(&text).map_err(|error| self.findings.push(format!("{}: {error}", self.name(path)))).ok()
    }

    fn limits(&mut self) -> BTreeSet<String> {
        if let Err(error) = thresholds::refresh(self.root, true) {
            self.findings.push(error);
        }
        let all = self.parsed(&self.root.join(thresholds::SOURCE), thresholds::read);
        all.into_iter().flat_map(|t| t.thresholds).map(|t| t.alert).collect()
    }

    fn rules(&mut self, limits: &BTreeSet<String>) {
        let folder = self.root.join("alert-rules");
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for path in files(&folder, ".yml").into_iter().filter(|p| !p.to_string_lossy().ends_with(".test.yml")) {
            if path == self.root.join(thresholds::SOURCE) {
                continue;
            }
            let Some(file) = self.parsed(&path, rules::parse) else { continue };
            let tests = self.parsed(&path.with_extension("test.yml"), runbooks::parse_tests);
            let tests = tests.map(|t| t.tests).unwrap_or_default();
            for rule in file.groups.into_iter().flat_map(|g| g.rules) {
                self.every.push(rule.clone());
                let alert = rule.alert.clone().unwrap_or_default();
                let mut found = rules::check(&rule, self.catalogue, limits);
                if let Some(id) = rule.id() {
                    let owner = ids.entry(id.clone()).or_insert_with(|| alert.clone());
                    if *owner != alert {
                        found.push(format!("has the id {id} of {owner}"));
                    }
                }
                if rule.alert.is_some() && !self.alerts.contains_key(&alert) {
                    found.extend(runbooks::check_tests(&alert, &ladder::reads(&rule.expr), &tests));
                    self.alerts.insert(alert.clone(), rule);
                }
                let file = self.name(&path);
                self.findings.extend(found.into_iter().map(|f| format!("{file}: {alert}: {f}")));
            }
        }
    }

    fn runbooks(&mut self) {
        let folder = self.root.join("alert-rules/runbooks");
        for (alert, rule) in self.alerts.clone() {
            let path = folder.join(format!("{alert}.md"));
            let page = self.read(&path);
            let found = runbooks::check_page(&alert, &rule.id().unwrap_or_default(), &page);
            let name = self.name(&path);
            self.findings.extend(found.into_iter().map(|f| format!("{name}: {f}")));
            self.pages.insert(alert, page);
        }
        for path in files(&folder, ".md") {
            let alert = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !self.alerts.contains_key(&alert) {
                self.findings.push(format!("{}: there is no such alert", self.name(&path)));
            }
        }
    }

    fn inhibitions(&mut self) {
        let path = self.root.join(alertmanager::REFERENCE);
        let Some(config) = self.parsed(&path, alertmanager::parse) else {
            return;
        };
        let names: BTreeSet<String> = self.alerts.keys().cloned().collect();
        let found = alertmanager::check(&config, &names);
        self.findings.extend(found.into_iter().map(|f| format!("{}: {f}", alertmanager::REFERENCE)));
    }

    fn watched(&mut self) {
        let folders = std::fs::read_dir(self.root.join("exporters")).into_iter().flatten().flatten();
        let exporters: Vec<String> = folders
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let text = self.read(&self.root.join(watched::TABLES));
        let names: BTreeSet<String> = self.alerts.keys().cloned().collect();
        let found = watched::check(&text, &exporters, &names, self.catalogue);
        self.findings.extend(found.into_iter().map(|f| format!("{}: {f}", watched::TABLES)));
    }

    fn dashboards(&mut self, limits: &BTreeSet<String>) {
        let names: BTreeSet<String> = self.alerts.keys().cloned().collect();
        let mut known: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for path in files(&self.root.join("dashboards"), ".json") {
            let Some(board) = self.parsed(&path, dashboards::parse) else {
                continue;
            };
            let mut found = dashboards::check(&board, self.catalogue, &names);
            found.extend(looks::check(&board, limits));
            let name = self.name(&path);
            self.findings.extend(found.into_iter().map(|f| format!("{name}: {f}")));
            if known.insert(board.uid.clone(), board.panels.iter().map(|p| p.id).collect()).is_some() {
                self.findings.push(format!("{name}: uid {} is taken", board.uid));
            }
        }
        for (alert, rule) in &self.alerts {
            let url = rule.annotations.get("dashboard_url").map_or("", String::as_str);
            let found = dangling(url, &known);
            self.findings.extend(found.map(|f| format!("{alert}: dashboard_url {f}")));
            // A page names panels of the dashboard that its alert leads to.
            for panel in self.pages.get(alert).map(|page| runbooks::panels(page)).unwrap_or_default() {
                let found = url.split_once('?').and_then(|(board, _)| dangling(&format!("{board}?viewPanel={panel}"), &known));
                self.findings.extend(found.map(|f| format!("the page of {alert} {f}")));
            }
        }
    }
}

/// What a dashboard link names that does not exist: its uid (unless a template fills it in) or its panel.
fn dangling(url: &str, known: &BTreeMap<String, BTreeSet<u32>>) -> Option<String> {
    let (uid, query) = url.split_once("/d/")?.1.split_once('?')?;
    if uid.contains("{{") {
        return None;
    }
    let Some(panels) = known.get(uid) else {
        return Some(format!("leads to {uid}, which is no dashboard"));
    };
    let panel = query.split('&').find_map(|pair| pair.strip_prefix("viewPanel="))?;
    let exists = panel.parse().is_ok_and(|id| panels.contains(&id));
    (!exists).then(|| format!("leads to panel {panel}, which {uid} does not have"))
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, BTreeSet, dangling};

    #[test]
    fn a_link_leads_somewhere() {
        let known = BTreeMap::from([("sage-x".to_owned(), BTreeSet::from([1, 2]))]);
        for (url, says) in [
            ("https://g/d/sage-x?viewPanel=2", None),
            ("https://g/d/sage-{{ $labels.product }}?var-job=a", None),
            ("https://g/d/sage-y?var-job=a", Some("sage-y, which is no dashboard")),
            ("https://g/d/sage-x?var-job=a&viewPanel=3", Some("leads to panel 3")),
        ] {
            let found = dangling(url, &known);
            assert_eq!(found.is_some(), says.is_some(), "{url}: {found:?}");
            assert!(found.unwrap_or_default().contains(says.unwrap_or("")), "{url}");
        }
    }
}
