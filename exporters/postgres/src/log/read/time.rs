//! The time of a record: `2026-11-22 00:10:01.123 CET` in log_timezone, or `1763770201.123` for %n.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment that a text tells. `zone` is how many seconds log_timezone is ahead of UTC: an abbreviation alone says too
/// little, IST being that of three countries.
pub fn read(text: &str, zone: Option<i32>) -> Option<SystemTime> {
    if !text.contains(' ') {
        let since = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
        return UNIX_EPOCH.checked_add(since);
    }
    let mut words = text.splitn(3, ' ');
    let (date, time, name) = (words.next()?, words.next()?, words.next()?);
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "000"));
    let [hour, minute, second] = numbers(time, ':')?;
    let sane = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    // A leap second is written as 60.
    if !sane || hour > 23 || minute > 59 || second > 60 || fraction.len() != 3 || fraction.starts_with('+') {
        return None;
    }
    let millis = Duration::from_millis(fraction.parse().ok()?);
    let local = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let since = u64::try_from(local - ahead(name, zone)?).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(since))?.checked_add(millis)
}

/// Three numbers of digits alone.
fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.splitn(3, between).map(|part| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Days since 1970 of a date of the Gregorian calendar; years begin in March here, so that the leap day is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Seconds ahead of UTC, by the name where that says it (UTC, +03, -0330).
fn ahead(name: &str, zone: Option<i32>) -> Option<i64> {
    if matches!(name, "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, digits) = match name.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return zone.map(i64::from),
    };
    let number: i64 = digits.parse().ok()?;
    match digits.len() {
        2 => Some(sign * number * 3600),
        4 => Some(sign * (number / 100 * 3600 + number % 100 * 60)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_their_zones() {
        let at = |text, zone| read(text, zone).map(|t| t.duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
        assert_eq!(at("2026-11-22 00:10:01.123 UTC", None), Some(1_795_306_201.123));
        assert_eq!(at("2026-11-22 00:10:01 GMT", None), Some(1_795_306_201.000));
        assert_eq!(at("2026-11-22 01:10:01.123 CET", Some(3600)), Some(1_795_306_201.123));
        assert_eq!(at("2026-11-22 03:10:01.123 +03", None), Some(1_795_306_201.123));
        assert_eq!(at("2026-11-21 20:40:01.123 -0330", Some(0)), Some(1_795_306_201.123));
        assert_eq!(at("2024-02-29 00:00:00 UTC", None), Some(1_709_164_800.0));
        assert_eq!(at("1970-01-01 00:00:00 UTC", None), Some(0.0));
        assert_eq!(at("1795306201.123", None), Some(1_795_306_201.123));
        for text in
            ["2026-11-22 00:10:01.123 CET", "2026-13-22 00:10:01 UTC", "2026-11-22", "", "-5", "NaN", "1e400", "9999999999999999999999"]
        {
            assert_eq!(at(text, None), None, "{text}");
        }
    }
}
