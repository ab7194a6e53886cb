//! Processes, threads and memory of a server on this machine.
//!
//! From procfs, below the postmaster, which is found as the parent of our own backend. Private memory is the sum over the
//! processes; shared memory is that of the largest one, since all of them map the same shared buffers.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::os::footprint::{self, FootprintError, Process};
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::service::Postgres;

sage_common::metrics! {
    /// Processes of the server by kind: postmaster, client, background (/proc).
    PROCESSES: Gauge "pg_server_processes" [kind];
    /// Threads of all processes of the server (/proc).
    THREADS: Gauge "pg_server_threads" [];
    /// Memory of the server in bytes: private (sum of RssAnon) and shared (largest RssShmem) (/proc).
    MEMORY: Gauge "pg_memory_bytes" [kind];
}

/// See the file.
pub struct Footprint;

impl Collector for Footprint {
    type Session = Local<Postgres>;
    type Options = NoOptions;
    const HELP: &'static str = "Processes, threads and memory of a server on this machine (/proc).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, here: &Local<Postgres>) -> Support {
        match here.state.postmaster() {
            Some(_) => Support::Yes,
            None => Support::NotHere("the server's processes are not seen on this machine"),
        }
    }

    async fn collect(&self, here: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        let Some((pid, started)) = here.state.postmaster() else {
            return Ok(());
        };
        let found = match footprint::Footprint::read_started(pid, started) {
            Ok(found) => found,
            // The server has ended: it has no processes, and that is what there is to say.
            Err(FootprintError::NoProcess(_)) => {
                put!(out, PROCESSES { kind: "postmaster" } = 0);
                return Ok(());
            }
            Err(error) => return Err(CollectError::new(ErrorKind::Permission, "read /proc").caused_by(error)),
        };
        for (kind, count) in found.kinds(|process| kind_of(process, pid)) {
            put!(out, PROCESSES { kind } = count);
        }
        put!(out, THREADS {} = found.threads());
        put!(out, MEMORY { kind: "private" } = found.private_bytes());
        put!(out, MEMORY { kind: "shared" } = found.shared_bytes());
        Ok(())
    }
}

fn kind_of(process: &Process, postmaster: u32) -> &'static str {
    if process.pid == postmaster { "postmaster" } else { kind_of_title(&process.command) }
}

/// A server process writes what it is into its title: `postgres: [cluster: ]checkpointer`, `postgres: user database host state`.
fn kind_of_title(title: &str) -> &'static str {
    const BACKGROUND: [&str; 15] = [
        "checkpointer",
        "background writer",
        "walwriter",
        "autovacuum",
        "logical replication",
        "logger",
        "archiver",
        "startup",
        "walreceiver",
        "walsender",
        "walsummarizer",
        "parallel worker",
        "slotsync",
        "io worker",
        "stats collector",
    ];
    let rest = title.strip_prefix("postgres: ").unwrap_or(title);
    // A cluster name, where there is one, ends with a colon and a blank.
    let rest = rest.split_once(": ").map_or(rest, |(_, rest)| rest);
    if BACKGROUND.iter().any(|name| rest.starts_with(name)) { "background" } else { "client" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (title, want) in [
            ("postgres: checkpointer", "background"),
            ("postgres: 15/main: autovacuum launcher", "background"),
            ("postgres: sage postgres 127.0.0.1(50412) idle", "client"),
            ("postgres: 15/main: app shop [local] SELECT", "client"),
        ] {
            assert_eq!(kind_of_title(title), want, "{title}");
        }
    }
}
