//! The server's log: where it is, and the slow statements in it.
//!
//! Lines "duration: N ms" in the formats stderr, csvlog and jsonlog. Source: PostgreSQL documentation, error reporting and
//! logging.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sage_common::tail::{self, Tail, Window};

use crate::options::APPLICATION_NAME;

/// The slow queries seen in the log.
pub struct SlowLog {
    tail: Tail,
    window: Window,
    /// Lines of slow statements since the start of the exporter.
    pub total: u64,
    /// Lines that looked like one and could not be read.
    pub unreadable: u64,
}

/// What the server says of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFacts {
    /// Where it is.
    pub place: LogPlace,
    /// Whether slow statements are written to it at all (log_min_duration_statement).
    pub writes_slow: bool,
}

/// What the server says of the place of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// The file that it writes now.
    File(PathBuf),
    /// The folder of its files; before PostgreSQL 16 a monitoring role may not ask for the file itself.
    Folder(PathBuf),
    /// It does not collect its log itself, or does not say.
    Unknown,
}

impl LogPlace {
    /// The file to read: in a folder the one that was written last.
    pub fn file(self) -> Option<PathBuf> {
        let folder = match self {
            Self::File(file) => return Some(file),
            Self::Folder(folder) => folder,
            Self::Unknown => return None,
        };
        let files = std::fs::read_dir(folder).ok()?.flatten();
        let dated = files.filter_map(|file| {
            let about = file.metadata().ok()?;
            about.is_file().then(|| (about.modified().ok(), file.path()))
        });
        dated.max().map(|(_, path)| path)
    }
}

impl SlowLog {
    /// The log at `path`, from its present end on.
    pub fn new(path: &Path) -> Self {
        Self { tail: Tail::new(path), window: Window::new(), total: 0, unreadable: 0 }
    }

    /// Reads a part of what is new; true when there is more.
    pub fn read(&mut self) -> bool {
        let Self { tail, window, total, unreadable } = self;
        let now = SystemTime::now();
        tail.poll(|line| match duration_ms(line) {
            Some(Ok(ms)) if ms >= THRESHOLD_MS => {
                *total += 1;
                window.add(now);
            }
            Some(Err(())) => *unreadable += 1,
            _ => {}
        })
        .more
    }

    /// Goes on at `path`, once the file read so far has come to its end.
    pub fn follow(&mut self, path: PathBuf) {
        if self.tail.path() != path {
            self.tail.follow(path);
        }
    }

    /// Slow statements of the last 60 seconds.
    pub fn last_minute(&self) -> u64 {
        self.window.last_minute(SystemTime::now())
    }

    /// Whether the log can be read, and if not, why.
    pub fn state(&self) -> &tail::State {
        self.tail.state()
    }

    /// How far behind the end of the log we are.
    pub fn lag(&self) -> Duration {
        self.tail.lag(std::time::Instant::now())
    }
}

/// A statement that took this long is slow, whatever else the server logs (log_min_duration_statement, log_duration).
const THRESHOLD_MS: f64 = 1000.0;

/// The duration that a log line tells: `None` when it is about something else, `Err` when the number cannot be read.
///
/// The message is the same in all three log formats; what stands before it differs. Lines of our own sessions do not
/// count, and neither do continuation lines, which hold what users typed.
fn duration_ms(line: &str) -> Option<Result<f64, ()>> {
    /// stderr, csvlog, jsonlog.
    const BEFORE: [&str; 3] = ["LOG:  duration: ", ",LOG,00000,\"duration: ", "\"message\":\"duration: "];
    if line.starts_with([' ', '\t']) || line.contains(APPLICATION_NAME) {
        return None;
    }
    let rest = BEFORE.iter().find_map(|before| line.split_once(before))?.1;
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    // "duration: 0.1 ms  parse ..." stands beside the execute line of the same statement.
    let rest = rest.strip_prefix("ms").unwrap_or(rest).trim_start();
    if rest.starts_with("parse ") || rest.starts_with("bind ") {
        return None;
    }
    Some(number.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_all_three_formats() {
        for line in [
            "2026-11-22 00:10:01.123 UTC [4242] app@shop/psql LOG:  duration: 1501.271 ms  statement: select pg_sleep(1.5)",
            "2026-11-22 00:10:01.123 UTC,\"app\",\"shop\",4242,\"[local]\",6740,1,\"SELECT\",2026-11-22 00:10:00 UTC,3/2,0,LOG,00000,\"duration: 1501.271 ms  statement: select 1\",,,,,,,,,\"psql\",\"client backend\",,0",
            r#"{"timestamp":"2026-11-22 00:10:01.123 UTC","pid":4242,"error_severity":"LOG","message":"duration: 1501.271 ms  statement: select 1"}"#,
            "LOG:  duration: 1501.271 ms",
        ] {
            assert_eq!(duration_ms(line), Some(Ok(1501.271)), "{line}");
        }
    }

    #[test]
    fn other_lines_do_not_count() {
        for line in [
            "2026-11-22 00:10:01 UTC [1] LOG:  checkpoint starting: time",
            "\tLOG:  duration: 9000.0 ms  statement: typed by a user",
            "2026-11-22 UTC [2] sage@postgres/sage-postgres-exporter LOG:  duration: 1800.0 ms  statement: SELECT 1",
            "LOG:  duration: 2000.0 ms  parse s1: select 1",
            "LOG:  duration: 2000.0 ms  bind s1: select 1",
            "",
        ] {
            assert_eq!(duration_ms(line), None, "{line}");
        }
        assert_eq!(duration_ms("LOG:  duration: abc ms"), Some(Err(())));
        assert_eq!(duration_ms("LOG:  duration: NaN ms"), Some(Err(())));
    }
}
