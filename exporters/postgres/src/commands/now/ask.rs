//! The questions of `now`, one after the other over one session; a part that fails costs the others nothing.
//!
//! From pg_stat_activity, pg_locks, pg_stat_database, pg_stat_replication, pg_stat_wal_receiver; all versions. Others'
//! states and statements need pg_monitor.

use std::collections::BTreeSet;

use sage_common::commands::now::Problem;
use sage_common::commands::terminal::plain;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;

use super::{Blocked, Connections, Deadlocks, Now, Replication, Server, Session, Standby, deadlock, locks};
use crate::options::Options;
use crate::session::{GRANT, Pg, Row};
use crate::sqltext::without_values;

/// Most sessions that are looked at one by one: far more than are shown, and a bound for the answer.
const MOST_SESSIONS: i64 = 2000;

const SERVER: &str = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
    extract(epoch FROM now() - pg_postmaster_start_time())::float8, pg_is_in_recovery()";

const CONNECTIONS: &str = "SELECT count(*), count(*) FILTER (WHERE state IN ('active', 'fastpath function call')), count(*) FILTER (WHERE state = 'idle'),
    count(*) FILTER (WHERE state LIKE 'idle in transaction%'), count(*) FILTER (WHERE state IS NULL), count(*) FILTER (WHERE application_name LIKE 'sage-postgres-%')
    FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL";

/// Of a session that may not be looked at, only role and database are told. Idle sessions only where others wait for them ($1), and none of ours.
const SESSIONS: &str = "SELECT s.pid, s.datname::text, s.usename::text, coalesce(s.application_name, ''), s.client_addr::text, s.state, s.wait_event_type, s.wait_event,
    extract(epoch FROM clock_timestamp() - CASE WHEN s.state = 'active' THEN s.query_start ELSE s.state_change END)::float8,
    extract(epoch FROM clock_timestamp() - s.xact_start)::float8, left(s.query, 4096), s.backend_type
    FROM pg_stat_activity s WHERE s.pid <> pg_backend_pid() AND (s.pid = ANY($1) OR coalesce(s.application_name, '') <> 'sage-postgres-exporter'
      AND (s.backend_type IN ('client backend', 'autovacuum worker', 'logical replication worker') AND s.state <> 'idle'
        OR s.backend_type IS NULL AND s.usesysid IS NOT NULL AND s.datid IS NOT NULL))
    ORDER BY s.pid = ANY($1) DESC, s.xact_start NULLS LAST LIMIT $2";

const DEADLOCKS: &str =
    "SELECT coalesce(sum(deadlocks), 0)::int8, to_char(min(stats_reset) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
    coalesce((array_agg(datname::text ORDER BY deadlocks DESC) FILTER (WHERE deadlocks > 0))[1:5], '{}') FROM pg_stat_database";

const STANDBYS: &str = "SELECT application_name, state, sync_state,
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, replay_lsn)::float8
    FROM pg_stat_replication ORDER BY 1, pid LIMIT 20";

const STANDBY: &str = "SELECT (SELECT status FROM pg_stat_wal_receiver), pg_is_wal_replay_paused(),
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8";

/// Asks all of it.
pub async fn all(session: &Pg, options: &Options, limit: i64, deadline: Deadline) -> Result<Now, CollectError> {
    use sage_common::service::TargetOptions as _;
    let row = session.one(SERVER).await?;
    let standby: bool = row.get(2)?;
    let mut now = Now {
        server: Server {
            address: options.describe(),
            version: session.facts.version_text.clone(),
            role: if standby { "standby" } else { "primary" },
            at: row.get(0)?,
            up_seconds: row.get(1)?,
        },
        hidden: (!session.facts.reads_stats).then_some(GRANT),
        ..Now::default()
    };
    let mut problems = Vec::new();
    now.connections = part("connections", connections(session).await, &mut problems);
    let waits = part("locks", locks::waits(session).await, &mut problems);
    let needed: BTreeSet<i32> = waits.rows.iter().flat_map(|wait| wait.blockers.iter().chain([&wait.pid])).copied().collect();
    let sessions = part("sessions", sessions(session, &needed.into_iter().collect::<Vec<_>>()).await, &mut problems);
    now.replication = part("replication", replication(session, standby).await, &mut problems);
    now.deadlocks = part("deadlocks", deadlocks(session, options).await, &mut problems);
    let names = locks::names(session, options, &waits, deadline, &mut problems).await;
    now.blocked = Blocked { waiting: waits.total, longest_seconds: waits.longest, ..locks::tree(&waits, &sessions, &names, limit) };
    sort(&mut now, sessions, limit);
    now.problems = problems;
    Ok(now)
}

/// The part, or nothing and the reason.
pub fn part<T: Default>(part: &'static str, result: Result<T, CollectError>, problems: &mut Vec<Problem>) -> T {
    result.unwrap_or_else(|error| {
        problems.push(Problem::new(part, &error));
        T::default()
    })
}

async fn connections(session: &Pg) -> Result<Connections, CollectError> {
    let row = session.one(CONNECTIONS).await?;
    Ok(Connections {
        limit: session.facts.connections_max,
        used: row.get(0)?,
        active: row.get(1)?,
        idle: row.get(2)?,
        idle_in_transaction: row.get(3)?,
        unknown: row.get(4)?,
        monitoring: row.get(5)?,
    })
}

async fn sessions(session: &Pg, needed: &[i32]) -> Result<Vec<Session>, CollectError> {
    session.rows_with(SESSIONS, &[&needed, &MOST_SESSIONS]).await?.iter().map(one_session).collect()
}

fn one_session(row: &Row) -> Result<Session, CollectError> {
    /// What stands for the statement of a session that the role may not look at.
    const HIDDEN: &str = "<insufficient privilege>";
    let text = |column: usize| Ok::<_, CollectError>(row.get::<Option<&str>>(column)?.map(plain));
    let wait = match (text(6)?, text(7)?) {
        (Some(kind), Some(event)) => Some(format!("{kind}: {event}")),
        _ => None,
    };
    let sql = row.get::<Option<&str>>(10)?.filter(|sql| !sql.is_empty() && *sql != HIDDEN);
    // The background workers have no name of their own.
    let application = row.get::<&str>(3)?;
    let application = if application.is_empty() {
        row.get::<Option<&str>>(11)?.filter(|kind| *kind != "client backend").unwrap_or("")
    } else {
        application
    };
    Ok(Session {
        pid: row.get(0)?,
        database: text(1)?,
        user: text(2)?,
        application: plain(application),
        client: text(4)?,
        state: text(5)?,
        wait,
        seconds: row.get::<Option<f64>>(8)?.map(|s| s.max(0.0)),
        transaction_seconds: row.get::<Option<f64>>(9)?.map(|s| s.max(0.0)),
        sql: sql.map(without_values),
    })
}

async fn replication(session: &Pg, standby: bool) -> Result<Replication, CollectError> {
    let mut found = Replication::default();
    for row in session.rows(STANDBYS).await? {
        found.standbys.push(Standby {
            name: plain(row.get::<Option<&str>>(0)?.unwrap_or_default()),
            state: row.get(1)?,
            sync: row.get(2)?,
            behind_bytes: row.get(3)?,
        });
    }
    if standby {
        let row = session.one(STANDBY).await?;
        (found.receiver, found.replay_paused, found.last_replayed_seconds) = (row.get(0)?, Some(row.get(1)?), row.get(2)?);
    }
    Ok(found)
}

async fn deadlocks(session: &Pg, options: &Options) -> Result<Deadlocks, CollectError> {
    let row = session.one(DEADLOCKS).await?;
    let databases: Vec<String> = row.get(2)?;
    let count: i64 = row.get(0)?;
    let mut last_in_log = None;
    // Before PostgreSQL 15 the counters may be younger than the last one in the log.
    if options.is_local() {
        let file = match &options.log_file {
            Some(file) => Some(file.clone()),
            None => session.request().await?.place.file(None),
        };
        last_in_log = file.and_then(|file| deadlock::last(&file));
    }
    Ok(Deadlocks { count, since: row.get(1)?, databases: databases.iter().map(|name| plain(name)).collect(), last_in_log })
}

/// Puts the sessions into their lists.
fn sort(now: &mut Now, sessions: Vec<Session>, limit: i64) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let longest = |mut list: Vec<Session>, by: fn(&Session) -> Option<f64>| {
        list.sort_by(|a, b| by(b).unwrap_or(-1.0).total_cmp(&by(a).unwrap_or(-1.0)));
        list.truncate(limit);
        list
    };
    let is = |session: &Session, state: &str| session.state.as_deref().is_some_and(|s| s.starts_with(state));
    let of = |wanted: &dyn Fn(&Session) -> bool| sessions.iter().filter(|session| wanted(session)).cloned().collect::<Vec<_>>();
    now.idle_in_transaction = longest(of(&|s| is(s, "idle in transaction")), |s| s.seconds);
    now.transactions = longest(of(&|s| s.transaction_seconds.is_some()), |s| s.transaction_seconds);
    // Hidden ones may run or not: they are shown where they are, last.
    now.running = longest(of(&|s| !is(s, "idle")), |s| s.seconds);
}
