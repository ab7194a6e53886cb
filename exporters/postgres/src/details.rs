//! Labels of sessions on request: whose they are and what they wait for, bounded.
//!
//! The peer writes them always, which multiplies its series. Here they are opt-in, and all but the most frequent
//! combinations become one, `_other`.

use std::collections::BTreeMap;

use sage_common::put;
use sage_common::sink::Sink;

mod declared {
    sage_common::metrics! {
        /// Client sessions by database and state (pg_stat_activity).
        COUNT: Gauge legacy "pg_stat_activity_count" [datname, state, usename, application_name, backend_type, wait_event_type, wait_event];
        /// Age of the oldest transaction by database and state, in seconds (pg_stat_activity.xact_start).
        MAX_TX_DURATION: Gauge legacy "pg_stat_activity_max_tx_duration"
            [datname, state, usename, application_name, backend_type, wait_event_type, wait_event];
    }
}
use declared::{COUNT, MAX_TX_DURATION};

/// A label on request: its name is that of the column in pg_stat_activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The role that logged in.
    Usename,
    /// What the client calls itself.
    ApplicationName,
    /// The type of process; for a client always the same.
    BackendType,
    /// The kind of what it waits for.
    WaitEventType,
    /// What it waits for.
    WaitEvent,
}

/// In the order of `Details`.
const COLUMNS: [(Label, &str); 5] = [
    (Label::Usename, "usename"),
    (Label::ApplicationName, "application_name"),
    (Label::BackendType, "backend_type"),
    (Label::WaitEventType, "wait_event_type"),
    (Label::WaitEvent, "wait_event"),
];

/// Values of the labels on request; empty for those that nobody asked for.
pub type Details = [String; 5];

/// Sessions by database and state: how many, and the age of their oldest transaction.
pub type States = BTreeMap<(String, String), (i64, f64)>;

/// The columns of a select list that give `Details`.
pub fn columns(labels: &[Label]) -> String {
    let column = |(label, name)| if labels.contains(&label) { format!("coalesce({name}::text, '')") } else { "''::text".to_owned() };
    COLUMNS.map(column).join(", ")
}

/// Adds sessions to those of their database and state.
pub fn add(states: &mut States, key: (String, String), (count, age): (i64, f64)) {
    let sum = states.entry(key).or_default();
    *sum = (sum.0 + count, sum.1.max(age));
}

/// Writes the groups; those after the `top` largest as one.
pub fn write(groups: BTreeMap<Details, States>, top: usize, out: &mut Sink) {
    for ([usename, application_name, backend_type, wait_event_type, wait_event], states) in bounded(groups, top) {
        for ((datname, state), (count, age)) in states {
            put!(out, COUNT { datname, state, usename, application_name, backend_type, wait_event_type, wait_event } = count);
            put!(out, MAX_TX_DURATION { datname, state, usename, application_name, backend_type, wait_event_type, wait_event } = age);
        }
    }
}

fn bounded(groups: BTreeMap<Details, States>, top: usize) -> BTreeMap<Details, States> {
    let size = |states: &States| states.values().map(|(count, _)| *count).sum::<i64>();
    let mut sorted: Vec<(Details, States)> = groups.into_iter().collect();
    sorted.sort_by_key(|(_, states)| std::cmp::Reverse(size(states)));
    let rest = sorted.split_off(top.min(sorted.len()));
    let mut kept: BTreeMap<Details, States> = sorted.into_iter().collect();
    for (details, states) in rest {
        let other = details.map(|value| if value.is_empty() { value } else { "_other".to_owned() });
        let sum = kept.entry(other).or_default();
        states.into_iter().for_each(|(key, group)| add(sum, key, group));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(user: &str, application: &str) -> Details {
        [user.to_owned(), application.to_owned(), String::new(), String::new(), String::new()]
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let of = |labels: &[Label]| columns(labels);
        assert_eq!(of(&[]), "''::text, ''::text, ''::text, ''::text, ''::text");
        assert!(of(&[Label::WaitEvent]).ends_with("''::text, coalesce(wait_event::text, '')"));
    }

    #[test]
    fn the_small_ones_become_one() {
        let states = |count, age| States::from([(("shop".to_owned(), "idle".to_owned()), (count, age))]);
        let groups = BTreeMap::from([
            (details("a", "web"), states(5, 1.0)),
            (details("b", "web"), states(2, 9.0)),
            (details("c", "job"), states(1, 3.0)),
        ]);
        let kept = bounded(groups, 1);
        assert_eq!(kept, BTreeMap::from([(details("a", "web"), states(5, 1.0)), (details("_other", "_other"), states(3, 9.0))]));
    }
}
