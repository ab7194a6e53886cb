//! Processes, threads and memory of a server on this machine.
//!
//! From procfs, below the master process, whose number its pid file tells; the titles of the processes tell their kinds. Old
//! workers that finish their connections after a reload are `stopping`.

use std::time::SystemTime;

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::os::footprint::Process;
use sage_common::page::process;
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::service::NginxService;

sage_common::metrics! {
    /// Processes of the server by kind: master, worker, stopping (finishes its connections after a reload), cache, other (/proc).
    PROCESSES: Gauge "nginx_server_processes" [kind];
    /// Threads of all processes of the server (/proc).
    THREADS: Gauge "nginx_server_threads" [];
    /// Memory of the server in bytes: private (sum of RssAnon) and shared (largest RssShmem) (/proc).
    MEMORY: Gauge "nginx_server_memory_bytes" [kind];
    /// When the master process was started, as a Unix time (/proc).
    STARTED: Gauge "nginx_server_start_time_seconds" [];
    /// When the youngest worker was started, as a Unix time: the last reload, or a worker that died and was replaced (/proc).
    WORKER_STARTED: Gauge "nginx_server_youngest_worker_start_time_seconds" [];
}

/// See the file.
pub struct Footprint;

const KINDS: [&str; 5] = ["master", "worker", "stopping", "cache", "other"];

fn kind(process: &Process) -> &'static str {
    let title = process.command.as_str();
    match title {
        _ if title.contains("master process") => "master",
        _ if title.contains("worker process is shutting down") => "stopping",
        _ if title.contains("worker process") => "worker",
        _ if title.contains("cache ") => "cache",
        _ => "other",
    }
}

fn unix(time: SystemTime) -> Option<f64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

impl Collector for Footprint {
    type Session = Local<NginxService>;
    type Options = NoOptions;
    const HELP: &'static str = "Processes, threads and memory of a server on this machine (/proc).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, here: &Local<NginxService>, out: &mut Sink) -> Result<(), CollectError> {
        let Some(found) = process::read(&here.state.options)? else {
            out.not_here("no pid file of a server on this machine: see pid_file");
            return Ok(());
        };
        let kinds = found.kinds(kind);
        for kind in KINDS {
            put!(out, PROCESSES { kind } = kinds.get(kind).copied().unwrap_or(0));
        }
        put!(out, THREADS {} = found.threads());
        put!(out, MEMORY { kind: "private" } = found.private_bytes());
        put!(out, MEMORY { kind: "shared" } = found.shared_bytes());
        put!(out, STARTED {} = found.started().and_then(unix));
        let workers = found.processes.iter().filter(|process| kind(process) == "worker").map(|process| process.started);
        put!(out, WORKER_STARTED {} = workers.max().and_then(unix));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_tell_the_kinds() {
        for (title, want) in [
            ("nginx: master process /usr/sbin/nginx -g daemon on;", "master"),
            ("nginx: worker process", "worker"),
            ("nginx: worker process is shutting down", "stopping"),
            ("nginx: cache manager process", "cache"),
            ("nginx: cache loader process", "cache"),
            ("rotatelogs", "other"),
        ] {
            let process = Process {
                pid: 1,
                parent: 0,
                name: "nginx".to_owned(),
                command: title.to_owned(),
                threads: 1,
                private_bytes: 0,
                shared_bytes: 0,
                started: SystemTime::UNIX_EPOCH,
            };
            assert_eq!(kind(&process), want, "{title}");
        }
    }
}
