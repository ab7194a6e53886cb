//! Lines of the stderr format: log_line_prefix, severity, message. A record's further lines begin with a tab.

use regex::Regex;
use sage_common::tail::Part;

use super::{MOST, Record, keep};

/// What may stand between prefix and message; DETAIL and the like follow a record's message.
const SEVERITIES: &str = "DEBUG[1-5]?|INFO|NOTICE|WARNING|ERROR|LOG|FATAL|PANIC|DETAIL|HINT|QUERY|CONTEXT|LOCATION|BACKTRACE|STATEMENT";

/// A text that users choose in part, such as application_name, or that is not known. It ends where the first severity
/// stands: what comes after it may be a statement.
const ANY: &str = "(?:[^:]|:[^ ]|: [^ ])*?";

/// Longer prefixes are taken as not known.
const LONGEST_PREFIX: usize = 256;

/// Reads lines.
#[derive(Clone, Debug)]
pub struct Lines {
    /// `None` for a prefix that cannot be compiled; then nothing is found.
    line: Option<Regex>,
}

impl Lines {
    /// Lines with this log_line_prefix, or with one that is not known.
    pub fn new(prefix: Option<&str>) -> Self {
        let prefix = prefix.filter(|prefix| prefix.len() <= LONGEST_PREFIX).map_or_else(|| ANY.to_owned(), pattern);
        let line = format!("^{prefix}(?<severity>{SEVERITIES}):  (?<message>.*)");
        Self { line: Regex::new(&line).or_else(|_| Regex::new(&format!("^{ANY}(?<severity>{SEVERITIES}):  (?<message>.*)"))).ok() }
    }

    /// The record that this part begins, if it tells a duration.
    pub fn part(&mut self, part: Part<'_>) -> Option<Record> {
        // Most lines are something else, and this is a fast search.
        if !part.begins || part.text.starts_with('\t') || !part.text.contains("duration: ") {
            return None;
        }
        let found = self.line.as_ref()?.captures(part.text)?;
        let text = |name: &str| found.name(name).map(|m| m.as_str());
        let mut message = String::new();
        text("message")?.chars().take(MOST).for_each(|c| keep(&mut message, c));
        // %c ends with the process in hexadecimal digits.
        let session = || text("session").and_then(|s| u32::from_str_radix(s.split_once('.')?.1, 16).ok()).map(|pid| pid.to_string());
        Some(Record {
            time: text("epoch").or_else(|| text("time")).unwrap_or_default().to_owned(),
            pid: text("pid").map(str::to_owned).or_else(session).unwrap_or_default(),
            severity: text("severity")?.to_owned(),
            message,
            application: text("application").map(|name| name.trim().chars().take(MOST / 4).collect()),
            context: false,
        })
    }
}

/// The expression of a prefix.
fn pattern(prefix: &str) -> String {
    let mut out = String::new();
    let mut seen = Vec::new();
    let mut chars = prefix.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out += &regex::escape(c.encode_utf8(&mut [0; 4]));
            continue;
        }
        // %10p and %-10p are padded with blanks.
        let padded = chars.next_if(|c| *c == '-').is_some() | chars.peek().is_some_and(char::is_ascii_digit);
        while chars.next_if(char::is_ascii_digit).is_some() {}
        let (name, field) = match chars.next() {
            Some('%') => ("", "%"),
            Some('m' | 't') => ("time", r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})? [A-Za-z0-9+-]+"),
            Some('s') => ("", r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [A-Za-z0-9+-]+"),
            Some('n') => ("epoch", r"[0-9]{1,12}\.[0-9]{3}"),
            Some('p') => ("pid", "[0-9]+"),
            Some('c') => ("session", r"[0-9a-f]+\.[0-9a-f]+"),
            Some('a') => ("application", ANY),
            Some('u' | 'd' | 'r' | 'h' | 'b' | 'i') => ("", ANY),
            Some('P' | 'l' | 'x') => ("", "[0-9]*"),
            Some('v') => ("", "[0-9/]*"),
            Some('e') => ("", "[0-9A-Z]{5}"),
            Some('Q') => ("", "-?[0-9]*"),
            // %q writes nothing, and what the server does not know neither.
            _ => continue,
        };
        let blanks = if padded { " *" } else { "" };
        // A group may be named once only, and a second one of the same says nothing more.
        let again = !name.is_empty() && seen.contains(&name);
        seen.push(name);
        out += &if name.is_empty() || again { format!("{blanks}{field}{blanks}") } else { format!("{blanks}(?<{name}>{field}){blanks}") };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prefix: Option<&str>, text: &str) -> Option<(String, String, String, Option<String>, String)> {
        let part = Part { text, begins: true, ends: true, new_file: false };
        let r = Lines::new(prefix).part(part)?;
        Some((r.severity, r.time, r.pid, r.application, r.message))
    }

    fn found(time: &str, pid: &str, application: Option<&str>) -> Option<(String, String, String, Option<String>, String)> {
        let message = "duration: 1501.271 ms  statement: select 1".to_owned();
        Some(("LOG".to_owned(), time.to_owned(), pid.to_owned(), application.map(str::to_owned), message))
    }

    #[test]
    fn prefixes() {
        const MESSAGE: &str = "LOG:  duration: 1501.271 ms  statement: select 1";
        const TIME: &str = "2026-11-22 00:10:01.123 UTC";
        for (prefix, line, want) in [
            ("%m [%p] ", "2026-11-22 00:10:01.123 UTC [4242] ", found(TIME, "4242", None)),
            ("%m [%p] %q%u@%d/%a ", "2026-11-22 00:10:01.123 UTC [4242] app@shop/my app ", found(TIME, "4242", Some("my app"))),
            ("%t:%r:%u@%d:[%p]: ", "2026-11-22 00:10:01 CET:10.0.0.1(5):u@d:[7]: ", found("2026-11-22 00:10:01 CET", "7", None)),
            ("%n %c %l %e %v %x %Q%%", "1795306201.123 6740a.10 1 00000 3/2 0 -7%", found("1795306201.123", "16", None)),
            ("<%-6p|%6p|%20a> ", "<42    |    42|                psql> ", found("", "42", Some("psql"))),
            ("%s %p %b %i %h ", "2026-11-22 00:10:01 UTC 9 client backend SELECT [local] ", found("", "9", None)),
            ("user=%u,db=%d,app=%a,client=%h ", "user=u,db=d,app=a,b,client=[local] ", found("", "", Some("a,b"))),
            ("%m+%p ", "2026-11-22 00:10:01.123 +03+9 ", found("2026-11-22 00:10:01.123 +03", "9", None)),
            ("", "", found("", "", None)),
            ("%z(", "(", found("", "", None)),
        ] {
            assert_eq!(read(Some(prefix), &format!("{line}{MESSAGE}")), want, "{prefix}");
        }
        // Not known: up to the first severity.
        assert_eq!(read(None, &format!("whatever [1] x {MESSAGE}")), found("", "", None));
        assert_eq!(read(Some(&"%a".repeat(200)), &format!("x {MESSAGE}")), found("", "", None));
    }

    #[test]
    fn what_users_type_is_no_record() {
        const FAKE: &str = "select ' LOG:  duration: 9000.0 ms  statement: x'";
        let prefix = Some("%m [%p] %q%u@%d/%a ");
        for line in [
            format!("\t{FAKE}"),
            "\tLOG:  duration: 9000.0 ms  statement: x".to_owned(),
            "LOG:  duration: 9000.0 ms  statement: x".to_owned(),
            "2026-11-22 00:10:01.123 UTC [1] u@d/x:  LOG:  duration: 9000.0 ms  statement: x".to_owned(),
        ] {
            assert_eq!(read(prefix, &line), None, "{line}");
        }
        for severity in ["STATEMENT", "ERROR", "DETAIL", "CONTEXT", "QUERY"] {
            let line = format!("2026-11-22 00:10:01.123 UTC [1] u@d/psql {severity}:  {FAKE}");
            assert_eq!(read(prefix, &line).map(|r| r.0).as_deref(), Some(severity));
            assert_eq!(read(None, &line).map(|r| r.0).as_deref(), Some(severity));
        }
    }
}
