//! Finds the durations of statements in PostgreSQL's log, in each of its formats: stderr, csvlog, jsonlog.
//!
//! All versions. A log holds what users typed, over several lines: only the message of a record counts, never a text inside
//! it. Memory is bounded whatever is written. Source: PostgreSQL documentation, error reporting and logging.

use std::time::SystemTime;

use sage_common::tail::Part;

#[cfg(any(test, fuzzing))]
pub mod check;
mod csv;
mod json;
mod stderr;
mod time;

/// How the server writes its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines with this log_line_prefix in front; `None`: it is not known.
    Stderr(Option<String>),
    /// Columns, quoted where needed, of which one may go over several lines.
    Csv,
    /// An object a line.
    Json,
}

/// A statement whose duration the log tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// When the record was written; `None` when it does not say, or in a time zone that is not known.
    pub at: Option<SystemTime>,
    /// The client's application_name, where the record has it.
    pub application: Option<String>,
    /// The backend's process, where the record has it.
    pub pid: Option<u32>,
}

/// What a part of the log told.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A statement has ended.
    Statement(Statement),
    /// Something that should be a record, or its duration, and cannot be read.
    Unreadable,
}

/// Reads a log part by part.
#[derive(Debug)]
pub struct Reader {
    records: Records,
    /// Seconds that log_timezone is ahead of UTC at present, if the server has told.
    pub zone: Option<i32>,
}

#[derive(Debug)]
enum Records {
    Stderr(stderr::Lines),
    Csv(csv::Records),
    Json(json::Objects),
}

/// The fields of a record that matter.
#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    time: String,
    pid: String,
    severity: String,
    message: String,
    application: Option<String>,
    /// A function was running: these are its words, not the server's.
    context: bool,
}

/// Most characters kept of a field; a duration and a name are shorter.
const MOST: usize = 256;

/// Adds to a field as far as it is kept.
fn keep(field: &mut String, c: char) {
    if field.len() < MOST {
        field.push(c);
    }
}

impl Reader {
    /// A reader of a log that is first seen at some place in it.
    pub fn new(format: &Format) -> Self {
        let records = match format {
            Format::Stderr(prefix) => Records::Stderr(stderr::Lines::new(prefix.as_deref())),
            Format::Csv => Records::Csv(csv::Records::default()),
            Format::Json => Records::Json(json::Objects::default()),
        };
        Self { records, zone: None }
    }

    /// Takes the next part.
    pub fn part(&mut self, part: Part<'_>) -> Option<Found> {
        let record = match &mut self.records {
            Records::Stderr(lines) => Ok(lines.part(part)?),
            Records::Csv(records) => records.part(part)?,
            Records::Json(objects) => objects.part(part)?,
        };
        let Ok(record) = record else { return Some(Found::Unreadable) };
        if record.severity != "LOG" || record.context {
            return None;
        }
        let Ok(ms) = duration(&record.message)? else { return Some(Found::Unreadable) };
        let at = time::read(&record.time, self.zone);
        Some(Found::Statement(Statement { ms, at, application: record.application, pid: record.pid.parse().ok() }))
    }
}

/// The duration that a message tells of a statement, in milliseconds: `None` when it tells of something else, `Err` when
/// the number cannot be read.
///
/// A statement has one line: "parse" and "bind" stand beside the line of its "execute", and the "plan" of auto_explain
/// beside all of them. A bare number is that of log_duration.
fn duration(message: &str) -> Option<Result<f64, ()>> {
    let rest = message.strip_prefix("duration: ")?;
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let what = rest.strip_prefix("ms").unwrap_or(rest).trim_start();
    let counts = what.is_empty() || ["statement: ", "execute ", "fastpath function call: "].iter().any(|start| what.starts_with(start));
    counts.then(|| number.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_statements() {
        for message in [
            "duration: 1501.271 ms  statement: select pg_sleep(1.5)",
            "duration: 1501.271 ms  execute s1: select $1",
            "duration: 1501.271 ms  execute fetch from s1/c1: select $1",
            "duration: 1501.271 ms  fastpath function call: \"lo_open\" (OID 952)",
            "duration: 1501.271 ms",
        ] {
            assert_eq!(duration(message), Some(Ok(1501.271)), "{message}");
        }
        for message in [
            "duration: 2000.0 ms  parse s1: select 1",
            "duration: 2000.0 ms  bind s1: select 1",
            "duration: 2000.0 ms  plan:",
            "checkpoint starting: time",
            "statement: select 'duration: 2000.0 ms'",
            "",
        ] {
            assert_eq!(duration(message), None, "{message}");
        }
        for message in ["duration: abc ms", "duration: NaN ms", "duration: -1.0 ms  statement: x", "duration: "] {
            assert_eq!(duration(message), Some(Err(())), "{message}");
        }
    }

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/postgres_log");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 10, "{} files", files.len());
        files.iter().for_each(|file| check::check(&std::fs::read(file).unwrap()));
    }
}
