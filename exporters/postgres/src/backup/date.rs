//! Times as the tools write them: `2026-11-22T01:00:00.5Z`, `2026-11-22 01:00:00.123456+01:00`.

/// The Unix time of a text. Without a zone it is not known and nothing is told.
pub fn read(text: &str) -> Option<f64> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (time, ahead) = match rest.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let at = rest.rfind(['+', '-'])?;
            let (time, zone) = rest.split_at_checked(at)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let ahead = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
            (time, if zone.starts_with('-') { -ahead } else { ahead })
        }
    };
    let mut parts = time.splitn(3, ':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, parts.next()?);
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let (second, digits) = (number(second, 2)?, fraction.bytes().all(|b| b.is_ascii_digit()) && fraction.len() <= 9);
    let sane = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane || !digits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March here, so that the leap day is their last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let whole = days * 86_400 + hour * 3600 + minute * 60 + second - ahead;
    Some(f64::from(i32::try_from(whole).ok()?) + format!("0.{fraction}").parse::<f64>().ok()?)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn times() {
        assert_eq!(read("2026-11-20T01:00:00Z"), Some(1_795_136_400.0));
        assert_eq!(read("2026-11-20T01:00:00.5Z"), Some(1_795_136_400.5));
        assert_eq!(read("2026-11-20 02:00:00.000000+01:00"), Some(1_795_136_400.0));
        assert_eq!(read("2026-11-19 21:30:00-03:30"), Some(1_795_136_400.0));
        for text in
            ["", "None", "2026-11-20", "2026-11-20 01:00:00", "2026-13-20T01:00:00Z", "2026-11-20T25:00:00Z", "9999-11-20T01:00:00Z"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
