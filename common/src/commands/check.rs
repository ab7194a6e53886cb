//! The `check` command's result: a table for people, JSON for tools, an exit code for Nagios.

use std::fmt::Write as _;

use serde::Serialize;

use crate::codes::Code;
use crate::error::ErrorKind;
use crate::scrape::report::{Report, Status};

/// What `check` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckResult {
    /// What was checked: address, user, version of the server where it is known.
    pub target: String,
    /// Whether the server answered.
    pub up: bool,
    /// Each part.
    pub rows: Vec<Row>,
    /// Targets that were not checked: the first one is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// One part: the connection, the login or a collector.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part.
    pub collector: String,
    /// ok, empty, not here, denied, timeout, or the reason of the failure.
    pub result: String,
    /// How long it took.
    pub milliseconds: f64,
    /// How many series it wrote.
    pub series: usize,
    /// What to do, or why there is nothing.
    pub note: String,
    /// The number of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip)]
    bad: bool,
    /// It only says once more that the server does not answer.
    #[serde(skip)]
    follows: bool,
}

/// A warning of `check`: nothing fails, but the operator should change something. It changes neither verdict nor exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it is about.
    pub about: String,
    /// What is found.
    pub found: String,
    /// What to run.
    pub hint: String,
}

/// What is said of a part that has nothing to show.
const NOTHING: &str = "nothing of this kind is there";
/// The result of a row that is a warning.
const WARNING: &str = "warning";

impl Row {
    /// A part that did well (`ok`) or not.
    pub fn new(
        collector: impl Into<String>,
        result: impl Into<String>,
        milliseconds: f64,
        series: usize,
        note: impl Into<String>,
        ok: bool,
    ) -> Self {
        Self {
            collector: collector.into(),
            result: result.into(),
            milliseconds,
            series,
            note: note.into(),
            code: None,
            bad: !ok,
            follows: false,
        }
    }

    /// Gives it the number of its error, where there is one.
    #[must_use]
    pub fn code(mut self, code: Option<Code>) -> Self {
        self.code = code.map(|code| code.id);
        self
    }
}

/// How `check` ends, as a Nagios plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All parts work.
    Fine = 0,
    /// The server answers, but a part fails.
    Partly = 1,
    /// The server does not answer.
    Down = 2,
}

impl CheckResult {
    /// The result of one scrape.
    pub fn from_report(target: String, report: &Report) -> Self {
        let mut rows = Vec::new();
        let milliseconds = |d: std::time::Duration| d.as_secs_f64() * 1e3;
        for failure in &report.failures {
            rows.push(Row::new(failure.part, failure.kind.as_str(), 0.0, 0, failure.note.clone(), false).code(Some(failure.code)));
        }
        if let Some(login) = &report.login {
            let total = milliseconds(login.phases.iter().map(|(_, time)| *time).sum());
            let phases = login.phases.iter().map(|(phase, time)| format!("{phase} {:.1}", milliseconds(*time)));
            let result = login.error.map_or("ok", |(kind, _)| kind.as_str());
            rows.push(
                Row::new("login", result, total, 0, phases.collect::<Vec<_>>().join(", "), login.error.is_none())
                    .code(login.error.map(|(_, code)| code)),
            );
        }
        if let Some(write) = &report.write {
            let total = milliseconds(write.phases.iter().map(|(_, time)| *time).sum());
            let phases =
                write.phases.iter().map(|(phase, time)| format!("{phase} {:.1}", milliseconds(*time))).collect::<Vec<_>>().join(", ");
            let (result, note) = write.error.as_ref().map_or(("ok", phases), |f| (f.kind.as_str(), f.note.clone()));
            rows.push(Row::new("write", result, total, 0, note, write.error.is_none()).code(write.error.as_ref().map(|f| f.code)));
        }
        for c in &report.collectors {
            let result = match c.status {
                Status::Ok => "ok",
                Status::Empty => "empty",
                Status::NotHere => "not here",
                Status::Denied => "denied",
                Status::Failed(kind) => kind.as_str(),
                Status::TimedOut => "timeout",
                Status::Pending => "not run",
            };
            let result = if c.lacks.is_some() { "partly" } else { result };
            let bad = c.status.reason().is_some() || c.lacks.is_some() || report.up && c.status == Status::Pending;
            let note = c.note.clone().unwrap_or(if c.status == Status::Empty { NOTHING.to_owned() } else { String::new() });
            let follows = !report.up && (note.is_empty() && bad || matches!(c.status, Status::NotHere | Status::Pending));
            let row = Row::new(c.name, result, milliseconds(c.duration), c.series, note, !bad);
            let reason = c.status.reason().or(c.lacks.map(|_| ErrorKind::Permission));
            rows.push(Row { follows, ..row }.code(c.code.or(reason.map(ErrorKind::code))));
        }
        Self { target, up: report.up, rows, others: Vec::new() }
    }

    /// Adds warnings; they stand below the parts.
    pub fn advise(&mut self, advice: Vec<Advice>) {
        let row = |a: Advice| Row::new(a.about, WARNING, 0.0, 0, format!("{}; hint: {}", a.found, a.hint), true);
        self.rows.extend(advice.into_iter().map(row));
    }

    /// How the command ends.
    pub fn verdict(&self) -> Verdict {
        if !self.up {
            Verdict::Down
        } else if self.rows.iter().any(|row| row.bad) {
            Verdict::Partly
        } else {
            Verdict::Fine
        }
    }

    /// The table; with `colour` the result stands out on a terminal. Of a server that is down it has what says why, and what is
    /// there all the same; the rest is a number.
    pub fn table(&self, colour: bool) -> String {
        let shown = || self.rows.iter().filter(|row| !row.follows);
        let width = |get: fn(&Row) -> &str, title: &str| shown().map(|r| get(r).chars().count()).max().unwrap_or(0).max(title.len());
        let (names, results) = (width(|r| &r.collector, "collector"), width(|r| &r.result, "result"));
        let mut out = format!("{}: {}\n", self.target, if self.up { "up" } else { "down" });
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:names$}  {:results$}  {:>8}  {:>6}  what to do", "collector", "result", "ms", "series");
        for row in shown() {
            let (on, off) = match (colour, row.bad) {
                (false, _) => ("", ""),
                (true, true) => ("\u{1b}[31m", "\u{1b}[0m"),
                (true, false) if row.result == WARNING => ("\u{1b}[33m", "\u{1b}[0m"),
                (true, false) => ("\u{1b}[32m", "\u{1b}[0m"),
            };
            let line = format!(
                "{:names$}  {on}{:results$}{off}  {:>8.1}  {:>6}  {}",
                row.collector,
                row.result,
                row.milliseconds,
                row.series,
                row.code.map_or_else(|| row.note.clone(), |code| format!("{} ({code})", row.note).trim_start().to_owned())
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        let follow = self.rows.len() - shown().count();
        if follow > 0 {
            let _ = writeln!(out, "and {follow} collectors that need an answer of the server");
        }
        if let Some(first) = self.others.first() {
            let _ = writeln!(out, "not checked: {}; probe {first} asks that one", self.others.join(", "));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::report::CollectorReport;

    fn result(up: bool, statuses: &[Status]) -> CheckResult {
        let collectors = statuses.iter().map(|s| CollectorReport::new("x", *s)).collect();
        CheckResult::from_report("db".into(), &Report { up, collectors, ..Report::default() })
    }

    #[test]
    fn who_is_not_checked_is_named() {
        let mut of_three = result(true, &[Status::Ok]);
        assert!(!of_three.table(false).contains("not checked"));
        of_three.others = vec!["b".to_owned(), "c".to_owned()];
        assert!(of_three.table(false).ends_with("\nnot checked: b, c; probe b asks that one\n"), "{}", of_three.table(false));
    }

    #[test]
    fn verdicts() {
        assert_eq!(result(true, &[Status::Ok, Status::Empty, Status::NotHere]).verdict(), Verdict::Fine);
        for bad in [Status::Denied, Status::TimedOut, Status::Failed(ErrorKind::Query), Status::Pending] {
            assert_eq!(result(true, &[Status::Ok, bad]).verdict(), Verdict::Partly, "{bad:?}");
        }
        assert_eq!(result(false, &[]).verdict(), Verdict::Down);
    }

    #[test]
    fn of_a_server_that_is_down_the_table_says_why_and_not_forty_times() {
        let refused = Status::Failed(ErrorKind::Refused);
        let mut report = Report { collectors: vec![CollectorReport::new("local", Status::Ok)], ..Report::default() };
        for status in [refused, refused, Status::NotHere] {
            report.collectors.push(CollectorReport::new("remote", status));
        }
        let mut broken = CollectorReport::new("broken", refused);
        broken.note = Some("its own reason".into());
        report.collectors.push(broken);
        let r = CheckResult::from_report("db".into(), &report);
        assert_eq!(r.rows.len(), 5, "tools get all");
        let table = r.table(false);
        assert!(table.contains("\nlocal ") && table.contains("its own reason") && !table.contains("remote"), "{table}");
        assert!(table.ends_with("\nand 3 collectors that need an answer of the server\n"), "{table}");
        let up = CheckResult::from_report("db".into(), &Report { up: true, ..report });
        assert!(up.table(false).matches("\nremote ").count() == 3, "{}", up.table(false));
    }

    #[test]
    fn warnings_change_no_verdict() {
        let mut r = result(true, &[Status::Ok]);
        r.advise(vec![Advice { about: "role".into(), found: "is superuser".into(), hint: "ALTER ROLE".into() }]);
        assert_eq!(r.verdict(), Verdict::Fine);
        assert!(r.table(false).ends_with("role       warning       0.0       0  is superuser; hint: ALTER ROLE\n"), "{}", r.table(false));
        assert!(r.table(true).contains("\u{1b}[33mwarning"));
    }

    #[test]
    fn colours_only_on_a_terminal() {
        let r = result(true, &[Status::Ok]);
        assert_eq!(r.table(false), "db: up\ncollector  result        ms  series  what to do\nx          ok           0.0       0\n");
        assert!(r.table(true).contains("\u{1b}[32mok"));
    }
}
