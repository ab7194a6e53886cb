//! Buffers written by whom, and checkpoints, under the names that these have had since PostgreSQL 8.
//!
//! From pg_stat_bgwriter. PostgreSQL 17 took the checkpoints out of that view (pg_stat_checkpointer) and the backends'
//! writes (pg_stat_io); there they are read from the new places, so that old rules and panels go on. Readable by everybody.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V17, V18};

sage_common::metrics! {
    /// Checkpoints and restartpoints that began because their time had come (pg_stat_bgwriter; from 17 on pg_stat_checkpointer).
    TIMED: Counter legacy "pg_stat_bgwriter_checkpoints_timed_total" [];
    /// Checkpoints and restartpoints that were requested, mostly for WAL (pg_stat_bgwriter; from 17 on pg_stat_checkpointer).
    REQUESTED: Counter legacy "pg_stat_bgwriter_checkpoints_req_total" [];
    /// Milliseconds that checkpoints spent writing files (pg_stat_bgwriter; from 17 on pg_stat_checkpointer).
    WRITE_TIME: Counter legacy "pg_stat_bgwriter_checkpoint_write_time_total" [];
    /// Milliseconds that checkpoints spent syncing files (pg_stat_bgwriter; from 17 on pg_stat_checkpointer).
    SYNC_TIME: Counter legacy "pg_stat_bgwriter_checkpoint_sync_time_total" [];
    /// Buffers written by checkpoints (pg_stat_bgwriter; from 17 on pg_stat_checkpointer).
    BY_CHECKPOINT: Counter legacy "pg_stat_bgwriter_buffers_checkpoint_total" [];
    /// Buffers written by the background writer (pg_stat_bgwriter.buffers_clean).
    BY_WRITER: Counter legacy "pg_stat_bgwriter_buffers_clean_total" [];
    /// Times that the background writer stopped because it had written too many buffers (pg_stat_bgwriter.maxwritten_clean).
    MAX_WRITTEN: Counter legacy "pg_stat_bgwriter_maxwritten_clean_total" [];
    /// Buffers that backends had to write themselves (pg_stat_bgwriter; from 17 on pg_stat_io, relations).
    BY_BACKEND: Counter legacy "pg_stat_bgwriter_buffers_backend_total" [];
    /// Times that a backend had to sync a file itself (pg_stat_bgwriter; from 17 on pg_stat_io, relations).
    BACKEND_FSYNC: Counter legacy "pg_stat_bgwriter_buffers_backend_fsync_total" [];
    /// Buffers allocated (pg_stat_bgwriter.buffers_alloc).
    ALLOCATED: Counter legacy "pg_stat_bgwriter_buffers_alloc_total" [];
    /// When these statistics were last reset, as a Unix time (pg_stat_bgwriter.stats_reset).
    RESET: Gauge legacy "pg_stat_bgwriter_stats_reset_total" [];
}

const SQL_13: &str = "
SELECT checkpoints_timed, checkpoints_req, checkpoint_write_time, checkpoint_sync_time, buffers_checkpoint, buffers_clean,
       maxwritten_clean, buffers_backend, buffers_backend_fsync, buffers_alloc, extract(epoch FROM stats_reset)::float8
FROM pg_stat_bgwriter";

/// Before 17 the counts of checkpoints held the restartpoints of a standby, and each write was that of one buffer.
const SQL_17: &str = "
SELECT c.num_timed + c.restartpoints_timed, c.num_requested + c.restartpoints_req, c.write_time, c.sync_time, c.buffers_written,
       b.buffers_clean, b.maxwritten_clean, i.written::int8, i.fsyncs::int8, b.buffers_alloc, extract(epoch FROM b.stats_reset)::float8
FROM pg_stat_bgwriter b, pg_stat_checkpointer c,
     (SELECT coalesce(sum(writes), 0) + coalesce(sum(extends), 0) AS written, coalesce(sum(fsyncs), 0) AS fsyncs FROM pg_stat_io
      WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')) AS i";

/// From 18 on a write may be of many buffers.
const SQL_18: &str = "
SELECT c.num_timed + c.restartpoints_timed, c.num_requested + c.restartpoints_req, c.write_time, c.sync_time, c.buffers_written,
       b.buffers_clean, b.maxwritten_clean, i.written::int8, i.fsyncs::int8, b.buffers_alloc, extract(epoch FROM b.stats_reset)::float8
FROM pg_stat_bgwriter b, pg_stat_checkpointer c,
     (SELECT (coalesce(sum(write_bytes), 0) + coalesce(sum(extend_bytes), 0)) / current_setting('block_size')::int8 AS written,
             coalesce(sum(fsyncs), 0) AS fsyncs FROM pg_stat_io
      WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')) AS i";

/// See the file.
pub struct Bgwriter;

impl Collector for Bgwriter {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Buffers written and checkpoints (pg_stat_bgwriter; from 17 on also pg_stat_checkpointer, pg_stat_io).";
    const ALIASES: &'static [&'static str] = &["stat_bgwriter"];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let sql = match session.facts.version {
            V18.. => SQL_18,
            V17.. => SQL_17,
            _ => SQL_13,
        };
        let row = session.one(sql).await?;
        put!(out, TIMED {} = row.get::<i64>(0)?);
        put!(out, REQUESTED {} = row.get::<i64>(1)?);
        put!(out, WRITE_TIME {} = row.get::<f64>(2)?);
        put!(out, SYNC_TIME {} = row.get::<f64>(3)?);
        put!(out, BY_CHECKPOINT {} = row.get::<i64>(4)?);
        put!(out, BY_WRITER {} = row.get::<i64>(5)?);
        put!(out, MAX_WRITTEN {} = row.get::<i64>(6)?);
        put!(out, BY_BACKEND {} = row.get::<i64>(7)?);
        put!(out, BACKEND_FSYNC {} = row.get::<i64>(8)?);
        put!(out, ALLOCATED {} = row.get::<i64>(9)?);
        put!(out, RESET {} = row.get::<Option<f64>>(10)?);
        Ok(())
    }
}
