//! Streams, groups and consumers as XINFO tells them, for a bundle of keys in four round trips.

use sage_common::error::CollectError;

use super::ask::{self, BUNDLE, Question};
use super::checks::Named;
use super::label::label;
use crate::resp::Value;
use crate::session::Redis;

/// What one answer of XINFO says.
#[derive(Debug)]
pub struct Told(Value);

impl Told {
    /// A number, where there is one.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.0.field(field)?.number()
    }

    /// The milliseconds of an id like `1526985054069-0`, also of an entry, which begins with its id.
    pub fn id(&self, field: &str) -> Option<f64> {
        let value = self.0.field(field)?;
        value.list().first().unwrap_or(value).text()?.split('-').next()?.parse().ok()
    }
}

/// A stream; names are label values here.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Stream {
    pub db: String,
    pub stream: String,
    pub told: Told,
}

/// A group of a stream.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Group {
    pub db: String,
    pub stream: String,
    pub group: String,
    pub told: Told,
}

/// A consumer of a group.
#[derive(Debug)]
pub struct Consumer {
    /// The group, by its place.
    pub of: usize,
    /// Its name as a label value, `_other` for the sum of those that have none.
    pub name: String,
    /// Entries that it has not acknowledged.
    pub pending: f64,
    /// Seconds since it last asked.
    pub idle: Option<f64>,
}

/// All of a bundle.
#[derive(Debug, Default)]
pub struct Found {
    /// Keys named in full that are not there.
    pub gone: Vec<Named>,
    /// The streams among the keys.
    pub streams: Vec<Stream>,
    /// Their groups.
    pub groups: Vec<Group>,
    /// The consumers of these.
    pub consumers: Vec<Consumer>,
    /// Groups that are left out.
    pub groups_left: u64,
    /// Consumers whose list was not asked for.
    pub consumers_left: u64,
}

/// One question for each of these.
async fn ask<T>(at: &Redis, of: &[T], command: &'static str, words: impl Fn(&T) -> Vec<&[u8]>) -> Result<Vec<Value>, CollectError> {
    let mut answers = Vec::with_capacity(of.len());
    for part in of.chunks(BUNDLE) {
        let questions: Vec<Question> = part.iter().map(|one| (command, words(one))).collect();
        answers.extend(ask::each(at, &questions).await?.into_iter().map(|answer| answer.unwrap_or(Value::Nil)));
    }
    Ok(answers)
}

/// Asks for keys of one database; what is no stream is passed over. Up to `max_groups` of a stream and `top` consumers of a group
/// are told, and no list of more than `max_consumers` is asked for.
///
/// # Errors
/// As the server says.
pub async fn read(
    at: &Redis,
    keys: &[(Named, bool)],
    (max_groups, top, max_consumers): (usize, usize, usize),
) -> Result<Found, CollectError> {
    let mut found = Found::default();
    let mut streams: Vec<&Named> = Vec::new();
    for ((key, whole), kind) in keys.iter().zip(ask(at, keys, "type", |(key, _)| vec![b"TYPE", &key.key]).await?) {
        match kind.text().as_deref() {
            Some("stream") => streams.push(key),
            Some("none") if *whole => found.gone.push(key.clone()),
            _ => {}
        }
    }
    let told = ask(at, &streams, "xinfo|stream", |key| vec![b"XINFO", b"STREAM", &key.key]).await?;
    let told = streams.iter().zip(told).filter(|(_, told)| !told.list().is_empty());
    found.streams.extend(told.map(|(key, told)| Stream { db: key.db_label(), stream: label(&key.key), told: Told(told) }));
    let mut names: Vec<(usize, &Named, Vec<u8>)> = Vec::new();
    for (key, told) in streams.iter().zip(ask(at, &streams, "xinfo|groups", |key| vec![b"XINFO", b"GROUPS", &key.key]).await?) {
        let Value::List(mut told) = told else { continue };
        found.groups_left += told.len().saturating_sub(max_groups) as u64;
        told.truncate(max_groups);
        for told in told {
            let Some(Value::Text(name)) = told.field("name").cloned() else { continue };
            let (group, told) = (label(&name), Told(told));
            match told.number("consumers") {
                Some(many) if many > max_consumers as f64 => found.consumers_left += many as u64,
                _ => names.push((found.groups.len(), key, name)),
            }
            found.groups.push(Group { db: key.db_label(), stream: label(&key.key), group, told });
        }
    }
    if at.state.options.checks.consumers {
        let told = ask(at, &names, "xinfo|consumers", |(_, key, group)| vec![b"XINFO", b"CONSUMERS", &key.key, group]).await?;
        for ((of, _, _), told) in names.iter().zip(told) {
            found.consumers.extend(busiest(*of, &told, top));
        }
    }
    Ok(found)
}

/// The consumers with most pending entries, and the sum of the others.
fn busiest(of: usize, told: &Value, top: usize) -> Vec<Consumer> {
    let one = |told: &Value| {
        let Some(Value::Text(name)) = told.field("name") else { return None };
        let number = |field| told.field(field).and_then(Value::number);
        Some(Consumer { of, name: label(name), pending: number("pending")?, idle: number("idle").map(|ms| ms / 1e3) })
    };
    let mut all: Vec<Consumer> = told.list().iter().filter_map(one).collect();
    all.sort_by(|a, b| b.pending.total_cmp(&a.pending));
    let rest = all.split_off(top.min(all.len()));
    if !rest.is_empty() {
        all.push(Consumer { of, name: "_other".to_owned(), pending: rest.iter().map(|one| one.pending).sum(), idle: None });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, Value)]) -> Value {
        Value::List(pairs.iter().flat_map(|(key, value)| [Value::Text((*key).into()), value.clone()]).collect())
    }

    #[test]
    fn ids_are_their_milliseconds() {
        let text = |t: &str| Value::Text(t.into());
        let entry = Value::List(vec![text("1526985054069-3"), Value::List(vec![text("user"), text("secret")])]);
        let told = Told(map(&[("a", text("1526985054070-0")), ("e", entry), ("none", Value::Nil), ("odd", text("x-1"))]));
        assert_eq!((told.id("a"), told.id("e")), (Some(1_526_985_054_070.0), Some(1_526_985_054_069.0)));
        assert_eq!((told.id("none"), told.id("odd"), told.id("b"), told.number("none")), (None, None, None, None));
    }

    #[test]
    fn the_rest_of_the_consumers_is_summed() {
        let one = |name: &str, pending| {
            map(&[("name", Value::Text(name.into())), ("pending", Value::Integer(pending)), ("idle", Value::Integer(1500))])
        };
        let told = Value::List(vec![one("a", 1), one("b", 5), one("c", 2), Value::Nil]);
        let all: Vec<(String, f64, Option<f64>)> = busiest(7, &told, 1).into_iter().map(|c| (c.name, c.pending, c.idle)).collect();
        assert_eq!(all, [("b".to_owned(), 5.0, Some(1.5)), ("_other".to_owned(), 3.0, None)]);
        assert_eq!(busiest(7, &told, 3).len(), 3);
    }
}
