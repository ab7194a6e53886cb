//! The samples of one scrape.
//!
//! A collector writes into a `Sink` of its own; the page absorbs it only when the collector ended well. Label values
//! live in one arena per sink, so a sample costs no allocation. Order, duplicates and the series limit are settled here,
//! which is why encoding (expo.rs) cannot fail. Nothing outlives the scrape, so vanished objects vanish.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use crate::desc::{Desc, Kind, valid_name};
use crate::error::{CollectError, ErrorKind};

/// Longest label value in bytes; a longer one is cut at a character boundary.
pub const MAX_LABEL_BYTES: usize = 128;

/// Separates the values of one series in its key. No sanitised value holds it, and it sorts below every other character,
/// so that comparing keys compares the values one by one.
const SEPARATOR: char = '\0';

/// The samples of one collector or of a whole page.
#[derive(Debug)]
pub struct Sink {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
    arena: String,
    series: usize,
    limit: usize,
    dropped: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Family {
    name: String,
    help: String,
    kind: Kind,
    labels: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// Place of the label values in the arena.
    key: (u32, u32),
    value: Value,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Gauge, counter or unknown.
    Number(f64),
    /// Cumulative buckets by upper bound (the last is +Inf), sum of the observations, and their number.
    Histogram {
        /// Upper bound and cumulative count.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
    /// Quantiles as the source computed them, sum and number of the observations.
    Summary {
        /// Quantile (0-1) and its value.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}

/// What can stand on the right of `put!`. `None` means no sample: NULL and unknown are absent, never 0.
pub trait Sample {
    /// The value to write, if there is one.
    fn sample(self) -> Option<Value>;
}

macro_rules! samples {
    ($($t:ty),*) => { $(impl Sample for $t { fn sample(self) -> Option<Value> { Some(Value::Number(self as f64)) } })* };
}
samples!(f64, f32, i64, i32, i16, u64, u32, u16, u8, usize);

impl Sample for bool {
    fn sample(self) -> Option<Value> {
        Some(Value::Number(f64::from(u8::from(self))))
    }
}

impl Sample for std::time::Duration {
    fn sample(self) -> Option<Value> {
        Some(Value::Number(self.as_secs_f64()))
    }
}

impl Sample for Value {
    fn sample(self) -> Option<Value> {
        Some(self)
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(self) -> Option<Value> {
        self.and_then(T::sample)
    }
}

/// A series limit that no page reaches: for pages that are bounded elsewhere.
pub const NO_LIMIT: usize = usize::MAX;

impl Sink {
    /// An empty sink that takes `limit` series and counts what comes after them.
    pub fn new(limit: usize) -> Self {
        Self { families: Vec::new(), by_name: HashMap::new(), arena: String::new(), series: 0, limit, dropped: BTreeMap::new() }
    }

    /// Number of series held.
    pub fn series(&self) -> usize {
        self.series
    }

    /// How many series of each family did not fit, or came twice.
    pub fn dropped(&self) -> &BTreeMap<String, u64> {
        &self.dropped
    }

    /// Room that is left below the limit.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.series)
    }

    /// Adds one sample; `put!` is the readable way to call it. `values` stand in the order of the declaration.
    pub fn push<const N: usize>(&mut self, desc: &'static Desc<N>, values: [&dyn fmt::Display; N], value: impl Sample) {
        let Some(value) = value.sample() else { return };
        let info = desc.info();
        let family = self.declare(info.name, info.help, info.kind, info.labels);
        self.add(family, &values, value);
    }

    /// A family whose name is made at run time; the collector declares its prefix with `Info::pattern`.
    ///
    /// # Errors
    /// `Internal` when the name is not a metric name.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Result<RuntimeFamily<'_>, CollectError> {
        if !valid_name(name) {
            return Err(CollectError::new(ErrorKind::Internal, format!("{name:?} is not a metric name")));
        }
        let family = self.declare(name, help, kind, &[]);
        Ok(RuntimeFamily { sink: self, family })
    }

    /// Takes everything from here on: what follows are the few framework series.
    pub fn lift_limit(&mut self) {
        self.limit = NO_LIMIT;
    }

    /// Counts series of `family` that were left out on purpose, as a top-N collector does.
    pub fn drop_series(&mut self, family: &str, count: u64) {
        if count > 0 {
            *self.dropped.entry(family.to_owned()).or_default() += count;
        }
    }

    /// Takes over all samples of `other`, as far as there is room.
    pub fn absorb(&mut self, other: &Sink) {
        for (name, count) in &other.dropped {
            self.drop_series(name, *count);
        }
        for theirs in &other.families {
            let family = self.declare(&theirs.name, &theirs.help, theirs.kind, &theirs.labels);
            for row in &theirs.rows {
                let start = self.arena.len();
                self.arena.push_str(other.key(row));
                self.finish_row(family, start, row.value.clone());
            }
        }
    }

    /// Sorts families by name and series by label values, and drops what comes twice. Called once, before encoding.
    pub fn settle(&mut self) {
        self.families.retain(|f| !f.rows.is_empty());
        self.families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.by_name.clear();
        let arena = &self.arena;
        for family in &mut self.families {
            let text = |row: &Row| arena.get(row.key.0 as usize..row.key.1 as usize).unwrap_or_default();
            family.rows.sort_by(|a, b| text(a).cmp(text(b)));
            let before = family.rows.len();
            family.rows.dedup_by(|b, a| text(a) == text(b));
            let twice = before - family.rows.len();
            if twice > 0 {
                self.series -= twice;
                *self.dropped.entry(family.name.clone()).or_default() += twice as u64;
            }
        }
    }

    /// The families in their present order, for the encoder.
    pub fn families(&self) -> impl Iterator<Item = FamilyView<'_>> {
        self.families.iter().map(|family| FamilyView { sink: self, family })
    }

    fn declare(&mut self, name: &str, help: &str, kind: Kind, labels: &[&'static str]) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let at = self.families.len();
        self.families.push(Family { name: name.to_owned(), help: help.to_owned(), kind, labels: labels.to_vec(), rows: Vec::new() });
        self.by_name.insert(name.to_owned(), at);
        at
    }

    fn add(&mut self, family: usize, values: &[&dyn fmt::Display], value: Value) {
        let start = self.arena.len();
        for (i, v) in values.iter().enumerate() {
            if i > 0 {
                self.arena.push(SEPARATOR);
            }
            // Writing to a String cannot fail; a Display that claims to leaves the value short, never the page broken.
            let _ = write!(Sanitised { arena: &mut self.arena, left: MAX_LABEL_BYTES }, "{v}");
        }
        self.finish_row(family, start, value);
    }

    fn finish_row(&mut self, family: usize, start: usize, value: Value) {
        let (Some(family), Ok(from), Ok(to)) = (self.families.get_mut(family), u32::try_from(start), u32::try_from(self.arena.len()))
        else {
            return;
        };
        if self.series >= self.limit {
            self.arena.truncate(start);
            *self.dropped.entry(family.name.clone()).or_default() += 1;
            return;
        }
        self.series += 1;
        family.rows.push(Row { key: (from, to), value });
    }

    fn key(&self, row: &Row) -> &str {
        self.arena.get(row.key.0 as usize..row.key.1 as usize).unwrap_or_default()
    }
}

/// A family with a run-time name, open for samples.
pub struct RuntimeFamily<'a> {
    sink: &'a mut Sink,
    family: usize,
}

impl RuntimeFamily<'_> {
    /// Adds the family's only sample; families with run-time names have no labels.
    pub fn put(&mut self, value: impl Sample) {
        if let Some(value) = value.sample() {
            self.sink.add(self.family, &[], value);
        }
    }
}

/// One family as the encoder sees it.
pub struct FamilyView<'a> {
    sink: &'a Sink,
    family: &'a Family,
}

impl<'a> FamilyView<'a> {
    /// Name of the family.
    pub fn name(&self) -> &'a str {
        &self.family.name
    }

    /// HELP text, not escaped.
    pub fn help(&self) -> &'a str {
        &self.family.help
    }

    /// TYPE.
    pub fn kind(&self) -> Kind {
        self.family.kind
    }

    /// Label names.
    pub fn labels(&self) -> &'a [&'static str] {
        &self.family.labels
    }

    /// Label values (in the order of the names) and value of each series.
    pub fn rows(&self) -> impl Iterator<Item = (std::str::Split<'a, char>, &'a Value)> {
        let sink = self.sink;
        self.family.rows.iter().map(move |row| (sink.key(row).split(SEPARATOR), &row.value))
    }
}

/// Writes a label value: control characters but newline and tab become U+FFFD, and what is too long is cut.
struct Sanitised<'a> {
    arena: &'a mut String,
    left: usize,
}

impl fmt::Write for Sanitised<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if s.len() <= self.left && s.bytes().all(|b| b >= b' ' && b != 0x7f) {
            self.arena.push_str(s);
            self.left -= s.len();
            return Ok(());
        }
        for c in s.chars() {
            let c = if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
            if c.len_utf8() > self.left {
                self.left = 0;
                break;
            }
            self.arena.push(c);
            self.left -= c.len_utf8();
        }
        Ok(())
    }
}

/// Writes one sample: `put!(out, COMMITS { datid, datname: row.name } = n)`. Labels are matched by name at compile time;
/// a value of `None` writes nothing.
#[macro_export]
macro_rules! put {
    ($out:expr, $desc:ident { $($label:ident $(: $value:expr)?),* $(,)? } = $sample:expr) => {{
        const ORDER: [usize; $crate::metrics!(@count $($label)*)] = $desc.order([$(stringify!($label)),*]);
        // First, because it may await, and what follows may not be held meanwhile.
        let sample = $sample;
        let given: [&dyn ::std::fmt::Display; $crate::metrics!(@count $($label)*)] = [$($crate::put!(@value $label $(: $value)?)),*];
        #[allow(clippy::indexing_slicing)] // ORDER is a permutation of the indices of `given`, checked at compile time
        $out.push($desc, ORDER.map(|i| given[i]), sample)
    }};
    (@value $label:ident) => { &$label };
    (@value $label:ident : $value:expr) => { &$value };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// Reads.
        READS: Counter "x_reads_total" [db, table];
        /// Up.
        UP: Gauge "x_up" [];
    }

    fn keys(sink: &Sink) -> Vec<(String, Vec<Vec<String>>)> {
        sink.families().map(|f| (f.name().to_owned(), f.rows().map(|(v, _)| v.map(str::to_owned).collect()).collect())).collect()
    }

    #[test]
    fn labels_are_matched_by_name_and_series_sorted() {
        let mut out = Sink::new(10);
        let db = "b";
        put!(out, READS { table: "t1", db } = 1);
        put!(out, READS { db: "a", table: "t2" } = 2);
        put!(out, UP {} = true);
        out.settle();
        assert_eq!(
            keys(&out),
            [
                ("x_reads_total".into(), vec![vec!["a".to_owned(), "t2".into()], vec!["b".into(), "t1".into()]]),
                ("x_up".into(), vec![vec![String::new()]]),
            ]
        );
    }

    #[test]
    fn none_leaves_no_trace() {
        let mut out = Sink::new(10);
        put!(out, UP {} = None::<f64>);
        out.settle();
        assert_eq!((out.series(), keys(&out).len()), (0, 0));
    }

    #[test]
    fn duplicates_are_dropped_and_counted() {
        let mut out = Sink::new(10);
        for _ in 0..3 {
            put!(out, UP {} = 1);
        }
        out.settle();
        assert_eq!((out.series(), out.dropped().get("x_up")), (1, Some(&2)));
    }

    #[test]
    fn the_limit_holds_over_absorb() {
        let mut page = Sink::new(2);
        let mut part = Sink::new(NO_LIMIT);
        for i in 0..5 {
            put!(part, READS { db: i, table: "t" } = i);
        }
        page.absorb(&part);
        assert_eq!((page.series(), page.dropped().get("x_reads_total")), (2, Some(&3)));
    }

    #[test]
    fn label_values_are_cut_and_cleaned() {
        let mut out = Sink::new(10);
        put!(out, READS { db: "a\0b\u{1b}\n", table: "é".repeat(100) } = 1);
        let rows = keys(&out);
        let [db, table] = &rows[0].1[0][..] else { panic!("two labels") };
        assert_eq!(db, "a\u{fffd}b\u{fffd}\n");
        assert_eq!(table, &"é".repeat(64));
    }

    #[test]
    fn odd_runtime_names_are_refused() {
        let mut out = Sink::new(10);
        assert!(out.family("pg_settings_odd.name", Kind::Gauge, "x").is_err());
        out.family("pg_settings_port", Kind::Gauge, "x").unwrap().put(5432);
        assert_eq!(out.series(), 1);
    }
}
