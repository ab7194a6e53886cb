//! The catalogue of an exporter's metrics: for people, for tools, and for the README.

use std::fmt::Write as _;

use crate::app::Section;
use crate::collector::{About, Enabled, Scope};
use crate::desc::{Info, Kind};

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Unknown => "untyped",
    }
}

/// A pattern's name is shown with the place where the product's own name comes.
fn name(info: &Info) -> String {
    if info.pattern { format!("{}<name>", info.name) } else { info.name.to_owned() }
}

/// One object per family.
pub fn json(sections: &[Section]) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        collector: &'a str,
        #[serde(flatten)]
        info: &'a Info,
    }
    let lines: Vec<_> = sections.iter().flat_map(|s| s.metrics.iter().map(|info| Line { collector: s.collector, info })).collect();
    serde_json::to_string_pretty(&lines).unwrap_or_default() + "\n"
}

/// The tables of the README, one per collector.
pub fn markdown(sections: &[Section]) -> String {
    let mut out = String::new();
    for s in sections {
        let title = if s.collector.is_empty() { String::new() } else { format!("**`{}`** ({}): ", s.collector, s.when) };
        let _ = writeln!(out, "{title}{}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |", s.help);
        for m in s.metrics {
            let _ = writeln!(out, "| `{}` | {} | {} | {} |", name(m), kind(m.kind), m.labels.join(", "), m.help.replace('|', "\\|"));
        }
        out.push('\n');
    }
    out
}

/// Plain text for a terminal.
pub fn text(sections: &[Section]) -> String {
    let mut out = String::new();
    for s in sections {
        let _ = writeln!(out, "{}{}{} [{}]", s.collector, if s.collector.is_empty() { "" } else { ": " }, s.help, s.when);
        for m in s.metrics {
            let labels = if m.labels.is_empty() { String::new() } else { format!("{{{}}}", m.labels.join(",")) };
            let _ = writeln!(out, "  {}{labels} {}\n      {}", name(m), kind(m.kind), m.help);
        }
    }
    out
}

/// When a collector runs, in words.
pub fn when(about: &About) -> String {
    let asked = (about.enabled == Enabled::OnRequest).then(|| "on request".to_owned());
    let often = about.every.map(|every| match every.as_secs() {
        60 => "every min".to_owned(),
        seconds if seconds % 60 == 0 => format!("every {} min", seconds / 60),
        seconds => format!("every {seconds} s"),
    });
    let each = (about.scope == Scope::Database).then(|| "each database".to_owned());
    let said: Vec<String> = [asked, often, each].into_iter().flatten().collect();
    if said.is_empty() { "each scrape".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use super::*;

    crate::metrics! {
        /// Level | of x.
        LEVEL: Gauge "x_level" [a, b];
    }

    const SECTIONS: &[Section] = &[Section { collector: "c", help: "Reads x.", when: Cow::Borrowed("each scrape"), metrics: METRICS }];

    #[test]
    fn three_forms() {
        assert!(text(SECTIONS).contains("c: Reads x. [each scrape]\n  x_level{a,b} gauge\n      Level | of x.\n"));
        assert!(markdown(SECTIONS).contains("| `x_level` | gauge | a, b | Level \\| of x. |\n"));
        let value: serde_json::Value = serde_json::from_str(&json(SECTIONS)).unwrap();
        assert_eq!(value[0]["name"], "x_level");
        assert_eq!(value[0]["labels"], serde_json::json!(["a", "b"]));
    }

    #[test]
    fn when_a_collector_runs_is_told_with_its_own_interval() {
        let when = |enabled, scope, seconds: Option<u64>| {
            let every = seconds.map(Duration::from_secs);
            when(&About { name: "x", aliases: &[], help: "", enabled, scope, every, grants: &[], metrics: &[] })
        };
        assert_eq!(when(Enabled::ByDefault, Scope::Instance, None), "each scrape");
        assert_eq!(when(Enabled::OnRequest, Scope::Instance, None), "on request");
        assert_eq!(when(Enabled::ByDefault, Scope::Instance, Some(60)), "every min");
        assert_eq!(when(Enabled::OnRequest, Scope::Instance, Some(600)), "on request, every 10 min");
        assert_eq!(when(Enabled::ByDefault, Scope::Database, Some(90)), "every 90 s, each database");
    }
}
