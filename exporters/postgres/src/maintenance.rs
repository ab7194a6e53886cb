//! What `maintain` leaves behind for the exporter: a JSON file per target, replaced in one step.
//!
//! The command writes it after each database; the collector `maintenance` reads it. No table's name leaves the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sage_common::error::{CollectError, ErrorKind};
use sage_common::os;
use serde::{Deserialize, Serialize};

/// Where the files are, as systemd makes it (StateDirectory=sage).
pub const FOLDER: &str = "/var/lib/sage";

/// The form of the file.
const FORM: u32 = 1;
/// Largest file that is read.
const LARGEST: u64 = 4 * 1024 * 1024;
/// How much a clock may be ahead.
const AHEAD: Duration = Duration::from_secs(300);

/// All results of one target.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
pub struct Record {
    form: u32,
    /// By task, then by database.
    pub tasks: BTreeMap<String, BTreeMap<String, Outcome>>,
}

/// The last run of a task in a database. Times are seconds of Unix time.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Outcome {
    /// When the task was first meant to run here.
    pub first_run: f64,
    /// When the last run ended; absent when it has never come to this database.
    pub last_run: Option<f64>,
    /// When the last run ended in which no table failed or was left.
    pub last_success: Option<f64>,
    /// How long the last run took.
    pub duration_seconds: f64,
    /// Tables of the last run.
    pub tables: Counts,
    /// Seconds that the slowest tables took, from which is told whether one still fits.
    pub slow: BTreeMap<String, f64>,
}

/// Tables by result.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Done.
    pub ok: u64,
    /// Left because somebody else held a lock.
    pub skipped_busy: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Left because the window was over or the run was stopped.
    pub not_started: u64,
}

impl Default for Record {
    fn default() -> Self {
        Self { form: FORM, tasks: BTreeMap::new() }
    }
}

/// The file of a target, or the lock beside it (`extension`).
pub fn path(folder: &Path, target: &str, extension: &str) -> PathBuf {
    // A target may have any name; a file not.
    let name: String = target.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect();
    folder.join(format!("postgres-{name}-maintain.{extension}"))
}

/// Seconds of Unix time.
pub fn unix(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

impl Record {
    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// A file that cannot be read, is not one of ours, or tells of the future.
    pub fn read(path: &Path) -> Result<Option<Self>, CollectError> {
        let shown = path.display();
        let about = match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(CollectError::io(format!("look at {shown}"), e)),
            Ok(about) => about,
        };
        let bad = |what: &str| {
            CollectError::new(ErrorKind::Decode, format!("{shown} {what}")).hint("run `maintain` again; it writes the file anew")
        };
        if !about.is_file() || about.len() > LARGEST {
            return Err(bad("is no file, or larger than what we write"));
        }
        let text = std::fs::read(path).map_err(|e| CollectError::io(format!("read {shown}"), e))?;
        let record: Self = serde_json::from_slice(&text).map_err(|e| bad("is not what `maintain` writes").caused_by(e))?;
        if record.form != FORM {
            return Err(bad(&format!("has the form {} of another version", record.form)));
        }
        let latest = unix(SystemTime::now() + AHEAD);
        let outcomes = record.tasks.values().flat_map(BTreeMap::values);
        let mut times = outcomes.flat_map(|o| [Some(o.first_run), o.last_run, o.last_success]).flatten();
        if let Some(time) = times.find(|time| !(0.0..=latest).contains(time)) {
            return Err(bad(&format!("tells of a time that is not past: {time}")).hint("compare the clocks; then run `maintain` again"));
        }
        Ok(Some(record))
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CollectError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| CollectError::new(ErrorKind::Internal, "write the results").caused_by(e))?;
        os::files::replace(path, &text).map_err(|e| CollectError::io(format!("write {}", path.display()), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: f64) -> Record {
        let outcome = Outcome { first_run: at, last_run: Some(at), last_success: Some(at), ..Outcome::default() };
        let databases = BTreeMap::from([("shop".to_owned(), outcome)]);
        Record { tasks: BTreeMap::from([("vacuum-analyze".to_owned(), databases)]), ..Record::default() }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_broken_is_said() {
        let folder = std::env::temp_dir().join(format!("sage-maintain-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = path(&folder, "a/b", "json");
        assert_eq!(file.file_name().unwrap(), "postgres-a_b-maintain.json");
        assert!(Record::read(&file).unwrap().is_none());
        // JSON keeps some 16 digits of a number, not always the last bit.
        let now = unix(SystemTime::now()).floor();
        record(now).write(&file).unwrap();
        assert_eq!(Record::read(&file).unwrap(), Some(record(now)));
        record(now + 3600.0).write(&file).unwrap();
        let future = Record::read(&file).unwrap_err();
        let mut broken = Vec::new();
        for text in ["", "{", "{\"form\":2,\"tasks\":{}}", "[]", "{\"form\":1,\"tasks\":{\"t\":{\"d\":{\"first_run\":\"x\"}}}}"] {
            std::fs::write(&file, text).unwrap();
            broken.push(Record::read(&file).unwrap_err().kind);
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(future.to_string().contains("not past"), "{future}");
        assert_eq!(broken, [ErrorKind::Decode; 5]);
    }
}
