//! Spikes of latency by event.
//!
//! From LATENCY LATEST; empty unless latency-monitor-threshold is set. The server keeps the last spike of an event for ever:
//! its time tells whether it is news.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// When the event last had a spike, as a Unix time (LATENCY LATEST).
    LAST: Gauge legacy "redis_latency_spike_last" [event_name];
    /// How long that spike was, in seconds (LATENCY LATEST).
    DURATION: Gauge legacy "redis_latency_spike_duration_seconds" [event_name];
    /// The longest spike of the event since the start or LATENCY RESET, in seconds (LATENCY LATEST).
    MAX: Gauge "redis_latency_spike_max_seconds" [event_name];
}

/// Events at most; the server knows about twenty.
const MOST: usize = 50;

/// See the file.
pub struct Latency;

impl Collector for Latency {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Spikes of latency by event (LATENCY LATEST).";
    const GRANTS: &'static [Grant] = &[grants::LATENCY_LATEST];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("latency|latest", "ACL SETUSER the monitoring user +latency|latest")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let Some(events) = session.command("latency|latest", &[b"LATENCY", b"LATEST"]).await? else { return Ok(()) };
        out.drop_series("redis_latency_spike_last", events.list().len().saturating_sub(MOST) as u64);
        for event in events.list().iter().take(MOST) {
            let Some(event_name) = event.list().first().and_then(Value::text) else { continue };
            let number = |at: usize| event.list().get(at).and_then(Value::number);
            put!(out, LAST { event_name } = number(1));
            put!(out, DURATION { event_name } = number(2).map(|ms| ms / 1e3));
            put!(out, MAX { event_name } = number(3).map(|ms| ms / 1e3));
        }
        Ok(())
    }
}
