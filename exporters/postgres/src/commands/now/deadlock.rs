//! When the server last wrote of a deadlock to its log: the end of the file is looked at, in any of the three formats.
//!
//! csvlog and jsonlog have the SQLSTATE (40P01). The plain log has words only, those of untranslated messages, after a
//! prefix that may begin with the time (log_line_prefix, %t or %m).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How much of the log is looked at, from its end.
const WINDOW: u64 = 1024 * 1024;

/// The time of the last deadlock, as the log has it; `None` when the log cannot be read or tells of none.
pub fn last(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(WINDOW))).ok()?;
    let mut end = Vec::new();
    file.take(WINDOW).read_to_end(&mut end).ok()?;
    String::from_utf8_lossy(&end).lines().rev().find_map(time_of)
}

/// The time in front of a line that tells of a deadlock.
fn time_of(line: &str) -> Option<String> {
    // Continuation lines hold what users typed.
    if line.starts_with([' ', '\t']) {
        return None;
    }
    let json = line.contains("\"state_code\":\"40P01\"").then(|| line.split_once("\"timestamp\":\"")).flatten();
    if let Some((_, rest)) = json {
        return rest.split('"').next().map(str::to_owned);
    }
    let (before, after) = line.split_once(",ERROR,40P01,").or_else(|| line.split_once("ERROR:  deadlock detected"))?;
    let _ = after;
    let time: String = before.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | ' ' | '+')).collect();
    time.starts_with(|c: char| c.is_ascii_digit()).then(|| time.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_formats_tell_the_time() {
        for (line, want) in [
            ("2026-11-22 03:40:01.123 UTC [77] app@shop/web ERROR:  deadlock detected", Some("2026-11-22 03:40:01.123 UTC")),
            (
                "2026-11-22 03:40:01 CET,\"app\",\"shop\",77,\"[local]\",x.4d,3,\"UPDATE\",2026-11-22 CET,4/9,734,ERROR,40P01,\"deadlock detected\",",
                Some("2026-11-22 03:40:01 CET"),
            ),
            (
                "{\"timestamp\":\"2026-11-22 03:40:01.123 UTC\",\"pid\":77,\"error_severity\":\"ERROR\",\"state_code\":\"40P01\"}",
                Some("2026-11-22 03:40:01.123 UTC"),
            ),
            ("2026-11-22 03:40:01.123 UTC [77] LOG:  deadlocks are discussed", None),
            ("\tERROR:  deadlock detected", None),
            ("[77] ERROR:  deadlock detected", None),
        ] {
            assert_eq!(time_of(line).as_deref(), want, "{line}");
        }
    }
}
