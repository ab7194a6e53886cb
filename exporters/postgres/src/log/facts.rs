//! What the server says of its log: place, format, prefix, time zone, and from which duration on it writes statements.
//!
//! From settings and pg_current_logfile(); all versions. Places need pg_read_all_settings, the present file's name EXECUTE on
//! the function, which pg_monitor has from 16 on.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sage_common::error::CollectError;

use crate::session::{Facts, Row};

/// What the server says of its log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFacts {
    /// Where it is.
    pub place: LogPlace,
    /// log_line_prefix.
    pub prefix: String,
    /// Seconds that log_timezone is ahead of UTC at present.
    pub zone: Option<i32>,
    /// The shortest statement whose duration is written; `None` when none is (log_min_duration_statement, log_duration).
    pub least: Option<Duration>,
    /// Messages are in English (lc_messages); others are not understood.
    pub english: bool,
}

/// What the server says of the place of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// The file that it writes now.
    File(PathBuf),
    /// The folder of its files, log_filename, and the format wanted; before PostgreSQL 16 a monitoring role may not ask for
    /// the file itself.
    Folder(PathBuf, String, Kind),
    /// It does not collect its log itself, or does not say.
    Unknown,
}

/// The formats of log_destination, in the order in which they are taken: a record of the first two is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// jsonlog.
    Json,
    /// csvlog.
    Csv,
    /// stderr.
    Stderr,
}

impl Kind {
    /// The one to read of those in log_destination.
    fn wanted(destination: &str) -> Self {
        let has = |kind: &str| destination.split(',').any(|one| one.trim().eq_ignore_ascii_case(kind));
        match (has("jsonlog"), has("csvlog")) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv,
            _ => Self::Stderr,
        }
    }

    /// The format of a file by its name: the server gives these endings itself.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Self::Json,
            Some("csv") => Self::Csv,
            _ => Self::Stderr,
        }
    }
}

impl LogPlace {
    /// The file to read: in a folder the one that was written last, unless all were written before `since`: then the one
    /// that was read until then has been renamed, and the others are those before it.
    pub fn file(self, since: Option<SystemTime>) -> Option<PathBuf> {
        let (folder, pattern, kind) = match self {
            Self::File(file) => return Some(file),
            Self::Folder(folder, pattern, kind) => (folder, pattern, kind),
            Self::Unknown => return None,
        };
        let files = std::fs::read_dir(folder).ok()?.flatten();
        let dated = files.filter(|file| is_named(&file.file_name().to_string_lossy(), &pattern, kind)).filter_map(|file| {
            let about = file.metadata().ok()?;
            about.is_file().then(|| (about.modified().ok(), file.path()))
        });
        dated.max().filter(|(modified, _)| since.is_none() || *modified >= since).map(|(_, path)| path)
    }
}

/// Whether a file has the name that log_filename gives, in which `%` begins a part of the date. For the other formats the
/// server puts their ending in the place of `.log`, or behind.
fn is_named(name: &str, pattern: &str, kind: Kind) -> bool {
    let (pattern, end) = match kind {
        Kind::Stderr => (pattern, ""),
        Kind::Csv => (pattern.strip_suffix(".log").unwrap_or(pattern), ".csv"),
        Kind::Json => (pattern.strip_suffix(".log").unwrap_or(pattern), ".json"),
    };
    let Some(name) = name.strip_suffix(end) else { return false };
    let Some((first, rest)) = pattern.split_once('%') else { return name == pattern };
    // Behind the last `%` stands its letter.
    let last = rest.rsplit_once('%').map_or(rest, |(_, last)| last);
    let last = last.char_indices().nth(1).and_then(|(at, _)| last.get(at..)).unwrap_or_default();
    name.len() >= first.len() + last.len() && name.starts_with(first) && name.ends_with(last)
}

/// The columns that all roles may ask for, then the place and the pattern of the files' names.
macro_rules! question {
    ($place:literal) => {
        concat!(
            "SELECT pg_is_in_recovery(), (CASE WHEN current_setting('log_duration') = 'on' THEN 0
                ELSE extract(epoch FROM current_setting('log_min_duration_statement')::interval) END)::float8,
             current_setting('log_line_prefix'), current_setting('lc_messages'), d,
             extract(epoch FROM (now() AT TIME ZONE current_setting('log_timezone')) - (now() AT TIME ZONE 'UTC'))::int4, ",
            $place
        )
    };
}

/// The question whose row `answer` reads; its first column says whether the server is in recovery.
pub const fn question(facts: &Facts) -> &'static str {
    // Places are relative to the data folder, which only pg_read_all_settings may know.
    match (facts.reads_settings, facts.reads_log_file) {
        (false, _) => question!("NULL::text, NULL::text FROM current_setting('log_destination') AS d"),
        (true, false) => question!(
            "CASE WHEN current_setting('logging_collector') <> 'on' THEN NULL WHEN f LIKE '/%' THEN f
             ELSE current_setting('data_directory') || '/' || f END, current_setting('log_filename')
             FROM current_setting('log_destination') AS d, current_setting('log_directory') AS f"
        ),
        (true, true) => question!(
            "CASE WHEN f LIKE '/%' THEN f ELSE current_setting('data_directory') || '/' || f END, NULL::text
             FROM current_setting('log_destination') AS d, pg_current_logfile(CASE WHEN d LIKE '%jsonlog%' THEN 'jsonlog'
             WHEN d LIKE '%csvlog%' THEN 'csvlog' ELSE 'stderr' END) AS f"
        ),
    }
}

/// Reads the row of `question`.
///
/// # Errors
/// `Decode` when it is another one.
pub fn answer(row: &Row, facts: &Facts) -> Result<LogFacts, CollectError> {
    let wanted = Kind::wanted(row.get(4)?);
    let pattern = row.get::<Option<&str>>(7)?.unwrap_or_default();
    let place = match row.get::<Option<&str>>(6)? {
        None => LogPlace::Unknown,
        Some(place) if facts.reads_log_file => LogPlace::File(place.into()),
        Some(place) => LogPlace::Folder(place.into(), pattern.to_owned(), wanted),
    };
    Ok(LogFacts {
        place,
        prefix: row.get(2)?,
        zone: row.get(5)?,
        least: Duration::try_from_secs_f64(row.get(1)?).ok(),
        english: is_english(row.get(3)?),
    })
}

/// The words "duration:" and LOG are those of this lc_messages.
fn is_english(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    let language = locale.split(['_', '.', '-']).next().unwrap_or_default();
    matches!(language, "" | "c" | "posix" | "en" | "english")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_format() {
        for (name, want) in [("a.json", Kind::Json), ("postgresql-1.csv", Kind::Csv), ("postgresql.log", Kind::Stderr), ("x", Kind::Stderr)]
        {
            assert_eq!(Kind::of(Path::new(name)), want, "{name}");
        }
    }

    #[test]
    fn english_is_understood() {
        for (locale, want) in [("C", true), ("C.UTF-8", true), ("en_US.UTF-8", true), ("English_United States.1252", true), ("", true)] {
            assert_eq!(is_english(locale), want, "{locale}");
        }
        assert!(!is_english("de_DE.UTF-8") && !is_english("fr_FR"));
    }

    #[test]
    fn exact_formats_are_taken_first() {
        assert_eq!(Kind::wanted("stderr, csvlog"), Kind::Csv);
        assert_eq!(Kind::wanted("csvlog,jsonlog"), Kind::Json);
        assert_eq!(Kind::wanted("stderr"), Kind::Stderr);
    }

    #[test]
    fn names_of_log_files() {
        for (name, pattern, kind, want) in [
            ("postgresql-2026-11-22_034500.log", "postgresql-%Y-%m-%d_%H%M%S.log", Kind::Stderr, true),
            ("postgresql-2026-11-22_034500.csv", "postgresql-%Y-%m-%d_%H%M%S.log", Kind::Csv, true),
            ("postgresql-2026-11-22_034500.log.1", "postgresql-%Y-%m-%d_%H%M%S.log", Kind::Stderr, false),
            ("pg-Mon", "pg-%a", Kind::Stderr, true),
            ("pg-Mon.json", "pg-%a", Kind::Json, true),
            ("pg.log", "pg.log", Kind::Stderr, true),
            ("pg.json", "pg.log", Kind::Json, true),
            ("pg.log", "pg.log", Kind::Csv, false),
            ("other.log", "pg-%a.log", Kind::Stderr, false),
        ] {
            assert_eq!(is_named(name, pattern, kind), want, "{name} {pattern}");
        }
    }

    #[test]
    fn of_a_folder_s_files_the_newest_of_the_format() {
        let folder = std::env::temp_dir().join(format!("sage-log-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let old = SystemTime::now() - Duration::from_secs(100);
        for (name, age) in [("pg-1.csv", 9), ("pg-2.csv", 5), ("pg-2.log", 1), ("pg-2.log.1", 0), ("other.csv", 0), ("pg-3.json", 2)] {
            let file = std::fs::File::create(folder.join(name)).unwrap();
            file.set_modified(old - Duration::from_secs(age)).unwrap();
        }
        let place = |kind| LogPlace::Folder(folder.clone(), "pg-%d.log".to_owned(), kind);
        let newest = |kind| place(kind).file(None).map(|f| f.file_name().unwrap().to_owned());
        assert_eq!(place(Kind::Csv).file(Some(old)), None, "all older than what was read last");
        assert_eq!(newest(Kind::Csv), Some("pg-2.csv".into()));
        assert_eq!(newest(Kind::Stderr), Some("pg-2.log".into()));
        assert_eq!(newest(Kind::Json), Some("pg-3.json".into()));
        assert_eq!(LogPlace::Folder(folder.join("none"), String::new(), Kind::Csv).file(None), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
