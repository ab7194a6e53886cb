//! What stands beside each alert: its runbook page with every section, and its three promtool tests.
//! A page without an alert is a finding too: nobody would look for it.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

use super::catalogue::INVENTORY_LABELS;
use super::rules::{ANNOTATIONS, WATCHDOG};

/// The sections of a page, in the order a reader at night needs them.
pub const SECTIONS: [&str; 10] = ["Meaning", "Who is hurt", "Is it real", "L1", "Stop rule", "Do not", "L2", "Over when", "L3", "Drill"];
const L1_STEPS: usize = 5;

/// A promtool test file.
#[derive(Debug, Deserialize)]
pub struct TestFile {
    /// Its test groups.
    pub tests: Vec<Test>,
}

/// One test group, named `<Alert>: <what>`.
#[derive(Debug, Deserialize)]
pub struct Test {
    /// The name, by which the three tests of an alert are found.
    #[serde(default)]
    pub name: String,
    /// Time between two samples; a minute where nothing is said.
    #[serde(default)]
    pub interval: Option<String>,
    /// What there is.
    #[serde(default)]
    pub input_series: Vec<Series>,
    /// What alerts it expects.
    #[serde(default)]
    pub alert_rule_test: Vec<AlertTest>,
}

/// One series of a test.
#[derive(Debug, Deserialize)]
pub struct Series {
    /// Name and labels.
    pub series: String,
    /// Its values, as `1x5 _x10`.
    pub values: serde_json::Value,
}

impl Series {
    fn name(&self) -> &str {
        self.series.split('{').next().unwrap_or_default()
    }

    /// The number of the last sample that is one, from 0; none where it is stale at the end or there is none at all.
    fn last(&self) -> Option<u64> {
        let text = self.values.as_str().map_or_else(|| self.values.to_string(), str::to_owned);
        let (mut next, mut last) = (0, None);
        for word in text.split_whitespace() {
            let times = word.split_once('x').and_then(|(_, times)| times.parse::<u64>().ok());
            match (word, times) {
                ("stale", _) => (next, last) = (next + 1, None),
                (gap, times) if gap.starts_with('_') => next += times.unwrap_or(1),
                // A value and as many more.
                (_, times) => {
                    next += times.unwrap_or(0) + 1;
                    last = Some(next - 1);
                }
            }
        }
        last
    }
}

/// How long Prometheus takes the last sample for the present one.
const LOOKBACK: u64 = 300;

/// Seconds of `1h30m`.
fn seconds(text: &str) -> u64 {
    let (mut sum, mut number) = (0, 0);
    for c in text.chars() {
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => {
                number = number * 10 + c.to_digit(10).map_or(0, u64::from);
                continue;
            }
        };
        sum += number * unit;
        number = 0;
    }
    sum
}

/// Whether at the last moment that is asked for some series that the alert reads is not there, if only that of one target.
fn vanishes(test: &Test, reads: &[String]) -> bool {
    let interval = test.interval.as_deref().map_or(60, seconds);
    let asked = test.alert_rule_test.iter().map(|t| seconds(&t.eval_time)).max().unwrap_or_default();
    let there = |series: &&Series| series.last().is_some_and(|last| last * interval + LOOKBACK > asked);
    let read = |series: &&Series| reads.iter().any(|name| name == series.name());
    let ends = test.input_series.iter().filter(read).any(|series| !there(&series));
    ends || reads.iter().any(|name| !test.input_series.iter().any(|series| series.name() == name))
}

/// The expectation at one moment.
#[derive(Debug, Deserialize)]
pub struct AlertTest {
    /// When.
    #[serde(default)]
    pub eval_time: String,
    /// The alert asked for.
    pub alertname: String,
    /// The alerts that fire then; none: silence.
    #[serde(default)]
    pub exp_alerts: Vec<Expected>,
}

/// One alert as it must be, label for label.
#[derive(Debug, Default, Deserialize)]
pub struct Expected {
    /// Its labels without alertname.
    #[serde(default)]
    pub exp_labels: BTreeMap<String, String>,
    /// Its rendered annotations.
    #[serde(default)]
    pub exp_annotations: BTreeMap<String, String>,
}

/// Parses a promtool test file.
///
/// # Errors
/// YAML that is no test file; the text says where.
pub fn parse_tests(text: &str) -> Result<TestFile, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

/// What is missing of the three tests of an alert: fires, stays silent, series vanished. When its series vanish some alert
/// fires, this one still or another that says why nothing is known: silence would pass for health. `reads` are the series of its
/// expression, of which one must be gone.
#[must_use]
pub fn check_tests(alert: &str, reads: &[String], tests: &[Test]) -> Vec<String> {
    let mut out = Vec::new();
    for what in ["fires", "stays silent", "series vanished"] {
        if alert == WATCHDOG && what == "stays silent" {
            continue; // it never does: that is its point
        }
        let name = format!("{alert}: {what}");
        let Some(test) = tests.iter().find(|t| t.name == name) else {
            out.push(format!("has no promtool test named {name:?}"));
            continue;
        };
        let mine: Vec<&AlertTest> = test.alert_rule_test.iter().filter(|t| t.alertname == alert).collect();
        if mine.is_empty() {
            out.push(format!("the test {name:?} does not ask for the alert"));
        }
        let fired: Vec<&Expected> = mine.iter().flat_map(|t| &t.exp_alerts).collect();
        match what {
            "fires" if fired.is_empty() => out.push(format!("the test {name:?} expects no alert")),
            "fires" => fired.iter().for_each(|e| complete(alert, &name, e, &mut out)),
            "stays silent" if !fired.is_empty() => out.push(format!("the test {name:?} expects an alert")),
            "series vanished" if test.alert_rule_test.iter().all(|t| t.exp_alerts.is_empty()) => {
                out.push(format!("in the test {name:?} nothing fires"));
            }
            "series vanished" if !reads.is_empty() && !vanishes(test, reads) => {
                out.push(format!("in the test {name:?} all series of the alert are there to the end"));
            }
            _ => {}
        }
    }
    out
}

fn complete(alert: &str, name: &str, expected: &Expected, out: &mut Vec<String>) {
    let inventory = INVENTORY_LABELS.iter().filter(|_| alert != WATCHDOG);
    for label in inventory.chain(&["severity"]).filter(|l| !expected.exp_labels.contains_key(**l)) {
        out.push(format!("the test {name:?} does not assert the label {label}"));
    }
    for key in ANNOTATIONS.iter().filter(|k| !expected.exp_annotations.contains_key(**k)) {
        out.push(format!("the test {name:?} does not assert the annotation {key}"));
    }
}

/// What is wrong with the page of an alert with this short id.
#[must_use]
pub fn check_page(alert: &str, id: &str, page: &str) -> Vec<String> {
    let mut out = Vec::new();
    let title = format!("# {alert} ({id})");
    if page.lines().next() != Some(&title) {
        out.push(format!("the first line is not {title:?}"));
    }
    let found = sections(page);
    let order: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    for name in SECTIONS.iter().filter(|n| !order.contains(n)) {
        out.push(format!("section {name:?} is missing"));
    }
    for name in order.iter().filter(|n| !SECTIONS.contains(n)) {
        out.push(format!("section {name:?} is none of a runbook page's"));
    }
    let ranks: Vec<usize> = order.iter().filter_map(|n| SECTIONS.iter().position(|s| s == n)).collect();
    if !ranks.is_sorted() {
        out.push("sections are out of order".to_owned());
    }
    for (name, body) in &found {
        let text = body.trim();
        if text.is_empty() {
            out.push(format!("section {name:?} is empty"));
        }
        match *name {
            "Is it real" => outputs(text, &mut out),
            "L1" => {
                let steps = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).count();
                if steps == 0 || steps > L1_STEPS {
                    out.push(format!("L1 has {steps} steps; 1 to {L1_STEPS} are allowed"));
                }
            }
            "Stop rule" if !text.contains("minutes") => out.push("the stop rule names no minutes".to_owned()),
            _ => {}
        }
    }
    out
}

/// The panels of a dashboard that a page names, as "panel 12".
#[must_use]
pub fn panels(page: &str) -> Vec<u32> {
    let named = Regex::new(r"\bpanel (\d+)").unwrap();
    named.captures_iter(page).filter_map(|c| c[1].parse().ok()).collect()
}

/// "Is it real" shows the real output of its command twice, good and bad, each fenced and marked with the command.
fn outputs(text: &str, out: &mut Vec<String>) {
    let mut lines = text.lines().peekable();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        if line.starts_with("<!-- output: ") && line.ends_with(" -->") {
            if lines.peek().is_some_and(|next| next.starts_with("```")) {
                shown += 1;
            } else {
                out.push("an output mark without a fenced block below it".to_owned());
            }
        }
    }
    if shown < 2 {
        out.push(format!("\"Is it real\" shows {shown} marked outputs; a good and a bad one are needed"));
    }
}

fn sections(page: &str) -> Vec<(&str, String)> {
    let mut out: Vec<(&str, String)> = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        match line.strip_prefix("## ") {
            Some(name) if !fenced => out.push((name.trim(), String::new())),
            _ => {
                if let Some((_, body)) = out.last_mut() {
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{SECTIONS, check_page, check_tests, panels, parse_tests};

    fn page() -> String {
        let mut page = "# PostgresTooMany (PG-01)\n".to_owned();
        for name in SECTIONS {
            page.push_str(&format!("\n## {name}\n\n"));
            page.push_str(match name {
                "Is it real" => {
                    "<!-- output: psql -c x -->\n```text\n# good\n## not a section\n```\n<!-- output: psql -c x -->\n```text\nbad\n```\n"
                }
                "L1" => "1. look\n2. call\n",
                "Stop rule" => "After 10 minutes call L2.\n",
                _ => "words\n",
            });
        }
        page
    }

    #[test]
    fn finds_the_panels_of_a_page() {
        assert_eq!(panels("look at panel 14; the curves of panel 2. No panels 3."), [14, 2]);
    }

    #[test]
    fn a_whole_page_passes() {
        assert_eq!(check_page("PostgresTooMany", "PG-01", &page()), Vec::<String>::new());
    }

    #[test]
    fn each_gap_is_named() {
        for (from, to, says) in [
            ("(PG-01)", "(PG-02)", "the first line is not"),
            ("## Do not\n", "## Never\n", "section \"Do not\" is missing"),
            ("## Do not\n", "## Never\n", "section \"Never\" is none"),
            ("## Drill\n\nwords\n", "## Drill\n", "section \"Drill\" is empty"),
            ("2. call\n", "2. a\n3. a\n4. a\n5. a\n6. a\n", "L1 has 6 steps"),
            ("After 10 minutes call", "Call", "names no minutes"),
            ("```\n<!-- output: psql -c x -->\n", "```\n", "shows 1 marked outputs"),
            ("-->\n```text\nbad", "-->\nbad\n```text", "without a fenced block"),
        ] {
            let bad = page().replacen(from, to, 1);
            assert_ne!(bad, page(), "{from}");
            let found = check_page("PostgresTooMany", "PG-01", &bad);
            assert!(found.iter().any(|f| f.contains(says)), "{from}: {found:?}");
        }
        let swapped = page().replace("## Meaning", "## X").replace("## Drill", "## Meaning").replace("## X", "## Drill");
        assert!(check_page("PostgresTooMany", "PG-01", &swapped).contains(&"sections are out of order".to_owned()));
    }

    const TESTS: &str = r"
tests:
  - name: 'A: fires'
    alert_rule_test:
      - {eval_time: 5m, alertname: A, exp_alerts: [{exp_labels: {client: a, site: a, host: a, product: a, service: a, criticality: a, team: a, severity: a}, exp_annotations: {summary: a, description: a, impact: a, action: a, runbook_url: a, dashboard_url: a}}]}
  - name: 'A: stays silent'
    alert_rule_test: [{eval_time: 5m, alertname: A}]
  - name: 'A: series vanished'
    input_series: [{series: 'up{}', values: 1x20}, {series: 'a{}', values: '1x2 _x18'}]
    alert_rule_test: [{eval_time: 5m, alertname: A, exp_alerts: []}, {eval_time: 19m, alertname: Blind, exp_alerts: [{exp_labels: {}}]}]
";

    fn reads() -> Vec<String> {
        vec!["up".to_owned(), "a".to_owned()]
    }

    #[test]
    fn a_series_ends_where_its_values_end() {
        let last =
            |values: &str| serde_json::from_value::<super::Series>(serde_json::json!({"series": "a{}", "values": values})).unwrap().last();
        for (values, want) in
            [("1", Some(0)), ("1x5", Some(5)), ("0+1x5 _x3", Some(5)), ("_x4 2", Some(4)), ("1x3 stale", None), ("_x9", None)]
        {
            assert_eq!(last(values), want, "{values}");
        }
        assert_eq!((super::seconds("1h30m"), super::seconds("45s")), (5_400, 45));
    }

    #[test]
    fn three_tests_are_asked_for() {
        assert_eq!(check_tests("A", &reads(), &parse_tests(TESTS).unwrap().tests), Vec::<String>::new());
        for (from, to, says) in [
            ("A: stays silent", "A: silent", "no promtool test named \"A: stays silent\""),
            ("team: a, ", "", "does not assert the label team"),
            ("impact: a, ", "", "does not assert the annotation impact"),
            ("alertname: A}", "alertname: B}", "does not ask for the alert"),
            ("alertname: A}", "alertname: A, exp_alerts: [{exp_labels: {}}]}", "expects an alert"),
            ("[{exp_labels: {}}]", "[]", "in the test \"A: series vanished\" nothing fires"),
            ("1x2 _x18", "1x20", "all series of the alert are there to the end"),
            ("1x2 _x18", "1x2 _ 5+1x16", "all series of the alert are there to the end"),
        ] {
            let found = check_tests("A", &reads(), &parse_tests(&TESTS.replacen(from, to, 1)).unwrap().tests);
            assert!(found.iter().any(|f| f.contains(says)), "{from}: {found:?}");
        }
    }
}
