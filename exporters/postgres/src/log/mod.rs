//! The server's log: where it is and how it is written, and the slow statements in it.
//!
//! The server says which file it writes, in which formats, with which prefix and time zone; see `read` for the lines.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sage_common::tail::{self, Tail, Window};

use crate::options::APPLICATION_NAME;

mod facts;
mod read;

use facts::Kind;
pub use facts::{LogFacts, answer, question};
use read::{Format, Found, Reader, Statement};

/// Backends of our own sessions, the latest: where the log has no application_name, their number tells them.
#[derive(Debug, Default)]
pub struct OwnBackends(Mutex<VecDeque<u32>>);

impl OwnBackends {
    /// So many sessions ago a number may belong to another one.
    const MOST: usize = 64;

    /// Notes a session of ours.
    pub fn add(&self, pid: u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&pid) {
            known.push_back(pid);
            if known.len() > Self::MOST {
                known.pop_front();
            }
        }
    }

    fn has(&self, pid: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid)
    }
}

/// The slow statements seen in the log.
pub struct SlowLog {
    tail: Tail,
    /// Since when this file is read.
    pub since: SystemTime,
    format: Format,
    reader: Reader,
    counts: Vec<Count>,
    /// What should tell a duration and could not be read.
    pub unreadable: u64,
    /// Some lines do not tell whose they are, so that our own may be among those counted.
    pub mixed: bool,
}

/// Statements from a threshold on; each threshold that a module asks for is counted from then on.
struct Count {
    least: Duration,
    total: u64,
    window: Window,
}

impl SlowLog {
    /// The log at `path`, from its present end on.
    pub fn new(path: &Path) -> Self {
        let format = format_of(path, None);
        let reader = Reader::new(&format);
        Self { tail: Tail::new(path), since: SystemTime::now(), format, reader, counts: Vec::new(), unreadable: 0, mixed: false }
    }

    /// Reads a part of what is new; true when there is more.
    pub fn read(&mut self, own: &OwnBackends) -> bool {
        let Self { tail, reader, counts, unreadable, mixed, .. } = self;
        let now = SystemTime::now();
        let progress = tail.poll_parts(|part| match reader.part(part) {
            None => {}
            Some(Found::Unreadable) => *unreadable += 1,
            Some(Found::Statement(statement)) => match is_own(&statement, own) {
                Some(true) => {}
                whose => {
                    *mixed |= whose.is_none();
                    for count in counts.iter_mut().filter(|count| statement.ms >= count.least.as_secs_f64() * 1000.0) {
                        count.total += 1;
                        count.window.add_seen(statement.at.unwrap_or(now), now);
                    }
                }
            },
        });
        progress.more
    }

    /// Notes how the server writes at present and, unless that is configured, where: once the file read so far has come to
    /// its end, reading goes on there.
    pub fn learn(&mut self, facts: &LogFacts, path: Option<PathBuf>) {
        let path = path.unwrap_or_else(|| self.tail.path().to_owned());
        let format = format_of(&path, Some(&facts.prefix));
        if self.format != format {
            self.reader = Reader::new(&format);
            self.format = format;
            self.mixed = false;
        }
        self.reader.zone = facts.zone;
        if self.tail.path() != path {
            self.since = SystemTime::now();
            self.tail.follow(path);
        }
    }

    /// Begins to count statements that take `least`, unless it does already.
    pub fn count(&mut self, least: Duration) {
        if !self.counts.iter().any(|count| count.least == least) {
            self.counts.push(Count { least, total: 0, window: Window::new() });
        }
    }

    /// Statements of `least` and more: all that were counted, and those of the last 60 seconds.
    pub fn seen(&self, least: Duration) -> (u64, u64) {
        let count = self.counts.iter().find(|count| count.least == least);
        count.map_or((0, 0), |count| (count.total, count.window.last_minute(SystemTime::now())))
    }

    /// Whether the log can be read, and if not, why.
    pub fn state(&self) -> &tail::State {
        self.tail.state()
    }

    /// How far behind the end of the log we are.
    pub fn lag(&self) -> Duration {
        self.tail.lag(Instant::now())
    }
}

fn format_of(path: &Path, prefix: Option<&str>) -> Format {
    match Kind::of(path) {
        Kind::Json => Format::Json,
        Kind::Csv => Format::Csv,
        Kind::Stderr => Format::Stderr(prefix.map(str::to_owned)),
    }
}

/// Whether a statement is one of ours; `None` when the log tells neither application nor process.
fn is_own(statement: &Statement, own: &OwnBackends) -> Option<bool> {
    match (&statement.application, statement.pid) {
        (Some(name), _) => Some(name == APPLICATION_NAME),
        (None, Some(pid)) => Some(own.has(pid)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_statements_are_known_by_name_else_by_process() {
        let own = OwnBackends::default();
        own.add(42);
        let is = |application: Option<&str>, pid| {
            is_own(&Statement { ms: 1.0, at: None, application: application.map(str::to_owned), pid }, &own)
        };
        assert_eq!(is(Some(APPLICATION_NAME), Some(7)), Some(true));
        assert_eq!(is(Some("psql"), Some(42)), Some(false), "the number is another's now");
        assert_eq!((is(None, Some(42)), is(None, Some(7))), (Some(true), Some(false)));
        assert_eq!(is(None, None), None);
        (100..200).for_each(|pid| own.add(pid));
        assert_eq!((is(None, Some(42)), is(None, Some(199))), (Some(false), Some(true)));
    }
}
