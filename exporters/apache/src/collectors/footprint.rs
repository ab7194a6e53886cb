//! Processes, threads and memory of a server on this machine.
//!
//! From procfs, below the main process, whose number its pid file tells.

use std::time::SystemTime;

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::page::process;
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::service::ApacheService;

sage_common::metrics! {
    /// Processes of the server by kind: main, child (they serve), other (rotatelogs, CGI and the like) (/proc).
    PROCESSES: Gauge "apache_server_processes" [kind];
    /// Threads of all processes of the server (/proc).
    THREADS: Gauge "apache_server_threads" [];
    /// Memory of the server in bytes: private (sum of RssAnon) and shared (largest RssShmem) (/proc).
    MEMORY: Gauge "apache_server_memory_bytes" [kind];
    /// When the main process was started, as a Unix time (/proc).
    STARTED: Gauge "apache_server_start_time_seconds" [];
}

/// See the file.
pub struct Footprint;

impl Collector for Footprint {
    type Session = Local<ApacheService>;
    type Options = NoOptions;
    const HELP: &'static str = "Processes, threads and memory of a server on this machine (/proc).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, here: &Local<ApacheService>, out: &mut Sink) -> Result<(), CollectError> {
        let Some(found) = process::read(&here.state.options)? else {
            out.not_here("no pid file of a server on this machine: see pid_file");
            return Ok(());
        };
        let main = found.processes.first().map(|process| (process.pid, process.name.clone())).unwrap_or_default();
        let kinds = found.kinds(|process| match process {
            process if process.pid == main.0 => "main",
            process if process.name == main.1 => "child",
            _ => "other",
        });
        for kind in ["main", "child", "other"] {
            put!(out, PROCESSES { kind } = kinds.get(kind).copied().unwrap_or(0));
        }
        put!(out, THREADS {} = found.threads());
        put!(out, MEMORY { kind: "private" } = found.private_bytes());
        put!(out, MEMORY { kind: "shared" } = found.shared_bytes());
        let started = found.started().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        put!(out, STARTED {} = started.map(|since| since.as_secs_f64()));
        Ok(())
    }
}
