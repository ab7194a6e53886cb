//! Grafana dashboards (classic model): what an import needs, what a reader needs, and every query against the catalogue.
//! Nothing here opens Grafana: a dashboard that passes can still look bad, but no panel of it can be empty by a typo.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::catalogue::Catalogue;
use super::query::{self, Shape};
use super::template;

const SCHEMA: u32 = 39;
const COLUMNS: u32 = 24;

/// What Grafana works out from a panel's width and time, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// `$__rate_interval`.
    pub rate: u32,
    /// `$__interval`: from one point to the next.
    pub step: u32,
    /// `$__range`: all that the panel shows.
    pub range: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self { rate: 300, step: 60, range: 3600 }
    }
}

impl Times {
    /// A query with Grafana's interval variables replaced, so that it is PromQL; `$job` and `$instance` stand inside quotes
    /// and parse as they are.
    #[must_use]
    pub fn fill(&self, expr: &str) -> String {
        let texts = [
            ("$__rate_interval", format!("{}s", self.rate)),
            ("$__interval_ms", format!("{}000", self.step)),
            ("$__interval", format!("{}s", self.step)),
            ("$__range_s", self.range.to_string()),
            ("$__range", format!("{}s", self.range)),
        ];
        texts.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

/// A dashboard, as far as it is checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Fixed, so that links from alerts stay valid.
    #[serde(default)]
    pub uid: String,
    /// Its name.
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    schema_version: u32,
    #[serde(default = "yes")]
    editable: bool,
    templating: Templating,
    /// The panels, in reading order.
    pub panels: Vec<Panel>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    query: serde_json::Value,
    #[serde(default)]
    datasource: Option<Source>,
}

impl Variable {
    /// Series and label of `label_values(series, label)`.
    fn label_values(&self) -> Option<(&str, &str)> {
        let text = self.query.as_str().or_else(|| self.query.get("query")?.as_str())?;
        let (series, label) = text.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?;
        Some((series, label.trim()))
    }
}

impl Panel {
    /// Whether the panel tells its reader when it shows nothing, in a sentence that begins with `Empty`: its queries need
    /// not return data. Any other panel without data is a fault of the dashboard.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        self.description.split(". ").any(|sentence| sentence.starts_with("Empty "))
    }
}

impl Dashboard {
    /// The names of all variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.templating.list.iter().map(|v| v.name.as_str())
    }

    /// The variables that offer the values of a label, in order: name, series (with the variables before it), label.
    pub fn label_variables(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let variables = self.templating.list.iter();
        variables.filter_map(|v| v.label_values().map(|(series, label)| (v.name.as_str(), series, label)))
    }
}

#[derive(Debug, Deserialize)]
struct Source {
    #[serde(default)]
    uid: String,
}

/// One panel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// The number that links from alerts name.
    pub id: u32,
    /// Its headline.
    #[serde(default)]
    pub title: String,
    /// `timeseries`, `stat`, `table`, `row`...
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    description: String,
    /// Where it stands.
    pub grid_pos: Grid,
    #[serde(default)]
    datasource: Option<Source>,
    /// Units, limits and looks, for all series and by override.
    #[serde(default)]
    pub field_config: serde_json::Value,
    /// Settings of its kind.
    #[serde(default)]
    pub options: serde_json::Value,
    /// What is done with the answers before they are shown.
    #[serde(default)]
    pub transformations: Vec<serde_json::Value>,
    #[serde(default)]
    links: Vec<Link>,
    /// Of a row that is folded.
    #[serde(default)]
    panels: Vec<serde_json::Value>,
    /// Its queries.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// A rectangle of the grid of 24 columns.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Grid {
    /// First column.
    pub x: u32,
    /// First line.
    pub y: u32,
    /// Columns.
    pub w: u32,
    /// Lines.
    pub h: u32,
}

#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    url: String,
}

/// One query of a panel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The letter that overrides name.
    #[serde(default)]
    pub ref_id: String,
    /// PromQL with Grafana's variables.
    #[serde(default)]
    pub expr: String,
    /// What the legend says, with `{{label}}`.
    #[serde(default)]
    pub legend_format: String,
    /// Asked for the last moment alone.
    #[serde(default)]
    pub instant: bool,
    /// Not shown.
    #[serde(default)]
    pub hide: bool,
    #[serde(default)]
    datasource: Option<Source>,
}

/// Parses a dashboard.
///
/// # Errors
/// JSON that is no dashboard; the text says where.
pub fn parse(text: &str) -> Result<Dashboard, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// What is wrong with a dashboard; `alerts` are the names its links may lead to.
#[must_use]
pub fn check(dashboard: &Dashboard, catalogue: &Catalogue, alerts: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, value) in [("uid", &dashboard.uid), ("title", &dashboard.title)] {
        if value.is_empty() {
            out.push(format!("has no {name}"));
        }
    }
    if dashboard.schema_version != SCHEMA {
        out.push(format!("schemaVersion is {}, not {SCHEMA}", dashboard.schema_version));
    }
    if dashboard.editable {
        out.push("is editable: changes would be lost with the next version".to_owned());
    }
    variables(&dashboard.templating.list, catalogue, &mut out);
    for (at, panel) in dashboard.panels.iter().enumerate() {
        let mut found = Vec::new();
        check_panel(panel, catalogue, alerts, &mut found);
        for other in dashboard.panels.iter().take(at) {
            if overlap(panel.grid_pos, other.grid_pos) {
                found.push(format!("lies over panel {}", other.id));
            }
            if panel.id == other.id {
                found.push("has the id of another panel".to_owned());
            }
        }
        out.extend(found.into_iter().map(|f| format!("panel {} {:?}: {f}", panel.id, panel.title)));
    }
    out
}

fn variables(list: &[Variable], catalogue: &Catalogue, out: &mut Vec<String>) {
    for (name, kind) in [("datasource", "datasource"), ("job", "query"), ("instance", "query")] {
        match list.iter().find(|v| v.name == name) {
            None => out.push(format!("has no variable {name}")),
            Some(v) if v.kind != kind => out.push(format!("variable {name} is of type {}, not {kind}", v.kind)),
            Some(_) => {}
        }
    }
    for v in list.iter().filter(|v| v.kind == "query") {
        if v.datasource.as_ref().is_none_or(|s| !is_datasource(&s.uid)) {
            out.push(format!("variable {} does not use $datasource", v.name));
        }
        let Some((expr, label)) = v.label_values() else {
            out.push(format!("variable {} is not label_values(series, label)", v.name));
            continue;
        };
        let (shape, findings) = query::check(expr, catalogue);
        // A variable takes labels; values do not matter.
        let findings = findings.into_iter().filter(|f| !f.ends_with("is used without rate or increase"));
        out.extend(findings.map(|f| format!("variable {}: {f}", v.name)));
        if matches!(&shape, Shape::Series(labels) if !labels.contains(label)) {
            out.push(format!("variable {}: its series have no label {label}", v.name));
        }
    }
}

fn check_panel(panel: &Panel, catalogue: &Catalogue, alerts: &BTreeSet<String>, out: &mut Vec<String>) {
    if panel.kind == "row" {
        check_row(panel, out);
        return;
    }
    for (name, value) in [("title", &panel.title), ("description", &panel.description)] {
        if value.trim().is_empty() {
            out.push(format!("has no {name}"));
        }
    }
    let unit = panel.field_config.pointer("/defaults/unit").and_then(|u| u.as_str()).unwrap_or("");
    if unit.is_empty() && panel.kind != "text" {
        out.push("has no unit".to_owned());
    }
    let Grid { x, w, h, .. } = panel.grid_pos;
    if w == 0 || h == 0 || x + w > COLUMNS {
        out.push(format!("does not fit the grid of {COLUMNS} columns"));
    }
    if panel.targets.is_empty() && panel.kind != "text" {
        out.push("has no query".to_owned());
    }
    for link in &panel.links {
        let page = link.url.rsplit('/').next().unwrap_or("");
        if link.url.contains("//runbooks.") && !alerts.contains(page) {
            out.push(format!("links to the runbook of {page}, which is no alert"));
        }
    }
    if !panel.links.iter().any(|l| l.url.contains("//runbooks.")) {
        out.push("links to no runbook".to_owned());
    }
    let sources = std::iter::once(&panel.datasource).chain(panel.targets.iter().map(|t| &t.datasource));
    if sources.flatten().any(|s| !is_datasource(&s.uid)) || panel.datasource.is_none() {
        out.push("does not use $datasource".to_owned());
    }
    for target in &panel.targets {
        let (shape, findings) = query::check(&Times::default().fill(&target.expr), catalogue);
        out.extend(findings.into_iter().map(|f| format!("{f} in {}", target.expr)));
        for variable in ["$job", "$instance"].iter().filter(|v| !target.expr.contains(**v)) {
            out.push(format!("{} does not select {variable}", target.expr));
        }
        let Shape::Series(kept) = shape else { continue };
        for label in template::legend_labels(&target.legend_format).iter().filter(|l| !kept.contains(*l)) {
            out.push(format!("the legend names {label}, which {} does not keep", target.expr));
        }
    }
}

/// A headline over the panels below it. They stand beside it in the list: a row that holds them would hide them from here.
fn check_row(row: &Panel, out: &mut Vec<String>) {
    if row.title.trim().is_empty() {
        out.push("has no title".to_owned());
    }
    if !row.panels.is_empty() {
        out.push("holds panels: leave the row open and put them after it".to_owned());
    }
    let Grid { x, w, h, .. } = row.grid_pos;
    if (x, w, h) != (0, COLUMNS, 1) {
        out.push(format!("is not one line of {COLUMNS} columns"));
    }
}

fn is_datasource(uid: &str) -> bool {
    uid == "$datasource" || uid == "${datasource}"
}

fn overlap(a: Grid, b: Grid) -> bool {
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::{BTreeSet, check, parse};

    const GOOD: &str = r#"{"uid":"sage-x","title":"X","schemaVersion":39,"editable":false,
"templating":{"list":[{"name":"datasource","type":"datasource","query":"prometheus"},
{"name":"job","type":"query","datasource":{"uid":"${datasource}"},"query":{"query":"label_values(conns, job)"}},
{"name":"instance","type":"query","datasource":{"uid":"${datasource}"},"query":"label_values(conns{job=~\"$job\"}, instance)"}]},
"panels":[{"id":1,"title":"A","type":"timeseries","description":"d","gridPos":{"x":0,"y":0,"w":12,"h":8},"datasource":{"uid":"${datasource}"},
"fieldConfig":{"defaults":{"unit":"short"}},"links":[{"url":"https://runbooks.sage.example/PostgresTooMany"}],
"targets":[{"expr":"rate(done_total{job=~\"$job\",instance=~\"$instance\"}[$__rate_interval])","legendFormat":"{{instance}}"}]},
{"id":3,"title":"R","type":"row","gridPos":{"x":0,"y":8,"w":24,"h":1},"panels":[]},
{"id":2,"title":"B","type":"text","description":"d","gridPos":{"x":12,"y":0,"w":12,"h":8},"datasource":{"uid":"$datasource"},
"links":[{"url":"https://runbooks.sage.example/PostgresTooMany"}]}]}"#;

    fn findings(text: &str) -> Vec<String> {
        let mut all = Catalogue::builtin();
        all.add_json(r#"[{"name":"conns","type":"gauge"},{"name":"done_total","type":"counter"}]"#).unwrap();
        check(&parse(text).unwrap(), &all, &BTreeSet::from(["PostgresTooMany".to_owned()]))
    }

    #[test]
    fn a_good_dashboard_passes() {
        assert_eq!(findings(GOOD), Vec::<String>::new());
    }

    #[test]
    fn a_panel_says_when_it_is_empty() {
        let may = |text: &str| {
            let board = parse(&GOOD.replacen("\"description\":\"d\"", &format!("\"description\":\"{text}\""), 1)).unwrap();
            board.panels[0].may_be_empty()
        };
        assert!(may("Lag of slots. Empty without slots."));
        assert!(may("Empty on primaries; the lag of a standby."));
        assert!(!may("Lag of slots, never Empty here."));
    }

    #[test]
    fn each_breach_is_named() {
        for (from, to, says) in [
            ("\"uid\":\"sage-x\"", "\"uid\":\"\"", "has no uid"),
            ("\"schemaVersion\":39", "\"schemaVersion\":36", "schemaVersion is 36"),
            ("\"editable\":false,", "", "is editable"),
            ("\"name\":\"datasource\"", "\"name\":\"ds\"", "has no variable datasource"),
            ("\"name\":\"job\",\"type\":\"query\"", "\"name\":\"job\",\"type\":\"custom\"", "of type custom"),
            ("{\"uid\":\"${datasource}\"},\"query\":{", "{\"uid\":\"p1\"},\"query\":{", "job does not use $datasource"),
            ("label_values(conns, job)", "label_values(job)", "not label_values"),
            ("label_values(conns, job)", "label_values(conns, jobb)", "have no label jobb"),
            ("label_values(conns, job)", "label_values(con, job)", "variable job: metric con"),
            ("\"title\":\"A\"", "\"title\":\"\"", "has no title"),
            ("\"title\":\"R\"", "\"title\":\"\"", "has no title"),
            ("\"panels\":[]", "\"panels\":[{}]", "holds panels"),
            ("\"w\":24,\"h\":1", "\"w\":24,\"h\":2", "is not one line"),
            ("\"description\":\"d\"", "\"description\":\" \"", "has no description"),
            ("\"unit\":\"short\"", "\"unit\":\"\"", "has no unit"),
            ("\"x\":12,", "\"x\":11,", "lies over panel 1"),
            ("\"x\":12,", "\"x\":13,", "does not fit the grid"),
            ("\"id\":2", "\"id\":1", "the id of another panel"),
            ("sage.example/PostgresTooMany", "sage.example/Nothing", "runbook of Nothing"),
            ("https://runbooks", "https://docs", "links to no runbook"),
            ("\"datasource\":{\"uid\":\"$datasource\"}", "\"datasource\":{\"uid\":\"p\"}", "does not use $datasource"),
            ("rate(done_total", "rate(done_totals", "metric done_totals"),
            ("rate(done_total{job=~\\\"$job\\\",", "rate(done_total{", "does not select $job"),
            ("[$__rate_interval])", "[$__nothing])", "does not parse"),
            ("{{instance}}", "{{state}}", "the legend names state"),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD, "{from}");
            let found = findings(&bad);
            assert!(found.iter().any(|f| f.contains(says)), "{from} -> {to}: {found:?}");
        }
        let bare = GOOD.split("\"targets\"").next().unwrap().trim_end_matches([',', '\n']).to_owned() + "}]}";
        assert!(findings(&bare).iter().any(|f| f.contains("has no query")));
    }
}
