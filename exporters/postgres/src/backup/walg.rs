//! WAL-G: the array of `backup-list --json --detail`, or the sentinel that is written when a backup is complete.

use std::path::Path;

use serde::Deserialize;

use super::{Backup, Problem, changed, date, later};

#[derive(Deserialize)]
struct Entry {
    backup_name: String,
    /// With --detail; without, there is only the time at which the sentinel was stored.
    #[serde(default)]
    finish_time: Option<String>,
    #[serde(default, alias = "modified")]
    time: Option<String>,
    #[serde(default)]
    uncompressed_size: Option<f64>,
}

#[derive(Deserialize)]
struct Sentinel {
    #[serde(rename = "LSN")]
    _lsn: serde_json::Value,
    #[serde(default, rename = "FinishTime")]
    finish_time: Option<String>,
    #[serde(default, rename = "UncompressedSize")]
    size: Option<f64>,
}

/// The end of a sentinel's name.
const SENTINEL: &str = "_backup_stop_sentinel.json";

/// The last backup of a saved list; it has complete ones alone.
pub fn list(text: &str) -> Result<Option<Backup>, Problem> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|_| Problem::Corrupt)?;
    let mut best = None;
    for entry in &entries {
        let time = entry.finish_time.as_deref().or(entry.time.as_deref()).and_then(date::read);
        let end = time.filter(|_| entry.backup_name.starts_with("base_")).ok_or(Problem::Corrupt)?;
        best = later(best, Some(Backup { end, size: entry.uncompressed_size }));
    }
    Ok(best)
}

/// The backup of a sentinel; other files of its folder say nothing. Older versions write no time into it: then it is the
/// file's own.
pub fn sentinel(text: &str, path: &Path) -> Result<Option<Backup>, Problem> {
    if !path.to_string_lossy().ends_with(SENTINEL) {
        return Ok(None);
    }
    let sentinel: Sentinel = serde_json::from_str(text).map_err(|_| Problem::Corrupt)?;
    let end = match &sentinel.finish_time {
        Some(time) => date::read(time).ok_or(Problem::Corrupt)?,
        None => changed(path)?,
    };
    Ok(Some(Backup { end, size: sentinel.size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_lists() {
        let detail = r#"[{"backup_name":"base_000000010000000000000004","time":"2026-11-20T01:00:09Z","wal_file_name":"000000010000000000000004",
            "start_time":"2026-11-20T00:59:00.1Z","finish_time":"2026-11-20T01:00:00Z","uncompressed_size":70,"compressed_size":7},
            {"backup_name":"base_000000010000000000000002","time":"2026-11-19T01:00:09Z","finish_time":"2026-11-19T01:00:00Z"}]"#;
        assert_eq!(list(detail), Ok(Some(Backup { end: 1_795_136_400.0, size: Some(70.0) })));
        let short = r#"[{"backup_name":"base_000000010000000000000004","modified":"2026-11-20T01:00:00Z"}]"#;
        assert_eq!(list(short), Ok(Some(Backup { end: 1_795_136_400.0, size: None })));
        assert_eq!(list("[]"), Ok(None));
        for text in ["{}", r#"[{"backup_name":"base_1"}]"#, r#"[{"backup_name":"other","time":"2026-11-20T01:00:00Z"}]"#] {
            assert_eq!(list(text), Err(Problem::Corrupt), "{text}");
        }
    }

    #[test]
    fn sentinels() {
        let path = Path::new("base_000000010000000000000004_backup_stop_sentinel.json");
        let text = r#"{"LSN":67108904,"PgVersion":150018,"FinishTime":"2026-11-20T01:00:00Z","UncompressedSize":70}"#;
        assert_eq!(sentinel(text, path), Ok(Some(Backup { end: 1_795_136_400.0, size: Some(70.0) })));
        assert_eq!(sentinel("{}", path), Err(Problem::Corrupt));
        assert_eq!(sentinel("anything", Path::new("metadata.json")), Ok(None));
    }
}
