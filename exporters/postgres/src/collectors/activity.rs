//! Sessions by database and state, against the limit, and the oldest transaction.
//!
//! From pg_stat_activity (client backends) and pg_settings; all versions. Our own sessions take slots like any other, so
//! they count towards the limit, but apart: they are no load of a user's. Without pg_read_all_stats the state of others'
//! sessions is NULL and counted as `unknown`.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

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
}

const SQL: &str = "
SELECT CASE WHEN own THEN NULL ELSE datname::text END, CASE WHEN own THEN 'exporter' ELSE coalesce(state, 'unknown') END, count(*),
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
FROM (SELECT *, application_name = 'sage-postgres-exporter' AS own FROM pg_stat_activity WHERE backend_type = 'client backend') AS a
GROUP BY 1, 2";

/// The states that a session can have; those without a session are 0, so that a panel has a line for each.
const STATES: [&str; 6] = ["active", "idle", "idle in transaction", "idle in transaction (aborted)", "fastpath function call", "disabled"];

/// See the file.
pub struct Activity;

impl Collector for Activity {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Client sessions by state against the limit, oldest transaction (pg_stat_activity).";
    const ALIASES: &'static [&'static str] = &["stat_activity"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let mut totals: BTreeMap<String, i64> = STATES.iter().map(|state| ((*state).to_owned(), 0)).collect();
        let mut by_database: BTreeMap<String, BTreeMap<String, (i64, f64)>> = BTreeMap::new();
        let mut oldest = 0.0_f64;
        for row in session.rows(SQL).await? {
            let (database, state): (Option<String>, String) = (row.get(0)?, row.get(1)?);
            let (count, age): (i64, f64) = (row.get(2)?, row.get(3)?);
            *totals.entry(state.clone()).or_default() += count;
            oldest = oldest.max(age);
            if let Some(database) = database {
                let states = by_database.entry(database).or_insert_with(|| STATES.iter().map(|s| ((*s).to_owned(), (0, 0.0))).collect());
                states.insert(state, (count, age));
            }
        }
        for (datname, states) in &by_database {
            for (state, (count, age)) in states {
                put!(out, COUNT { datname, state } = *count);
                put!(out, MAX_TX_DURATION { datname, state } = *age);
            }
        }
        for (state, count) in &totals {
            put!(out, CONNECTIONS { state } = *count);
        }
        put!(out, OLDEST_TRANSACTION {} = oldest);
        put!(out, CONNECTIONS_MAX {} = session.facts.connections_max);
        Ok(())
    }
}
