//! The metrics that rules and dashboards may use: what the exporters declare (`metrics --json`) and the few series that
//! come from Prometheus, the inventory or our own recording rules. A name that is not here cannot have data.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::query::{self, Shape};
use super::rules::Rule;

/// The labels each alert keeps, from the inventory through service discovery.
pub const INVENTORY_LABELS: [&str; 7] = ["client", "site", "host", "product", "service", "criticality", "team"];
/// The labels each series of a target has, whatever its metric.
pub const TARGET_LABELS: [&str; 9] = ["client", "site", "host", "product", "service", "criticality", "team", "job", "instance"];

/// Series no exporter declares: name and labels beside those of the target.
const BUILTIN: [(&str, &[&str]); 5] = [
    ("up", &[]),
    ("sage_expected_target", &[]),
    ("sage_threshold", &["alert"]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
    ("ALERTS_FOR_STATE", &["alertname", "severity"]),
];

/// One declared metric family, or all families whose names begin alike.
#[derive(Clone, Debug, Deserialize)]
pub struct Metric {
    /// The name, or with `pattern` the beginning of the names.
    pub name: String,
    /// gauge, counter, histogram, summary or unknown.
    #[serde(rename = "type")]
    pub kind: String,
    /// Labels of the family, without those of the target.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// Names are made at run time and begin with `name`.
    #[serde(default)]
    pub pattern: bool,
}

/// All metrics known to the linter.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    exact: BTreeMap<String, Metric>,
    patterns: Vec<Metric>,
}

impl Catalogue {
    /// The builtin series alone; add exporters with [`Catalogue::add_json`].
    #[must_use]
    pub fn builtin() -> Self {
        let mut all = Self::default();
        for (name, labels) in BUILTIN {
            let labels = labels.iter().map(|l| (*l).to_owned()).collect();
            let metric = Metric { name: name.to_owned(), kind: "gauge".to_owned(), labels, pattern: false };
            all.exact.insert(name.to_owned(), metric);
        }
        all
    }

    /// Adds what one exporter declares, the JSON array its `metrics --json` prints. Framework series stand in the
    /// catalogue of each exporter; a second declaration must equal the first in type, and may add labels.
    ///
    /// # Errors
    /// Text that is no such array, or a metric declared with two types; the text names it.
    pub fn add_json(&mut self, json: &str) -> Result<(), String> {
        let metrics: Vec<Metric> = serde_json::from_str(json).map_err(|e| format!("catalogue: {e}"))?;
        for metric in metrics {
            if metric.pattern {
                self.patterns.push(metric);
                continue;
            }
            if let Some(known) = self.exact.get_mut(&metric.name) {
                if known.kind != metric.kind {
                    return Err(format!("catalogue: {} is {} and {}", metric.name, known.kind, metric.kind));
                }
                known.labels.extend(metric.labels);
                continue;
            }
            self.exact.insert(metric.name.clone(), metric);
        }
        Ok(())
    }

    /// Adds what our rules record, with the labels that the expressions leave; a rule may use what those before it record.
    pub fn add_recorded(&mut self, rules: &[Rule]) {
        for rule in rules {
            let (Some(name), (Shape::Series(mut labels), _)) = (&rule.record, query::check(&rule.expr, self)) else { continue };
            labels.retain(|l| !TARGET_LABELS.contains(&l.as_str()));
            let metric = Metric { name: name.clone(), kind: "gauge".to_owned(), labels, pattern: false };
            self.exact.entry(name.clone()).or_insert(metric);
        }
    }

    /// Whether some name, or the beginning of names made at run time, is as asked.
    #[must_use]
    pub fn any(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.exact.keys().chain(self.patterns.iter().map(|m| &m.name)).any(|name| wanted(name))
    }

    /// The family a series name belongs to; `_bucket`, `_sum` and `_count` find their histogram or summary.
    #[must_use]
    pub fn find(&self, series: &str) -> Option<Metric> {
        if let Some(metric) = self.exact.get(series) {
            let mut metric = metric.clone();
            if metric.kind == "summary" {
                metric.labels.insert("quantile".to_owned());
            }
            return Some(metric);
        }
        for (suffix, label) in [("_bucket", Some("le")), ("_sum", None), ("_count", None)] {
            let family = series.strip_suffix(suffix).and_then(|base| self.exact.get(base));
            if let Some(family) = family.filter(|m| m.kind == "histogram" || m.kind == "summary") {
                let mut metric = family.clone();
                "counter".clone_into(&mut metric.kind);
                metric.labels.extend(label.map(str::to_owned));
                return Some(metric);
            }
        }
        self.patterns.iter().find(|m| series.starts_with(&m.name)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::Catalogue;

    const JSON: &str = r#"[{"name":"pg_locks_count","type":"gauge","labels":["datname","mode"]},
        {"name":"pg_settings_","type":"gauge","labels":[],"pattern":true},
        {"name":"age_seconds","type":"summary","labels":["queue"]},
        {"name":"wait_seconds","type":"histogram","labels":["queue"],"help":"more fields are fine"}]"#;

    #[test]
    fn finds_names_prefixes_and_parts_of_histograms() {
        let mut all = Catalogue::builtin();
        all.add_json(JSON).unwrap();
        assert!(all.find("pg_locks_count").unwrap().labels.contains("mode"));
        assert!(all.find("pg_settings_work_mem_bytes").is_some());
        let bucket = all.find("wait_seconds_bucket").unwrap();
        assert_eq!((bucket.kind.as_str(), bucket.labels.len()), ("counter", 2));
        assert!(all.find("age_seconds").unwrap().labels.contains("quantile"));
        assert!(!all.find("age_seconds_sum").unwrap().labels.contains("quantile"));
        assert!(all.find("pg_locks_count_sum").is_none());
        assert!(all.find("sage_threshold").unwrap().labels.contains("alert"));
    }

    #[test]
    fn knows_what_rules_record() {
        let mut all = Catalogue::builtin();
        all.add_json(JSON).unwrap();
        let rules = "groups:\n- rules:\n  - {record: 'a:b', expr: 'max_over_time(pg_locks_count[1h])'}\n  - {record: 'a:c', expr: 'max without (mode) (a:b)'}\n  - {record: 'a:d', expr: nothing}\n";
        all.add_recorded(&super::super::rules::parse(rules).unwrap().groups[0].rules);
        let labels = |name: &str| all.find(name).map(|m| m.labels.into_iter().collect::<Vec<_>>().join(","));
        assert_eq!((labels("a:b").as_deref(), labels("a:c").as_deref(), labels("a:d")), (Some("datname,mode"), Some("datname"), None));
    }

    #[test]
    fn refuses_two_types_and_broken_text() {
        let mut all = Catalogue::builtin();
        all.add_json(JSON).unwrap();
        let error = all.add_json(r#"[{"name":"pg_locks_count","type":"counter"}]"#).unwrap_err();
        assert_eq!(error, "catalogue: pg_locks_count is gauge and counter");
        assert!(all.add_json("{").unwrap_err().starts_with("catalogue: "));
    }
}
