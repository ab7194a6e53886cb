//! pgBackRest: the array of `info --output=json`, or the section backup:current of a repository's backup.info.

use serde::Deserialize;
use serde_json::Value;

use super::{Backup, Problem, later};

#[derive(Deserialize)]
struct Stanza {
    name: String,
    #[serde(default)]
    backup: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    error: Option<bool>,
    timestamp: Times,
    #[serde(default)]
    info: Option<Sizes>,
}

#[derive(Deserialize)]
struct Times {
    stop: f64,
}

#[derive(Deserialize)]
struct Sizes {
    #[serde(default)]
    size: Option<f64>,
}

/// The last good backup of the stanza `name`, or of the only one.
pub fn last(text: &str, name: &str) -> Result<Option<Backup>, Problem> {
    if text.trim_start().starts_with("[{") || text.trim() == "[]" {
        return info(text, name);
    }
    repository(text)
}

fn info(text: &str, name: &str) -> Result<Option<Backup>, Problem> {
    let mut stanzas: Vec<Stanza> = serde_json::from_str(text).map_err(|_| Problem::Corrupt)?;
    if stanzas.len() > 1 {
        stanzas.retain(|stanza| stanza.name == name);
    }
    // An error means that pages failed their checksum: such a backup is not one to rely on.
    let good = stanzas.iter().flat_map(|stanza| &stanza.backup).filter(|entry| entry.error != Some(true));
    let backups = good.map(|entry| Backup { end: entry.timestamp.stop, size: entry.info.as_ref().and_then(|info| info.size) });
    Ok(backups.fold(None, |best, backup| later(best, Some(backup))))
}

fn repository(text: &str) -> Result<Option<Backup>, Problem> {
    let (mut inside, mut known, mut best) = (false, false, None);
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line == "[backup:current]";
            known |= line == "[backrest]";
        } else if let Some((_, value)) = line.split_once('=').filter(|_| inside) {
            let about: Value = serde_json::from_str(value).map_err(|_| Problem::Corrupt)?;
            let number = |name: &str| about.get(name).and_then(Value::as_f64);
            let end = number("backup-timestamp-stop").ok_or(Problem::Corrupt)?;
            if about.get("backup-error").and_then(Value::as_bool) != Some(true) {
                best = later(best, Some(Backup { end, size: number("backup-info-size") }));
            }
        }
    }
    if known { Ok(best) } else { Err(Problem::Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_info() {
        let main = r#"{"name":"main","backup":[
            {"label":"20261119-000000F","type":"full","error":false,"timestamp":{"start":1,"stop":100},"info":{"size":30,"delta":30,"repository":{"delta":5}}},
            {"label":"20261119-000000F_20261120-000000I","type":"incr","error":null,"timestamp":{"start":150,"stop":200},"info":{"size":40}},
            {"label":"x","error":true,"timestamp":{"start":250,"stop":300}}],"status":{"code":0}}"#;
        let other = main.replace("main", "other").replace("200", "900");
        assert_eq!(last(&format!("[{main}]"), "any"), Ok(Some(Backup { end: 200.0, size: Some(40.0) })));
        assert_eq!(last(&format!("[{main},{other}]"), "other").unwrap().unwrap().end, 900.0);
        assert_eq!(last(&format!("[{main},{other}]"), "neither"), Ok(None));
        assert_eq!(last(r#"[{"name":"main","backup":[],"status":{"code":2}}]"#, "main"), Ok(None));
        assert_eq!(last("[]", "main"), Ok(None));
        assert_eq!(last(r#"[{"name":"main","backup":[{"label":"x"}]}]"#, "main"), Err(Problem::Corrupt));
    }

    #[test]
    fn the_repository_s_file() {
        let text = "[backrest]\nbackrest-format=5\n\n[backup:current]\n\
            20261119-000000F={\"backup-error\":false,\"backup-info-size\":30,\"backup-timestamp-start\":50,\"backup-timestamp-stop\":100}\n\
            20261120-000000F={\"backup-info-size\":40,\"backup-timestamp-stop\":200}\n\n[db]\ndb-id=1\n";
        assert_eq!(last(text, "main"), Ok(Some(Backup { end: 200.0, size: Some(40.0) })));
        assert_eq!(last("[backrest]\nbackrest-format=5\n", "main"), Ok(None));
        assert_eq!(last("something else\n", "main"), Err(Problem::Corrupt));
        assert_eq!(last("[backrest]\n[backup:current]\nx={\n", "main"), Err(Problem::Corrupt));
    }
}
