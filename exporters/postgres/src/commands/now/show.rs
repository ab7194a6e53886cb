//! What `now` found, as text for a terminal of 80 columns and more. The statement comes last in a line and is cut.

use std::fmt::Write as _;

use sage_common::commands::terminal::{cut, size, time, wrap};

use super::{Lock, Node, Now, Replication, Session};

/// Widest cell before the statement.
const CELL: usize = 24;

/// A table leaves at least this to the statement; else that gets a line of its own.
const STATEMENT: usize = 40;

/// All of it, in lines of `width` characters at most.
pub fn text(now: &Now, width: usize) -> String {
    let mut lines = head(now);
    let mut out = String::new();
    // Writing to a String cannot fail.
    for line in lines.drain(..).flat_map(|line| wrap(&line, width)) {
        let _ = writeln!(out, "{line}");
    }
    let mut line = |text: &str| {
        let _ = writeln!(out, "{}", cut(text.trim_end(), width));
    };
    let b = &now.blocked;
    line("");
    line(&match b.waiting {
        0 => "blocked: nobody waits for a lock".to_owned(),
        n => format!("blocked: {n} wait for a lock, the longest for {}", time(b.longest_seconds)),
    });
    for node in &b.tree {
        let [who, statement] = branch(node);
        wrap(&who, width).iter().for_each(|text| line(text));
        line(&statement);
    }
    if b.left_out > 0 {
        line(&format!("  and {} more (--limit)", b.left_out));
    }
    for (title, list, of) in [
        ("running, longest first", &now.running, Of::State),
        ("idle in transaction, longest first", &now.idle_in_transaction, Of::State),
        ("transactions, oldest first", &now.transactions, Of::Transaction),
    ] {
        line("");
        table(title, list, of, width).iter().for_each(|text| line(text));
    }
    out
}

/// The server as a whole.
fn head(now: &Now) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |text: &str| lines.push(text.to_owned());
    let s = &now.server;
    line(&format!("{}, PostgreSQL {}", s.address, s.version));
    line(&format!("at {}: {}, up {}", s.at, replication(s.role, &now.replication), time(s.up_seconds)));
    let c = &now.connections;
    let unknown = if c.unknown > 0 { format!(", {} hidden", c.unknown) } else { String::new() };
    line(&format!(
        "connections: {} of {} ({} active, {} idle, {} idle in transaction{unknown}; {} of the monitoring)",
        c.used, c.limit, c.active, c.idle, c.idle_in_transaction, c.monitoring
    ));
    let d = &now.deadlocks;
    let since = d.since.as_deref().map_or_else(String::new, |since| format!(" since {since}"));
    let within = if d.databases.is_empty() { String::new() } else { format!(" in {}", d.databases.join(", ")) };
    let last = d.last_in_log.as_deref().map_or_else(String::new, |at| format!("; last one in the log {at}"));
    line(&format!("deadlocks: {}{since}{within}{last}", d.count));
    if let Some(grant) = now.hidden {
        line(&format!("hidden: states and statements of other roles; hint: {grant}"));
    }
    for problem in &now.problems {
        line(&format!("not known: {} ({}): {}", problem.part, problem.reason, problem.detail));
    }
    lines
}

/// Which time a table shows.
#[derive(Clone, Copy)]
enum Of {
    State,
    Transaction,
}

fn table(title: &str, sessions: &[Session], of: Of, width: usize) -> Vec<String> {
    if sessions.is_empty() {
        return vec![format!("{title}: none")];
    }
    let wait = match of {
        Of::State => "waits for",
        Of::Transaction => "state",
    };
    let mut rows = vec![["pid", "time", "database", "user", "application", wait, "statement"].map(str::to_owned)];
    rows.extend(sessions.iter().map(|s| {
        let (seconds, fifth) = match of {
            Of::State => (s.seconds, s.wait.clone()),
            Of::Transaction => (s.transaction_seconds, s.state.clone()),
        };
        let name = |text: &Option<String>| cut(text.as_deref().unwrap_or("-"), CELL);
        let application = if s.application.is_empty() { "-".to_owned() } else { cut(&s.application, CELL) };
        let sql = s.sql.clone().unwrap_or_else(|| "(hidden or none)".to_owned());
        let seconds = seconds.map_or_else(|| "-".to_owned(), time);
        [s.pid.to_string(), seconds, name(&s.database), name(&s.user), application, cut(fifth.as_deref().unwrap_or("-"), CELL), sql]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let before: usize = widths.iter().take(6).map(|width| width + 2).sum();
    let apart = before + 2 + STATEMENT > width;
    let mut lines = vec![title.to_owned()];
    for (place, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).enumerate().take(if apart { 6 } else { 7 });
        let cells = cells.map(|(i, (cell, width))| match i {
            0 | 1 => format!("{cell:>width$}"),
            6 => cell.clone(),
            _ => format!("{cell:<width$}"),
        });
        lines.push(format!("  {}", cells.collect::<Vec<_>>().join("  ")));
        if let (true, true, Some(statement)) = (apart, place > 0, row.last()) {
            lines.push(format!("       {statement}"));
        }
    }
    lines
}

/// A session of the tree in two lines: who, and what it waits for or does.
fn branch(node: &Node) -> [String; 2] {
    let s = &node.session;
    let indent = "   ".repeat(node.depth.min(10));
    let mut who = vec![format!("{indent}{} {}", if node.depth == 0 { " " } else { "└─" }, s.pid)];
    who.extend([s.database.clone(), s.user.clone()].into_iter().flatten());
    if !s.application.is_empty() {
        who.push(cut(&s.application, CELL));
    }
    who.extend(s.client.as_ref().map(|client| format!("from {client}")));
    let does = match (&node.waits_for, &s.state) {
        (Some(lock), _) => waits(lock, node.blocked_by),
        (None, Some(state)) => format!("{state} {}", s.seconds.map_or_else(String::new, time)),
        (None, None) => String::new(),
    };
    let open = s.transaction_seconds.map_or_else(String::new, |seconds| format!(", transaction open {}", time(seconds)));
    let sql = s.sql.as_deref().unwrap_or("(statement hidden or none)");
    [format!("{}: {does}{open}", who.join(" ")), format!("{indent}     {sql}")]
}

fn waits(lock: &Lock, blocked_by: usize) -> String {
    let on = match (lock.kind.as_str(), &lock.relation) {
        ("transactionid" | "tuple", Some(relation)) => format!("a row of {relation}"),
        (_, Some(relation)) => relation.clone(),
        ("transactionid", None) => "a transaction".to_owned(),
        (kind, None) => kind.to_owned(),
    };
    let others = if blocked_by > 1 { format!(", behind {blocked_by}") } else { String::new() };
    format!("waits {} for {} on {on}{others}", time(lock.seconds), lock.mode)
}

fn replication(role: &str, found: &Replication) -> String {
    let mut parts = vec![role.to_owned()];
    if role == "standby" {
        parts.push(format!("receiver {}", found.receiver.as_deref().unwrap_or("none")));
        if found.replay_paused == Some(true) {
            parts.push("replay PAUSED".to_owned());
        }
        parts.extend(found.last_replayed_seconds.map(|seconds| format!("last replayed commit {} ago", time(seconds))));
    }
    let standbys = found.standbys.iter().map(|standby| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "hidden".to_owned());
        let behind = standby.behind_bytes.map_or_else(String::new, |bytes| format!(" {} behind", size(bytes)));
        format!("{} {} {}{behind}", standby.name, text(&standby.state), text(&standby.sync))
    });
    let standbys: Vec<String> = standbys.collect();
    match standbys.len() {
        0 => parts.push("no standby".to_owned()),
        n => parts.push(format!("{n} {}: {}", if n == 1 { "standby" } else { "standbys" }, standbys.join("; "))),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "x".repeat(500);
        let session =
            Session { pid: 1, sql: Some(long.clone()), application: long.clone(), wait: Some(long.clone()), ..Session::default() };
        let node = Node { depth: 40, session: session.clone(), waits_for: None, blocked_by: 0 };
        let mut now = Now { running: vec![session], ..Now::default() };
        now.server.address = long;
        now.blocked.tree = vec![node];
        for width in [80, 120, 160] {
            assert!(text(&now, width).lines().all(|line| line.chars().count() <= width));
        }
    }
}
