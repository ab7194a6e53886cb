//! What outlives the sessions of one target: the version last seen, the server's process, and the tail of its log.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sage_common::footprint;
use sage_common::tail::{self, Tail, Window};

use crate::options::Options;
use crate::session::{APPLICATION_NAME, Facts};

/// Time between two looks at the log.
pub const LOG_PACE: Duration = Duration::from_secs(1);

/// The state of one target.
pub struct State {
    local: bool,
    log_fixed: bool,
    version: Mutex<Option<(String, u32)>>,
    postmaster: Mutex<Option<(u32, SystemTime)>>,
    log: Mutex<Option<SlowLog>>,
}

/// The slow queries seen in the log.
pub struct SlowLog {
    tail: Tail,
    window: Window,
    /// Lines of slow statements since the start of the exporter.
    pub total: u64,
    /// Lines that looked like one and could not be read.
    pub unreadable: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The state of a target that nobody has asked yet.
    pub fn new(options: &Options) -> Self {
        Self {
            local: options.is_local(),
            log_fixed: options.log_file.is_some(),
            version: Mutex::default(),
            postmaster: Mutex::default(),
            log: Mutex::new(options.log_file.as_deref().map(SlowLog::new)),
        }
    }

    /// Notes what a new session says of the server.
    pub fn learn(&self, facts: &Facts) {
        *lock(&self.version) = Some((facts.version_text.clone(), facts.version));
        if self.local {
            // The backend's parent is the postmaster, if the process numbers are those of this machine: the time of its
            // start tells.
            let found = footprint::parent_of(facts.backend_pid).ok().filter(|parent| {
                footprint::start_time(*parent).is_ok_and(|at| {
                    let gap = at.duration_since(facts.started).or_else(|_| facts.started.duration_since(at));
                    gap.is_ok_and(|gap| gap < Duration::from_secs(5))
                })
            });
            *lock(&self.postmaster) = found.map(|pid| (pid, facts.started));
        }
    }

    /// Notes where the server says it logs at present.
    pub fn locate_log(&self, place: LogPlace) {
        if !self.local || self.log_fixed {
            return;
        }
        let Some(path) = place.file() else { return };
        let mut log = lock(&self.log);
        match log.as_mut() {
            Some(log) if log.tail.path() == path => {}
            Some(log) => log.tail.follow(path),
            None => *log = Some(SlowLog::new(&path)),
        }
        if let Some(log) = log.as_mut() {
            log.read();
        }
    }

    /// The server's version as text and number, once a session has told it.
    pub fn version(&self) -> Option<(String, u32)> {
        lock(&self.version).clone()
    }

    /// The server's first process and when it was started, where it runs on this machine.
    pub fn postmaster(&self) -> Option<(u32, SystemTime)> {
        *lock(&self.postmaster)
    }

    /// Calls `with` with the log, if its place is known.
    pub fn with_log<T>(&self, with: impl FnOnce(&SlowLog) -> T) -> Option<T> {
        lock(&self.log).as_ref().map(with)
    }

    /// Reads what is new in the log.
    pub fn read_log(&self) {
        if let Some(log) = lock(&self.log).as_mut() {
            while log.read() {}
        }
    }
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
    fn file(self) -> Option<PathBuf> {
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
    fn new(path: &Path) -> Self {
        Self {
            tail: Tail::new(path),
            window: Window::new(),
            total: 0,
            unreadable: 0,
        }
    }

    /// Reads a part of what is new; true when there is more.
    fn read(&mut self) -> bool {
        let Self {
            tail,
            window,
            total,
            unreadable,
        } = self;
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
