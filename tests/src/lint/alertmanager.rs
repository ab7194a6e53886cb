//! The inhibitions of the reference Alertmanager configuration: they name alerts that exist, and join on labels that
//! every alert has. A label missing on both sides counts as equal there, and would silence everything.

use std::collections::BTreeSet;

use regex::Regex;
use serde::Deserialize;

use super::catalogue::TARGET_LABELS;

/// Where the configuration is kept, from the root of the repository.
pub const REFERENCE: &str = "packaging/prometheus/alertmanager.yml";
/// What a fault is grouped by; an inhibition must not reach beyond it.
const FAULT: [&str; 5] = ["client", "site", "host", "product", "instance"];

/// An Alertmanager configuration, as far as it is checked.
#[derive(Debug, Deserialize)]
pub struct Config {
    inhibit_rules: Vec<Inhibit>,
}

#[derive(Debug, Deserialize)]
struct Inhibit {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    #[serde(default)]
    equal: Vec<String>,
}

/// Parses a configuration.
///
/// # Errors
/// YAML that is no Alertmanager configuration; the text says where.
pub fn parse(text: &str) -> Result<Config, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

/// What is wrong with the inhibitions; `alerts` are the names that exist.
#[must_use]
pub fn check(config: &Config, alerts: &BTreeSet<String>) -> Vec<String> {
    let quoted = Regex::new("alertname *[!=~]+ *\"([^\"]*)\"").unwrap();
    let mut out = Vec::new();
    for rule in &config.inhibit_rules {
        let source = rule.source_matchers.join(", ");
        let matchers = rule.source_matchers.iter().chain(&rule.target_matchers);
        let named = matchers.flat_map(|m| quoted.captures_iter(m)).flat_map(|c| {
            let names: Vec<String> = c[1].split('|').map(str::to_owned).collect();
            names
        });
        for name in named.filter(|n| !alerts.contains(n)) {
            out.push(format!("an inhibition names {name}, which is no alert"));
        }
        for label in FAULT.iter().filter(|l| !rule.equal.iter().any(|e| e == *l)) {
            out.push(format!("the inhibition by {source} is not held to one {label}"));
        }
        for label in rule.equal.iter().filter(|l| !TARGET_LABELS.contains(&l.as_str())) {
            out.push(format!("the inhibition by {source} joins on {label}, which not every alert has"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, check, parse};

    const GOOD: &str = "inhibit_rules:\n  - source_matchers: [alertname = \"A\"]\n    target_matchers: [alertname !~ \"A|B\"]\n    equal: [client, site, host, product, instance]\n";

    fn findings(text: &str) -> Vec<String> {
        check(&parse(text).unwrap(), &BTreeSet::from(["A".to_owned(), "B".to_owned()]))
    }

    #[test]
    fn an_inhibition_stays_within_one_fault() {
        assert_eq!(findings(GOOD), Vec::<String>::new());
        for (from, to, says) in [
            ("\"A\"", "\"Aa\"", "names Aa, which is no alert"),
            ("\"A|B\"", "\"A|C\"", "names C, which is no alert"),
            (", host", "", "not held to one host"),
            (", host", ", host, collector", "joins on collector"),
        ] {
            let found = findings(&GOOD.replacen(from, to, 1));
            assert!(found.iter().any(|f| f.contains(says)), "{from}: {found:?}");
        }
    }
}
