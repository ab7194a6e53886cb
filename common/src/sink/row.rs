//! The parts of a sink: names, the places of label values, and the order of series.

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::Arc;

use super::value::Slot;

/// A name or a help text: as declared, or made at run time and shared by the sinks that it goes through.
#[derive(Clone, Debug, Eq)]
pub(super) enum Text {
    Declared(&'static str),
    Made(Arc<str>),
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Declared(text) => text,
            Self::Made(text) => text,
        }
    }
}

// All three as for the string itself, which is what maps are asked for.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::hash::Hash for Text {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// The label names of a family: as declared, or made at run time and shared by the sinks that they go through.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    Declared(&'static [&'static str]),
    Made(Arc<[Box<str>]>),
}

impl Labels {
    pub(super) fn made(names: &[&str]) -> Self {
        if names.is_empty() { Self::Declared(&[]) } else { Self::Made(names.iter().map(|name| Box::from(*name)).collect()) }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Declared(names) => names.len(),
            Self::Made(names) => names.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let (declared, made): (&[&str], &[Box<str>]) = match self {
            Self::Declared(names) => (names, &[]),
            Self::Made(names) => (&[], names),
        };
        declared.iter().copied().chain(made.iter().map(|name| &**name))
    }

    pub(super) fn are(&self, names: &[&str]) -> bool {
        self.iter().eq(names.iter().copied())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Place of the label values of one series in the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Key {
    pub(super) fn of(self, arena: &str) -> &str {
        arena.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) value: Slot,
}

/// The order of one family's series. The next family often has the same keys, and so the same order.
#[derive(Default)]
pub(super) struct Order {
    keys: Vec<Key>,
    /// Which rows stay, in their order; `None`: all, as they are.
    places: Option<Vec<usize>>,
}

impl Order {
    pub(super) fn find(&mut self, rows: &[Row], arena: &str) {
        if rows.iter().map(|row| row.key).eq(self.keys.iter().copied()) {
            return;
        }
        self.keys.clear();
        self.keys.extend(rows.iter().map(|row| row.key));
        if self.keys.is_sorted_by(|a, b| a.of(arena) < b.of(arena)) {
            self.places = None;
            return;
        }
        let mut texts: Vec<(&[u8], usize)> = self.keys.iter().map(|key| key.of(arena).as_bytes()).zip(0..).collect();
        // By text, then by place: of what comes twice the first stays.
        texts.sort_unstable();
        texts.dedup_by_key(|(text, _)| *text);
        self.places = Some(texts.into_iter().map(|(_, place)| place).collect());
    }

    pub(super) fn apply(&self, rows: &mut Vec<Row>) {
        let Some(places) = &self.places else { return };
        *rows = places.iter().filter_map(|place| rows.get_mut(*place).map(std::mem::take)).collect();
    }
}
