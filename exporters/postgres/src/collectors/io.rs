//! Input and output of the server's processes, by kind of process, object and purpose.
//!
//! From pg_stat_io, PostgreSQL 16 on, readable by everybody; from 18 on with WAL. Combinations that have done nothing since
//! the last reset are left out. On request: even so it is hundreds of series. Times need track_io_timing (for WAL track_wal_io_timing).

use sage_common::collector::{Collector, Enabled, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V16, V18};

sage_common::metrics! {
    /// Read operations (pg_stat_io.reads).
    READS: Counter "pg_stat_io_reads_total" [backend_type, object, context];
    /// Bytes read (pg_stat_io.read_bytes; before 18 reads times op_bytes).
    READ_BYTES: Counter "pg_stat_io_read_bytes_total" [backend_type, object, context];
    /// Seconds spent reading (pg_stat_io.read_time).
    READ_TIME: Counter "pg_stat_io_read_seconds_total" [backend_type, object, context];
    /// Write operations (pg_stat_io.writes).
    WRITES: Counter "pg_stat_io_writes_total" [backend_type, object, context];
    /// Bytes written (pg_stat_io.write_bytes; before 18 writes times op_bytes).
    WRITE_BYTES: Counter "pg_stat_io_write_bytes_total" [backend_type, object, context];
    /// Seconds spent writing (pg_stat_io.write_time).
    WRITE_TIME: Counter "pg_stat_io_write_seconds_total" [backend_type, object, context];
    /// Operations that made a file longer (pg_stat_io.extends).
    EXTENDS: Counter "pg_stat_io_extends_total" [backend_type, object, context];
    /// Blocks found in shared buffers (pg_stat_io.hits).
    HITS: Counter "pg_stat_io_hits_total" [backend_type, object, context];
    /// Blocks that had to leave a buffer for another one (pg_stat_io.evictions).
    EVICTIONS: Counter "pg_stat_io_evictions_total" [backend_type, object, context];
    /// Files synced (pg_stat_io.fsyncs).
    FSYNCS: Counter "pg_stat_io_fsyncs_total" [backend_type, object, context];
    /// Seconds spent syncing files (pg_stat_io.fsync_time).
    FSYNC_TIME: Counter "pg_stat_io_fsync_seconds_total" [backend_type, object, context];
}

/// Times are 0 where nobody measures them, which is not the same as fast.
macro_rules! sql {
    ($read_bytes:literal, $write_bytes:literal) => {
        concat!(
            "SELECT backend_type, object, context, reads, ",
            $read_bytes,
            "::float8, CASE WHEN timed THEN read_time / 1e3 END, writes, ",
            $write_bytes,
            "::float8, CASE WHEN timed THEN write_time / 1e3 END, extends, hits, evictions, fsyncs, CASE WHEN timed THEN fsync_time / 1e3 END
             FROM (SELECT *, current_setting(CASE object WHEN 'wal' THEN 'track_wal_io_timing' ELSE 'track_io_timing' END) = 'on' AS timed
                   FROM pg_stat_io) AS i
             WHERE coalesce(reads, 0) + coalesce(writes, 0) + coalesce(extends, 0) + coalesce(hits, 0) + coalesce(fsyncs, 0) > 0"
        )
    };
}

const SQL_16: &str = sql!("reads * op_bytes", "writes * op_bytes");
const SQL_18: &str = sql!("read_bytes", "write_bytes");

/// See the file.
pub struct Io;

impl Collector for Io {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Input and output by kind of process, object and context, from PostgreSQL 16 on (pg_stat_io).";
    const ALIASES: &'static [&'static str] = &["stat_io"];
    const ENABLED: Enabled = Enabled::OnRequest;
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.facts.version >= V16 { Support::Yes } else { Support::NotHere("pg_stat_io came with PostgreSQL 16") }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows(if session.facts.version >= V18 { SQL_18 } else { SQL_16 }).await? {
            let (backend_type, object, context): (&str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?);
            put!(out, READS { backend_type, object, context } = row.get::<Option<i64>>(3)?);
            put!(out, READ_BYTES { backend_type, object, context } = row.get::<Option<f64>>(4)?);
            put!(out, READ_TIME { backend_type, object, context } = row.get::<Option<f64>>(5)?);
            put!(out, WRITES { backend_type, object, context } = row.get::<Option<i64>>(6)?);
            put!(out, WRITE_BYTES { backend_type, object, context } = row.get::<Option<f64>>(7)?);
            put!(out, WRITE_TIME { backend_type, object, context } = row.get::<Option<f64>>(8)?);
            put!(out, EXTENDS { backend_type, object, context } = row.get::<Option<i64>>(9)?);
            put!(out, HITS { backend_type, object, context } = row.get::<Option<i64>>(10)?);
            put!(out, EVICTIONS { backend_type, object, context } = row.get::<Option<i64>>(11)?);
            put!(out, FSYNCS { backend_type, object, context } = row.get::<Option<i64>>(12)?);
            put!(out, FSYNC_TIME { backend_type, object, context } = row.get::<Option<f64>>(13)?);
        }
        Ok(())
    }
}
