//! The heaviest objects of all members: a collector that visits databases offers the largest tables of each, and only the
//! largest of them all keep series of their own. What the others had is added to the rest of their database, so that
//! sums stay true, and a page does not grow with the number of databases times the number of tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Sink;
use super::row::Key;
use super::value::Slot;

/// What a collector has said of the weight of its objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    /// How many objects keep their series, over all members.
    most: Option<usize>,
    /// Weight and label values of each object.
    objects: Vec<(f64, Key)>,
    /// Label values of the series that stand for all other objects.
    rest: Option<Key>,
}

impl Sink {
    /// Says that over all members only the `most` heaviest objects keep series of their own.
    pub fn keep_heaviest(&mut self, most: usize) {
        self.ranking.most = Some(most);
    }

    /// The label values written last are those of an object with this weight.
    pub fn rank(&mut self, weight: f64) {
        self.ranking.objects.push((weight, self.key));
    }

    /// The label values written last stand for all objects without series of their own. Of an object that loses its
    /// series the values are added to them, in the families that have them; the others are per object only.
    pub fn rest(&mut self) {
        self.ranking.rest = Some(self.key);
    }

    /// True when objects of this sink compete with those of other members.
    pub(crate) const fn is_ranked(&self) -> bool {
        self.ranking.most.is_some()
    }

    /// Folds the objects with these label values into the rest.
    fn fold(&mut self, lost: &[Key]) {
        let arena = std::mem::take(&mut self.arena);
        let lost: HashSet<&str> = lost.iter().map(|key| key.of(&arena)).collect();
        let rest = self.ranking.rest.map(|key| key.of(&arena));
        let gone = |key: Key| lost.contains(key.of(&arena));
        // Label values are copied once, so that the families of an object go on sharing theirs.
        let mut moved = HashMap::new();
        let mut kept = String::new();
        let mut keep = |key: Key| *moved.entry(key).or_insert_with(|| keyed(&mut kept, key.of(&arena)));
        self.series = 0;
        for family in &mut self.families {
            let sum: f64 = family.rows.iter().filter(|row| gone(row.key)).map(|row| row.value.number().unwrap_or_default()).sum();
            let line = family.rows.iter_mut().find(|row| rest.is_some_and(|rest| row.key.of(&arena) == rest));
            if let Some(Slot::Number(number)) = line.map(|row| &mut row.value) {
                *number += sum;
            }
            family.rows.retain(|row| !gone(row.key));
            family.rows.iter_mut().for_each(|row| row.key = keep(row.key));
            self.series += family.rows.len();
        }
        self.ranking.objects.retain(|(_, key)| !gone(*key));
        self.ranking.objects.iter_mut().for_each(|(_, key)| *key = keep(*key));
        self.ranking.rest = self.ranking.rest.map(&mut keep);
        self.key = Key::default();
        self.arena = kept;
    }
}

/// Puts label values into an arena.
fn keyed(arena: &mut String, values: &str) -> Key {
    let from = arena.len() as u32; // no longer than the arena that they come from, whose places fit
    arena.push_str(values);
    Key { from, to: arena.len() as u32 }
}

/// Lets only the heaviest objects of all members keep their series; of equal ones those of the first member.
pub(crate) fn keep_heaviest(members: &mut [&mut Arc<Sink>]) {
    let Some(most) = members.iter().find_map(|sink| sink.ranking.most) else { return };
    let objects =
        |(at, sink): (usize, &&mut Arc<Sink>)| sink.ranking.objects.iter().map(move |(w, key)| (*w, at, *key)).collect::<Vec<_>>();
    let mut all: Vec<(f64, usize, Key)> = members.iter().enumerate().flat_map(objects).collect();
    if all.len() <= most {
        return;
    }
    // Stable: the order of the members decides among equals.
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut lost: HashMap<usize, Vec<Key>> = HashMap::new();
    for (_, at, key) in all.iter().skip(most) {
        lost.entry(*at).or_default().push(*key);
    }
    for (at, keys) in lost {
        if let Some(sink) = members.get_mut(at) {
            Arc::make_mut(sink).fold(&keys);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put;
    use crate::sink::NO_LIMIT;

    crate::metrics! {
        /// Objects.
        COUNT: Gauge "x_objects" [db];
        /// Size.
        SIZE: Gauge "x_size_bytes" [db, name];
        /// Scans.
        SCANS: Counter "x_scans_total" [db, name];
    }

    fn member(db: &str, sizes: &[(&str, u32)]) -> Arc<Sink> {
        let mut out = Sink::new(NO_LIMIT);
        out.keep_heaviest(3);
        for (name, size) in sizes {
            put!(out, SIZE { db, name } = *size);
            put!(out, SCANS { db, name } = 1);
            out.rank(f64::from(*size));
        }
        put!(out, SIZE { db, name: "_other" } = 5);
        out.rest();
        put!(out, COUNT { db } = sizes.len());
        Arc::new(out)
    }

    fn page(members: &[Arc<Sink>]) -> String {
        let mut page = Sink::new(NO_LIMIT);
        members.iter().for_each(|sink| page.absorb(sink));
        assert_eq!(page.series(), members.iter().map(|sink| sink.series()).sum::<usize>());
        page.settle();
        let text = String::from_utf8(crate::expo::write(&page, crate::expo::Format::Text)).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    fn trim(members: &mut [Arc<Sink>]) {
        keep_heaviest(&mut members.iter_mut().collect::<Vec<_>>());
    }

    #[test]
    fn the_heaviest_of_all_members_stay_and_sums_stay_true() {
        let mut members = [member("a", &[("x", 100), ("y", 10), ("z", 7)]), member("b", &[("x", 50), ("y", 10)])];
        trim(&mut members);
        assert_eq!(
            page(&members),
            "x_objects{db=\"a\"} 3\nx_objects{db=\"b\"} 2\n\
             x_scans_total{db=\"a\",name=\"x\"} 1\nx_scans_total{db=\"a\",name=\"y\"} 1\nx_scans_total{db=\"b\",name=\"x\"} 1\n\
             x_size_bytes{db=\"a\",name=\"_other\"} 12\nx_size_bytes{db=\"a\",name=\"x\"} 100\nx_size_bytes{db=\"a\",name=\"y\"} 10\n\
             x_size_bytes{db=\"b\",name=\"_other\"} 15\nx_size_bytes{db=\"b\",name=\"x\"} 50\n"
        );
        // Nothing changes when it is done again, and a further member makes room for itself.
        let before = page(&members);
        trim(&mut members);
        assert_eq!(page(&members), before);
        let mut members = [members[0].clone(), members[1].clone(), member("c", &[("x", 1000), ("y", 900), ("z", 800)])];
        trim(&mut members);
        let text = page(&members);
        assert!(text.contains("x_size_bytes{db=\"a\",name=\"_other\"} 122\n"), "{text}");
        assert!(text.contains("x_size_bytes{db=\"b\",name=\"_other\"} 65\n"), "{text}");
        assert_eq!(text.matches("x_scans_total{").count(), 3);
    }

    #[test]
    fn few_objects_stay_as_they_are() {
        let mut members = [member("a", &[("x", 1)]), member("b", &[])];
        let before = page(&members);
        trim(&mut members);
        assert_eq!(page(&members), before);
    }
}
