//! Alert rule files: names, labels, severities, waits, annotations and limits, one finding per breach.
//! Knows nothing of promtool's own checks (syntax, duplicates): those run beside this linter.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;

use super::catalogue::{Catalogue, TARGET_LABELS};
use super::query::{self, Shape};
use super::template;

/// Fires always and speaks for the monitoring itself: no inventory labels, no wait, severity none.
pub const WATCHDOG: &str = "SageWatchdog";
/// What each alert tells; all of them, none empty.
pub const ANNOTATIONS: [&str; 6] = ["summary", "description", "impact", "action", "runbook_url", "dashboard_url"];

/// A Prometheus rule file.
#[derive(Debug, Default, Deserialize)]
pub struct RuleFile {
    /// Its groups.
    pub groups: Vec<Group>,
}

/// One group of a rule file.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Alerts and recording rules.
    pub rules: Vec<Rule>,
}

/// One rule: an alert, or a recording rule when `alert` is absent.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rule {
    /// Name of the alert.
    #[serde(default)]
    pub alert: Option<String>,
    /// Name of the recorded series.
    #[serde(default)]
    pub record: Option<String>,
    /// The PromQL expression.
    pub expr: String,
    /// How long the expression must hold, as Prometheus writes it.
    #[serde(rename = "for", default)]
    pub wait: Option<String>,
    /// Labels the rule adds.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Rule {
    /// The short id at the end of the summary, such as PG-07.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let id = self.annotations.get("summary")?.rsplit(' ').next()?;
        let (family, number) = id.split_once('-')?;
        let fits = family.chars().all(|c| c.is_ascii_uppercase()) && family.len() >= 2;
        (fits && number.len() == 2 && number.chars().all(|c| c.is_ascii_digit())).then(|| id.to_owned())
    }
}

/// Parses a rule file.
///
/// # Errors
/// YAML that is no rule file; the text says where.
pub fn parse(text: &str) -> Result<RuleFile, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

/// What is wrong with one rule; `limits` are the alerts that `thresholds.yml` holds a limit for.
#[must_use]
pub fn check(rule: &Rule, catalogue: &Catalogue, limits: &BTreeSet<String>) -> Vec<String> {
    let (shape, mut out) = query::check(&rule.expr, catalogue);
    let Some(name) = rule.alert.as_deref() else { return out };
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        out.push("the name is not of the form ProductObjectCondition".to_owned());
    }
    let severity = rule.labels.get("severity").map_or("", String::as_str);
    let prefix = match severity {
        "critical" => "P1 ",
        "warning" => "P2 ",
        "info" => "P3 ",
        "none" if name == WATCHDOG => "",
        other => {
            out.push(format!("severity {other:?} is none of critical, warning, info"));
            ""
        }
    };
    for label in rule.labels.keys().filter(|l| !["severity", "tier"].contains(&l.as_str())) {
        out.push(format!("adds the label {label}: labels come from the inventory, values belong in annotations"));
    }
    if name != WATCHDOG {
        wait(rule, severity, &mut out);
    }
    annotations(rule, name, &shape, &mut out);
    summary(rule, prefix, &mut out);
    limit(rule, name, limits, &mut out);
    out
}

fn wait(rule: &Rule, severity: &str, out: &mut Vec<String>) {
    let Some(wait) = rule.wait.as_deref() else {
        out.push("has no `for`".to_owned());
        return;
    };
    let (digits, unit) = wait.split_at(wait.len().saturating_sub(1));
    let seconds = match (digits.parse::<u64>(), unit) {
        (Ok(n), "s") => n,
        (Ok(n), "m") => n * 60,
        (Ok(n), "h") => n * 3600,
        _ => {
            out.push(format!("`for: {wait}` is not of the form 5m"));
            return;
        }
    };
    if seconds < 60 {
        out.push(format!("`for: {wait}` of a {severity} alert is shorter than two scrapes"));
    }
}

fn annotations(rule: &Rule, name: &str, shape: &Shape, out: &mut Vec<String>) {
    for key in ANNOTATIONS.iter().filter(|k| rule.annotations.get(**k).is_none_or(|v| v.trim().is_empty())) {
        out.push(format!("has no {key}"));
    }
    for key in rule.annotations.keys().filter(|k| !ANNOTATIONS.contains(&k.as_str())) {
        out.push(format!("annotation {key} is none of the six"));
    }
    if rule.annotations.get("runbook_url").is_some_and(|url| !url.ends_with(&format!("/{name}"))) {
        out.push(format!("runbook_url does not end in /{name}"));
    }
    let Shape::Series(kept) = shape else { return };
    for (key, text) in &rule.annotations {
        for label in template::labels(text) {
            if !kept.contains(&label) && !rule.labels.contains_key(&label) {
                out.push(format!("{key} names the label {label}, which the expression does not keep"));
            }
        }
    }
    if name != WATCHDOG {
        // job and instance too: links, inhibition and escalation need them.
        for label in TARGET_LABELS.iter().filter(|l| !kept.contains(**l)) {
            out.push(format!("loses the target label {label}"));
        }
    }
}

fn summary(rule: &Rule, prefix: &str, out: &mut Vec<String>) {
    let Some(summary) = rule.annotations.get("summary") else { return };
    if !summary.starts_with(prefix) {
        out.push(format!("summary does not begin with {prefix:?}, the mark of its severity"));
    }
    if rule.id().is_none() {
        out.push("summary does not end in a short id such as PG-07".to_owned());
    }
    match template::worst_case(summary) {
        Err(error) => out.push(error),
        Ok(text) => {
            let length = text.chars().count();
            if length > template::SUMMARY_MAX {
                out.push(format!("summary can be {length} characters, {} fit", template::SUMMARY_MAX));
            }
            if let Some(c) = template::not_gsm7(&text) {
                out.push(format!("summary holds {c:?}, which no single SMS carries"));
            }
        }
    }
}

fn limit(rule: &Rule, name: &str, limits: &BTreeSet<String>, out: &mut Vec<String>) {
    let uses = Regex::new(r#"sage_threshold\{alert="([^"]*)"\}"#).unwrap();
    let named: BTreeSet<&str> = uses.captures_iter(&rule.expr).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
    for other in named.iter().filter(|n| **n != name) {
        out.push(format!("compares with the limit of {other}"));
    }
    match (named.contains(name), limits.contains(name)) {
        (true, false) => out.push("compares with a limit that thresholds.yml does not hold".to_owned()),
        (false, true) => out.push("does not compare with its limit of thresholds.yml".to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::{BTreeSet, check, parse};

    const GOOD: &str = r#"
groups:
  - name: g
    rules:
      - alert: PostgresTooMany
        expr: sum without (state) (conns) > ignoring (alert) sage_threshold{alert="PostgresTooMany"}
        for: 5m
        labels: {severity: critical}
        annotations:
          summary: "P1 {{ $labels.client }} {{ $labels.host }} postgres: {{ $value | humanize }} PG-01"
          description: "{{ $labels.instance }} has too many"
          impact: users wait
          action: look
          runbook_url: https://runbooks.sage.example/PostgresTooMany
          dashboard_url: https://grafana.sage.example/d/x
"#;

    fn findings(text: &str) -> Vec<String> {
        let mut all = Catalogue::builtin();
        all.add_json(r#"[{"name":"conns","type":"gauge","labels":["state"]}]"#).unwrap();
        let limits = BTreeSet::from(["PostgresTooMany".to_owned()]);
        parse(text).unwrap().groups[0].rules.iter().flat_map(|r| check(r, &all, &limits)).collect()
    }

    #[test]
    fn a_good_alert_passes() {
        assert_eq!(findings(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_breach_is_named() {
        for (from, to, says) in [
            ("PostgresTooMany\n", "postgres_too_many\n", "ProductObjectCondition"),
            ("severity: critical", "severity: page", "none of critical"),
            ("severity: critical", "severity: none", "none of critical"),
            ("severity: critical", "severity: critical, host: x", "adds the label host"),
            ("severity: critical", "severity: warning", "mark of its severity"),
            ("        for: 5m\n", "", "has no `for`"),
            ("for: 5m", "for: 30s", "shorter than two scrapes"),
            ("for: 5m", "for: 1m30s", "not of the form"),
            ("          impact: users wait\n", "", "has no impact"),
            ("action: look", "action: ''", "has no action"),
            ("impact:", "level: x\n          impact:", "annotation level"),
            ("runbooks.sage.example/PostgresTooMany", "runbooks.sage.example/Other", "does not end in /PostgresTooMany"),
            ("$labels.instance", "$labels.state", "names the label state"),
            ("without (state)", "without (state, team)", "loses the target label team"),
            (" PG-01", "", "short id"),
            ("postgres: ", "postgres with a very long tale: ", "characters, 80 fit"),
            ("postgres: ", "postgres ~ ", "'~'"),
            ("$value | humanize ", "$value | title ", "length is not known"),
            ("{alert=\"PostgresTooMany\"}", "{alert=\"Other\"}", "limit of Other"),
            (" > ignoring (alert) sage_threshold{alert=\"PostgresTooMany\"}", " > 5", "does not compare with its limit"),
            ("conns)", "conn)", "metric conn is not in the catalogue"),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD, "{from}");
            let found = findings(&bad);
            assert!(found.iter().any(|f| f.contains(says)), "{from} -> {to}: {found:?}");
        }
    }

    #[test]
    fn a_limit_must_exist() {
        let text = GOOD.replace("PostgresTooMany", "PostgresOther");
        assert!(findings(&text).iter().any(|f| f.contains("thresholds.yml does not hold")));
    }
}
