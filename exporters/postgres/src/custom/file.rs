//! The file of custom queries, in the form that postgres_exporter's users have written theirs (`queries.yaml`).
//!
//! Each entry is a namespace with a query and its columns. One that cannot be used is kept as such, with its place and
//! the reason, so that it spoils nothing else; only what is no YAML at all is refused as a whole.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sage_common::codes;
use sage_common::config;
use sage_common::config::tree::{self, Tree, Value};
use sage_common::desc::{Kind, legal_name};
use sage_common::error::Invalid;

use super::versions::Versions;

/// One query and what becomes of its columns.
#[derive(Clone, Debug)]
pub struct Query {
    /// The namespace: the metrics' names begin with it.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Once for the instance, and not in every database.
    pub master: bool,
    /// How long a result is shown before it is asked for anew; zero: at each scrape.
    pub cache: Duration,
    /// Versions of the server that it is for; `None`: all.
    pub versions: Option<Versions>,
    /// Columns that are labels.
    pub labels: Vec<String>,
    /// Columns that are values.
    pub values: Vec<Column>,
}

/// A column with values.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the answer.
    pub name: String,
    /// The metric's name.
    pub family: String,
    /// The metric's HELP.
    pub help: String,
    /// The metric's type.
    pub kind: Kind,
    /// How its text becomes a value.
    pub how: How,
}

/// How a column's text becomes a value.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It is a number, a switch, or a time (seconds).
    Number,
    /// A word that stands for a number.
    Mapped(BTreeMap<String, f64>),
    /// A duration such as `1m30s`, in milliseconds.
    Duration,
    /// Bounds of buckets, beside the columns `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// An entry of the file.
#[derive(Clone, Debug)]
pub enum Entry {
    /// One that can be run.
    Query(Query),
    /// One that cannot, and why.
    Bad(String, Invalid),
}

const KEYS: [&str; 5] = ["query", "metrics", "master", "cache_seconds", "runonserver"];
const COLUMN_KEYS: [&str; 3] = ["usage", "description", "metric_mapping"];
const USAGES: [&str; 7] = ["LABEL", "COUNTER", "GAUGE", "MAPPEDMETRIC", "DURATION", "HISTOGRAM", "DISCARD"];

/// Reads the text of a file. `ours` tells which collector has a metric of this name already.
///
/// # Errors
/// What is no YAML, or no mapping from names to queries.
pub fn read(text: &str, origin: &str, ours: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<Entry>, Invalid> {
    let tree = tree::parse(text, origin)?;
    let pairs = match &tree.value {
        Value::Nothing => &[],
        _ => tree
            .pairs()
            .ok_or_else(|| Invalid::new(format!("{}: names of queries are expected here", tree.place(origin))).code(codes::WRONG_KIND))?,
    };
    // Who has a metric's name, and which names of queries were there.
    let (mut taken, mut known): (HashMap<String, String>, Vec<&str>) = (HashMap::new(), Vec::new());
    let mut entries = Vec::new();
    for (key, value) in pairs {
        let name = key.text().unwrap_or_default();
        let refuse = |why: String| Invalid::new(format!("{}: {why}", key.place(origin))).code(codes::TWICE);
        let read = || -> Result<Query, Invalid> {
            if known.contains(&name) {
                return Err(refuse(format!("the query `{name}` stands here a second time")));
            }
            let query = query(name, key, value, origin)?;
            for family in query.values.iter().flat_map(Column::series) {
                let owner = ours(&family).map(str::to_owned).or_else(|| taken.get(&family).cloned());
                if let Some(owner) = owner {
                    return Err(
                        refuse(format!("{family} is a metric of {owner} already")).hint("leave this query out, or give it another name")
                    );
                }
            }
            Ok(query)
        };
        entries.push(match read() {
            Ok(query) => {
                taken.extend(query.values.iter().flat_map(Column::series).map(|family| (family, format!("the query `{name}`"))));
                Entry::Query(query)
            }
            Err(error) => Entry::Bad(name.to_owned(), error),
        });
        known.push(name);
    }
    Ok(entries)
}

impl Column {
    /// The names of all series that it makes.
    fn series(&self) -> Vec<String> {
        let parts: &[&str] = if self.how == How::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
        parts.iter().map(|part| format!("{}{part}", self.family)).collect()
    }
}

fn query(name: &str, key: &Tree, value: &Tree, origin: &str) -> Result<Query, Invalid> {
    let at = |tree: &Tree, code, why: &str| Invalid::new(format!("{}: {why}", tree.place(origin))).code(code);
    if !legal_name(name) || name.starts_with("sage_") || name.starts_with("process_") {
        return Err(at(key, codes::FORM, "a name is letters, digits and underscores, and does not begin with sage_ or process_"));
    }
    let mut query = Query {
        name: name.to_owned(),
        sql: String::new(),
        master: false,
        cache: Duration::ZERO,
        versions: None,
        labels: Vec::new(),
        values: Vec::new(),
    };
    let mut columns: &[Tree] = &[];
    for (key, value) in value.pairs().ok_or_else(|| at(value, codes::WRONG_KIND, "`query` and `metrics` are expected here"))? {
        let text = || value.text().ok_or_else(|| at(value, codes::WRONG_KIND, "a single value is expected here"));
        match key.text().unwrap_or_default() {
            "query" => without_end(text()?).clone_into(&mut query.sql),
            "master" => query.master = text()?.parse().map_err(|_| at(value, codes::WRONG_KIND, "true or false is expected here"))?,
            "cache_seconds" => {
                let seconds: u32 =
                    text()?.parse().map_err(|_| at(value, codes::WRONG_KIND, "a whole number of seconds is expected here"))?;
                query.cache = Duration::from_secs(seconds.into());
            }
            "runonserver" => {
                let versions = Versions::parse(text()?);
                query.versions = Some(
                    versions.ok_or_else(|| at(value, codes::FORM, "a range of versions is expected here, such as \">=13.0.0 <16.0.0\""))?,
                );
            }
            "metrics" => match &value.value {
                Value::List(list) => columns = list,
                _ => return Err(at(value, codes::WRONG_KIND, "a list of columns is expected here")),
            },
            other => return Err(config::unknown(&format!("{}: unknown key `{other}`", key.place(origin)), other, &KEYS)),
        }
    }
    if query.sql.is_empty() {
        return Err(at(key, codes::INCOMPLETE, "there is no `query`"));
    }
    for tree in columns {
        match tree.pairs() {
            Some([(key, value)]) => column(&mut query, key, value, origin)?,
            _ => return Err(at(tree, codes::WRONG_KIND, "one column with its `usage` is expected here")),
        }
    }
    if query.values.is_empty() {
        return Err(at(key, codes::INCOMPLETE, "no column has a value: give one the usage GAUGE or COUNTER"));
    }
    Ok(query)
}

/// A statement without the semicolon at its end, which would stand in the middle of ours.
fn without_end(sql: &str) -> &str {
    let sql = sql.trim();
    match sql.rsplit_once(';') {
        // Behind it stands nothing or a comment, and not the rest of a text.
        Some((sql, rest)) if !rest.contains(['\n', '\'', '"', '$']) && (rest.trim().is_empty() || rest.trim().starts_with("--")) => {
            without_end(sql)
        }
        _ => sql,
    }
}

fn column(query: &mut Query, key: &Tree, value: &Tree, origin: &str) -> Result<(), Invalid> {
    let at = |tree: &Tree, code, why: &str| Invalid::new(format!("{}: {why}", tree.place(origin))).code(code);
    let name = key.text().unwrap_or_default().to_owned();
    let (mut usage, mut help, mut words) = (None, "", None);
    for (key, value) in value.pairs().ok_or_else(|| at(value, codes::WRONG_KIND, "`usage` and `description` are expected here"))? {
        match key.text().unwrap_or_default() {
            "usage" => usage = Some(value),
            "description" => help = value.text().unwrap_or_default(),
            "metric_mapping" => words = value.pairs(),
            other => return Err(config::unknown(&format!("{}: unknown key `{other}`", key.place(origin)), other, &COLUMN_KEYS)),
        }
    }
    let tree = usage.ok_or_else(|| at(key, codes::INCOMPLETE, "the column has no `usage`"))?;
    let usage = tree.text().unwrap_or_default().to_ascii_uppercase();
    let (kind, how, suffix) = match usage.as_str() {
        "DISCARD" => return Ok(()),
        "LABEL" => {
            if !legal_name(&name) || name.starts_with("__") || name == "le" || query.labels.contains(&name) {
                return Err(at(key, codes::FORM, "this is no name of a label, or stands here twice"));
            }
            query.labels.push(name);
            return Ok(());
        }
        "COUNTER" => (Kind::Counter, How::Number, ""),
        "GAUGE" => (Kind::Gauge, How::Number, ""),
        "MAPPEDMETRIC" => {
            let mut map = BTreeMap::new();
            for (word, number) in words.ok_or_else(|| at(key, codes::INCOMPLETE, "the column has no `metric_mapping`"))? {
                let number = number
                    .text()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| at(number, codes::WRONG_KIND, "a number is expected here"))?;
                map.insert(word.text().unwrap_or_default().to_owned(), number);
            }
            (Kind::Gauge, How::Mapped(map), "")
        }
        "DURATION" => (Kind::Gauge, How::Duration, "_milliseconds"),
        "HISTOGRAM" => (Kind::Histogram, How::Histogram, ""),
        other => return Err(config::unknown_value(&format!("{}: unknown usage `{other}`", tree.place(origin)), other, &USAGES)),
    };
    let family = format!("{}_{name}{suffix}", query.name);
    if !legal_name(&family) || query.values.iter().any(|column| column.family == family) {
        return Err(at(key, codes::FORM, &format!("{family:?} is no name of a metric, or stands here twice")));
    }
    let help = if help.is_empty() { format!("Column {name} of the custom query {}.", query.name) } else { help.to_owned() };
    query.values.push(Column { name, family, help, kind, how });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
orders:
  query: |
    SELECT region, open, state, wait FROM orders;
  master: true
  cache_seconds: 30
  runonserver: \">=10.0.0\"
  metrics:
    - region: {usage: LABEL, description: Region}
    - open: {usage: gauge, description: Open orders}
    - state: {usage: MAPPEDMETRIC, metric_mapping: {ok: 1, bad: 0.5}}
    - wait: {usage: DURATION}
    - note: {usage: DISCARD}
latency:
  query: SELECT 1
  metrics: [{seconds: {usage: HISTOGRAM}}]
";

    fn ours(name: &str) -> Option<&'static str> {
        (name == "pg_up").then_some("this exporter")
    }

    fn bad(text: &str) -> String {
        let entries = read(text, "q.yml", ours).unwrap();
        entries.iter().filter_map(|entry| if let Entry::Bad(_, error) = entry { Some(error.to_string()) } else { None }).collect()
    }

    #[test]
    fn all_of_the_form_is_read() {
        let entries = read(GOOD, "q.yml", ours).unwrap();
        let [Entry::Query(orders), Entry::Query(latency)] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(
            (orders.sql.as_str(), orders.master, orders.cache.as_secs()),
            ("SELECT region, open, state, wait FROM orders", true, 30)
        );
        assert!(orders.versions.as_ref().unwrap().hold(150_018));
        assert_eq!(orders.labels, ["region"]);
        let families: Vec<_> = orders.values.iter().map(|c| (c.family.as_str(), c.kind, c.help.as_str())).collect();
        assert_eq!(families[0], ("orders_open", Kind::Gauge, "Open orders"));
        assert_eq!((families[1].0, families[2].0), ("orders_state", "orders_wait_milliseconds"));
        assert_eq!(latency.values[0].how, How::Histogram);
        assert!(read("# nothing\n", "q.yml", ours).unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_cannot_be_used_says_where_and_why_and_spoils_nothing() {
        for (text, want) in [
            ("a b:\n  query: SELECT 1\n", "q.yml:1:1: a name is letters"),
            ("a: 5\n", "q.yml:1:4: `query` and `metrics` are expected"),
            ("a:\n  qery: SELECT 1\n", "q.yml:2:3: unknown key `qery`\nhint: did you mean `query`?"),
            ("a:\n  metrics: [{b: {usage: GAUGE}}]\n", "q.yml:1:1: there is no `query`"),
            ("a:\n  query: x\n  metrics:\n    - b: {usage: GAUG}\n", "q.yml:4:18: unknown usage `GAUG`\nhint: did you mean `GAUGE`?"),
            ("a:\n  query: x\n  metrics:\n    - b: {description: x}\n", "q.yml:4:7: the column has no `usage`"),
            ("a:\n  query: x\n  metrics:\n    - b: {usage: LABEL}\n", "q.yml:1:1: no column has a value"),
            ("a:\n  query: x\n  cache_seconds: soon\n", "q.yml:3:18: a whole number of seconds"),
            ("a:\n  query: x\n  runonserver: new\n", "q.yml:3:16: a range of versions"),
            ("pg:\n  query: x\n  metrics: [{up: {usage: GAUGE}}]\n", "q.yml:1:1: pg_up is a metric of this exporter already"),
            (
                "latency_seconds:\n  query: x\n  metrics: [{count: {usage: GAUGE}}]\n",
                "latency_seconds_count is a metric of the query `latency` already",
            ),
            ("orders:\n  query: x\n  metrics: [{b: {usage: GAUGE}}]\n", "the query `orders` stands here a second time"),
            ("a:\n  query: x\n  metrics: [{m: {usage: MAPPEDMETRIC}}]\n", "the column has no `metric_mapping`"),
        ] {
            assert!(bad(text).starts_with(want) || bad(&format!("{GOOD}{text}")).contains(want), "{text}: {}", bad(text));
            let entries = read(&format!("{GOOD}{text}"), "q.yml", ours).unwrap();
            assert_eq!(entries.iter().filter(|entry| matches!(entry, Entry::Query(_))).count(), 2, "{text}");
        }
    }

    #[test]
    fn what_is_no_file_of_queries_is_refused_as_a_whole() {
        for text in ["- a\n", "a", "a: [\n"] {
            assert!(read(text, "q.yml", ours).unwrap_err().message.starts_with("q.yml:"), "{text}");
        }
    }

    #[test]
    fn a_statement_s_end_is_cut_off() {
        for (text, want) in [
            ("SELECT 1;", "SELECT 1"),
            (" SELECT 1 ; ; -- all\n", "SELECT 1"),
            ("SELECT 1 -- one", "SELECT 1 -- one"),
            ("SELECT ';'", "SELECT ';'"),
            ("SELECT '; -- x'", "SELECT '; -- x'"),
            (";", ""),
        ] {
            assert_eq!(without_end(text), want);
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        let bytes = GOOD.as_bytes();
        for at in 0..bytes.len() {
            for byte in [b'\0', b'\n', b'{', b':', b'-', 0xff] {
                let mut text = bytes.to_vec();
                text[at] = byte;
                let _ = read(&String::from_utf8_lossy(&text), "q.yml", ours);
                let _ = read(&String::from_utf8_lossy(&text[..at]), "q.yml", ours);
            }
        }
    }
}
