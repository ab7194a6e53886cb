//! Times of commands as histograms.
//!
//! From LATENCY HISTOGRAM (Redis 7.0 and newer). On request: each command has up to twenty buckets, and the percentiles of
//! `latencystats` say most of it. The server gives no sum; it is that of INFO commandstats.

use sage_common::collector::{Collector, Enabled, Grant, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::{Sink, Value as Sampled};

use crate::grants;
use crate::info::part_number;
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// Times of the command in microseconds (LATENCY HISTOGRAM).
    TIMES: Histogram legacy "redis_commands_latencies_usec" [cmd];
}

sage_common::options! {
    /// Options of `latency_histogram`.
    pub struct Options {
        /// Commands with series: those called most.
        pub top: usize = 20,
    }
}

/// See the file.
pub struct LatencyHistogram {
    top: usize,
}

/// Cumulative buckets by upper bound, and the number of calls.
fn buckets(command: &Value) -> Option<(Vec<(f64, u64)>, u64)> {
    let calls = command.field("calls")?.number()? as u64;
    let pairs = command.field("histogram_usec")?.pairs();
    let mut buckets: Vec<(f64, u64)> = pairs.filter_map(|(bound, count)| Some((bound.number()?, count.number()? as u64))).collect();
    buckets.push((f64::INFINITY, calls));
    Some((buckets, calls))
}

impl Collector for LatencyHistogram {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Times of commands as histograms (LATENCY HISTOGRAM).";
    const ENABLED: Enabled = Enabled::OnRequest;
    const GRANTS: &'static [Grant] = &[grants::INFO, grants::LATENCY_HISTOGRAM];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { top: options.top }
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("latency|histogram", "ACL SETUSER the monitoring user +latency|histogram")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let Some(answer) = session.command("latency|histogram", &[b"LATENCY", b"HISTOGRAM"]).await? else { return Ok(()) };
        let info = session.info().await?;
        let mut commands = Vec::new();
        for (name, command) in answer.pairs() {
            if let (Some(name), Some((buckets, calls))) = (name.text(), buckets(command)) {
                commands.push((name.into_owned(), buckets, calls));
            }
        }
        commands.sort_by_key(|(_, _, calls)| std::cmp::Reverse(*calls));
        out.drop_series("redis_commands_latencies_usec", commands.len().saturating_sub(self.top) as u64);
        for (cmd, buckets, count) in commands.into_iter().take(self.top) {
            let Some(sum) = info.get(&format!("cmdstat_{cmd}")).and_then(|stat| part_number(stat, "usec")) else { continue };
            put!(out, TIMES { cmd } = Sampled::Histogram { buckets, sum, count });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_cumulative_and_end_with_all() {
        let text = |t: &str| Value::Text(t.into());
        let list = Value::List;
        let times = list(vec![Value::Integer(16), Value::Integer(1), Value::Integer(33), Value::Integer(3)]);
        let command = list(vec![text("calls"), Value::Integer(3), text("histogram_usec"), times]);
        assert_eq!(buckets(&command), Some((vec![(16.0, 1), (33.0, 3), (f64::INFINITY, 3)], 3)));
        assert_eq!(buckets(&list(vec![text("calls"), Value::Integer(3)])), None);
    }
}
