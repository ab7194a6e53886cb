//! Processes, threads and memory of a server on this machine.
//!
//! From procfs, below the server's process, whose number INFO tells; the time of its start tells whether it is that of this
//! machine. A second process is a child that saves or rewrites.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::os::footprint::{self, FootprintError};
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::service::RedisService;

sage_common::metrics! {
    /// Processes of the server by kind: main, and child while it saves or rewrites (/proc).
    PROCESSES: Gauge "redis_server_processes" [kind];
    /// Threads of all processes of the server (/proc).
    THREADS: Gauge "redis_server_threads" [];
    /// Memory of the server in bytes: private (sum of RssAnon) and shared (largest RssShmem) (/proc).
    MEMORY: Gauge "redis_server_memory_bytes" [kind];
}

/// See the file.
pub struct Footprint;

impl Collector for Footprint {
    type Session = Local<RedisService>;
    type Options = NoOptions;
    const HELP: &'static str = "Processes, threads and memory of a server on this machine (/proc).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, here: &Local<RedisService>) -> Support {
        match here.state.process() {
            Some(_) => Support::Yes,
            None => Support::NotHere("the server's process is not seen on this machine"),
        }
    }

    async fn collect(&self, here: &Local<RedisService>, out: &mut Sink) -> Result<(), CollectError> {
        let Some((pid, started)) = here.state.process() else { return Ok(()) };
        let found = match footprint::Footprint::read_started(pid, started) {
            Ok(found) => found,
            // The server has ended: it has no processes, and that is what there is to say.
            Err(FootprintError::NoProcess(_)) => {
                put!(out, PROCESSES { kind: "main" } = 0);
                return Ok(());
            }
            Err(error) => return Err(CollectError::new(ErrorKind::Permission, "read /proc").caused_by(error)),
        };
        let kinds = found.kinds(|process| if process.pid == pid { "main" } else { "child" });
        for kind in ["main", "child"] {
            put!(out, PROCESSES { kind } = kinds.get(kind).copied().unwrap_or(0));
        }
        put!(out, THREADS {} = found.threads());
        put!(out, MEMORY { kind: "private" } = found.private_bytes());
        put!(out, MEMORY { kind: "shared" } = found.shared_bytes());
        Ok(())
    }
}
