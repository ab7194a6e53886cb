//! The standbys of this server: how far each is, which are synchronous, which are missing, who waits for them.
//!
//! From pg_stat_get_wal_senders(), pg_stat_get_activity() and pg_get_replication_slots(), the functions below the views
//! (which read catalogues that others may have locked); all versions, with pg_read_all_stats. On a standby: its cascade.
//! Expected are, on a primary, the option `expected`, else synchronous_standby_names and the physical slots.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::replication::sync_names;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Bytes of WAL that a standby has not replayed yet (pg_stat_replication.replay_lsn).
    LSN_DIFF: Gauge legacy "pg_stat_replication_pg_wal_lsn_diff" [application_name, slot_name, state];
    /// Position in the WAL of this server, in bytes (pg_current_wal_lsn, pg_last_wal_receive_lsn).
    CURRENT: Gauge legacy "pg_stat_replication_pg_current_wal_lsn_bytes" [application_name, slot_name, state];
    /// Time until a standby had written, flushed or replayed recent WAL, in seconds; 0 when it has all of it
    /// (pg_stat_replication.write_lag, flush_lag, replay_lag).
    LAG: Gauge "pg_replication_standby_lag_seconds" [application_name, slot_name, phase];
    /// 1 for the standby's present role in synchronous replication, 0 for the others (pg_stat_replication.sync_state).
    SYNC: Gauge "pg_replication_standby_sync_state" [application_name, slot_name, sync_state];
    /// Standbys connected, by state (pg_stat_replication).
    STANDBYS: Gauge "pg_replication_standbys" [state];
    /// 1 while an expected standby is connected, 0 while it is not; source is option, sync or slot (pg_stat_replication).
    CONNECTED: Gauge "pg_replication_expected_standby_connected" [name, source];
    /// Standbys that are expected (option expected, synchronous_standby_names, pg_replication_slots).
    EXPECTED: Gauge "pg_replication_expected_standbys" [];
    /// Expected standbys that are not connected (pg_stat_replication).
    MISSING: Gauge "pg_replication_expected_standbys_missing" [];
    /// Sessions whose COMMIT waits for a synchronous standby (pg_stat_activity.wait_event SyncRep).
    WAITERS: Gauge "pg_sync_replication_waiters" [];
    /// Longest such wait in seconds, as of the start of the statement; 0 when nobody waits (pg_stat_activity.query_start).
    LONGEST: Gauge "pg_sync_replication_longest_wait_seconds" [];
}

/// Several standbys may have one name; their rows become one, the worst of them.
const STANDBYS_OF: &str = "
SELECT coalesce(a.application_name, ''), coalesce(s.slot_name::text, ''), coalesce(w.state, 'unknown'), count(*),
       max(here - w.replay_lsn)::float8, (here - '0/0')::float8, max(w.sync_state),
       extract(epoch FROM max(CASE WHEN w.write_lsn >= here THEN interval '0' ELSE w.write_lag END))::float8,
       extract(epoch FROM max(CASE WHEN w.flush_lsn >= here THEN interval '0' ELSE w.flush_lag END))::float8,
       extract(epoch FROM max(CASE WHEN w.replay_lsn >= here THEN interval '0' ELSE w.replay_lag END))::float8
FROM pg_stat_get_wal_senders() w JOIN pg_stat_get_activity(NULL) a ON a.pid = w.pid
LEFT JOIN pg_get_replication_slots() s ON s.active_pid = w.pid,
     (SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                  ELSE pg_current_wal_lsn() END) AS p(here)
GROUP BY 1, 2, 3, here ORDER BY 5 DESC NULLS LAST, 1, 2, 3";

/// Physical slots that were used once, and whether somebody uses them.
const SLOTS: &str = "
SELECT slot_name::text, active FROM pg_get_replication_slots()
WHERE slot_type = 'physical' AND NOT temporary AND (restart_lsn IS NOT NULL OR wal_status = 'lost')";

const WAITING: &str = "
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(query_start)), 0)::float8, current_setting('synchronous_standby_names')
FROM pg_stat_get_activity(NULL) WHERE wait_event = 'SyncRep' AND application_name <> 'sage-postgres-exporter'";

const SYNC_STATES: [&str; 4] = ["async", "potential", "sync", "quorum"];

sage_common::options! {
    /// Options of the `standbys` collector.
    pub struct StandbyOptions {
        /// Names (application_name) of the standbys that must be connected to the primary; empty: as the server's own
        /// settings and slots tell.
        pub expected: Vec<String> = Vec::new(),
        /// How many standbys, connected or expected, have series of their own; those furthest behind go first.
        pub max: u16 = 100,
    }
}

/// See the file.
pub struct Standbys {
    expected: Vec<String>,
    max: usize,
}

impl Collector for Standbys {
    type Session = Pg;
    type Options = StandbyOptions;
    const HELP: &'static str = "Standbys: lag, synchronous state, missing ones, commits that wait for them (pg_stat_replication).";
    const ALIASES: &'static [&'static str] = &["stat_replication"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: StandbyOptions) -> Self {
        Self { expected: options.expected, max: usize::from(options.max) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let (mut by_state, mut connected) = (BTreeMap::from([("streaming".to_owned(), 0)]), Vec::new());
        let rows = session.rows(STANDBYS_OF).await?;
        for (i, row) in rows.iter().enumerate() {
            let (application_name, slot_name, state): (&str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?);
            *by_state.entry(state.to_owned()).or_default() += row.get::<i64>(3)?;
            connected.push(application_name.to_lowercase());
            if i >= self.max {
                continue;
            }
            put!(out, LSN_DIFF { application_name, slot_name, state } = row.get::<Option<f64>>(4)?);
            put!(out, CURRENT { application_name, slot_name, state } = row.get::<Option<f64>>(5)?);
            for (phase, column) in [("write", 7), ("flush", 8), ("replay", 9)] {
                put!(out, LAG { application_name, slot_name, phase } = row.get::<Option<f64>>(column)?);
            }
            let present: Option<&str> = row.get(6)?;
            for sync_state in SYNC_STATES {
                put!(out, SYNC { application_name, slot_name, sync_state } = present.map(|present| present == sync_state));
            }
        }
        out.drop_series("pg_stat_replication_pg_wal_lsn_diff", rows.len().saturating_sub(self.max) as u64);
        by_state.iter().for_each(|(state, count)| put!(out, STANDBYS { state } = *count));
        if session.is_standby() {
            return Ok(());
        }
        let row = session.one(WAITING).await?;
        put!(out, WAITERS {} = row.get::<i64>(0)?);
        put!(out, LONGEST {} = row.get::<f64>(1)?.max(0.0));
        self.missing(session, &connected, row.get(2)?, out).await
    }
}

impl Standbys {
    /// Who ought to be connected, and is or is not. Server and standby compare names without regard to case.
    async fn missing(&self, session: &Pg, connected: &[String], sync: &str, out: &mut Sink) -> Result<(), CollectError> {
        let here = |name: &String| connected.contains(&name.to_lowercase());
        let mut expected: BTreeMap<(String, &str), bool> =
            self.expected.iter().map(|name| ((name.clone(), "option"), here(name))).collect();
        if expected.is_empty() {
            expected.extend(sync_names::names(sync).into_iter().map(|name| ((name.clone(), "sync"), here(&name))));
            for row in session.rows(SLOTS).await? {
                expected.insert((row.get(0)?, "slot"), row.get(1)?);
            }
        }
        for ((name, source), connected) in expected.iter().take(self.max) {
            put!(out, CONNECTED { name, source } = *connected);
        }
        put!(out, EXPECTED {} = expected.len() as f64);
        put!(out, MISSING {} = expected.values().filter(|connected| !**connected).count() as f64);
        Ok(())
    }
}
