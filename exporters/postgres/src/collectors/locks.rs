//! Locks held and waited for, who is blocked and for how long.
//!
//! From pg_locks and, only while somebody waits, pg_blocking_pids() (which stops the lock manager for a moment). The time
//! of a wait is pg_locks.waitstart from PostgreSQL 14 on, the start of the waiting query before.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V14};

sage_common::metrics! {
    /// Locks held and waited for, by database and mode (pg_locks).
    COUNT: Gauge legacy "pg_locks_count" [datname, mode];
    /// Locks that somebody waits for, by mode (pg_locks, not granted).
    WAITS: Gauge "pg_lock_waits" [mode];
    /// Sessions that wait for a lock (pg_locks, not granted).
    BLOCKED: Gauge "pg_blocked_sessions" [];
    /// Sessions that others wait for (pg_blocking_pids).
    BLOCKING: Gauge "pg_blocking_sessions" [];
    /// How long the session that waits longest has waited, in seconds; 0 when none waits.
    LONGEST: Gauge "pg_longest_blocked_seconds" [];
}

const SQL: &str = "
SELECT coalesce(d.datname::text, ''), lower(l.mode), count(*), count(*) FILTER (WHERE NOT l.granted)
FROM pg_locks l LEFT JOIN pg_database d ON d.oid = l.database
WHERE l.pid IS DISTINCT FROM pg_backend_pid() GROUP BY 1, 2";

const BLOCKED_14: &str = "
SELECT count(DISTINCT l.pid), count(DISTINCT b.pid), coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8
FROM pg_locks l LEFT JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS b(pid) ON true WHERE NOT l.granted";

const BLOCKED_13: &str = "
SELECT count(DISTINCT l.pid), count(DISTINCT b.pid), coalesce(max(extract(epoch FROM clock_timestamp() - a.query_start)), 0)::float8
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS b(pid) ON true WHERE NOT l.granted";

/// The modes of relation locks, as the peer writes them.
const MODES: [&str; 9] = [
    "accesssharelock",
    "rowsharelock",
    "rowexclusivelock",
    "shareupdateexclusivelock",
    "sharelock",
    "sharerowexclusivelock",
    "exclusivelock",
    "accessexclusivelock",
    "sireadlock",
];

/// See the file.
pub struct Locks;

impl Collector for Locks {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Locks by mode, waiters and blockers (pg_locks, pg_blocking_pids).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let mut waits = MODES.map(|mode| (mode, 0_i64));
        for row in session.rows(SQL).await? {
            let (datname, mode): (String, String) = (row.get(0)?, row.get(1)?);
            put!(out, COUNT { datname, mode } = row.get::<i64>(2)?);
            if let Some((_, n)) = waits.iter_mut().find(|(known, _)| *known == mode) {
                *n += row.get::<i64>(3)?;
            }
        }
        for (mode, n) in waits {
            put!(out, WAITS { mode } = n);
        }
        if waits.iter().all(|(_, n)| *n == 0) {
            put!(out, BLOCKED {} = 0);
            put!(out, BLOCKING {} = 0);
            put!(out, LONGEST {} = 0);
            return Ok(());
        }
        let row = session.one(if session.facts.version >= V14 { BLOCKED_14 } else { BLOCKED_13 }).await?;
        put!(out, BLOCKED {} = row.get::<i64>(0)?);
        put!(out, BLOCKING {} = row.get::<i64>(1)?);
        put!(out, LONGEST {} = row.get::<f64>(2)?.max(0.0));
        Ok(())
    }
}
