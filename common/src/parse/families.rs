//! Puts the lines of a page together to families.
//!
//! A sample belongs to the family of its name, or to one whose type gives its samples such a suffix. Pages in disorder
//! are taken as they are: what a line says goes to its family wherever it stands, and of metadata given twice the first
//! counts.

use std::collections::{HashMap, HashSet};

use super::Format;
use super::line::Event;
use super::model::{Family, Kind, Page};

/// The suffixes that any type has.
const SUFFIXES: [&str; 8] = ["_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"];

/// The families of the page so far.
pub(super) struct Families {
    pub(super) page: Page,
    pub(super) format: Format,
    /// The place of each family by its name.
    places: HashMap<String, usize>,
    /// The places of the families that have a TYPE line.
    typed: HashSet<usize>,
    /// The place of the family the last line belonged to.
    pub(super) current: Option<usize>,
}

impl Families {
    pub(super) fn new(format: Format) -> Self {
        Self { page: Page::default(), format, places: HashMap::new(), typed: HashSet::new(), current: None }
    }

    /// Takes what one line says.
    pub(super) fn take(&mut self, event: Event<'_>) {
        let Some(name) = name(&event) else {
            return;
        };
        let place = self.place(&event).unwrap_or_else(|| self.add(name));
        self.current = Some(place);
        let Some(family) = self.page.families.get_mut(place) else {
            return;
        };
        match event {
            Event::Help { text, .. } => {
                family.help.get_or_insert(text);
            }
            Event::Unit { unit, .. } => {
                family.unit.get_or_insert_with(|| unit.to_owned());
            }
            Event::Type { kind, .. } => {
                if self.typed.insert(place) {
                    family.kind = kind;
                }
            }
            Event::Sample(sample) => family.samples.push(sample),
            Event::Nothing | Event::Eof => {}
        }
    }

    /// The place of the family a line belongs to, unless the line begins a new one or belongs to none.
    pub(super) fn place(&self, event: &Event<'_>) -> Option<usize> {
        match event {
            Event::Sample(sample) => self.owner(&sample.name),
            _ => self.places.get(name(event)?).copied(),
        }
    }

    /// Whether the family at that place has a TYPE line.
    pub(super) fn is_typed(&self, place: usize) -> bool {
        self.typed.contains(&place)
    }

    fn owner(&self, name: &str) -> Option<usize> {
        let current = self.current.and_then(|place| Some((place, self.page.families.get(place)?)));
        // Most samples follow one of the same family, which spares the look-ups.
        if let Some((place, _)) = current.filter(|(_, family)| family.name == name) {
            return Some(place);
        }
        if let Some(place) = self.places.get(name) {
            return Some(*place);
        }
        let (base, suffix) = SUFFIXES.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix)))?;
        let place = match current {
            Some((place, family)) if family.name == base => place,
            _ => *self.places.get(base)?,
        };
        let kind = self.page.families.get(place)?.kind;
        kind.suffixes(self.format).contains(suffix).then_some(place)
    }

    fn add(&mut self, name: &str) -> usize {
        let place = self.page.families.len();
        self.places.insert(name.to_owned(), place);
        self.page.families.push(Family { name: name.to_owned(), help: None, kind: Kind::Unknown, unit: None, samples: Vec::new() });
        place
    }
}

/// The name in a line: that of a family, or of a sample.
fn name<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Help { family, .. } | Event::Type { family, .. } | Event::Unit { family, .. } => Some(family),
        Event::Sample(sample) => Some(&sample.name),
        Event::Nothing | Event::Eof => None,
    }
}
