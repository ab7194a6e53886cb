//! What a reader of a dashboard would stumble over, as far as its file tells: a title that is cut, a unit that Grafana does
//! not have, an override that nothing matches, a variable that is not declared or of no use, a limit that does not exist.
//! The rest is seen on the previews (`make pictures`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::dashboards::{Dashboard, Panel};
use crate::draw::{page, unit};

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)").unwrap());
static LIMIT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"sage_threshold\{[^}]*alert="([^"]*)""#).unwrap());
static EXACT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"=\s*"\$[A-Za-z]"#).unwrap());

/// What is wrong; `limits` are the alerts that have one in `thresholds.yml`.
#[must_use]
pub fn check(board: &Dashboard, limits: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    let declared: BTreeSet<&str> = board.variables().collect();
    let mut used: BTreeSet<String> = board.label_variables().flat_map(|(_, series, _)| variables(series)).collect();
    used.insert("datasource".to_owned());
    for panel in board.panels.iter().filter(|p| p.kind != "row") {
        let mut found = Vec::new();
        check_panel(panel, &mut found);
        for target in &panel.targets {
            for name in variables(&target.expr).chain(variables(&target.legend_format)).filter(|n| !n.starts_with("__")) {
                if !declared.contains(name.as_str()) {
                    found.push(format!("uses ${name}, which is no variable"));
                }
                used.insert(name);
            }
            for limit in LIMIT.captures_iter(&target.expr).filter(|c| !limits.contains(&c[1])) {
                found.push(format!("draws the limit of {}, which has none", &limit[1]));
            }
            if EXACT.is_match(&target.expr) {
                found.push(format!("a choice of several needs =~ in {}", target.expr));
            }
        }
        out.extend(found.into_iter().map(|f| format!("panel {} {:?}: {f}", panel.id, panel.title)));
    }
    for name in declared.iter().filter(|n| !used.contains(**n)) {
        out.push(format!("variable {name} is of no use: no query has it"));
    }
    out
}

fn variables(text: &str) -> impl Iterator<Item = String> {
    VARIABLE.captures_iter(text).map(|c| c[1].to_owned())
}

fn check_panel(panel: &Panel, out: &mut Vec<String>) {
    if page::cut(&panel.title, panel.grid_pos) {
        out.push("the title is wider than the panel".to_owned());
    }
    let list = |path: &str| panel.field_config.pointer(path).and_then(|v| v.as_array()).cloned().unwrap_or_default();
    let overrides = list("/overrides");
    let properties = overrides.iter().flat_map(|o| o["properties"].as_array().cloned().unwrap_or_default());
    let units = properties.filter(|p| p["id"] == "unit").map(|p| p["value"].clone());
    for name in units.chain(panel.field_config.pointer("/defaults/unit").cloned()) {
        let name = name.as_str().unwrap_or_default();
        if unit::format(1.0, name, None).is_err() {
            out.push(format!("the unit {name} is none that the dashboards use"));
        }
    }
    let mut refs = BTreeSet::new();
    for target in &panel.targets {
        if !refs.insert(target.ref_id.as_str()) {
            out.push(format!("two queries are called {:?}", target.ref_id));
        }
        let wants = matches!(panel.kind.as_str(), "stat" | "gauge" | "bargauge" | "table");
        if target.instant != wants {
            out.push(format!("query {} of a {} {} instant", target.ref_id, panel.kind, if wants { "must be" } else { "cannot be" }));
        }
    }
    for one in overrides.iter().filter(|o| o["matcher"]["id"] == "byFrameRefID") {
        let name = one["matcher"]["options"].as_str().unwrap_or_default();
        if !refs.contains(name) {
            out.push(format!("an override is for the query {name}, which there is not"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dashboards::parse;
    use super::{BTreeSet, check};

    const GOOD: &str = r#"{"templating":{"list":[{"name":"datasource","type":"datasource"},
{"name":"job","type":"query","query":"label_values(conns, job)"}]},
"panels":[{"id":1,"title":"Conns","type":"timeseries","gridPos":{"x":0,"y":0,"w":4,"h":8},
"fieldConfig":{"defaults":{"unit":"short"},"overrides":[{"matcher":{"id":"byFrameRefID","options":"B"},"properties":[{"id":"unit","value":"s"}]}]},
"targets":[{"refId":"A","expr":"rate(conns{job=~\"$job\"}[$__rate_interval])"},{"refId":"B","expr":"sage_threshold{job=~\"$job\",alert=\"TooMany\"}"}]},
{"id":2,"title":"Now","type":"stat","gridPos":{"x":4,"y":0,"w":4,"h":8},"targets":[{"refId":"A","instant":true,"expr":"max(conns{job=~\"$job\"})"}]}]}"#;

    fn findings(text: &str) -> Vec<String> {
        check(&parse(text).unwrap(), &BTreeSet::from(["TooMany".to_owned()]))
    }

    #[test]
    fn a_good_dashboard_passes() {
        assert_eq!(findings(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_stumbling_block_is_named() {
        for (from, to, says) in [
            ("\"title\":\"Conns\"", "\"title\":\"Connections of all applications by state\"", "wider than the panel"),
            ("\"unit\":\"short\"", "\"unit\":\"shirt\"", "the unit shirt"),
            ("\"value\":\"s\"", "\"value\":\"sec\"", "the unit sec"),
            ("\"options\":\"B\"", "\"options\":\"C\"", "for the query C"),
            ("\"refId\":\"B\"", "\"refId\":\"A\"", "two queries are called \"A\""),
            ("\"instant\":true,", "", "query A of a stat must be instant"),
            ("{\"refId\":\"B\",", "{\"refId\":\"B\",\"instant\":true,", "query B of a timeseries cannot be instant"),
            ("(conns{job=~\\\"$job\\\"}[", "(conns{job=~\\\"$jobs\\\"}[", "uses $jobs, which is no variable"),
            ("job=~\\\"$job\\\",alert", "job=\\\"$job\\\",alert", "needs =~"),
            ("alert=\\\"TooMany\\\"", "alert=\\\"TooFew\\\"", "the limit of TooFew"),
            (
                "\"list\":[",
                "\"list\":[{\"name\":\"host\",\"type\":\"query\",\"query\":\"label_values(conns, host)\"},",
                "variable host is of no use",
            ),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD, "{from}");
            let found = findings(&bad);
            assert!(found.iter().any(|f| f.contains(says)), "{from} -> {to}: {found:?}");
        }
    }
}
