//! Text for people at a terminal, as the commands of exporters print it: names made harmless, lines of the terminal's width,
//! times and sizes as people say them.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

/// At most `width` characters; what is cut off is shown by an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A name from the server as it may be shown on a terminal: on one line, and without anything that a terminal obeys.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if hidden(c) { ' ' } else { c }).collect()
}

/// Characters that a terminal obeys or that turn what follows around.
pub fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Breaks a line at blanks; what follows is indented. A word that is wider than the terminal is cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let lead = text.len() - text.trim_start_matches(' ').len();
    let indent = " ".repeat((lead + 4).min(width / 2));
    let mut lines: Vec<String> = Vec::new();
    let mut line = " ".repeat(lead);
    let mut fresh = true;
    for word in text.trim_start_matches(' ').split(' ') {
        if !fresh && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, indent.clone()));
        } else if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    lines.push(line);
    lines.iter().map(|line| cut(line, width)).collect()
}

/// A time as people say it, in two units.
pub fn time(seconds: f64) -> String {
    // Cut at zero, and far below the limits of the type.
    let ms = (seconds.max(0.0) * 1e3).min(1e15) as u64;
    let (s, m, h, d) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000 % 24, ms / 86_400_000);
    match (d, h, m, s) {
        (0, 0, 0, 0) => format!("{ms}ms"),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

/// A number of bytes, rounded.
pub fn size(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes.max(0.0);
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    while value >= 10_240.0
        && let Some(next) = unit.next()
    {
        value /= 1024.0;
        name = next;
    }
    format!("{value:.0} {name}")
}

/// A Unix time as `2026-11-22T04:00:37Z`; nothing for what is none.
pub fn utc(seconds: f64) -> Option<String> {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    // Years of five digits have no such form.
    (seconds < 253_402_300_800.0).then(|| humantime::format_rfc3339_seconds(at).to_string())
}

/// Columns of the terminal, or as `COLUMNS` says; where there is none, enough for whole lines.
pub fn width() -> usize {
    const NO_TERMINAL: usize = 160;
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    let found = if std::io::stdout().is_terminal() { columns.or_else(terminal) } else { columns };
    found.unwrap_or(NO_TERMINAL).clamp(80, 240)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_as_people_say_them() {
        for (seconds, want) in
            [(-1.0, "0ms"), (0.25, "250ms"), (59.9, "59s"), (61.0, "1m 1s"), (7260.0, "2h 1m"), (180_000.0, "2d 2h"), (f64::NAN, "0ms")]
        {
            assert_eq!(time(seconds), want, "{seconds}");
        }
        for (bytes, want) in [(0.0, "0 B"), (10_000.0, "10000 B"), (20_480.0, "20 kB"), (3e12, "2794 GB")] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
        assert_eq!(utc(1_795_330_207.2).as_deref(), Some("2026-11-22T06:50:07Z"));
        assert_eq!([utc(-1.0), utc(f64::NAN), utc(1e18)], [None, None, None]);
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("a bc def", 80), ["a bc def"]);
        assert_eq!(wrap("  aaaa bbbb cccc", 12), ["  aaaa bbbb", "      cccc"]);
        assert_eq!(wrap("aaaaaaaaaaaaa b", 8), ["aaaaaaa…", "    b"]);
    }

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(plain("a\x1b[2J\u{202e}b\n"), "a [2J b ");
        assert_eq!([cut("абвгд", 5), cut("абвгд", 4)], ["абвгд", "абв…"]);
    }
}
