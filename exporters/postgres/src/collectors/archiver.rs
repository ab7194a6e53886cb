//! The WAL archiver: what it has done, and what waits for it.
//!
//! From pg_stat_archiver and archive_mode (everybody) and, where archiving is on, pg_ls_archive_statusdir() (pg_monitor).
//! A server that archives nothing says so with pg_archiver_enabled 0, so that a rule need not guess.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// 1 when this server archives its WAL, else 0; a standby does so only with archive_mode = always (archive_mode).
    ENABLED: Gauge "pg_archiver_enabled" [];
    /// WAL files archived (pg_stat_archiver.archived_count).
    ARCHIVED: Counter legacy "pg_stat_archiver_archived_count" [];
    /// Failed attempts to archive a WAL file (pg_stat_archiver.failed_count).
    FAILED: Counter legacy "pg_stat_archiver_failed_count" [];
    /// Seconds since a WAL file was last archived; absent when never (pg_stat_archiver.last_archived_time).
    AGE: Gauge legacy "pg_stat_archiver_last_archive_age" [];
    /// When a WAL file was last archived, as a Unix time; absent when never (pg_stat_archiver.last_archived_time).
    LAST_SUCCESS: Gauge "pg_archiver_last_success_timestamp_seconds" [];
    /// When archiving last failed, as a Unix time; absent when never (pg_stat_archiver.last_failed_time).
    LAST_FAILURE: Gauge "pg_archiver_last_failure_timestamp_seconds" [];
    /// WAL files that wait to be archived (pg_ls_archive_statusdir, .ready).
    READY: Gauge "pg_archiver_ready_segments" [];
}

const SQL: &str = "
SELECT archived_count, failed_count, extract(epoch FROM last_archived_time)::float8, extract(epoch FROM last_failed_time)::float8,
       extract(epoch FROM clock_timestamp() - last_archived_time)::float8,
       m = 'always' OR m = 'on' AND NOT pg_is_in_recovery(), has_function_privilege('pg_catalog.pg_ls_archive_statusdir()', 'execute')
FROM pg_stat_archiver, current_setting('archive_mode') AS m";

const WAITING: &str = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";

/// See the file.
pub struct Archiver;

impl Collector for Archiver {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "WAL files archived, failed and waiting (pg_stat_archiver, pg_ls_archive_statusdir).";
    const ALIASES: &'static [&'static str] = &["stat_archiver"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(SQL).await?;
        let (enabled, may_list): (bool, bool) = (row.get(5)?, row.get(6)?);
        put!(out, ENABLED {} = enabled);
        put!(out, ARCHIVED {} = row.get::<i64>(0)?);
        put!(out, FAILED {} = row.get::<i64>(1)?);
        put!(out, LAST_SUCCESS {} = row.get::<Option<f64>>(2)?);
        put!(out, LAST_FAILURE {} = row.get::<Option<f64>>(3)?);
        put!(out, AGE {} = row.get::<Option<f64>>(4)?.map(|age| age.max(0.0)));
        if enabled && may_list {
            put!(out, READY {} = session.one(WAITING).await?.get::<i64>(0)?);
        } else if enabled {
            out.lacks(GRANT);
        }
        Ok(())
    }
}
