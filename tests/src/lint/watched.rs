//! The tables of `alert-rules/README.md`, "What of X is watched by which alert": what must be watched of each kind of product
//! has a row, each row has an alert or says why there is none, and what a row names is there.

use std::collections::BTreeSet;

use regex::Regex;

use super::catalogue::Catalogue;

/// The file.
pub const TABLES: &str = "alert-rules/README.md";

/// What is asked of a kind of product: the exporters, the section's title, and words of which each is in the first cell of a row.
struct Kind {
    title: &'static str,
    exporters: &'static [&'static str],
    attributes: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        title: "PostgreSQL",
        exporters: &["postgres"],
        attributes: &[
            "connections, total",
            "connections, active",
            "processes, threads",
            "answers a query",
            "login.*success",
            "login.*response time",
            "memory",
            "number of tables",
            "rows .*of the largest tables",
            "data size on disk",
            "locks",
            "replication: when was the last change applied",
            "replication: is apply OK or in error",
            "slow queries of the last minute",
            "VACUUM ANALYZE",
        ],
    },
    Kind {
        title: "Redis",
        exporters: &["redis"],
        attributes: &["connections, total", "connections.*active", "processes, threads", "login: success and time", "keys, size of data"],
    },
    Kind {
        title: "NGINX and Apache",
        exporters: &["nginx", "apache"],
        attributes: &["connections, total and active", "processes, threads", "users': success, status, time"],
    },
    Kind {
        title: "probes",
        exporters: &["http"],
        attributes: &["status", "response time", "loss", "jitter", "pings: round trip", "throughput, down and up", "certificates"],
    },
];

/// Series that come with every alert on a collector and stand in no table.
const UNNAMED: &str = "Sage";

/// What is wrong with the tables; `exporters` are those of the workspace, `alerts` those of all rules.
#[must_use]
pub fn check(text: &str, exporters: &[String], alerts: &BTreeSet<String>, catalogue: &Catalogue) -> Vec<String> {
    let mut out = Vec::new();
    for exporter in exporters.iter().filter(|e| !KINDS.iter().any(|kind| kind.exporters.contains(&e.as_str()))) {
        out.push(format!("no section says what of {exporter} is watched"));
    }
    let mut named = BTreeSet::new();
    for kind in KINDS {
        let rows = rows(text, kind.title);
        if rows.is_empty() {
            out.push(format!("there is no table \"What of {} is watched by which alert\"", kind.title));
        }
        for attribute in kind.attributes {
            let known = Regex::new(attribute).unwrap();
            if !rows.iter().any(|row| known.is_match(row[0])) {
                out.push(format!("{}: no row for {attribute:?}", kind.title));
            }
        }
        for row in rows {
            out.extend(check_row(&row, alerts, catalogue).into_iter().map(|found| format!("{}: {:?}: {found}", kind.title, row[0])));
            named.extend(words(row[2]).filter(|word| alerts.contains(*word)).map(str::to_owned));
        }
    }
    for alert in alerts.iter().filter(|alert| !alert.starts_with(UNNAMED) && !named.contains(*alert)) {
        out.push(format!("{alert} stands in no table"));
    }
    out
}

/// The rows of one table, three cells each.
fn rows<'a>(text: &'a str, title: &str) -> Vec<[&'a str; 3]> {
    let heading = format!("## What of {title} is watched by which alert");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let cells = lines.filter(|line| line.starts_with('|')).skip(2).map(|line| {
        let mut cells = line.trim_matches('|').splitn(3, " | ").map(str::trim);
        [cells.next().unwrap_or_default(), cells.next().unwrap_or_default(), cells.next().unwrap_or_default()]
    });
    cells.collect()
}

/// The words of a text that may be alerts.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let capital = |word: &&str| word.chars().filter(char::is_ascii_uppercase).count() > 1 && word.chars().any(|c| c.is_ascii_lowercase());
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(capital)
}

fn check_row([_, series, verdict]: &[&str; 3], alerts: &BTreeSet<String>, catalogue: &Catalogue) -> Vec<String> {
    let mut out = Vec::new();
    let reason = Regex::new(r"(?i)\bno alert (because|on [^.;]*?(, (which|whose)|which)) \w+|(?i)\bnone, as \w+").unwrap();
    if !words(verdict).any(|word| alerts.contains(word)) && !reason.is_match(verdict) {
        out.push("names no alert and does not say why there is none".to_owned());
    }
    // A product before a capital: what looks like an alert of ours is one.
    let like_ours = Regex::new("^(Sage|Postgres|Redis|Nginx|Apache|Http)[A-Z]").unwrap();
    out.extend(words(verdict).filter(|w| like_ours.is_match(w) && !alerts.contains(*w)).map(|w| format!("{w} is no alert")));
    let quoted = Regex::new("`([a-z][a-z0-9_]*)(\\*[a-z_]*)?(\\{[^`]*\\})?`").unwrap();
    let mut seen = false;
    for found in quoted.captures_iter(series) {
        seen = true;
        let (name, pattern) = (&found[1], found.get(2).map(|m| m.as_str()));
        let there = match pattern {
            Some(pattern) => catalogue.any(|known| known.starts_with(name) && known.ends_with(&pattern[1..])),
            None => catalogue.find(name).is_some(),
        };
        if !there {
            out.push(format!("no series is called {name}{}", pattern.unwrap_or_default()));
        }
    }
    if !seen && !series.contains("write probe") {
        out.push("names no series".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Catalogue, check, check_row};

    fn catalogue() -> Catalogue {
        let mut all = Catalogue::builtin();
        all.add_json(r#"[{"name":"pg_locks_count","type":"gauge","labels":[]}]"#).unwrap();
        all
    }

    fn found(row: [&str; 3]) -> Vec<String> {
        check_row(&row, &BTreeSet::from(["PostgresSessionsBlocked".to_owned()]), &catalogue())
    }

    #[test]
    fn a_row_has_an_alert_or_a_reason_and_series_that_are_there() {
        for good in [
            ["locks", "`pg_locks_count`", "PostgresSessionsBlocked"],
            ["locks", "`pg_locks_*`, `up`", "No alert because they say nothing"],
            ["locks", "`pg_locks_count{mode=\"x\"}`", "PostgresSessionsBlocked; no alert on their number, which is load"],
            ["locks", "`pg_*_count`", "No alert on the number, which says nothing"],
        ] {
            assert_eq!(found(good), Vec::<String>::new());
        }
        for (bad, says) in [
            (["locks", "`pg_locks_count`", "none"], "does not say why"),
            (["locks", "`pg_locks_count`", "No alert"], "does not say why"),
            (["locks", "`pg_locks_count`", "PostgresSessionBlocked"], "PostgresSessionBlocked is no alert"),
            (["locks", "`pg_lock_count`", "PostgresSessionsBlocked"], "no series is called pg_lock_count"),
            (["locks", "`pg_locks_x*`", "PostgresSessionsBlocked"], "no series is called pg_locks_x*"),
            (["locks", "locks", "PostgresSessionsBlocked"], "names no series"),
        ] {
            assert!(found(bad).iter().any(|f| f.contains(says)), "{bad:?}: {:?}", found(bad));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = "## What of PostgreSQL is watched by which alert\n\n| a | b | c |\n| --- | --- | --- |\n\
                    | active locks | `pg_locks_count` | PostgresSessionsBlocked |\n\n## Next\n";
        let alerts = ["PostgresSessionsBlocked", "PostgresOther", "SageServiceDown"].map(str::to_owned);
        let found = check(text, &["postgres".to_owned(), "mysql".to_owned()], &BTreeSet::from(alerts), &catalogue());
        for says in [
            "no section says what of mysql",
            "PostgreSQL: no row for \"memory\"",
            "there is no table \"What of Redis",
            "PostgresOther stands in no table",
        ] {
            assert!(found.iter().any(|f| f.contains(says)), "{says}: {found:#?}");
        }
        assert!(!found.iter().any(|f| f.contains("\"locks\"") || f.contains("SageServiceDown")), "{found:#?}");
    }
}
