//! Who waits for a lock, for whom, on which relation: a tree of blockers and those who wait.
//!
//! From pg_locks and, for those who wait longest, pg_blocking_pids(). A wait began at pg_locks.waitstart from PostgreSQL
//! 14 on, with the waiting statement before. Names of relations are asked in their own databases, of which few are visited.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sage_common::commands::now::Problem;
use sage_common::commands::terminal::plain;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;
use sage_common::service::Phases;

use super::ask::part;
use super::{Blocked, Lock, Node, Session};
use crate::options::Options;
use crate::session::{Pg, V14};

/// What is asked of those who wait; the start of the wait differs by version. A row's lock is waited for as the holder's
/// transaction; the first who waits holds the row's tuple lock meanwhile, which names the relation.
macro_rules! waits {
    ($since:literal) => {
        concat!(
            "WITH locks AS MATERIALIZED (SELECT * FROM pg_locks), w AS (SELECT l.*, ",
            $since,
            " AS since FROM locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted),
            first AS (SELECT * FROM w ORDER BY since NULLS LAST, pid LIMIT 200)
            SELECT f.pid, f.locktype, f.mode, coalesce(nullif(f.database, 0), t.database, 0), coalesce(f.relation, t.relation), d.datname::text,
              coalesce(extract(epoch FROM clock_timestamp() - f.since), 0)::float8, b.pids[1:20], cardinality(b.pids),
              (SELECT count(DISTINCT pid) FROM w), (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - since)), 0)::float8 FROM w)
            FROM first f LEFT JOIN LATERAL (SELECT database, relation FROM locks t WHERE t.pid = f.pid AND t.granted AND t.locktype = 'tuple' LIMIT 1) t ON true
            LEFT JOIN pg_database d ON d.oid = coalesce(nullif(f.database, 0), t.database)
            CROSS JOIN LATERAL (SELECT pg_blocking_pids(f.pid) AS pids OFFSET 0) b ORDER BY f.since NULLS LAST, f.pid"
        )
    };
}
const WAITS_14: &str = waits!("coalesce(l.waitstart, a.query_start)");
const WAITS_13: &str = waits!("a.query_start");

const NAMES: &str =
    "SELECT c.oid, n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1)";
const OWN_DATABASE: &str = "SELECT oid FROM pg_database WHERE datname = current_database()";

/// Most other databases that are visited to name relations.
const MOST_DATABASES: usize = 3;
/// Longest visit.
const VISIT: Duration = Duration::from_secs(1);

/// All who wait, and the longest waiting of them one by one.
#[derive(Default)]
pub struct Waits {
    pub total: i64,
    pub longest: f64,
    pub rows: Vec<Wait>,
}

/// One who waits.
pub struct Wait {
    pub pid: i32,
    kind: String,
    mode: String,
    relation: Option<(u32, u32)>,
    database: Option<String>,
    seconds: f64,
    /// Those it waits for; 0 stands for a prepared transaction.
    pub blockers: Vec<i32>,
    blocked_by: usize,
}

/// Asks who waits.
pub async fn waits(session: &Pg) -> Result<Waits, CollectError> {
    let mut found = Waits::default();
    for row in session.rows(if session.facts.version >= V14 { WAITS_14 } else { WAITS_13 }).await? {
        (found.total, found.longest) = (row.get(9)?, row.get::<f64>(10)?.max(0.0));
        let database: u32 = row.get(3)?;
        found.rows.push(Wait {
            pid: row.get(0)?,
            kind: row.get(1)?,
            mode: row.get(2)?,
            relation: row.get::<Option<u32>>(4)?.map(|relation| (database, relation)),
            database: row.get::<Option<&str>>(5)?.map(plain),
            seconds: row.get::<f64>(6)?.max(0.0),
            blockers: row.get(7)?,
            blocked_by: usize::try_from(row.get::<i32>(8)?).unwrap_or_default(),
        });
    }
    Ok(found)
}

/// Names of relations by database and number.
pub type Names = BTreeMap<(u32, u32), String>;

/// Asks for the names of what is waited for: here, and in a few other databases over a connection of their own.
pub async fn names(session: &Pg, options: &Options, waits: &Waits, deadline: Deadline, problems: &mut Vec<Problem>) -> Names {
    let mut wanted: BTreeMap<u32, (Option<String>, BTreeSet<u32>)> = BTreeMap::new();
    for wait in &waits.rows {
        if let Some((database, relation)) = wait.relation {
            wanted.entry(database).or_insert_with(|| (wait.database.clone(), BTreeSet::new())).1.insert(relation);
        }
    }
    let mut out = Names::new();
    if wanted.is_empty() {
        return out;
    }
    let own = async { session.one(OWN_DATABASE).await?.get::<u32>(0) };
    let own = part("relations", own.await, problems);
    let mut visits = 0;
    for (database, (name, relations)) in wanted {
        let relations: Vec<u32> = relations.into_iter().collect();
        // Database 0: relations that all databases share.
        let found = if database == own || database == 0 {
            ask_names(session, &relations).await
        } else if let (Some(name), true) = (name, visits < MOST_DATABASES) {
            visits += 1;
            let visit = async {
                let there = Pg::connect(options, &name, &mut Phases::default()).await?;
                let found = ask_names(&there, &relations).await;
                there.close().await;
                found
            };
            deadline.slice(VISIT).run(visit).await.unwrap_or_else(|_| Err(CollectError::timeout("name the relations of another database")))
        } else {
            continue;
        };
        let found = part("relations", found, problems);
        out.extend(found.into_iter().map(|(relation, name)| ((database, relation), name)));
    }
    out
}

async fn ask_names(session: &Pg, relations: &[u32]) -> Result<Vec<(u32, String)>, CollectError> {
    session.rows_with(NAMES, &[&relations]).await?.iter().map(|row| Ok((row.get(0)?, plain(row.get(1)?)))).collect()
}

/// The tree: each waiter below the one it waits for, the longest wait first; at most `limit` who wait.
pub fn tree(waits: &Waits, sessions: &[Session], names: &Names, limit: i64) -> Blocked {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let by_pid: BTreeMap<i32, &Wait> = waits.rows.iter().map(|wait| (wait.pid, wait)).collect();
    let mut below: BTreeMap<i32, Vec<&Wait>> = BTreeMap::new();
    let mut roots: Vec<i32> = Vec::new();
    for wait in waits.rows.iter().take(limit) {
        let parent = parent_of(wait, &by_pid);
        below.entry(parent).or_default().push(wait);
        if !by_pid.contains_key(&parent) && !roots.contains(&parent) {
            roots.push(parent);
        }
    }
    let session = |pid: i32| {
        let known = sessions.iter().find(|session| session.pid == pid).cloned();
        known.unwrap_or_else(|| Session {
            pid,
            application: if pid == 0 { "a prepared transaction".to_owned() } else { String::new() },
            ..Session::default()
        })
    };
    let mut tree = Vec::new();
    let mut seen = BTreeSet::new();
    let mut todo: Vec<(usize, i32)> = roots.iter().rev().map(|pid| (0, *pid)).collect();
    // A cycle has no root: a deadlock that the server has not found yet. Its longest waiting member begins it.
    let mut cycles = waits.rows.iter().take(limit).map(|wait| wait.pid);
    while let Some((depth, pid)) = todo.pop().or_else(|| cycles.find(|pid| !seen.contains(pid)).map(|pid| (0, pid))) {
        if !seen.insert(pid) {
            continue;
        }
        let wait = by_pid.get(&pid);
        tree.push(Node {
            depth,
            session: session(pid),
            waits_for: wait.map(|wait| Lock {
                kind: wait.kind.clone(),
                mode: wait.mode.clone(),
                database: wait.database.clone(),
                relation: wait.relation.map(|at| names.get(&at).cloned().unwrap_or_else(|| format!("number {}", at.1))),
                seconds: wait.seconds,
            }),
            blocked_by: wait.map_or(0, |wait| wait.blocked_by),
        });
        todo.extend(below.get(&pid).into_iter().flatten().rev().map(|wait| (depth + 1, wait.pid)));
    }
    let shown = i64::try_from(tree.iter().filter(|node| node.waits_for.is_some()).count()).unwrap_or(i64::MAX);
    Blocked { left_out: (waits.total - shown).max(0), tree, ..Blocked::default() }
}

/// Of those whom it waits for: one who waits for nobody, else the one who has waited longest.
fn parent_of(wait: &Wait, by_pid: &BTreeMap<i32, &Wait>) -> i32 {
    let free = wait.blockers.iter().find(|pid| !by_pid.contains_key(*pid));
    let longest = || wait.blockers.iter().filter_map(|pid| by_pid.get(pid)).max_by(|a, b| a.seconds.total_cmp(&b.seconds)).map(|w| w.pid);
    // Nobody: the lock was given while we asked.
    free.copied().or_else(longest).unwrap_or(wait.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pid: i32, seconds: f64, blockers: &[i32]) -> Wait {
        Wait {
            pid,
            kind: "transactionid".into(),
            mode: "ShareLock".into(),
            relation: Some((5, 16_384)),
            database: Some("shop".into()),
            seconds,
            blockers: blockers.to_vec(),
            blocked_by: blockers.len(),
        }
    }

    fn shape(rows: Vec<Wait>, limit: i64) -> (Vec<(usize, i32)>, i64) {
        let total = i64::try_from(rows.len()).unwrap();
        let tree = tree(&Waits { total, longest: 0.0, rows }, &[], &Names::new(), limit);
        (tree.tree.iter().map(|node| (node.depth, node.session.pid)).collect(), tree.left_out)
    }

    #[test]
    fn waiters_stand_below_those_they_wait_for() {
        // 1 holds; 2 waits for it; 3 waits behind 2; 4 waits for both: it stands below the one that waits for nobody.
        let rows = || vec![wait(2, 30.0, &[1]), wait(3, 20.0, &[2]), wait(4, 10.0, &[2, 1]), wait(9, 5.0, &[0])];
        assert_eq!(shape(rows(), 10), (vec![(0, 1), (1, 2), (2, 3), (1, 4), (0, 0), (1, 9)], 0));
        assert_eq!(shape(rows(), 1), (vec![(0, 1), (1, 2)], 3));
    }

    #[test]
    fn a_deadlock_and_a_wait_that_is_over_end() {
        assert_eq!(shape(vec![wait(1, 2.0, &[2]), wait(2, 1.0, &[1])], 10), (vec![(0, 1), (1, 2)], 0));
        assert_eq!(shape(vec![wait(1, 2.0, &[])], 10), (vec![(0, 1)], 0));
        assert_eq!(shape(Vec::new(), 10), (Vec::new(), 0));
    }
}
