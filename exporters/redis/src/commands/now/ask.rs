//! The questions of `now`, one after the other over one session; a part that fails costs the others nothing.
//!
//! A command's arguments are dropped here: of a slow one its name and their number are kept, of a client its last command.

use std::collections::BTreeMap;
use std::time::Duration;

use sage_common::commands::now::Problem;
use sage_common::commands::terminal::{plain, utc};
use sage_common::error::CollectError;
use sage_common::service::TargetOptions as _;

use super::{
    Client, Clients, Cluster, ErrorCount, Memory, Node, Now, Owner, Persistence, Replica, Replication, Server, Slow, SlowCommand, Watched,
};
use crate::collectors::clients::{field, state};
use crate::collectors::cluster::node;
use crate::info::{Info, part, part_number};
use crate::options::Options;
use crate::resp::Value;
use crate::session::Redis;

/// Above this number of clients the list is not asked for: at one to two microseconds a client it stops nobody.
const MOST_CLIENTS: f64 = 5000.0;
/// Slow commands that are looked at, the latest.
const MOST_SLOW: &[u8] = b"128";
/// How far back slow commands are shown.
const MINUTES: f64 = 10.0;
/// A client that more waits for than this reads slowly.
const SLOW_READER: f64 = 1024.0 * 1024.0;
/// A client that has sent nothing for longer is idle, as the collector `clients` has it.
const ACTIVE: Duration = Duration::from_secs(10);

/// Asks all of it.
pub async fn all(session: &Redis, options: &Options, limit: usize) -> Result<Now, CollectError> {
    let info = session.info().await?;
    let at = info.number("server_time_usec").map(|usec| usec / 1e6);
    let sentinel = info.get("redis_mode") == Some("sentinel");
    let mut now = Now {
        server: server(&info, options, at),
        memory: memory(&info),
        replication: replication(&info, limit),
        persistence: persistence(&info, at),
        sentinel: if sentinel { watched(&info, limit) } else { Vec::new() },
        errors: errors(&info, limit),
        ..Now::default()
    };
    let mut problems = Vec::new();
    let mut part = |name: &'static str, error: CollectError| problems.push(Problem::new(name, &error));
    now.clients = clients(session, &info, limit).await.unwrap_or_else(|e| {
        part("clients", e);
        counted(&info)
    });
    if !sentinel {
        match slow(session, at, limit).await {
            Ok(slow) => now.slow = slow,
            Err(e) => part("slow commands", e),
        }
    }
    if info.get("cluster_enabled") == Some("1") {
        match cluster(session, limit).await {
            Ok(cluster) => now.cluster = Some(cluster),
            Err(e) => part("cluster", e),
        }
    }
    now.problems = problems;
    Ok(now)
}

fn text(info: &Info, name: &str) -> Option<String> {
    info.get(name).map(plain)
}

fn server(info: &Info, options: &Options, at: Option<f64>) -> Server {
    let own = |name: &str| text(info, name).filter(|version| !version.is_empty());
    let valkey = own("valkey_version");
    Server {
        address: plain(&options.describe()),
        product: if valkey.is_some() { "valkey" } else { "redis" }.to_owned(),
        version: valkey.or_else(|| own("redis_version")).unwrap_or_default(),
        mode: text(info, "redis_mode").unwrap_or_default(),
        at: at.and_then(utc),
        up_seconds: info.number("uptime_in_seconds"),
        loading: info.get("loading") == Some("1"),
        commands_per_second: info.number("instantaneous_ops_per_sec"),
        // From 0: the sum of nothing is -0.
        keys: info
            .below("db")
            .filter(|(db, _)| db.parse::<u32>().is_ok())
            .filter_map(|(_, v)| part_number(v, "keys"))
            .fold(0.0, |a, b| a + b),
    }
}

fn memory(info: &Info) -> Memory {
    Memory {
        used_bytes: info.number("used_memory"),
        limit_bytes: info.number("maxmemory").filter(|limit| *limit > 0.0),
        policy: text(info, "maxmemory_policy"),
        data_bytes: info.number("used_memory_dataset"),
        resident_bytes: info.number("used_memory_rss"),
        client_bytes: info.number("mem_clients_normal"),
        evicted_keys: info.number("evicted_keys"),
    }
}

fn replication(info: &Info, limit: usize) -> Replication {
    let role = match info.get("role") {
        Some("master") => Some("primary"),
        Some("slave") => Some("replica"),
        _ => None,
    };
    let own = info.number("master_repl_offset");
    let replicas = info.below("slave").filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, replica)| Replica {
        address: plain(&format!("{}:{}", part(replica, "ip").unwrap_or_default(), part(replica, "port").unwrap_or_default())),
        state: plain(part(replica, "state").unwrap_or_default()),
        behind_bytes: own.zip(part_number(replica, "offset")).map(|(own, offset)| (own - offset).max(0.0)),
        last_heard_seconds: part_number(replica, "lag").filter(|lag| *lag >= 0.0),
    });
    Replication {
        role,
        replicas: replicas.take(limit).collect(),
        primary: info.get("master_host").zip(info.get("master_port")).map(|(host, port)| plain(&format!("{host}:{port}"))),
        link: text(info, "master_link_status"),
        link_down_seconds: info.number("master_link_down_since_seconds").filter(|seconds| *seconds >= 0.0),
        last_heard_seconds: info.number("master_last_io_seconds_ago").filter(|seconds| *seconds >= 0.0),
        full_resyncs: info.number("sync_full"),
    }
}

fn persistence(info: &Info, at: Option<f64>) -> Persistence {
    Persistence {
        last_save: text(info, "rdb_last_bgsave_status"),
        last_save_seconds_ago: at.zip(info.number("rdb_last_save_time")).map(|(now, save)| (now - save).max(0.0)),
        changes_since: info.number("rdb_changes_since_last_save"),
        aof_enabled: info.get("aof_enabled") == Some("1"),
        aof_last_write: text(info, "aof_last_write_status"),
        aof_last_rewrite: text(info, "aof_last_bgrewrite_status"),
    }
}

fn watched(info: &Info, limit: usize) -> Vec<Watched> {
    let masters = info.below("master").filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, master)| {
        let text = |name| plain(part(master, name).unwrap_or_default());
        let (replicas, sentinels) = (part_number(master, "slaves"), part_number(master, "sentinels"));
        Watched { name: text("name"), address: text("address"), status: text("status"), replicas, sentinels }
    });
    let mut all: Vec<Watched> = masters.collect();
    all.sort_by(|a, b| (a.status == "ok", &a.name).cmp(&(b.status == "ok", &b.name)));
    all.truncate(limit);
    all
}

fn errors(info: &Info, limit: usize) -> Vec<ErrorCount> {
    let found =
        info.below("errorstat_").filter_map(|(code, value)| Some(ErrorCount { code: plain(code), count: part_number(value, "count")? }));
    let mut errors: Vec<ErrorCount> = found.collect();
    errors.sort_by(|a, b| b.count.total_cmp(&a.count));
    errors.truncate(limit);
    errors
}

/// What INFO alone says of the clients.
fn counted(info: &Info) -> Clients {
    Clients {
        connected: info.number("connected_clients"),
        limit: info.number("maxclients"),
        blocked: info.number("blocked_clients"),
        rejected: info.number("rejected_connections"),
        ..Clients::default()
    }
}

async fn clients(session: &Redis, info: &Info, limit: usize) -> Result<Clients, CollectError> {
    let clients = counted(info);
    if clients.connected.is_some_and(|n| n > MOST_CLIENTS) {
        return Ok(clients);
    }
    let Some(answer) = session.command("client|list", &[b"CLIENT", b"LIST"]).await? else { return Ok(clients) };
    Ok(listed(clients, &answer.text().unwrap_or_default(), limit))
}

fn listed(mut clients: Clients, list: &str, limit: usize) -> Clients {
    let mut states: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut owners: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for line in list.lines().filter(|line| line.starts_with("id=")) {
        let text = |name| plain(field(line, name).unwrap_or_default());
        let number = |name| field(line, name).and_then(|n| n.parse().ok()).unwrap_or(0.0);
        let state = state(line, ACTIVE);
        *states.entry(state).or_default() += 1;
        let address = text("addr");
        // Replicas stand in the line of the replication.
        if matches!(state, "exporter" | "replication") {
            continue;
        }
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
        *owners.entry((text("user"), text("name"), host)).or_default() += 1;
        let client = Client {
            id: text("id"),
            user: text("user"),
            name: text("name"),
            address,
            command: text("cmd"),
            idle_seconds: number("idle"),
            connected_seconds: number("age"),
            output_bytes: number("omem"),
        };
        if client.output_bytes > SLOW_READER {
            clients.slow_readers.push(client.clone());
        }
        if state == "blocked" {
            clients.waiting.push(client);
        }
    }
    clients.states = states;
    let owner = |((user, name, address), connections)| Owner { user, name, address, connections };
    clients.by_owner = owners.into_iter().map(owner).collect();
    clients.by_owner.sort_by_key(|owner| std::cmp::Reverse(owner.connections));
    clients.waiting.sort_by(|a, b| b.idle_seconds.total_cmp(&a.idle_seconds));
    clients.slow_readers.sort_by(|a, b| b.output_bytes.total_cmp(&a.output_bytes));
    clients.by_owner.truncate(limit);
    clients.waiting.truncate(limit);
    clients.slow_readers.truncate(limit);
    clients
}

async fn slow(session: &Redis, at: Option<f64>, limit: usize) -> Result<Slow, CollectError> {
    let answer = session.command("slowlog|get", &[b"SLOWLOG", b"GET", MOST_SLOW]).await?;
    let entries = answer.as_ref().map(Value::list).unwrap_or_default();
    let young = |entry: &&Value| at.zip(entry.list().get(1).and_then(Value::number)).is_none_or(|(now, then)| now - then <= MINUTES * 60.0);
    let mut commands: Vec<SlowCommand> = entries.iter().filter(young).map(slow_command).collect();
    commands.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let count = commands.len();
    commands.truncate(limit);
    Ok(Slow { minutes: MINUTES, count, commands })
}

/// Number, time, microseconds, words, client and its name.
fn slow_command(entry: &Value) -> SlowCommand {
    let part = |at: usize| entry.list().get(at);
    let text = |at: usize| part(at).and_then(Value::text).map_or_else(String::new, |text| plain(&text));
    let words = part(3).map(Value::list).unwrap_or_default();
    // A name is a word of letters; what a broken client sends in its place may be anything.
    let name = words.first().and_then(Value::text).unwrap_or_default();
    let is_name = !name.is_empty() && name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    SlowCommand {
        seconds: part(2).and_then(Value::number).unwrap_or(0.0) / 1e6,
        at: part(1).and_then(Value::number).and_then(utc),
        command: if is_name { name.to_ascii_uppercase() } else { "?".to_owned() },
        arguments: words.len().saturating_sub(1),
        client: text(4),
        name: text(5),
    }
}

async fn cluster(session: &Redis, limit: usize) -> Result<Cluster, CollectError> {
    let answer = session.command("cluster|info", &[b"CLUSTER", b"INFO"]).await?;
    let info = Info::parse(answer.as_ref().and_then(Value::text).unwrap_or_default().into_owned());
    let answer = session.command("cluster|nodes", &[b"CLUSTER", b"NODES"]).await?;
    let text_of_nodes = answer.as_ref().and_then(Value::text).unwrap_or_default();
    let nodes: Vec<_> = text_of_nodes.lines().filter_map(node).collect();
    let ill = nodes.iter().filter(|(_, _, state)| *state != "up");
    Ok(Cluster {
        state: text(&info, "cluster_state").unwrap_or_default(),
        slots_assigned: info.number("cluster_slots_assigned"),
        slots_ok: info.number("cluster_slots_ok"),
        slots_suspected: info.number("cluster_slots_pfail"),
        slots_failed: info.number("cluster_slots_fail"),
        nodes: nodes.len(),
        ill: ill.take(limit).map(|(address, role, state)| Node { address: plain(address), role, state }).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "id=3 addr=10.0.0.1:42076 name=web idle=7 age=9 flags=b omem=0 cmd=blpop user=shop\n\
        id=4 addr=10.0.0.1:42077 name=web idle=0 age=9 flags=N omem=2000000 cmd=get user=shop\n\
        id=5 addr=[::1]:42078 name=sage-redis-exporter idle=0 flags=N omem=0 cmd=client|list user=sage\n";

    #[test]
    fn clients_are_counted_by_owner_and_told_when_they_wait() {
        let found = listed(Clients::default(), LIST, 10);
        assert_eq!(found.states, BTreeMap::from([("active", 1), ("blocked", 1), ("exporter", 1)]));
        assert_eq!(found.by_owner.len(), 1, "{found:?}");
        assert_eq!((found.by_owner[0].address.as_str(), found.by_owner[0].connections), ("10.0.0.1", 2));
        assert_eq!((found.waiting[0].id.as_str(), found.waiting[0].idle_seconds), ("3", 7.0));
        assert_eq!((found.slow_readers[0].id.as_str(), found.slow_readers.len()), ("4", 1));
    }

    #[test]
    fn no_argument_is_kept() {
        let word = |text: &str| Value::Text(text.as_bytes().to_vec());
        for (words, want) in [
            (vec![word("set"), word("k"), word("secret")], ("SET", 2)),
            (vec![word("sec ret")], ("?", 0)),
            (vec![], ("?", 0)),
            (vec![Value::Integer(7)], ("?", 0)),
        ] {
            let entry = Value::List(vec![
                Value::Integer(1),
                Value::Integer(2),
                Value::Integer(3000),
                Value::List(words),
                word("10.0.0.1:1"),
                word(""),
            ]);
            let found = slow_command(&entry);
            assert_eq!((found.command.as_str(), found.arguments), want);
            assert!(!format!("{found:?}").contains("sec") || found.seconds == 0.003, "{found:?}");
            assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        }
    }
}
