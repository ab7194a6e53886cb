//! Barman: backup.info of one backup, lines `key=value`. It is written when a backup begins, and again at its end.

use std::path::Path;

use super::{Backup, Problem, date};

/// The backup, if it came to a good end.
pub fn read(text: &str, _: &Path) -> Result<Option<Backup>, Problem> {
    let value =
        |name: &str| text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == name)).map(|(_, v)| v.trim());
    match value("status").ok_or(Problem::Corrupt)? {
        // WAITING_FOR_WALS is not yet good: without that WAL nothing can be restored from it.
        "DONE" => {
            let end = value("end_time").and_then(date::read).ok_or(Problem::Corrupt)?;
            Ok(Some(Backup { end, size: value("size").and_then(|size| size.parse().ok()) }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_done_is_good() {
        let text =
            "backup_label=None\nbegin_time=2026-11-20 00:59:00+00:00\nend_time=2026-11-20 01:00:00.500000+00:00\nsize=1024\nstatus=DONE\n";
        let read = |text: &str| read(text, Path::new("x"));
        assert_eq!(read(text), Ok(Some(Backup { end: 1_795_136_400.5, size: Some(1024.0) })));
        for status in ["STARTED", "FAILED", "EMPTY", "SYNCING", "WAITING_FOR_WALS"] {
            assert_eq!(read(&text.replace("DONE", status)), Ok(None), "{status}");
        }
        assert_eq!(read(&text.replace("2026-11-20 01", "soon")), Err(Problem::Corrupt));
        assert_eq!(read("nothing of it\n"), Err(Problem::Corrupt));
    }
}
