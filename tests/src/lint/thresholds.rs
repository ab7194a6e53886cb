//! Alert limits as series: reads `alert-rules/thresholds.yml` and writes the recording rules of
//! `alert-rules/generated/thresholds.rules.yml`, one `sage_threshold{alert}` per alert and instance.
//! The instance comes from `sage_up` of the product (or `up`, for what a prober does on its own), so that a limit carries all
//! labels of its target; overrides stand before the default in one `or`, which keeps the first value found for an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use super::catalogue::TARGET_LABELS;

/// Where the limits are kept, from the root of the repository.
pub const SOURCE: &str = "alert-rules/thresholds.yml";
/// Where the recording rules are written, from the root of the repository.
pub const GENERATED: &str = "alert-rules/generated/thresholds.rules.yml";

/// The content of `thresholds.yml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// One entry per alert that compares with a limit.
    pub thresholds: Vec<Threshold>,
}

/// The default limit of one alert, with its overrides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The alert that compares with this limit.
    pub alert: String,
    /// The `product` label of the targets that get the limit.
    pub product: String,
    /// The series that every target with the limit has.
    #[serde(default = "sage_up")]
    pub series: String,
    /// The limit, in `unit`.
    pub value: f64,
    /// What the value counts, for people.
    pub unit: String,
    /// Why this value and no other.
    pub reason: String,
    /// Where the value comes from: a manual, a measurement, own judgement.
    pub source: String,
    /// Other values for some targets; the first that matches a target wins.
    #[serde(default)]
    pub overrides: Vec<Override>,
}

fn sage_up() -> String {
    "sage_up".to_owned()
}

/// Another limit for the targets whose labels match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Target labels and the values they must have, all of them.
    #[serde(rename = "match")]
    pub matches: BTreeMap<String, String>,
    /// The limit, in the unit of the entry.
    pub value: f64,
    /// Why these targets differ, for the next reader.
    pub reason: String,
}

/// Reads and checks the limits.
///
/// # Errors
/// Text that is no valid YAML of this shape, an alert named twice, an empty field, a value that is no number, or an
/// override that matches nothing or a label no target has. The text names the alert.
pub fn read(text: &str) -> Result<Thresholds, String> {
    let all: Thresholds = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let mut seen = BTreeSet::new();
    for entry in &all.thresholds {
        let alert = &entry.alert;
        if !seen.insert(alert) {
            return Err(format!("{alert} stands twice"));
        }
        for (name, value) in [
            ("alert", alert),
            ("product", &entry.product),
            ("series", &entry.series),
            ("unit", &entry.unit),
            ("reason", &entry.reason),
            ("source", &entry.source),
        ] {
            if value.trim().is_empty() {
                return Err(format!("{alert}: {name} is empty"));
            }
        }
        if !entry.value.is_finite() {
            return Err(format!("{alert}: the value is no number"));
        }
        for over in &entry.overrides {
            check_override(alert, over)?;
        }
    }
    Ok(all)
}

fn check_override(alert: &str, over: &Override) -> Result<(), String> {
    if over.matches.is_empty() {
        return Err(format!("{alert}: an override without match; change the default instead"));
    }
    if let Some(label) = over.matches.keys().find(|l| !TARGET_LABELS.contains(&l.as_str())) {
        return Err(format!("{alert}: an override matches {label}, which no target has"));
    }
    if over.reason.trim().is_empty() {
        return Err(format!("{alert}: an override without reason"));
    }
    if !over.value.is_finite() {
        return Err(format!("{alert}: the value of an override is no number"));
    }
    Ok(())
}

/// The rule file for these limits, byte for byte what belongs in [`GENERATED`].
#[must_use]
pub fn generate(all: &Thresholds) -> String {
    let mut out = format!("# Generated from {SOURCE} by `cargo run -p e2e --bin thresholds`: do not edit.\n");
    out.push_str("groups:\n  - name: thresholds\n    rules:\n");
    for entry in &all.thresholds {
        let _ = writeln!(out, "      # {}: {}", entry.unit, entry.reason);
        out.push_str("      - record: sage_threshold\n        expr: |\n");
        for over in &entry.overrides {
            let labels: String = over.matches.iter().map(|(k, v)| format!(",{k}={v:?}")).collect();
            let _ = writeln!(out, "          {}{{product={:?}{labels}}} * 0 + {}", entry.series, entry.product, over.value);
            out.push_str("            or\n");
        }
        let _ = writeln!(out, "          {}{{product={:?}}} * 0 + {}", entry.series, entry.product, entry.value);
        let _ = writeln!(out, "        labels:\n          alert: {}", entry.alert);
    }
    out
}

/// Brings the generated file of the repository at `root` up to date, or with `check` only compares.
///
/// # Errors
/// A file that cannot be read or written, refused limits, and with `check` a stale file; the text says which.
pub fn refresh(root: &Path, check: bool) -> Result<(), String> {
    let source = root.join(SOURCE);
    let text = std::fs::read_to_string(&source).map_err(|e| format!("{SOURCE}: {e}"))?;
    let wanted = generate(&read(&text).map_err(|e| format!("{SOURCE}: {e}"))?);
    let target = root.join(GENERATED);
    let found = std::fs::read_to_string(&target).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    if check {
        return Err(format!("{GENERATED} is stale: run `cargo run -p e2e --bin thresholds`"));
    }
    std::fs::write(&target, wanted).map_err(|e| format!("{GENERATED}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::{generate, read};

    const GOOD: &str = "thresholds:\n  - {alert: A, product: postgres, value: 0.9, unit: ratio, reason: why, source: manual, overrides: [{match: {client: acme, host: db01}, value: 0.95, reason: pool}]}\n";

    #[test]
    fn an_override_stands_before_the_default() {
        let rules = generate(&read(GOOD).unwrap());
        let first = rules.find(r#"sage_up{product="postgres",client="acme",host="db01"} * 0 + 0.95"#).unwrap();
        let second = rules.find("sage_up{product=\"postgres\"} * 0 + 0.9\n").unwrap();
        assert!(first < second);
        assert!(rules.contains("          alert: A\n"));
        let rules = generate(&read(&GOOD.replace("alert: A,", "alert: A, series: up,")).unwrap());
        assert!(rules.contains(" up{product=\"postgres\"} * 0 + 0.9\n"), "{rules}");
    }

    #[test]
    fn refuses_what_nobody_could_mean() {
        for (from, to, says) in [
            ("reason: why", "reason: ''", "reason is empty"),
            ("client: acme", "cleint: acme", "cleint, which no target has"),
            ("{client: acme, host: db01}", "{}", "without match"),
            ("reason: pool", "reason: ' '", "override without reason"),
            ("value: 0.9,", "value: .nan,", "no number"),
            ("unit: ratio", "units: ratio", "units"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(says), "{from} -> {to}: {error}");
        }
        let twice = format!("{GOOD}{}", GOOD.trim_start_matches("thresholds:\n"));
        assert_eq!(read(&twice).unwrap_err(), "A stands twice");
    }
}
