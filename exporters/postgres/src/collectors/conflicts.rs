//! Sessions that a standby cancelled because replay needed what they held, by cause.
//!
//! From pg_stat_database_conflicts, all versions, readable by everybody. A primary cancels nobody for this, so that its page
//! has no zeros of it; all causes together are `pg_stat_database_conflicts` of the collector `database`. The last cause came
//! with PostgreSQL 16.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V16};

sage_common::metrics! {
    /// Queries cancelled because a tablespace was dropped (pg_stat_database_conflicts.confl_tablespace).
    TABLESPACE: Counter legacy "pg_stat_database_conflicts_confl_tablespace" [datid, datname];
    /// Queries cancelled because they held a lock that replay needed (pg_stat_database_conflicts.confl_lock).
    LOCK: Counter legacy "pg_stat_database_conflicts_confl_lock" [datid, datname];
    /// Queries cancelled because they might have needed rows that were cleaned up (pg_stat_database_conflicts.confl_snapshot).
    SNAPSHOT: Counter legacy "pg_stat_database_conflicts_confl_snapshot" [datid, datname];
    /// Queries cancelled because they kept a buffer that replay had to clean (pg_stat_database_conflicts.confl_bufferpin).
    BUFFERPIN: Counter legacy "pg_stat_database_conflicts_confl_bufferpin" [datid, datname];
    /// Queries cancelled because of a deadlock with replay (pg_stat_database_conflicts.confl_deadlock).
    DEADLOCK: Counter legacy "pg_stat_database_conflicts_confl_deadlock" [datid, datname];
    /// Uses of logical slots cancelled because of old snapshots or a wal_level that is too low; PostgreSQL 16 and newer
    /// (pg_stat_database_conflicts.confl_active_logicalslot).
    LOGICAL_SLOT: Counter legacy "pg_stat_database_conflicts_confl_active_logicalslot" [datid, datname];
}

/// The columns of all versions; the macro adds that of some.
macro_rules! sql {
    ($more:literal) => {
        concat!(
            "SELECT datid, datname::text, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin, confl_deadlock, ",
            $more,
            " FROM pg_stat_database_conflicts"
        )
    };
}

/// See the file.
pub struct Conflicts;

impl Collector for Conflicts {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Sessions of a standby cancelled for replay, by cause (pg_stat_database_conflicts).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.is_standby() { Support::Yes } else { Support::NotHere("only a standby cancels sessions for the sake of replay") }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let sql = if session.facts.version >= V16 { sql!("confl_active_logicalslot") } else { sql!("NULL::int8") };
        for row in session.rows(sql).await? {
            let (datid, datname): (u32, &str) = (row.get(0)?, row.get(1)?);
            put!(out, TABLESPACE { datid, datname } = row.get::<i64>(2)?);
            put!(out, LOCK { datid, datname } = row.get::<i64>(3)?);
            put!(out, SNAPSHOT { datid, datname } = row.get::<i64>(4)?);
            put!(out, BUFFERPIN { datid, datname } = row.get::<i64>(5)?);
            put!(out, DEADLOCK { datid, datname } = row.get::<i64>(6)?);
            put!(out, LOGICAL_SLOT { datid, datname } = row.get::<Option<i64>>(7)?);
        }
        Ok(())
    }
}
