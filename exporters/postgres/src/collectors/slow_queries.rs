//! Slow statements from the server's log file, on this machine.
//!
//! From lines "duration: N ms" of one second and more; log_min_duration_statement must be set so that the server writes
//! them. The place of the log is asked from the server (pg_current_logfile, for members of pg_monitor) or configured
//! (`log_file`). An unreadable log is said, never counted as 0.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;
use sage_common::tail;

use crate::grants::{LOG_FILE, MONITOR};
use crate::log::SlowLog;
use crate::service::Postgres;

sage_common::metrics! {
    /// Statements of one second and more since the exporter was started (lines "duration:" of the log).
    TOTAL: Counter "pg_slow_queries_total" [source];
    /// Statements of one second and more in the last 60 seconds (lines "duration:" of the log).
    LAST_MINUTE: Gauge "pg_slow_queries_last_minute" [];
    /// 1 while the server's log can be read, else 0.
    READABLE: Gauge "pg_log_readable" [];
    /// How far the exporter is behind the end of the log, in seconds.
    LAG: Gauge "pg_log_lag_seconds" [];
    /// Lines "duration:" whose number cannot be read.
    PARSE_ERRORS: Counter "pg_log_parse_errors_total" [];
}

/// See the file.
pub struct SlowQueries;

impl Collector for SlowQueries {
    type Session = Local<Postgres>;
    type Options = NoOptions;
    const HELP: &'static str = "Slow statements from the log file of a server on this machine.";
    const GRANTS: &'static [Grant] = &[MONITOR, LOG_FILE];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, here: &Local<Postgres>) -> Support {
        if !here.state.writes_slow() {
            return Support::NotHere("the server writes no slow statements to its log; set log_min_duration_statement = '1s'");
        }
        match here.state.with_log(|_| ()) {
            Some(()) => Support::Yes,
            None => {
                Support::NotHere("the place of a log on this machine is not known; set log_file, or logging_collector and GRANT pg_monitor")
            }
        }
    }

    async fn collect(&self, here: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        here.state.with_log(|log| write(log, out)).unwrap_or(Ok(()))
    }
}

fn write(log: &SlowLog, out: &mut Sink) -> Result<(), CollectError> {
    let readable = matches!(log.state(), tail::State::Readable);
    put!(out, READABLE {} = readable);
    put!(out, TOTAL { source: "log" } = log.total);
    put!(out, PARSE_ERRORS {} = log.unreadable);
    if readable {
        put!(out, LAST_MINUTE {} = log.last_minute());
        put!(out, LAG {} = log.lag());
    }
    Ok(())
}
