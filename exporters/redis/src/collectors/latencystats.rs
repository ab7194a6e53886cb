//! Times of commands as percentiles that the server computes.
//!
//! From the section Latencystats of INFO (Redis 7.0 and newer; latency-tracking, on by default). They hold for the time
//! since the start or the last CONFIG RESETSTAT. The quantiles are written as Prometheus wants them, 0.99 and not 99.

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::{Sink, Value};

use crate::grants;
use crate::info::{part_number, parts};
use crate::session::Redis;

sage_common::metrics! {
    /// Times of the command in microseconds: percentiles since the start, sum and number of calls (latency_percentiles_usec_*).
    PERCENTILES: Summary legacy "redis_latency_percentiles_usec" [cmd];
}

sage_common::options! {
    /// Options of `latencystats`.
    pub struct Options {
        /// Commands with series: those called most.
        pub top: usize = 30,
    }
}

/// See the file.
pub struct Latencystats {
    top: usize,
}

/// `p50=9.023,p99=9.023,p99.9=9.023` as quantiles.
fn quantiles(value: &str) -> Vec<(f64, f64)> {
    // By text: 99.9 / 100 is not the 0.999 that people write.
    let quantile = |percent: &str| {
        let percent = percent.strip_prefix('p').filter(|p| p.parse::<f64>().is_ok())?;
        let (whole, part) = percent.split_once('.').unwrap_or((percent, ""));
        let q: f64 = if whole == "100" { 1.0 } else { format!("0.{whole:0>2}{part}").parse().ok()? };
        (0.0..=1.0).contains(&q).then_some(q)
    };
    parts(value).filter_map(|(p, time)| Some((quantile(p)?, time.parse().ok()?))).collect()
}

impl Collector for Latencystats {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Percentiles of the times of commands (INFO latencystats).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        let mut commands = Vec::new();
        for (cmd, value) in info.below("latency_percentiles_usec_") {
            let Some(stat) = info.get(&format!("cmdstat_{cmd}")) else { continue };
            if let (Some(calls), Some(usec)) = (part_number(stat, "calls"), part_number(stat, "usec")) {
                commands.push((cmd, quantiles(value), usec, calls));
            }
        }
        commands.sort_by(|a, b| b.3.total_cmp(&a.3));
        out.drop_series("redis_latency_percentiles_usec", commands.len().saturating_sub(self.top) as u64);
        for (cmd, quantiles, sum, calls) in commands.into_iter().take(self.top) {
            put!(out, PERCENTILES { cmd } = Value::Summary { quantiles, sum, count: calls as u64 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_becomes_quantile() {
        assert_eq!(
            quantiles("p50=9.023,p99=10,p99.9=11,p5=1,p100=12,x=1,p=2"),
            [(0.5, 9.023), (0.99, 10.0), (0.999, 11.0), (0.05, 1.0), (1.0, 12.0)]
        );
    }
}
