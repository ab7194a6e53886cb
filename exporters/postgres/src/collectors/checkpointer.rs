//! Checkpoints and restartpoints, told apart.
//!
//! From pg_stat_checkpointer, which PostgreSQL 17 brought; 18 added two columns. Readable by everybody. Before 17 the
//! `bgwriter` collector has what there is.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V17, V18};

sage_common::metrics! {
    /// Checkpoints that began because their time had come, also those skipped on an idle server (pg_stat_checkpointer.num_timed).
    TIMED: Counter legacy "pg_stat_checkpointer_num_timed_total" [];
    /// Checkpoints that were requested (pg_stat_checkpointer.num_requested).
    REQUESTED: Counter legacy "pg_stat_checkpointer_num_requested_total" [];
    /// Checkpoints that were done; from PostgreSQL 18 on (pg_stat_checkpointer.num_done).
    DONE: Counter legacy "pg_stat_checkpointer_num_done_total" [];
    /// Restartpoints that began because their time had come (pg_stat_checkpointer.restartpoints_timed).
    RESTART_TIMED: Counter legacy "pg_stat_checkpointer_restartpoints_timed_total" [];
    /// Restartpoints that were requested (pg_stat_checkpointer.restartpoints_req).
    RESTART_REQUESTED: Counter legacy "pg_stat_checkpointer_restartpoints_req_total" [];
    /// Restartpoints that were done (pg_stat_checkpointer.restartpoints_done).
    RESTART_DONE: Counter legacy "pg_stat_checkpointer_restartpoints_done_total" [];
    /// Milliseconds spent writing files (pg_stat_checkpointer.write_time).
    WRITE_TIME: Counter legacy "pg_stat_checkpointer_write_time_total" [];
    /// Milliseconds spent syncing files (pg_stat_checkpointer.sync_time).
    SYNC_TIME: Counter legacy "pg_stat_checkpointer_sync_time_total" [];
    /// Shared buffers written (pg_stat_checkpointer.buffers_written).
    BUFFERS: Counter legacy "pg_stat_checkpointer_buffers_written_total" [];
    /// SLRU buffers written; from PostgreSQL 18 on (pg_stat_checkpointer.slru_written).
    SLRU: Counter legacy "pg_stat_checkpointer_slru_written_total" [];
    /// When these statistics were last reset, as a Unix time (pg_stat_checkpointer.stats_reset).
    RESET: Gauge legacy "pg_stat_checkpointer_stats_reset_total" [];
}

const SQL_17: &str = "
SELECT num_timed, num_requested, NULL::int8, restartpoints_timed, restartpoints_req, restartpoints_done, write_time, sync_time,
       buffers_written, NULL::int8, extract(epoch FROM stats_reset)::float8 FROM pg_stat_checkpointer";

const SQL_18: &str = "
SELECT num_timed, num_requested, num_done, restartpoints_timed, restartpoints_req, restartpoints_done, write_time, sync_time,
       buffers_written, slru_written, extract(epoch FROM stats_reset)::float8 FROM pg_stat_checkpointer";

/// See the file.
pub struct Checkpointer;

impl Collector for Checkpointer {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Checkpoints and restartpoints, from PostgreSQL 17 on (pg_stat_checkpointer).";
    const ALIASES: &'static [&'static str] = &["stat_checkpointer"];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.facts.version < V17 {
            return Support::NotHere(
                "pg_stat_checkpointer came with PostgreSQL 17; the collector bgwriter has the checkpoints of this server",
            );
        }
        Support::Yes
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(if session.facts.version >= V18 { SQL_18 } else { SQL_17 }).await?;
        put!(out, TIMED {} = row.get::<i64>(0)?);
        put!(out, REQUESTED {} = row.get::<i64>(1)?);
        put!(out, DONE {} = row.get::<Option<i64>>(2)?);
        put!(out, RESTART_TIMED {} = row.get::<i64>(3)?);
        put!(out, RESTART_REQUESTED {} = row.get::<i64>(4)?);
        put!(out, RESTART_DONE {} = row.get::<i64>(5)?);
        put!(out, WRITE_TIME {} = row.get::<f64>(6)?);
        put!(out, SYNC_TIME {} = row.get::<f64>(7)?);
        put!(out, BUFFERS {} = row.get::<i64>(8)?);
        put!(out, SLRU {} = row.get::<Option<i64>>(9)?);
        put!(out, RESET {} = row.get::<Option<f64>>(10)?);
        Ok(())
    }
}
