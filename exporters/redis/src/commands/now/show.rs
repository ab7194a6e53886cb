//! `now` as text: a head of a few lines, then lists that are left out where there is nothing to tell.

use std::fmt::Write as _;

use sage_common::commands::terminal::{cut, size, time, wrap};

use super::{Client, Now};

/// Widest cell.
const CELL: usize = 32;

/// All of it, in lines of `width` characters at most.
pub fn text(now: &Now, width: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for line in head(now).iter().flat_map(|line| wrap(line, width)) {
        let _ = writeln!(out, "{line}");
    }
    let rows = |clients: &[Client], of: fn(&Client) -> String| -> Vec<Vec<String>> {
        clients.iter().map(|c| vec![of(c), c.id.clone(), c.user.clone(), c.name.clone(), c.address.clone(), c.command.clone()]).collect()
    };
    let c = &now.clients;
    let client = ["id", "user", "name", "address", "last command"];
    let owners = c.by_owner.iter().map(|o| vec![o.connections.to_string(), o.user.clone(), o.name.clone(), o.address.clone()]).collect();
    let slow = now.slow.commands.iter().map(|s| {
        vec![
            time(s.seconds),
            s.at.clone().unwrap_or_default(),
            s.command.clone(),
            s.arguments.to_string(),
            s.name.clone(),
            s.client.clone(),
        ]
    });
    let title = format!("slow commands of the last {:.0} minutes, slowest first", now.slow.minutes);
    let nodes = now
        .cluster
        .iter()
        .flat_map(|cluster| &cluster.ill)
        .map(|node| vec![node.address.clone(), node.role.to_owned(), node.state.to_owned()]);
    let number = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
    let watched =
        now.sentinel.iter().map(|w| vec![w.name.clone(), w.address.clone(), w.status.clone(), number(w.replicas), number(w.sentinels)]);
    for (title, columns, rows) in [
        ("clients by owner, most first", &["number", "user", "name", "address"][..], owners),
        ("clients that wait, longest first", &[&["time"], &client[..]].concat(), rows(&c.waiting, |c| time(c.idle_seconds))),
        (
            "clients that read slowly, most waiting bytes first",
            &[&["bytes"], &client[..]].concat(),
            rows(&c.slow_readers, |c| size(c.output_bytes)),
        ),
        (title.as_str(), &["time", "at", "command", "arguments", "name", "address"], slow.collect()),
        ("nodes that are not well", &["address", "role", "state"], nodes.collect()),
        ("watched primaries", &["name", "address", "status", "replicas", "Sentinels"], watched.collect()),
    ] {
        for line in table(title, columns, rows) {
            let _ = writeln!(out, "{}", cut(line.trim_end(), width));
        }
    }
    out
}

/// The server as a whole.
fn head(now: &Now) -> Vec<String> {
    let s = &now.server;
    let bytes = |n: Option<f64>| n.map_or_else(|| "unknown".to_owned(), size);
    let count = |n: Option<f64>| n.map_or_else(|| "unknown".to_owned(), |n| format!("{n:.0}"));
    let mut lines = vec![format!("{}, {} {}, {}", s.address, s.product, s.version, s.mode)];
    let up = s.up_seconds.map_or_else(String::new, |up| format!("up {}, ", time(up)));
    let loading = if s.loading { ", LOADING its data" } else { "" };
    lines.push(format!("at {}: {up}{}{loading}", s.at.as_deref().unwrap_or("unknown"), role(now)));
    let c = &now.clients;
    let states: Vec<String> = c.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let states = if states.is_empty() { format!("{} blocked", count(c.blocked)) } else { states.join(", ") };
    lines.push(format!(
        "clients: {} of {} ({states}); {} turned away since the start",
        count(c.connected),
        count(c.limit),
        count(c.rejected)
    ));
    if now.sentinel.is_empty() {
        let m = &now.memory;
        let share = m.used_bytes.zip(m.limit_bytes).map_or_else(String::new, |(used, limit)| format!(" ({:.0} %)", used / limit * 100.0));
        let limit = m.limit_bytes.map_or_else(|| "no limit".to_owned(), |limit| format!("{}{share}", size(limit)));
        lines.push(format!(
            "memory: {} of {limit}, {}; data {}, clients {}, resident {}; {} keys evicted",
            bytes(m.used_bytes),
            m.policy.as_deref().unwrap_or("policy unknown"),
            bytes(m.data_bytes),
            bytes(m.client_bytes),
            bytes(m.resident_bytes),
            count(m.evicted_keys)
        ));
        lines.push(format!("keys: {:.0}; commands: {} a second", s.keys, count(s.commands_per_second)));
        lines.push(disk(now));
    }
    if let Some(cluster) = &now.cluster {
        lines.push(format!(
            "cluster: {}, {} of 16384 slots assigned, {} ok, {} suspected, {} failed; {} nodes, {} not well",
            cluster.state,
            count(cluster.slots_assigned),
            count(cluster.slots_ok),
            count(cluster.slots_suspected),
            count(cluster.slots_failed),
            cluster.nodes,
            cluster.ill.len()
        ));
    }
    let errors: Vec<String> = now.errors.iter().map(|error| format!("{} {:.0}", error.code, error.count)).collect();
    lines.push(format!("errors since the start: {}", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }));
    if now.slow.commands.is_empty() && now.sentinel.is_empty() {
        lines.push(format!("slow commands of the last {:.0} minutes: none", now.slow.minutes));
    }
    let told = now.problems.iter().map(|problem| format!("not known: {} ({}): {}", problem.part, problem.reason, problem.detail));
    lines.extend(told);
    lines
}

fn role(now: &Now) -> String {
    let r = &now.replication;
    let mut parts = vec![r.role.unwrap_or("no data of its own").to_owned()];
    if let Some(primary) = &r.primary {
        let down = r.link_down_seconds.map_or_else(String::new, |seconds| format!(" for {}", time(seconds)));
        let heard = r.last_heard_seconds.map_or_else(String::new, |seconds| format!(", heard {} ago", time(seconds)));
        parts.push(format!("of {primary}, link {}{down}{heard}", r.link.as_deref().unwrap_or("unknown")));
    }
    let replicas = r.replicas.iter().map(|replica| {
        let behind = replica.behind_bytes.map_or_else(String::new, |bytes| format!(" {} behind", size(bytes)));
        let heard = replica.last_heard_seconds.map_or_else(String::new, |seconds| format!(", heard {} ago", time(seconds)));
        format!("{} {}{behind}{heard}", replica.address, replica.state)
    });
    let replicas: Vec<String> = replicas.collect();
    match replicas.len() {
        0 if r.role == Some("primary") => parts.push("no replica".to_owned()),
        0 => {}
        n => parts.push(format!("{n} {}: {}", if n == 1 { "replica" } else { "replicas" }, replicas.join("; "))),
    }
    parts.join(", ")
}

fn disk(now: &Now) -> String {
    let p = &now.persistence;
    let ago = p.last_save_seconds_ago.map_or_else(String::new, |seconds| format!(" {} ago", time(seconds)));
    let changes = p.changes_since.map_or_else(String::new, |n| format!(", {n:.0} writes since"));
    let aof = if p.aof_enabled {
        let state = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        format!("; AOF write {}, rewrite {}", state(&p.aof_last_write), state(&p.aof_last_rewrite))
    } else {
        "; no AOF".to_owned()
    };
    format!("disk: last snapshot or start{ago}, {}{changes}{aof}", p.last_save.as_deref().unwrap_or("unknown"))
}

/// A title, a line of column names, the rows; nothing without rows. The first column is one of numbers where it is narrow.
fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let shown = |cell: &String| if cell.is_empty() { "-".to_owned() } else { cut(cell, CELL) };
    let mut cells: Vec<Vec<String>> = vec![columns.iter().map(|name| (*name).to_owned()).collect()];
    cells.extend(rows.iter().map(|row| row.iter().map(shown).collect()));
    let mut widths = vec![0; columns.len()];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = vec![String::new(), title.to_owned()];
    for row in &cells {
        let row: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push(format!("  {}", row.join("  ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{ErrorCount, Owner, SlowCommand};
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "x".repeat(500);
        let mut now = Now::default();
        now.server.address.clone_from(&long);
        now.errors = (0..20).map(|_| ErrorCount { code: long.clone(), count: 1.0 }).collect();
        now.clients.by_owner.push(Owner { user: long.clone(), name: long.clone(), address: long.clone(), connections: 7 });
        let slow = SlowCommand { seconds: 1.0, at: None, command: long.clone(), arguments: 1, client: long.clone(), name: long };
        now.slow.commands.push(slow);
        for width in [80, 120, 160] {
            let text = text(&now, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn a_table_without_rows_is_left_out() {
        assert!(table("t", &["a"], Vec::new()).is_empty());
        assert_eq!(table("t", &["a", "b"], vec![vec!["1".into(), String::new()]]), ["", "t", "  a  b", "  1  -"]);
    }
}
