//! Sessions by database and state, against the limit; the oldest transaction, also of those that idle; kinds of process.
//!
//! From pg_stat_activity and three settings; all versions. Our own sessions take slots like any other, so they count
//! towards the limit, but apart: they are no load of a user's. Without pg_read_all_stats the state and the type of others'
//! sessions are NULL and counted as `unknown`. Whose sessions they are is told on request only (`labels`).

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::details::{self, Details, Label, States};
use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Client sessions by database and state (pg_stat_activity).
    COUNT: Gauge legacy "pg_stat_activity_count" [datname, state];
    /// Age of the oldest transaction by database and state, in seconds (pg_stat_activity.xact_start).
    MAX_TX_DURATION: Gauge legacy "pg_stat_activity_max_tx_duration" [datname, state];
    /// Client sessions by state, those of this exporter as state exporter; their sum is the total (pg_stat_activity).
    CONNECTIONS: Gauge "pg_connections" [state];
    /// Sessions that ordinary users can have at most: max_connections less the reserved ones (pg_settings).
    CONNECTIONS_MAX: Gauge "pg_connections_max" [];
    /// Age of the oldest open transaction of a client, in seconds; 0 when there is none (pg_stat_activity.xact_start).
    OLDEST_TRANSACTION: Gauge "pg_oldest_transaction_seconds" [];
    /// How long the client that idles longest in a transaction has done so, in seconds; 0 when none does (pg_stat_activity.state_change).
    IDLE_IN_TRANSACTION: Gauge "pg_idle_in_transaction_seconds" [];
    /// Processes of the server by type, ours among them; _other sums those past the thirtieth type (pg_stat_activity.backend_type).
    BACKENDS: Gauge "pg_backends" [backend_type];
}

/// The states that a session can have; those without a session are 0, so that a panel has a line for each.
const STATES: [&str; 6] = ["active", "idle", "idle in transaction", "idle in transaction (aborted)", "fastpath function call", "disabled"];

/// Types of process that have series; the server has 15 or so, extensions may add any number.
const TYPES: usize = 30;

sage_common::options! {
    /// Options of the `activity` collector.
    pub struct ActivityOptions {
        /// Labels of pg_stat_activity_count and pg_stat_activity_max_tx_duration besides datname and state: any of usename,
        /// application_name, backend_type, wait_event_type, wait_event.
        pub labels: Vec<Label> = Vec::new(),
        /// How many combinations of these labels have series of their own, those with most sessions; the rest is `_other`.
        pub top: u16 = 50,
    }
}

/// See the file.
pub struct Activity {
    labels: Vec<Label>,
    top: usize,
    sql: String,
}

impl Collector for Activity {
    type Session = Pg;
    type Options = ActivityOptions;
    const HELP: &'static str = "Client sessions by state against the limit, oldest transaction (pg_stat_activity).";
    const ALIASES: &'static [&'static str] = &["stat_activity"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(ActivityOptions { labels, top, .. }: ActivityOptions) -> Self {
        // A process of the server's own has no database.
        let sql = format!(
            "SELECT coalesce(backend_type, 'unknown'), coalesce(application_name = 'sage-postgres-exporter', false),
                    coalesce(datname::text, ''), coalesce(state, 'unknown'),
                    coalesce(backend_type = 'client backend', datid IS NOT NULL), count(*),
                    coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8,
                    coalesce(max(extract(epoch FROM clock_timestamp() - state_change)) FILTER (WHERE state LIKE 'idle in transaction%'), 0)::float8,
                    {}
             FROM pg_stat_activity GROUP BY 1, 2, 3, 4, 5, 9, 10, 11, 12, 13",
            details::columns(&labels)
        );
        Self { labels, top: top.into(), sql }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let mut totals: BTreeMap<String, i64> = STATES.iter().map(|state| ((*state).to_owned(), 0)).collect();
        let mut types: BTreeMap<String, i64> = BTreeMap::new();
        let mut groups: BTreeMap<Details, States> = BTreeMap::new();
        let (mut oldest, mut idle) = (0.0_f64, 0.0_f64);
        for row in session.rows(&self.sql).await? {
            let (own, is_client): (bool, bool) = (row.get(1)?, row.get(4)?);
            let (count, age): (i64, f64) = (row.get(5)?, row.get(6)?);
            *types.entry(row.get(0)?).or_default() += count;
            if !is_client {
                continue;
            }
            oldest = oldest.max(age);
            idle = idle.max(row.get(7)?);
            *totals.entry(if own { "exporter".to_owned() } else { row.get(3)? }).or_default() += count;
            if !own {
                let values: Details = [row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?, row.get(12)?];
                details::add(groups.entry(values).or_default(), (row.get(2)?, row.get(3)?), (count, age));
            }
        }
        if self.labels.is_empty() {
            write(groups.into_values().next().unwrap_or_default(), out);
        } else {
            details::write(groups, self.top, out);
        }
        for (state, count) in &totals {
            put!(out, CONNECTIONS { state } = *count);
        }
        for (backend_type, count) in types.iter().take(TYPES) {
            put!(out, BACKENDS { backend_type } = *count);
        }
        let others: i64 = types.values().skip(TYPES).sum();
        put!(out, BACKENDS { backend_type: "_other" } = Some(others).filter(|count| *count > 0));
        put!(out, OLDEST_TRANSACTION {} = oldest);
        put!(out, IDLE_IN_TRANSACTION {} = idle);
        put!(out, CONNECTIONS_MAX {} = session.facts.connections_max);
        Ok(())
    }
}

/// Writes each database with all states that a session can have.
fn write(mut states: States, out: &mut Sink) {
    let databases: Vec<String> = states.keys().map(|(datname, _)| datname.clone()).collect();
    for datname in databases {
        for state in STATES {
            states.entry((datname.clone(), state.to_owned())).or_default();
        }
    }
    for ((datname, state), (count, age)) in states {
        put!(out, COUNT { datname, state } = count);
        put!(out, MAX_TX_DURATION { datname, state } = age);
    }
}
