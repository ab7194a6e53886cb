//! Workers, connections, requests and times of the whole server.
//!
//! From server-status?auto. Requests, bytes and times are there with ExtendedStatus only; connections by state are those of the
//! event MPM. The peer's names with kilobytes and milliseconds have twins in base units.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Session;

sage_common::metrics! {
    /// Requests since the start (Total Accesses, with ExtendedStatus).
    ACCESSES: Counter legacy "apache_accesses_total" [];
    /// Bytes sent since the start, in kilobytes; see apache_sent_bytes_total (Total kBytes, with ExtendedStatus).
    SENT_KILOBYTES: Counter legacy "apache_sent_kilobytes_total" [];
    /// Bytes sent since the start (Total kBytes, with ExtendedStatus).
    SENT: Counter "apache_sent_bytes_total" [];
    /// Time of all requests since the start, in milliseconds; see apache_request_duration_seconds_total (Total Duration).
    DURATION_MS: Counter legacy "apache_duration_ms_total" [];
    /// Time of all requests since the start, in seconds (Total Duration, with ExtendedStatus).
    DURATION: Counter "apache_request_duration_seconds_total" [];
    /// CPU time of the server by mode (user, system), in milliseconds; see apache_cpu_seconds_total (CPUUser, CPUSystem, children).
    CPU_MS: Counter legacy "apache_cpu_time_ms_total" [type];
    /// CPU time of the server and its children by mode (user, system), in seconds (CPUUser, CPUSystem, children).
    CPU: Counter "apache_cpu_seconds_total" [mode];
    /// CPU that the server took on average since its start, in percent (CPULoad, with ExtendedStatus).
    CPU_LOAD: Gauge legacy "apache_cpuload" [];
    /// Load of the machine (Load1, Load5, Load15).
    LOAD: Gauge legacy "apache_load" [interval];
    /// Time since the start, in seconds (Uptime).
    UPTIME: Counter legacy "apache_uptime_seconds_total" [];
    /// Workers that have a request (busy) or wait for one (idle) (BusyWorkers, IdleWorkers).
    WORKERS: Gauge legacy "apache_workers" [state];
    /// Processes: all, and those that end as soon as their connections do (Processes, Stopping; event MPM).
    PROCESSES: Gauge legacy "apache_processes" [state];
    /// Connections: total, and those that no worker holds: writing, keepalive, waitio, closing (ConnsTotal, ConnsAsync*; event MPM).
    CONNECTIONS: Gauge legacy "apache_connections" [state];
    /// Number of restarts: of the configuration, and of the MPM (ParentServerConfigGeneration, ParentServerMPMGeneration).
    GENERATION: Gauge legacy "apache_generation" [type];
    /// Always 1; version and MPM of the server (ServerVersion, ServerMPM).
    INFO: Gauge legacy "apache_info" [version, mpm];
    /// Version of the server as a number: 2.4.62 is 2.04062 (ServerVersion).
    VERSION: Gauge legacy "apache_version" [];
    /// 1 when the page has requests, bytes and times, 0 when ExtendedStatus is off (Total Accesses).
    EXTENDED: Gauge "apache_status_extended" [];
}

/// See the file.
pub struct Status;

/// `Apache/2.4.62 (Debian)` as 2.04062, the peer's way.
fn version(text: &str) -> Option<f64> {
    let digits = text.strip_prefix("Apache/")?.split(' ').next()?;
    let mut parts = digits.split('.').map(str::parse::<u16>);
    let [major, minor, patch] = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    format!("{major}.{minor:02}{patch:03}").parse().ok()
}

impl Collector for Status {
    type Session = Session;
    type Options = NoOptions;
    const HELP: &'static str = "Workers, connections, requests and times (server-status).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let page = session.page()?;
        put!(out, ACCESSES {} = page.number("Total Accesses"));
        put!(out, SENT_KILOBYTES {} = page.number("Total kBytes"));
        put!(out, SENT {} = page.number("Total kBytes").map(|kb| kb * 1024.0));
        put!(out, DURATION_MS {} = page.number("Total Duration"));
        put!(out, DURATION {} = page.number("Total Duration").map(|ms| ms / 1000.0));
        for (mode, own, children) in [("user", "CPUUser", "CPUChildrenUser"), ("system", "CPUSystem", "CPUChildrenSystem")] {
            let seconds = page.number(own).map(|own| own + page.number(children).unwrap_or(0.0));
            put!(out, CPU_MS { type: mode } = seconds.map(|s| s * 1000.0));
            put!(out, CPU { mode } = seconds);
        }
        put!(out, CPU_LOAD {} = page.number("CPULoad"));
        for (interval, name) in [("1min", "Load1"), ("5min", "Load5"), ("15min", "Load15")] {
            put!(out, LOAD { interval } = page.number(name));
        }
        put!(out, UPTIME {} = page.number("Uptime"));
        put!(out, WORKERS { state: "busy" } = page.number("BusyWorkers"));
        put!(out, WORKERS { state: "idle" } = page.number("IdleWorkers"));
        put!(out, PROCESSES { state: "all" } = page.number("Processes"));
        put!(out, PROCESSES { state: "stopping" } = page.number("Stopping"));
        let states = [
            ("total", "ConnsTotal"),
            ("writing", "ConnsAsyncWriting"),
            ("keepalive", "ConnsAsyncKeepAlive"),
            ("waitio", "ConnsAsyncWaitIO"),
            ("closing", "ConnsAsyncClosing"),
        ];
        for (state, name) in states {
            put!(out, CONNECTIONS { state } = page.number(name));
        }
        put!(out, GENERATION { type: "config" } = page.number("ParentServerConfigGeneration"));
        put!(out, GENERATION { type: "mpm" } = page.number("ParentServerMPMGeneration"));
        let said = page.get("ServerVersion").unwrap_or("UNKNOWN");
        put!(out, INFO { version: said, mpm: page.get("ServerMPM").unwrap_or("UNKNOWN") } = 1);
        put!(out, VERSION {} = version(said));
        put!(out, EXTENDED {} = page.get("Total Accesses").is_some());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_numbers() {
        assert_eq!(version("Apache/2.4.71 (Debian)"), Some(2.04071));
        assert_eq!(version("Apache/2.4.9"), Some(2.04009));
        for hidden in ["Apache", "Apache/2", "Apache/2.4", "nginx/1.2.3", "Apache/2.4.x"] {
            assert_eq!(version(hidden), None, "{hidden}");
        }
    }
}
