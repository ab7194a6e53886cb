//! Which cluster the server belongs to, and where it is: system identifier, timeline, position in the WAL.
//!
//! From pg_control_system(), pg_control_checkpoint(), pg_control_recovery() and pg_current_wal_lsn(), which everybody may
//! call; all versions. A cluster with two primaries, and a log-shipping standby that its archive no longer feeds, show
//! only when the servers of one system identifier are compared: these series make that possible.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Always 1; names the cluster, which a primary and all its standbys share (pg_control_system).
    SYSTEM: Gauge "pg_system_identifier_info" [system_identifier];
    /// Timeline of the server; each promotion begins a new one (pg_walfile_name, pg_control_checkpoint).
    TIMELINE: Gauge "pg_timeline" [];
    /// Position in the WAL in bytes: written on a primary, replayed on a standby (pg_current_wal_lsn, pg_last_wal_replay_lsn).
    POSITION: Gauge "pg_wal_position_bytes" [];
    /// Size of a segment of WAL, in bytes (wal_segment_size).
    SEGMENT: Gauge "pg_wal_segment_size_bytes" [];
}

/// The control file learns of a promotion with the next checkpoint, the name of the present WAL file at once.
const SQL: &str = "
SELECT system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN greatest((SELECT received_tli FROM pg_stat_get_wal_receiver()),
            (SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
       ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::float8,
       (SELECT bytes_per_wal_segment FROM pg_control_init())
FROM pg_control_system()";

/// See the file.
pub struct Cluster;

impl Collector for Cluster {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "System identifier, timeline and position in the WAL (pg_control_system, pg_current_wal_lsn).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(SQL).await?;
        put!(out, SYSTEM { system_identifier: row.get::<String>(0)? } = 1);
        put!(out, TIMELINE {} = row.get::<Option<i32>>(1)?);
        put!(out, POSITION {} = row.get::<Option<f64>>(2)?);
        put!(out, SEGMENT {} = row.get::<i32>(3)?);
        Ok(())
    }
}
