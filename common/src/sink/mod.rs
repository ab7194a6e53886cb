//! The samples of one scrape.
//!
//! A collector writes into a `Sink` of its own; the page absorbs it only when the collector ended well. Label values
//! live in one arena per sink, so a sample costs no allocation, and the families of one row of an answer share theirs.
//! Order, duplicates and the series limit are settled here, which is why encoding (expo.rs) cannot fail. Nothing outlives
//! the scrape, so vanished objects vanish.

mod notes;
mod rank;
mod row;
mod runtime;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use crate::desc::{Desc, Info, Kind};
use notes::Notes;
use rank::Ranking;
pub(crate) use row::Labels;
use row::{Key, Order, Row, Text};
use value::Slot;

pub(crate) use rank::keep_heaviest;
pub use runtime::RuntimeFamily;
pub(crate) use value::Reading;
pub use value::{Sample, Value};

/// Longest label value in bytes; a longer one is cut at a character boundary.
pub const MAX_LABEL_BYTES: usize = 128;

/// Separates the values of one series in its key. No sanitised value holds it, and it sorts below every other character,
/// so that comparing keys compares the values one by one.
pub(crate) const SEPARATOR: char = '\0';

/// The samples of one collector or of a whole page.
#[derive(Clone, Debug)]
pub struct Sink {
    families: Vec<Family>,
    /// Places of the families, by name once the sink is settled.
    order: Vec<usize>,
    by_name: HashMap<Text, usize>,
    /// The family declared last.
    latest: usize,
    arena: String,
    /// The label values written last.
    key: Key,
    series: usize,
    limit: usize,
    dropped: BTreeMap<String, u64>,
    notes: Notes,
    ranking: Ranking,
}

#[derive(Clone, Debug)]
struct Family {
    name: Text,
    help: Text,
    kind: Kind,
    labels: Labels,
    rows: Vec<Row>,
}

/// A series limit that no page reaches: for pages that are bounded elsewhere.
pub const NO_LIMIT: usize = usize::MAX;

impl Sink {
    /// An empty sink that takes `limit` series and counts what comes after them.
    pub fn new(limit: usize) -> Self {
        Self {
            families: Vec::new(),
            order: Vec::new(),
            by_name: HashMap::new(),
            latest: 0,
            arena: String::new(),
            key: Key::default(),
            series: 0,
            limit,
            dropped: BTreeMap::new(),
            notes: Notes::default(),
            ranking: Ranking::default(),
        }
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
        let family = self.declared(&info);
        self.add(family, &values, value);
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
        if self.families.is_empty() && other.series <= self.limit {
            // A page mostly begins with nearly all of it, and hundreds of names need not be looked up one by one.
            let before = std::mem::take(&mut self.dropped);
            *self = Self { limit: self.limit, ..other.clone() };
            before.iter().for_each(|(name, count)| self.drop_series(name, *count));
            return;
        }
        for (name, count) in &other.dropped {
            self.drop_series(name, *count);
        }
        // Where all fits, the label values move as one.
        let offset = u32::try_from(self.arena.len()).ok();
        let offset = offset.filter(|at| other.series <= self.room() && u32::try_from(*at as usize + other.arena.len()).is_ok());
        if offset.is_some() {
            self.arena.push_str(&other.arena);
            self.series += other.series;
        }
        for theirs in &other.families {
            let family = match self.by_name.get(&*theirs.name) {
                Some(family) => *family,
                None => self.declare(theirs.name.clone(), theirs.help.clone(), theirs.kind, theirs.labels.clone()),
            };
            // Two collectors with one name for different things: label values would stand under the wrong names.
            if self.families.get(family).is_some_and(|known| known.labels != theirs.labels) {
                self.series -= if offset.is_some() { theirs.rows.len() } else { 0 };
                self.drop_series(&theirs.name, theirs.rows.len() as u64);
                continue;
            }
            match (offset, self.families.get_mut(family)) {
                (Some(offset), Some(family)) => family.rows.extend(theirs.rows.iter().map(|row| {
                    let key = Key { from: row.key.from + offset, to: row.key.to + offset };
                    Row { key, value: row.value.clone() }
                })),
                _ => {
                    for row in &theirs.rows {
                        let start = self.arena.len();
                        self.arena.push_str(row.key.of(&other.arena));
                        self.finish_row(family, start, row.value.clone());
                    }
                }
            }
        }
    }

    /// Sorts families by name and series by label values, and drops what comes twice. Called once, before encoding.
    pub fn settle(&mut self) {
        let families = &self.families;
        self.order.sort_unstable_by_key(|at| families.get(*at).map(|family| &*family.name));
        let mut order = Order::default();
        for family in &mut self.families {
            let before = family.rows.len();
            order.find(&family.rows, &self.arena);
            order.apply(&mut family.rows);
            let twice = before - family.rows.len();
            if twice > 0 {
                self.series -= twice;
                *self.dropped.entry(family.name.to_string()).or_default() += twice as u64;
            }
        }
    }

    /// The families that have series, for the encoder.
    pub fn families(&self) -> impl Iterator<Item = FamilyView<'_>> {
        let families = self.order.iter().filter_map(|at| self.families.get(*at));
        families.filter(|family| !family.rows.is_empty()).map(|family| FamilyView { sink: self, family })
    }

    /// The family of a declaration. A collector writes the families of a row one after the other, so that it is mostly
    /// the one behind the latest; the address of a name says so without reading it.
    fn declared(&mut self, info: &Info) -> usize {
        for guess in [self.latest + 1, self.latest] {
            if let Some(Family { name: Text::Declared(name), .. }) = self.families.get(guess)
                && std::ptr::eq(*name, info.name)
            {
                self.latest = guess;
                return guess;
            }
        }
        self.latest = match self.by_name.get(info.name) {
            Some(at) => *at,
            None => self.declare(Text::Declared(info.name), Text::Declared(info.help), info.kind, Labels::Declared(info.labels)),
        };
        self.latest
    }

    /// Adds a family that is not there yet.
    fn declare(&mut self, name: Text, help: Text, kind: Kind, labels: Labels) -> usize {
        let at = self.families.len();
        self.order.push(at);
        self.by_name.insert(name.clone(), at);
        self.families.push(Family { name, help, kind, labels, rows: Vec::new() });
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
        let value = match value {
            Value::Number(number) => Slot::Number(number),
            other => Slot::Other(Box::new(other)),
        };
        self.finish_row(family, start, value);
    }

    /// Adds a row whose label values stand in the arena from `start` on.
    fn finish_row(&mut self, family: usize, start: usize, value: Slot) {
        let (Some(family), Ok(from), Ok(to)) = (self.families.get_mut(family), u32::try_from(start), u32::try_from(self.arena.len()))
        else {
            return;
        };
        if self.series >= self.limit {
            self.arena.truncate(start);
            *self.dropped.entry(family.name.to_string()).or_default() += 1;
            return;
        }
        self.series += 1;
        let key = Key { from, to };
        if key.of(&self.arena) == self.key.of(&self.arena) {
            // Of one row in the server's answer, in another family.
            self.arena.truncate(start);
        } else {
            self.key = key;
        }
        family.rows.push(Row { key: self.key, value });
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
    pub(crate) fn labels(&self) -> &'a Labels {
        &self.family.labels
    }

    /// Label values (in the order of the names, `SEPARATOR` between them) and value of each series.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'a str, Reading<'a>)> {
        let arena = &self.sink.arena;
        self.family.rows.iter().map(move |row| {
            let reading = match &row.value {
                Slot::Number(number) => Reading::Number(*number),
                Slot::Other(value) => Reading::Other(value),
            };
            (row.key.of(arena), reading)
        })
    }
}

/// Writes a label value: control characters but newline and tab become U+FFFD, and what is too long is cut.
struct Sanitised<'a> {
    arena: &'a mut String,
    left: usize,
}

impl fmt::Write for Sanitised<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // 0xc2 begins the control characters above ASCII, too.
        if s.len() <= self.left && s.bytes().all(|b| b >= b' ' && b != 0x7f && b != 0xc2) {
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
