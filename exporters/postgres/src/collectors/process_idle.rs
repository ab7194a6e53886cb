//! How long the idle sessions have been idle, by application.
//!
//! From pg_stat_activity (state_change), all versions; others' sessions need pg_read_all_stats. The peer's histogram: it
//! describes the sessions of this moment, so its buckets go up and down and no rate() of them means anything.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Enabled, Grant, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::{Sink, Value};

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Seconds that the sessions idle now have been so; not cumulative over time (pg_stat_activity.state_change).
    IDLE: Histogram legacy "pg_process_idle_seconds" [state, application_name];
}

const BOUNDS: [f64; 9] = [1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0];

const SQL: &str = "
SELECT state, coalesce(application_name, ''), extract(epoch FROM clock_timestamp() - state_change)::float8
FROM pg_stat_get_activity(NULL)
WHERE backend_type = 'client backend' AND state LIKE 'idle%' AND state_change IS NOT NULL AND application_name <> 'sage-postgres-exporter'";

sage_common::options! {
    /// Options of the `process_idle` collector.
    pub struct ProcessIdleOptions {
        /// How many applications, those with most idle sessions, have series of their own; the rest is `_other`.
        pub top: u16 = 20,
    }
}

/// See the file.
pub struct ProcessIdle {
    top: usize,
}

impl Collector for ProcessIdle {
    type Session = Pg;
    type Options = ProcessIdleOptions;
    const HELP: &'static str = "How long idle sessions have been idle, by application (pg_stat_activity).";
    const ENABLED: Enabled = Enabled::OnRequest;
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: ProcessIdleOptions) -> Self {
        Self { top: options.top.into() }
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.facts.reads_stats { Support::Yes } else { Support::Denied(GRANT) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let rows = session.rows(SQL).await?;
        let mut seen: Vec<(&str, &str, f64)> = Vec::with_capacity(rows.len());
        for row in &rows {
            seen.push((row.get(0)?, row.get(1)?, row.get::<f64>(2)?.max(0.0)));
        }
        for ((state, application_name), times) in grouped(&seen, self.top) {
            put!(out, IDLE { state, application_name } = histogram(&times));
        }
        Ok(())
    }
}

/// The times by state and application; applications after the `top` most frequent are one.
fn grouped<'a>(seen: &[(&'a str, &'a str, f64)], top: usize) -> BTreeMap<(&'a str, &'a str), Vec<f64>> {
    let mut frequent: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, application, _) in seen {
        *frequent.entry(application).or_default() += 1;
    }
    let mut frequent: Vec<(usize, &str)> = frequent.into_iter().map(|(name, count)| (count, name)).collect();
    frequent.sort_unstable_by(|a, b| b.cmp(a));
    let own: Vec<&str> = frequent.iter().take(top).map(|(_, name)| *name).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for (state, application, seconds) in seen {
        let application = if own.contains(application) { *application } else { "_other" };
        groups.entry((state, application)).or_default().push(*seconds);
    }
    groups
}

fn histogram(times: &[f64]) -> Value {
    let below = |bound: f64| times.iter().filter(|seconds| **seconds <= bound).count() as u64;
    let buckets = BOUNDS.iter().copied().chain([f64::INFINITY]).map(|bound| (bound, below(bound))).collect();
    Value::Histogram { buckets, sum: times.iter().sum(), count: times.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_applications_are_one() {
        let seen = [("idle", "a", 1.0), ("idle", "a", 400.0), ("idle", "b", 3.0), ("idle in transaction", "c", 4.0)];
        let groups = grouped(&seen, 1);
        let keys: Vec<_> = groups.keys().copied().collect();
        assert_eq!(keys, [("idle", "_other"), ("idle", "a"), ("idle in transaction", "_other")]);
        let Value::Histogram { buckets, sum, count } = histogram(&groups[&("idle", "a")]) else { panic!("a histogram") };
        assert_eq!((sum, count, buckets.len()), (401.0, 2, 10));
        assert_eq!((buckets[0], buckets[8], buckets[9]), ((1.0, 1), (300.0, 1), (f64::INFINITY, 2)));
    }
}
