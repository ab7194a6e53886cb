//! Role, lag and state of replay.
//!
//! From pg_last_wal_*(), pg_last_xact_replay_timestamp(), pg_get_wal_replay_pause_state(), pg_stat_get_wal_receiver() and
//! the startup process in pg_stat_get_activity(); all versions. What others wait for needs pg_read_all_stats, whether a
//! standby is meant to stream pg_read_all_settings. How lag and state are told is in replay.rs.

use sage_common::collector::{Collector, Grant};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::replication::replay::{Look, Receiver, STATES, Startup};
use crate::session::{GRANT, Pg, Row, V14};

sage_common::metrics! {
    /// 1 on a standby, 0 on a primary (pg_is_in_recovery).
    IS_REPLICA: Gauge legacy "pg_replication_is_replica" [];
    /// 1 for the server's present role, 0 for the other (pg_is_in_recovery).
    ROLE: Gauge "pg_replication_role" [role];
    /// Replay lag of a standby in seconds: 0 while it knows of nothing to replay, else the time since it was so, or the
    /// age of the last replayed transaction if that is less. 0 on a primary, absent when nothing is known. A log-shipping
    /// standby knows only what its archive delivers (pg_last_xact_replay_timestamp, pg_stat_get_wal_receiver).
    LAG: Gauge legacy "pg_replication_lag_seconds" [];
    /// Time since the commit of the last transaction that a standby replayed, in seconds (pg_last_xact_replay_timestamp).
    LAST_REPLAY: Gauge legacy "pg_replication_last_replay_seconds" [];
    /// When the last transaction that a standby replayed was committed, as a Unix time (pg_last_xact_replay_timestamp).
    LAST_APPLIED: Gauge "pg_replication_last_applied_timestamp_seconds" [];
    /// On a standby: 1 while WAL comes and is applied, 0 while it is not; pg_replication_apply_state says why.
    APPLY_OK: Gauge "pg_replication_apply_ok" [];
    /// On a standby: 1 for the present state of replay, 0 for the others (pg_stat_get_wal_receiver, pg_stat_get_activity).
    APPLY_STATE: Gauge "pg_replication_apply_state" [state];
    /// On a standby: 1 for the present state of the pause, 0 for the others; pause_requested is told from PostgreSQL 14 on
    /// (pg_get_wal_replay_pause_state).
    PAUSE_STATE: Gauge "pg_wal_replay_pause_state" [state];
    /// On a standby: 1 while replay is paused or a pause is requested, else 0 (pg_get_wal_replay_pause_state).
    PAUSED: Gauge "pg_wal_replay_paused" [];
}

macro_rules! standby {
    ($pause:literal) => {
        concat!(
            "SELECT extract(epoch FROM clock_timestamp())::float8, extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       (pg_last_wal_receive_lsn() - '0/0')::float8, (pg_last_wal_replay_lsn() - '0/0')::float8, ",
            $pause,
            ",
       w.pid IS NOT NULL, w.status, extract(epoch FROM w.last_msg_receipt_time)::float8, (w.latest_end_lsn - '0/0')::float8,
       extract(epoch FROM current_setting('wal_receiver_timeout')::interval)::float8,
       CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'usage') THEN current_setting('primary_conninfo') <> '' END,
       current_setting('restore_command') <> '', s.pid IS NOT NULL, s.wait_event_type, s.wait_event
FROM pg_stat_get_wal_receiver() AS w
LEFT JOIN (SELECT pid, wait_event_type, wait_event FROM pg_stat_get_activity(NULL) WHERE backend_type = 'startup' LIMIT 1) AS s ON true"
        )
    };
}

const STANDBY_14: &str = standby!("pg_get_wal_replay_pause_state()");
const STANDBY_13: &str = standby!("CASE WHEN pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END");

sage_common::options! {
    /// Options of the `replication` collector.
    pub struct ReplicationOptions {
        /// For log-shipping standbys: after this long without a replayed transaction the archive counts as silent. Only
        /// for primaries that are never idle (the write probe, archive_timeout); not set: never.
        pub archive_silence: Option<Span> = None,
    }
}

/// See the file.
pub struct Replication {
    archive_silence: Option<f64>,
}

impl Collector for Replication {
    type Session = Pg;
    type Options = ReplicationOptions;
    const HELP: &'static str = "Role, replay lag and state of a standby (pg_last_xact_replay_timestamp, pg_stat_get_wal_receiver).";
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: ReplicationOptions) -> Self {
        Self { archive_silence: options.archive_silence.map(|span| span.0.as_secs_f64()) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let standby = session.is_standby();
        put!(out, IS_REPLICA {} = standby);
        put!(out, ROLE { role: "primary" } = !standby);
        put!(out, ROLE { role: "standby" } = standby);
        if !standby {
            put!(out, LAG {} = 0);
            return Ok(());
        }
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let row = session.one(if session.facts.version >= V14 { STANDBY_14 } else { STANDBY_13 }).await?;
        let look = Look { archive_silence: self.archive_silence, ..read(&row, session.facts.reads_stats)? };
        let verdict = session.replay.judge(&look);
        put!(out, LAST_APPLIED {} = look.last_commit);
        put!(out, LAST_REPLAY {} = look.last_commit.map(|at| (look.now - at).max(0.0)));
        put!(out, LAG {} = verdict.lag);
        put!(out, APPLY_OK {} = verdict.ok());
        for state in STATES {
            put!(out, APPLY_STATE { state } = state == verdict.state);
        }
        for (state, name) in [("not_paused", "not paused"), ("pause_requested", "pause requested"), ("paused", "paused")] {
            put!(out, PAUSE_STATE { state } = look.pause == name);
        }
        put!(out, PAUSED {} = look.pause != "not paused");
        Ok(())
    }
}

fn read(row: &Row, reads_stats: bool) -> Result<Look, CollectError> {
    let receiver = Receiver { status: row.get(6)?, heard: row.get(7)?, primary_end: row.get(8)? };
    let startup = match (row.get::<bool>(12)?, row.get::<Option<String>>(13)?, row.get::<Option<String>>(14)?) {
        (false, _, _) => Startup::Gone,
        (true, Some(kind), Some(event)) => Startup::Waits(kind, event),
        (true, _, _) => Startup::Runs,
    };
    Ok(Look {
        now: row.get(0)?,
        last_commit: row.get(1)?,
        received: row.get(2)?,
        replayed: row.get(3)?,
        pause: row.get(4)?,
        receiver: row.get::<bool>(5)?.then_some(receiver),
        timeout: row.get(9)?,
        wants_stream: row.get(10)?,
        wants_archive: row.get(11)?,
        startup: reads_stats.then_some(startup),
        archive_silence: None,
    })
}
