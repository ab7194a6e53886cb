//! Counters of each database since its statistics were reset.
//!
//! From pg_stat_database, all versions, readable by everybody. Names as postgres_exporter has them, with counters typed
//! as counters; the block times stay in milliseconds under the peer's names. Sessions and their times came with
//! PostgreSQL 14. Checksum failures are told only where data checksums are on, those of shared objects as `_shared`.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, Row, V14};

sage_common::metrics! {
    /// Sessions connected to the database (pg_stat_database.numbackends).
    NUMBACKENDS: Gauge legacy "pg_stat_database_numbackends" [datid, datname];
    /// When the database's statistics were last reset, as a Unix time (pg_stat_database.stats_reset).
    STATS_RESET: Gauge legacy "pg_stat_database_stats_reset" [datid, datname];
    /// Transactions committed (pg_stat_database.xact_commit).
    XACT_COMMIT: Counter legacy "pg_stat_database_xact_commit" [datid, datname];
    /// Transactions rolled back (pg_stat_database.xact_rollback).
    XACT_ROLLBACK: Counter legacy "pg_stat_database_xact_rollback" [datid, datname];
    /// Blocks read from disk or the system's cache (pg_stat_database.blks_read).
    BLKS_READ: Counter legacy "pg_stat_database_blks_read" [datid, datname];
    /// Blocks found in shared buffers (pg_stat_database.blks_hit).
    BLKS_HIT: Counter legacy "pg_stat_database_blks_hit" [datid, datname];
    /// Rows returned by scans (pg_stat_database.tup_returned).
    TUP_RETURNED: Counter legacy "pg_stat_database_tup_returned" [datid, datname];
    /// Rows fetched by index scans (pg_stat_database.tup_fetched).
    TUP_FETCHED: Counter legacy "pg_stat_database_tup_fetched" [datid, datname];
    /// Rows inserted (pg_stat_database.tup_inserted).
    TUP_INSERTED: Counter legacy "pg_stat_database_tup_inserted" [datid, datname];
    /// Rows updated (pg_stat_database.tup_updated).
    TUP_UPDATED: Counter legacy "pg_stat_database_tup_updated" [datid, datname];
    /// Rows deleted (pg_stat_database.tup_deleted).
    TUP_DELETED: Counter legacy "pg_stat_database_tup_deleted" [datid, datname];
    /// Queries cancelled on a standby because of recovery (pg_stat_database.conflicts).
    CONFLICTS: Counter legacy "pg_stat_database_conflicts" [datid, datname];
    /// Temporary files written (pg_stat_database.temp_files).
    TEMP_FILES: Counter legacy "pg_stat_database_temp_files" [datid, datname];
    /// Bytes written to temporary files (pg_stat_database.temp_bytes).
    TEMP_BYTES: Counter legacy "pg_stat_database_temp_bytes" [datid, datname];
    /// Deadlocks detected (pg_stat_database.deadlocks).
    DEADLOCKS: Counter legacy "pg_stat_database_deadlocks" [datid, datname];
    /// Milliseconds spent reading blocks, with track_io_timing (pg_stat_database.blk_read_time).
    BLK_READ_TIME: Counter legacy "pg_stat_database_blk_read_time" [datid, datname];
    /// Milliseconds spent writing blocks, with track_io_timing (pg_stat_database.blk_write_time).
    BLK_WRITE_TIME: Counter legacy "pg_stat_database_blk_write_time" [datid, datname];
    /// Pages whose checksum was wrong; absent where data checksums are off (pg_stat_database.checksum_failures).
    CHECKSUM_FAILURES: Counter "pg_stat_database_checksum_failures_total" [datname];
    /// When a checksum was last wrong, as a Unix time; absent when never (pg_stat_database.checksum_last_failure).
    CHECKSUM_LAST: Gauge "pg_stat_database_checksum_last_failure_timestamp_seconds" [datname];
    /// Sessions opened (pg_stat_database.sessions).
    SESSIONS: Counter "pg_stat_database_sessions_total" [datname];
    /// Sessions that ended otherwise than by their client's will: abandoned (client lost), fatal (error), killed (operator)
    /// (pg_stat_database.sessions_*).
    SESSIONS_LOST: Counter "pg_stat_database_sessions_lost_total" [datname, end];
    /// Seconds that sessions lasted (pg_stat_database.session_time).
    SESSION_TIME: Counter "pg_stat_database_session_time_seconds_total" [datname];
    /// Seconds that sessions spent executing statements (pg_stat_database.active_time).
    ACTIVE_TIME: Counter legacy "pg_stat_database_active_time_seconds_total" [datid, datname];
    /// Seconds that sessions spent idle in a transaction (pg_stat_database.idle_in_transaction_time).
    IDLE_TIME: Counter "pg_stat_database_idle_in_transaction_time_seconds_total" [datname];
}

/// The columns of all versions; the macro adds those of some.
macro_rules! sql {
    ($more:literal) => {
        concat!(
            "SELECT datid, coalesce(datname::text, ''), numbackends::float8, extract(epoch FROM stats_reset)::float8,
                    xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted,
                    conflicts, temp_files, temp_bytes, deadlocks, blk_read_time, blk_write_time,
                    checksum_failures, extract(epoch FROM checksum_last_failure)::float8, ",
            $more,
            " FROM pg_stat_database"
        )
    };
}

const SQL_13: &str = sql!("NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::float8, NULL::float8, NULL::float8");
const SQL_14: &str = sql!(
    "sessions, sessions_abandoned, sessions_fatal, sessions_killed, session_time / 1e3, active_time / 1e3, idle_in_transaction_time / 1e3"
);

/// See the file.
pub struct Database;

impl Collector for Database {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Counters of each database (pg_stat_database).";
    const ALIASES: &'static [&'static str] = &["stat_database"];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows(if session.facts.version >= V14 { SQL_14 } else { SQL_13 }).await? {
            let (datid, datname): (u32, &str) = (row.get(0)?, row.get(1)?);
            let is_shared = datname.is_empty();
            put!(out, CHECKSUM_FAILURES { datname: if is_shared { "_shared" } else { datname } } = row.get::<Option<i64>>(19)?);
            put!(out, CHECKSUM_LAST { datname: if is_shared { "_shared" } else { datname } } = row.get::<Option<f64>>(20)?);
            // Of shared objects the peer tells nothing else.
            if !is_shared {
                write(&row, datid, datname, out)?;
            }
        }
        Ok(())
    }
}

fn write(row: &Row, datid: u32, datname: &str, out: &mut Sink) -> Result<(), CollectError> {
    put!(out, NUMBACKENDS { datid, datname } = row.get::<f64>(2)?);
    put!(out, STATS_RESET { datid, datname } = row.get::<Option<f64>>(3)?);
    put!(out, XACT_COMMIT { datid, datname } = row.get::<i64>(4)?);
    put!(out, XACT_ROLLBACK { datid, datname } = row.get::<i64>(5)?);
    put!(out, BLKS_READ { datid, datname } = row.get::<i64>(6)?);
    put!(out, BLKS_HIT { datid, datname } = row.get::<i64>(7)?);
    put!(out, TUP_RETURNED { datid, datname } = row.get::<i64>(8)?);
    put!(out, TUP_FETCHED { datid, datname } = row.get::<i64>(9)?);
    put!(out, TUP_INSERTED { datid, datname } = row.get::<i64>(10)?);
    put!(out, TUP_UPDATED { datid, datname } = row.get::<i64>(11)?);
    put!(out, TUP_DELETED { datid, datname } = row.get::<i64>(12)?);
    put!(out, CONFLICTS { datid, datname } = row.get::<i64>(13)?);
    put!(out, TEMP_FILES { datid, datname } = row.get::<i64>(14)?);
    put!(out, TEMP_BYTES { datid, datname } = row.get::<i64>(15)?);
    put!(out, DEADLOCKS { datid, datname } = row.get::<i64>(16)?);
    put!(out, BLK_READ_TIME { datid, datname } = row.get::<f64>(17)?);
    put!(out, BLK_WRITE_TIME { datid, datname } = row.get::<f64>(18)?);
    put!(out, SESSIONS { datname } = row.get::<Option<i64>>(21)?);
    put!(out, SESSIONS_LOST { datname, end: "abandoned" } = row.get::<Option<i64>>(22)?);
    put!(out, SESSIONS_LOST { datname, end: "fatal" } = row.get::<Option<i64>>(23)?);
    put!(out, SESSIONS_LOST { datname, end: "killed" } = row.get::<Option<i64>>(24)?);
    put!(out, SESSION_TIME { datname } = row.get::<Option<f64>>(25)?);
    put!(out, ACTIVE_TIME { datid, datname } = row.get::<Option<f64>>(26)?);
    put!(out, IDLE_TIME { datname } = row.get::<Option<f64>>(27)?);
    Ok(())
}
