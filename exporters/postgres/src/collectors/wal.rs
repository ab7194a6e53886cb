//! Write-ahead log: what lies on disk, what is generated, and the present position.
//!
//! From pg_ls_waldir() (pg_monitor), pg_stat_wal (PostgreSQL 14 on, everybody), pg_current_wal_lsn() or on a standby
//! pg_last_wal_replay_lsn(). Without the grant all but the files is read.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg, V14};

sage_common::metrics! {
    /// Files of write-ahead log on disk (pg_ls_waldir).
    SEGMENTS: Gauge legacy "pg_wal_segments" [];
    /// Bytes of write-ahead log on disk (pg_ls_waldir).
    SIZE: Gauge legacy "pg_wal_size_bytes" [];
    /// Position in the write-ahead log in bytes: written by a primary, replayed by a standby (pg_current_wal_lsn, pg_last_wal_replay_lsn).
    LOCATION: Counter legacy "pg_xlog_location_bytes" [];
    /// WAL records generated (pg_stat_wal.wal_records).
    RECORDS: Counter "pg_stat_wal_records_total" [];
    /// Full page images in WAL (pg_stat_wal.wal_fpi).
    PAGES: Counter "pg_stat_wal_full_page_images_total" [];
    /// Bytes of WAL generated (pg_stat_wal.wal_bytes).
    BYTES: Counter "pg_stat_wal_bytes_total" [];
    /// Times that WAL was written because its buffers were full (pg_stat_wal.wal_buffers_full).
    BUFFERS_FULL: Counter "pg_stat_wal_buffers_full_total" [];
}

const SQL_13: &str = "
SELECT has_function_privilege('pg_catalog.pg_ls_waldir()', 'execute'),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0')::float8,
       NULL::int8, NULL::int8, NULL::float8, NULL::int8";

const SQL_14: &str = "
SELECT has_function_privilege('pg_catalog.pg_ls_waldir()', 'execute'),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0')::float8,
       wal_records, wal_fpi, wal_bytes::float8, wal_buffers_full FROM pg_stat_wal";

/// The folder holds other files as well: history, backup labels, what the archiver is to do.
const FILES: &str = "SELECT count(*), coalesce(sum(size), 0)::float8 FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";

/// See the file.
pub struct Wal;

impl Collector for Wal {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Write-ahead log on disk and generated (pg_ls_waldir, pg_stat_wal, pg_current_wal_lsn).";
    const ALIASES: &'static [&'static str] = &["xlog_location"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(if session.facts.version >= V14 { SQL_14 } else { SQL_13 }).await?;
        put!(out, LOCATION {} = row.get::<Option<f64>>(1)?);
        put!(out, RECORDS {} = row.get::<Option<i64>>(2)?);
        put!(out, PAGES {} = row.get::<Option<i64>>(3)?);
        put!(out, BYTES {} = row.get::<Option<f64>>(4)?);
        put!(out, BUFFERS_FULL {} = row.get::<Option<i64>>(5)?);
        if row.get::<bool>(0)? {
            let row = session.one(FILES).await?;
            put!(out, SEGMENTS {} = row.get::<i64>(0)?);
            put!(out, SIZE {} = row.get::<f64>(1)?);
        } else {
            out.lacks(GRANT);
        }
        Ok(())
    }
}
