//! Slow statements from the server's log file, on this machine.
//!
//! From lines "duration: N ms" of jsonlog, csvlog or stderr, by the time that they bear; log_min_duration_statement must be
//! set so that the server writes them. The place of the log is asked from the server (pg_current_logfile, for members of
//! pg_monitor) or configured (`log_file`). A log that cannot be read is said, never counted as 0. Our own do not count.

use std::time::Duration;

use sage_common::collector::{Collector, Grant, Support};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;
use sage_common::tail;

use crate::grants::{LOG_FILE, MONITOR};
use crate::log::SlowLog;
use crate::service::Postgres;

sage_common::options! {
    /// Options of the `slow_queries` collector.
    pub struct SlowQueriesOptions {
        /// Statements that take at least this long count; the server must write them (log_min_duration_statement).
        pub threshold: Span = Span(Duration::from_secs(1)),
    }
}

sage_common::metrics! {
    /// Slow statements since the exporter was started (lines "duration:" of the log).
    TOTAL: Counter "pg_slow_queries_total" [source];
    /// Slow statements of the last 60 seconds, by the time of their lines (lines "duration:" of the log).
    LAST_MINUTE: Gauge "pg_slow_queries_last_minute" [];
    /// Statements that take at least this long are counted as slow, in seconds: the collector's threshold, or more where
    /// the server writes only longer ones (log_min_duration_statement).
    THRESHOLD: Gauge "pg_slow_queries_threshold_seconds" [];
    /// 1 while the server's log can be read, else 0.
    READABLE: Gauge "pg_log_readable" [];
    /// How far the exporter is behind the end of the log, in seconds.
    LAG: Gauge "pg_log_lag_seconds" [];
    /// Lines that should be a record of the log, or tell a duration, and cannot be read.
    PARSE_ERRORS: Counter "pg_log_parse_errors_total" [];
}

/// What to do so that the log can be read.
const READING: &str = "read access to the server's log file: log_file_mode = 0640 and the server's group for the exporter's user";
/// What to do so that our own statements can be told.
const NAMES: &str = "%a or %p in log_line_prefix: without them statements of this exporter count as slow, too";

/// See the file.
pub struct SlowQueries {
    threshold: Duration,
}

impl Collector for SlowQueries {
    type Session = Local<Postgres>;
    type Options = SlowQueriesOptions;
    const HELP: &'static str = "Slow statements from the log file of a server on this machine.";
    const GRANTS: &'static [Grant] = &[MONITOR, LOG_FILE];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: SlowQueriesOptions) -> Self {
        Self { threshold: options.threshold.0 }
    }

    fn supports(&self, here: &Local<Postgres>) -> Support {
        let facts = here.state.log_facts();
        if facts.as_ref().is_some_and(|facts| facts.least.is_none()) {
            return Support::NotHere("the server writes no slow statements to its log; set log_min_duration_statement = '1s'");
        }
        if facts.is_some_and(|facts| !facts.english) {
            return Support::NotHere("the server's messages are not in English; set lc_messages = 'C'");
        }
        match here.state.with_log(|_| ()) {
            Some(()) => Support::Yes,
            None => {
                Support::NotHere("the place of a log on this machine is not known; set log_file, or logging_collector and GRANT pg_monitor")
            }
        }
    }

    async fn collect(&self, here: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        let written = here.state.log_facts().and_then(|facts| facts.least).unwrap_or_default();
        here.state.with_log(|log| self.write(log, written, out));
        Ok(())
    }
}

impl SlowQueries {
    fn write(&self, log: &mut SlowLog, written: Duration, out: &mut Sink) {
        log.count(self.threshold);
        let readable = matches!(log.state(), tail::State::Readable);
        put!(out, READABLE {} = readable);
        put!(out, THRESHOLD {} = self.threshold.max(written));
        put!(out, PARSE_ERRORS {} = log.unreadable);
        if readable {
            let (total, last_minute) = log.seen(self.threshold);
            put!(out, TOTAL { source: "log" } = total);
            put!(out, LAST_MINUTE {} = last_minute);
            put!(out, LAG {} = log.lag());
        }
        if *log.state() == tail::State::Denied {
            out.lacks(READING);
        } else if log.mixed {
            out.lacks(NAMES);
        }
    }
}
