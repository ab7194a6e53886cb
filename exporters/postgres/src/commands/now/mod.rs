//! `now`: one bounded look at the server with the scrape role, for the engineer who was just called.
//!
//! Who runs, who waits, who blocks whom on what, the longest transactions, connections, replication, deadlocks. Values are
//! cut out of SQL texts. All ends within the time given, also when the server hangs.

mod ask;
mod deadlock;
mod locks;
mod show;

use sage_common::commands::now::{Args, Problem};
use sage_common::commands::own::{Failure, Setup};
use sage_common::error::CollectError;
use sage_common::service::{Phases, TargetOptions as _};
use serde::Serialize;

use crate::options::Options;
use crate::service::Postgres;
use crate::session::Pg;

/// What an engineer asks first. The names are those of `--json` and stay.
#[derive(Debug, Default, Serialize)]
pub struct Now {
    server: Server,
    connections: Connections,
    replication: Replication,
    deadlocks: Deadlocks,
    blocked: Blocked,
    /// Sessions that work, the longest first.
    running: Vec<Session>,
    /// Sessions that hold a transaction and do nothing, the longest first.
    idle_in_transaction: Vec<Session>,
    /// Transactions by age, whatever their sessions do.
    transactions: Vec<Session>,
    /// The grant without which sessions of others show neither state nor statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<&'static str>,
    /// What could not be asked.
    problems: Vec<Problem>,
}

#[derive(Debug, Default, Serialize)]
struct Server {
    address: String,
    version: String,
    /// primary or standby.
    role: &'static str,
    /// When this was asked, by the server's clock.
    at: String,
    up_seconds: f64,
}

#[derive(Debug, Default, Serialize)]
struct Connections {
    /// Those that ordinary users may open.
    limit: u32,
    used: i64,
    active: i64,
    idle: i64,
    idle_in_transaction: i64,
    /// Of sessions whose state may not be seen.
    unknown: i64,
    /// Of these programs: exporter and commands.
    monitoring: i64,
}

#[derive(Debug, Default, Serialize)]
struct Replication {
    standbys: Vec<Standby>,
    /// On a standby: what the receiver of WAL does; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_paused: Option<bool>,
    /// On a standby: time since the last replayed transaction was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_replayed_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Standby {
    name: String,
    state: Option<String>,
    sync: Option<String>,
    behind_bytes: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Deadlocks {
    count: i64,
    /// Since when they are counted; absent since the server's first start.
    since: Option<String>,
    databases: Vec<String>,
    /// When the last one was written to the log, in its own words; absent when the log cannot be read or tells of none.
    last_in_log: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Blocked {
    waiting: i64,
    longest_seconds: f64,
    /// Blockers and below them those who wait, in the order of a tree by `depth`.
    tree: Vec<Node>,
    /// Waiting sessions that are not in the tree.
    left_out: i64,
}

#[derive(Debug, Serialize)]
struct Node {
    depth: usize,
    session: Session,
    /// What it waits for; absent for one that only blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<Lock>,
    /// How many others it waits for; the tree has it below one of them.
    blocked_by: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Lock {
    /// relation, transactionid, tuple, advisory...
    kind: String,
    mode: String,
    database: Option<String>,
    relation: Option<String>,
    seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Session {
    /// 0 for a prepared transaction, which has no process.
    pid: i32,
    database: Option<String>,
    user: Option<String>,
    application: String,
    client: Option<String>,
    /// As in pg_stat_activity; absent where it may not be seen.
    state: Option<String>,
    /// Since when it is in that state; of a running one since its statement began.
    seconds: Option<f64>,
    transaction_seconds: Option<f64>,
    /// Type and name of what it waits for.
    wait: Option<String>,
    /// The statement, without values; absent where it may not be seen.
    sql: Option<String>,
}

/// Asks and prints.
pub async fn run(args: Args, setup: &Setup<Postgres>) -> Result<(), Failure> {
    let (_, options) = setup.target(args.target.as_deref())?;
    let now = look(options, &args).await?;
    args.print(&now, &now.problems, show::text)
}

/// One look, over in time.
async fn look(options: &Options, args: &Args) -> Result<Now, CollectError> {
    let hang = |what: &str| {
        CollectError::timeout(format!("{what} {}: no answer in time", options.describe()))
            .hint("the server accepts connections but does not answer; look at its load, its log and the network between")
    };
    let (deadline, asking) = args.deadlines();
    let session = asking.run(Pg::connect(options, &options.database, &mut Phases::default())).await.map_err(|_| hang("connect to"))??;
    // Nine tenths, so that a slow question ends on the server and the next one can still be asked.
    let told = asking.remaining() / 10 * 9;
    let result = asking
        .run(async {
            session.limit(told).await?;
            ask::all(&session, options, i64::from(args.limit), asking).await
        })
        .await;
    match result {
        Ok(result) => {
            let _ = deadline.run(session.close()).await;
            result
        }
        Err(_) => {
            let _ = deadline.run(session.cancel()).await;
            Err(hang("ask"))
        }
    }
}
