//! One run of a custom query: in a transaction that cannot write, with a time limit of its own, every column as text.
//!
//! The statement stands inside ours, which turns each column that the file names into text: so any type can be a label,
//! and a statement that is no query is refused by the server. Only one statement can be sent this way.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::sink::{NO_LIMIT, Sink, Value};

use super::file::{Column, How, Query};
use crate::session::{Pg, Row};

/// Buckets of one histogram at most.
const MAX_BUCKETS: usize = 100;

/// Runs `query` for at most `time` and returns at most `most` series of it. Where rows of several databases meet,
/// `datname` tells them apart, unless the query has a column of this name.
///
/// # Errors
/// The server's error, or what of the answer cannot be used.
pub async fn run(session: &Pg, query: &Query, time: Duration, most: usize, datname: Option<&str>) -> Result<Sink, CollectError> {
    let sql = wrapped(session, query).await?;
    let most = (most / query.values.len().max(1)).max(1);
    let (rows, beyond) = session.read_only(&sql, time, most).await?;
    let added = datname.filter(|_| !query.labels.iter().any(|label| label == "datname"));
    let names: Vec<&str> = added.iter().map(|_| "datname").chain(query.labels.iter().map(String::as_str)).collect();
    let mut out = Sink::new(NO_LIMIT);
    let mut seen = HashSet::new();
    for row in &rows {
        let mut labels: Vec<&str> = added.into_iter().collect();
        for at in 0..query.labels.len() {
            labels.push(row.get::<Option<&str>>(at)?.unwrap_or_default());
        }
        if !seen.insert(labels.clone()) {
            return Err(CollectError::new(ErrorKind::Decode, "two rows have the same labels")
                .hint("make a column that tells them apart a LABEL, or group the rows"));
        }
        let shown: Vec<&dyn fmt::Display> = labels.iter().map(|label| label as &dyn fmt::Display).collect();
        let mut at = query.labels.len();
        for column in &query.values {
            let value = value(row, &mut at, column)?;
            out.labelled(&column.family, column.kind, column.help.clone(), &names)?.put_with(&shown, value);
        }
    }
    query.values.iter().for_each(|column| out.drop_series(&column.family, beyond));
    Ok(out)
}

/// The statement that gives the labels, then the values, all as text.
async fn wrapped(session: &Pg, query: &Query) -> Result<String, CollectError> {
    let known = session.columns(&query.sql).await?;
    let mut wanted = Vec::new();
    for name in &query.labels {
        wanted.push((name.clone(), "text"));
    }
    for column in &query.values {
        if column.how == How::Histogram {
            let part = |suffix: &str| format!("{}{suffix}", column.name);
            wanted.extend([
                (column.name.clone(), "bounds"),
                (part("_bucket"), "bounds"),
                (part("_sum"), "number"),
                (part("_count"), "number"),
            ]);
        } else {
            wanted.push((column.name.clone(), if column.how == How::Number { "number" } else { "word" }));
        }
    }
    let mut list = Vec::new();
    for (name, form) in wanted {
        let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
            let all: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            return Err(CollectError::new(ErrorKind::Decode, format!("the answer has no column {name:?}"))
                .hint(format!("its columns are: {}", all.join(", "))));
        };
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        list.push(match (form, kind.as_str()) {
            ("bounds", _) => format!("{quoted}::float8[]::text"),
            ("number", "timestamptz" | "timestamp" | "date" | "interval") => format!("extract(epoch FROM {quoted})::text"),
            ("word", "interval") => format!("(extract(epoch FROM {quoted}) || 's')"),
            ("number", "bool") => format!("{quoted}::int::text"),
            _ => format!("{quoted}::text"),
        });
    }
    // On a line of its own: the query may end in a comment.
    Ok(format!("SELECT {} FROM (\n{}\n) AS custom_query", list.join(", "), query.sql))
}

/// The value of a column at place `at` of the row, which is moved behind it. NULL is no value.
fn value(row: &Row, at: &mut usize, column: &Column) -> Result<Option<Value>, CollectError> {
    let mut next = || {
        *at += 1;
        row.get::<Option<&str>>(*at - 1)
    };
    let bad = |text: &str| CollectError::new(ErrorKind::Decode, format!("column {:?}: {text}", column.name));
    let text = next()?;
    if column.how == How::Histogram {
        let (counts, sum, count) = (next()?, next()?, next()?);
        let (Some(bounds), Some(counts), Some(sum), Some(count)) = (text, counts, sum, count) else { return Ok(None) };
        return histogram(bounds, counts, sum, count).map(Some).ok_or_else(|| bad("bounds and counts do not make a histogram"));
    }
    let Some(text) = text else { return Ok(None) };
    Ok(match &column.how {
        // A word that stands for nothing has no value.
        How::Mapped(words) => words.get(text).copied(),
        How::Duration => Some(milliseconds(text).ok_or_else(|| bad("this is no duration such as 1m30s"))?),
        _ => Some(text.trim().parse::<f64>().map_err(|_| bad("this is no number"))?),
    }
    .map(Value::Number))
}

/// A histogram from the text of two arrays: upper bounds in order, and how many observations lie below each.
fn histogram(bounds: &str, counts: &str, sum: &str, count: &str) -> Option<Value> {
    let array = |text: &str| -> Option<Vec<f64>> {
        let inside = text.strip_prefix('{')?.strip_suffix('}')?;
        inside.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
    };
    let (bounds, counts) = (array(bounds)?, array(counts)?);
    let (sum, count): (f64, f64) = (sum.parse().ok()?, count.parse().ok()?);
    let fits = bounds.len() == counts.len() && bounds.len() <= MAX_BUCKETS && bounds.is_sorted_by(|a, b| a < b) && counts.is_sorted();
    let whole = counts.iter().chain([&count]).all(|n| *n >= 0.0 && n.is_finite()) && counts.last().is_none_or(|last| *last <= count);
    let buckets = bounds.into_iter().zip(counts.into_iter().map(|n| n as u64)).collect();
    (fits && whole).then_some(Value::Histogram { buckets, sum, count: count as u64 })
}

/// Milliseconds of a duration as `1h2m3.5s` or `250ms`.
fn milliseconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [("ns", 1e-6), ("us", 1e-3), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 36e5)];
    let (sign, mut rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.trim()),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = Some(total.unwrap_or(0.0) + number.parse::<f64>().ok()? * factor);
        rest = behind;
    }
    total.map(|total| sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds() {
        for (text, want) in [
            ("1h2m3s", Some(3_723_000.0)),
            ("1.5ms", Some(1.5)),
            ("250us", Some(0.25)),
            ("-2s", Some(-2000.0)),
            ("0", Some(0.0)),
            ("0.250000s", Some(250.0)),
            ("", None),
            ("5", None),
            ("5 s", None),
            ("1x", None),
            ("s", None),
        ] {
            assert_eq!(milliseconds(text), want, "{text:?}");
        }
    }

    #[test]
    fn arrays_make_a_histogram_or_none() {
        let want = Value::Histogram { buckets: vec![(0.1, 2), (1.0, 5)], sum: 3.5, count: 6 };
        assert_eq!(histogram("{0.1,1}", "{2,5}", "3.5", "6"), Some(want));
        for (bounds, counts, sum, count) in [
            ("{1,0.1}", "{2,5}", "1", "6"),
            ("{0.1}", "{2,5}", "1", "6"),
            ("{0.1,NULL}", "{2,5}", "1", "6"),
            ("{0.1,1}", "{5,2}", "1", "6"),
            ("{0.1,1}", "{2,7}", "1", "6"),
            ("x", "{}", "1", "1"),
        ] {
            assert_eq!(histogram(bounds, counts, sum, count), None, "{bounds} {counts}");
        }
    }
}
