//! Transactions that have been open for long.
//!
//! From pg_stat_activity, all versions; others' transactions need pg_read_all_stats. Ours and those of autovacuum, which
//! takes the time it needs, do not count. The peer counts every open transaction, which `longer_than: 0s` does here.

use std::time::Duration;

use sage_common::collector::{Collector, Grant};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Transactions that have been open for longer than the option longer_than (pg_stat_activity.xact_start).
    COUNT: Gauge legacy "pg_long_running_transactions" [];
    /// Age, not time, of the oldest open transaction, in seconds; 0 when there is none (pg_stat_activity.xact_start).
    OLDEST: Gauge legacy "pg_long_running_transactions_oldest_timestamp_seconds" [];
}

const SQL: &str = "
SELECT count(*) FILTER (WHERE age >= $1), coalesce(max(age), 0)::float8
FROM (SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age FROM pg_stat_get_activity(NULL)
      WHERE backend_type <> 'autovacuum worker' AND state <> 'idle' AND pid <> pg_backend_pid()) AS a
WHERE age IS NOT NULL";

sage_common::options! {
    /// Options of the `long_running_transactions` collector.
    pub struct LongRunningTransactionsOptions {
        /// A transaction that has been open for this time is long.
        pub longer_than: Span = Span(Duration::from_secs(60)),
    }
}

/// See the file.
pub struct LongRunningTransactions {
    seconds: f64,
}

impl Collector for LongRunningTransactions {
    type Session = Pg;
    type Options = LongRunningTransactionsOptions;
    const HELP: &'static str = "Transactions that have been open for long (pg_stat_activity).";
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: LongRunningTransactionsOptions) -> Self {
        Self { seconds: options.longer_than.0.as_secs_f64() }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let rows = session.rows_with(SQL, &[&self.seconds]).await?;
        if let Some(row) = rows.first() {
            put!(out, COUNT {} = row.get::<i64>(0)?);
            put!(out, OLDEST {} = row.get::<f64>(1)?.max(0.0));
        }
        Ok(())
    }
}
