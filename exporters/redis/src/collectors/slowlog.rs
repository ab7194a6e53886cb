//! How many slow commands the server keeps, and the latest of them.
//!
//! From SLOWLOG LEN and SLOWLOG GET 1. The arguments of the command, its client and its name are dropped here.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// Slow commands that the server keeps (SLOWLOG LEN).
    LENGTH: Gauge legacy "redis_slowlog_length" [];
    /// Number of the latest slow command; it grows with each (SLOWLOG GET).
    LAST_ID: Gauge legacy "redis_slowlog_last_id" [];
    /// Time that the latest slow command took, in seconds (SLOWLOG GET).
    DURATION: Gauge legacy "redis_last_slow_execution_duration_seconds" [];
    /// When the latest slow command ran, as a Unix time; absent when there is none (SLOWLOG GET).
    AT: Gauge "redis_last_slow_execution_timestamp_seconds" [];
}

/// See the file.
pub struct Slowlog;

impl Collector for Slowlog {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Number of slow commands kept and the latest of them (SLOWLOG).";
    const GRANTS: &'static [Grant] = &[grants::SLOWLOG_GET, grants::SLOWLOG_LEN];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        match session.may("slowlog|len", "ACL SETUSER the monitoring user +slowlog|len +slowlog|get") {
            Support::Yes => session.may("slowlog|get", "ACL SETUSER the monitoring user +slowlog|get"),
            no => no,
        }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let Some(length) = session.command("slowlog|len", &[b"SLOWLOG", b"LEN"]).await? else { return Ok(()) };
        put!(out, LENGTH {} = length.number());
        let Some(latest) = session.command("slowlog|get", &[b"SLOWLOG", b"GET", b"1"]).await? else { return Ok(()) };
        let number = |at: usize| latest.list().first().and_then(|entry| entry.list().get(at)).and_then(Value::number);
        // 0 where there is none, as the replaced exporter has it.
        put!(out, LAST_ID {} = number(0).unwrap_or(0.0));
        put!(out, DURATION {} = number(2).map_or(0.0, |usec| usec / 1e6));
        put!(out, AT {} = number(1));
        Ok(())
    }
}
