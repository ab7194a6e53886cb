//! `now`: one bounded look at the server with the scraping user, for the engineer who was just called.
//!
//! Clients by state and by who they are, who waits, memory, the slowest commands of the last minutes, replication, the disk,
//! errors; of a cluster its slots and nodes, of a Sentinel its primaries. From INFO, CLIENT LIST, SLOWLOG GET, CLUSTER INFO
//! and CLUSTER NODES; no argument of a command is shown. All ends within the time given, also when the server hangs.

mod ask;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use sage_common::commands::now::{Args, Problem};
use sage_common::commands::own::{Failure, Setup};
use sage_common::error::CollectError;
use sage_common::service::{Phases, TargetOptions as _};
use serde::Serialize;

use crate::options::Options;
use crate::service::RedisService;
use crate::session::Redis;
use crate::state::State;

/// What an engineer asks first. The names are those of `--json` and stay. What the server does not tell is absent.
#[derive(Debug, Default, Serialize)]
pub struct Now {
    server: Server,
    clients: Clients,
    memory: Memory,
    replication: Replication,
    persistence: Persistence,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
    /// What a Sentinel watches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sentinel: Vec<Watched>,
    /// Errors sent since the start, by code, the most frequent first.
    errors: Vec<ErrorCount>,
    slow: Slow,
    /// What could not be asked.
    problems: Vec<Problem>,
}

#[derive(Debug, Default, Serialize)]
struct Server {
    address: String,
    /// redis or valkey.
    product: String,
    version: String,
    /// standalone, cluster or sentinel.
    mode: String,
    /// When this was asked, by the server's clock.
    at: Option<String>,
    up_seconds: Option<f64>,
    /// While the server reads its data from disk.
    loading: bool,
    commands_per_second: Option<f64>,
    keys: f64,
}

#[derive(Debug, Default, Serialize)]
struct Clients {
    connected: Option<f64>,
    limit: Option<f64>,
    blocked: Option<f64>,
    /// Connections turned away since the start.
    rejected: Option<f64>,
    /// By state as the exporter's `redis_connections`; absent where the list was not asked for.
    states: BTreeMap<&'static str, usize>,
    /// Clients of one user, name and address, the most first.
    by_owner: Vec<Owner>,
    /// Those that wait in a blocking command, the longest first.
    waiting: Vec<Client>,
    /// Those that more than a megabyte waits for, the most first.
    slow_readers: Vec<Client>,
}

#[derive(Debug, Serialize)]
struct Owner {
    user: String,
    name: String,
    /// Without the port.
    address: String,
    connections: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Client {
    id: String,
    user: String,
    name: String,
    address: String,
    /// The last command, without arguments.
    command: String,
    /// Since its last command.
    idle_seconds: f64,
    connected_seconds: f64,
    output_bytes: f64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    used_bytes: Option<f64>,
    /// Absent without a limit.
    limit_bytes: Option<f64>,
    policy: Option<String>,
    data_bytes: Option<f64>,
    resident_bytes: Option<f64>,
    client_bytes: Option<f64>,
    evicted_keys: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Replication {
    /// primary or replica; absent on a Sentinel.
    role: Option<&'static str>,
    replicas: Vec<Replica>,
    /// On a replica: where its primary is, and how the link does.
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_down_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard_seconds: Option<f64>,
    full_resyncs: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Replica {
    address: String,
    state: String,
    behind_bytes: Option<f64>,
    last_heard_seconds: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Persistence {
    /// ok or err.
    last_save: Option<String>,
    last_save_seconds_ago: Option<f64>,
    changes_since: Option<f64>,
    aof_enabled: bool,
    aof_last_write: Option<String>,
    aof_last_rewrite: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Cluster {
    state: String,
    slots_assigned: Option<f64>,
    slots_ok: Option<f64>,
    slots_suspected: Option<f64>,
    slots_failed: Option<f64>,
    nodes: usize,
    /// Nodes that are not well.
    ill: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Node {
    address: String,
    /// primary or replica.
    role: &'static str,
    /// failed (by the majority) or suspected (by this node).
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct ErrorCount {
    code: String,
    count: f64,
}

#[derive(Debug, Serialize)]
struct Watched {
    name: String,
    address: String,
    /// ok, sdown (as this one sees it) or odown (as the quorum does).
    status: String,
    replicas: Option<f64>,
    sentinels: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Slow {
    /// How far back the list goes.
    minutes: f64,
    /// Commands of that time in the log of slow ones, of the latest that were looked at.
    count: usize,
    /// The slowest of them.
    commands: Vec<SlowCommand>,
}

#[derive(Debug, Serialize)]
struct SlowCommand {
    seconds: f64,
    at: Option<String>,
    /// Its name, without arguments.
    command: String,
    arguments: usize,
    client: String,
    name: String,
}

/// Asks and prints.
pub async fn run(args: Args, setup: &Setup<RedisService>) -> Result<(), Failure> {
    let (_, options) = setup.target(args.target.as_deref())?;
    let now = look(options, &args).await?;
    args.print(&now, &now.problems, show::text)
}

/// One look, over in time.
async fn look(options: &Options, args: &Args) -> Result<Now, CollectError> {
    let hang = |what: &str| {
        CollectError::timeout(format!("{what} {}: no answer in time", options.describe())).hint(
            "the server accepts connections but does not answer: a slow command, a script or its machine; look at its load and its log",
        )
    };
    let (deadline, asking) = args.deadlines();
    let state = Arc::new(State::new(options));
    let session = asking.run(Redis::connect(options, state, &mut Phases::default())).await.map_err(|_| hang("connect to"))??;
    let result = asking.run(ask::all(&session, options, args.limit as usize)).await;
    let _ = deadline.run(session.close()).await;
    result.map_err(|_| hang("ask"))?
}
