//! The last good backup, from files that backup tools leave: no program is run and no repository is opened.
//!
//! pgBackRest (`info --output=json` saved to a file, or a stanza's backup.info), Barman (a server's base folder with its
//! backup.info files), WAL-G (`backup-list --json --detail` saved, or a folder of sentinels), or a file touched at the end of
//! the own script. Source: the tools' documentation of these outputs.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

mod barman;
mod date;
mod pgbackrest;
mod walg;

/// A file larger than this is no list of backups.
const LARGEST: u64 = 16 << 20;
/// Most backups looked at in a folder, the newest names.
const MOST: usize = 1000;
/// A clock may be ahead by this much.
const AHEAD: Duration = Duration::from_secs(300);

/// Where a tool leaves what it has done.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is called in the series; for pgBackRest the stanza where the file has several.
    pub name: String,
    /// Which tool.
    pub tool: Tool,
    /// Its file or folder.
    pub path: PathBuf,
}

/// The tools whose files are understood.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Tool {
    /// pgBackRest: saved `info --output=json`, or backup.info.
    Pgbackrest,
    /// Barman: the folder `SERVER/base`, or one backup.info.
    Barman,
    /// WAL-G: saved `backup-list --json --detail`, or the folder of its sentinels.
    Walg,
    /// A file whose time of change is the end of the last good backup.
    File,
}

impl Tool {
    /// Its name in labels, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pgbackrest => "pgbackrest",
            Self::Barman => "barman",
            Self::Walg => "walg",
            Self::File => "file",
        }
    }
}

/// A backup that came to a good end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backup {
    /// Its end, as a Unix time.
    pub end: f64,
    /// The size of what was backed up, in bytes.
    pub size: Option<f64>,
}

/// Why nothing is known of the last backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no such file.
    Missing,
    /// It may not be read.
    Denied,
    /// It has no bytes, or its folder no files.
    Empty,
    /// It is not what the tool writes.
    Corrupt,
    /// It is far too large, or the folder has far too many files.
    TooLarge,
    /// It tells of no good backup.
    None,
    /// The last one is said to end in the future.
    Future,
    /// The disk did not answer.
    Timeout,
}

impl Problem {
    /// Its name in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Empty => "empty",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::None => "no_backup",
            Self::Future => "future",
            Self::Timeout => "timeout",
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Corrupt,
        }
    }
}

/// The last good backup of a source. Blocks on the disk.
pub fn last(source: &Source, now: SystemTime) -> Result<Backup, Problem> {
    let path = source.path.as_path();
    let found = match source.tool {
        Tool::Pgbackrest => pgbackrest::last(&text(path)?, &source.name)?,
        Tool::Barman if path.is_dir() => newest(files(path, |folder| folder.join("backup.info"))?, barman::read)?,
        Tool::Barman => barman::read(&text(path)?, path)?,
        Tool::Walg if path.is_dir() => newest(files(path, Path::to_owned)?, walg::sentinel)?,
        Tool::Walg => walg::list(&text(path)?)?,
        Tool::File => Some(Backup { end: changed(path)?, size: None }),
    };
    let backup = found.ok_or(Problem::None)?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    match backup.end {
        end if !end.is_finite() || end <= 0.0 => Err(Problem::Corrupt),
        end if end > (now + AHEAD).as_secs_f64() => Err(Problem::Future),
        _ => Ok(backup),
    }
}

/// The later of two.
fn later(one: Option<Backup>, other: Option<Backup>) -> Option<Backup> {
    match (one, other) {
        (Some(a), Some(b)) => Some(if b.end > a.end { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The last good one of those that files of a folder tell of. One that is being written, or broken, hides no other; when
/// none can be read, the last one's problem is told.
fn newest(files: Vec<PathBuf>, read: impl Fn(&str, &Path) -> Result<Option<Backup>, Problem>) -> Result<Option<Backup>, Problem> {
    let (mut best, mut problem) = (None, None);
    for file in files {
        match text(&file).and_then(|text| read(&text, &file)) {
            Ok(found) => best = later(best, found),
            Err(Problem::Missing) => {}
            Err(other) => problem = Some(other),
        }
    }
    match (best, problem) {
        (None, Some(problem)) => Err(problem),
        (best, _) => Ok(best),
    }
}

/// The files of a folder's entries, the greatest names last: these tools name backups by their time.
fn files(folder: &Path, file: impl Fn(&Path) -> PathBuf) -> Result<Vec<PathBuf>, Problem> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
        if found.len() > 100 * MOST {
            return Err(Problem::TooLarge);
        }
    }
    if found.is_empty() {
        return Err(Problem::Empty);
    }
    found.sort();
    Ok(found.split_off(found.len().saturating_sub(MOST)).iter().map(|path| file(path)).collect())
}

/// A file's text. Nothing but a regular file is opened: a pipe would wait for its writer.
fn text(path: &Path) -> Result<String, Problem> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(Problem::Corrupt);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Problem::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| Problem::Corrupt)?;
    if text.trim().is_empty() { Err(Problem::Empty) } else { Ok(text) }
}

/// When a file was changed last.
fn changed(path: &Path) -> Result<f64, Problem> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(Problem::Corrupt);
    }
    let since = about.modified()?.duration_since(UNIX_EPOCH).map_err(|_| Problem::Corrupt)?;
    Ok(since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_sorts() {
        let folder = std::env::temp_dir().join(format!("sage-backup-{}", std::process::id()));
        fs::create_dir_all(folder.join("base/20261120T000000")).unwrap();
        let now = SystemTime::now();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let last = |tool, name: &str| last(&Source { name: "main".to_owned(), tool, path: folder.join(name) }, now);

        write("touched", "");
        let end = last(Tool::File, "touched").unwrap().end;
        assert!((end - now.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()).abs() < 60.0);
        let file = fs::OpenOptions::new().write(true).open(folder.join("touched")).unwrap();
        file.set_modified(now + Duration::from_secs(3600)).unwrap();
        assert_eq!(last(Tool::File, "touched"), Err(Problem::Future));
        assert_eq!(last(Tool::File, "none"), Err(Problem::Missing));
        assert_eq!(last(Tool::File, "base"), Err(Problem::Corrupt));

        write("empty", " \n");
        write("broken", "[{\"name\":");
        for tool in [Tool::Pgbackrest, Tool::Walg] {
            assert_eq!((last(tool, "empty"), last(tool, "broken")), (Err(Problem::Empty), Err(Problem::Corrupt)), "{tool:?}");
        }
        // A backup under way has no good end yet; the one before it counts.
        write("base/20261120T000000/backup.info", "status=DONE\nend_time=2026-11-20 01:00:00+00:00\nsize=10\n");
        fs::create_dir_all(folder.join("base/20261121T000000")).unwrap();
        assert_eq!(last(Tool::Barman, "base"), Ok(Backup { end: 1_795_136_400.0, size: Some(10.0) }));
        write("base/20261121T000000/backup.info", "status=FAILED\nend_time=None\n");
        assert_eq!(last(Tool::Barman, "base").unwrap().end, 1_795_136_400.0);
        write("base/20261120T000000/backup.info", "status=FAILED\n");
        assert_eq!(last(Tool::Barman, "base"), Err(Problem::None));
        fs::remove_dir_all(&folder).unwrap();
    }
}
