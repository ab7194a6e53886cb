//! Role, lag and standbys.
//!
//! From pg_last_wal_*(), pg_last_xact_replay_timestamp(), pg_stat_wal_receiver and pg_stat_replication; full rows need
//! pg_read_all_stats. The lag of a standby is 0 only when it has replayed all that it received *and* its receiver heard
//! from the primary lately; else it is the age of the last replayed transaction. On an idle primary that age grows though
//! nothing is missing; on a cut link "all received is replayed" stays true though much is missing.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// 1 on a standby, 0 on a primary (pg_is_in_recovery).
    IS_REPLICA: Gauge legacy "pg_replication_is_replica" [];
    /// 1 for the server's present role, 0 for the other (pg_is_in_recovery).
    ROLE: Gauge "pg_replication_role" [role];
    /// Replay lag of a standby in seconds; 0 on a primary, absent when a standby has replayed nothing yet.
    LAG: Gauge legacy "pg_replication_lag_seconds" [];
    /// Time since a standby last replayed a transaction, in seconds (pg_last_xact_replay_timestamp).
    LAST_REPLAY: Gauge legacy "pg_replication_last_replay_seconds" [];
    /// When the last transaction that a standby replayed was committed, as a Unix time (pg_last_xact_replay_timestamp).
    LAST_APPLIED: Gauge "pg_replication_last_applied_timestamp_seconds" [];
    /// On a standby: 1 while WAL comes and is applied, 0 while replay is paused or a receiver that is configured is gone
    /// (pg_is_wal_replay_paused, pg_stat_wal_receiver).
    APPLY_OK: Gauge "pg_replication_apply_ok" [];
    /// Bytes of WAL that a standby has not replayed yet (pg_stat_replication.replay_lsn).
    LSN_DIFF: Gauge legacy "pg_stat_replication_pg_wal_lsn_diff" [application_name, slot_name, state];
    /// Standbys connected, by state (pg_stat_replication).
    STANDBYS: Gauge "pg_replication_standbys" [state];
}

/// Where no row of pg_stat_wal_receiver is to be had (archive recovery, no grant) `heard` is NULL.
const STANDBY: &str = "
SELECT extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
       pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(), pg_is_wal_replay_paused(),
       (SELECT status = 'streaming' AND clock_timestamp() - last_msg_receipt_time < current_setting('wal_receiver_timeout')::interval
        FROM pg_stat_wal_receiver),
       CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'usage') THEN current_setting('primary_conninfo') <> '' END,
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";

/// Several standbys may have one name; their rows become one, the worst of them. The slots come from the function below
/// their view, which reads pg_database for a name that is not needed here and would wait for who has locked it.
const STANDBYS_OF: &str = "
SELECT coalesce(r.application_name, ''), coalesce(s.slot_name::text, ''), coalesce(r.state, 'unknown'), count(*),
       max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, r.replay_lsn))::float8
FROM pg_stat_replication r LEFT JOIN pg_get_replication_slots() s ON s.active_pid = r.pid GROUP BY 1, 2, 3";

/// See the file.
pub struct Replication;

/// What a standby knows of its own progress.
#[derive(Clone, Copy)]
struct Progress {
    /// Age of the last replayed transaction.
    age: Option<f64>,
    /// All that was received is replayed.
    caught_up: Option<bool>,
    /// The receiver streams and heard from the primary lately.
    heard: Option<bool>,
}

impl Progress {
    fn lag(self) -> Option<f64> {
        if self.caught_up == Some(true) && self.heard == Some(true) { Some(0.0) } else { self.age.map(|age| age.max(0.0)) }
    }
}

impl Collector for Replication {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Role, replay lag and standbys (pg_stat_replication, pg_stat_wal_receiver).";
    const ALIASES: &'static [&'static str] = &["stat_replication"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let standby = session.is_standby();
        put!(out, IS_REPLICA {} = standby);
        put!(out, ROLE { role: "primary" } = !standby);
        put!(out, ROLE { role: "standby" } = standby);
        if standby {
            let row = session.one(STANDBY).await?;
            let progress = Progress { age: row.get(1)?, caught_up: row.get(2)?, heard: row.get(4)? };
            put!(out, LAST_APPLIED {} = row.get::<Option<f64>>(0)?);
            put!(out, LAST_REPLAY {} = progress.age);
            put!(out, LAG {} = progress.lag());
            // A log-shipping standby has no receiver, and none configured.
            let receiver_gone = row.get::<Option<bool>>(5)? == Some(true) && !row.get::<bool>(6)?;
            put!(out, APPLY_OK {} = row.get::<Option<bool>>(3)?.map(|paused| !paused && !receiver_gone));
        } else {
            put!(out, LAG {} = 0);
        }
        let mut by_state: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
        if !standby {
            by_state.insert("streaming".to_owned(), 0);
        }
        for row in session.rows(STANDBYS_OF).await? {
            let (application_name, slot_name, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            put!(out, LSN_DIFF { application_name, slot_name, state } = row.get::<Option<f64>>(4)?);
            *by_state.entry(state).or_default() += row.get::<i64>(3)?;
        }
        for (state, count) in &by_state {
            put!(out, STANDBYS { state } = *count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_zero_only_when_the_primary_was_heard() {
        let lag = |age, caught_up, heard| Progress { age, caught_up, heard }.lag();
        assert_eq!(lag(Some(900.0), Some(true), Some(true)), Some(0.0), "idle primary");
        assert_eq!(lag(Some(900.0), Some(true), Some(false)), Some(900.0), "the link is cut");
        assert_eq!(lag(Some(900.0), Some(true), None), Some(900.0), "no receiver");
        assert_eq!(lag(Some(5.0), Some(false), Some(true)), Some(5.0), "behind");
        assert_eq!(lag(None, Some(false), Some(true)), None, "nothing replayed yet");
        assert_eq!(lag(Some(-0.2), Some(false), Some(true)), Some(0.0), "clocks differ");
    }
}
