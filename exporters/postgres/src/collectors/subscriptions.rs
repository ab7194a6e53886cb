//! Subscriptions of logical replication, on the subscriber.
//!
//! From pg_subscription (its readable columns), pg_stat_get_subscription() (pg_stat_subscription before 15) and, from
//! PostgreSQL 15 on, pg_stat_get_subscription_stats(); readable by everybody. pg_subscription holds those of all databases, so one session
//! sees them all. A worker that fails ends and comes back every wal_retrieve_retry_interval: mostly it is seen absent.

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V15};

sage_common::metrics! {
    /// Subscriptions of all databases (pg_subscription).
    COUNT: Gauge "pg_subscriptions" [];
    /// 1 for the subscription's present state, 0 for the others: running, no_worker (enabled, and nobody applies),
    /// disabled, disabled_on_error (disabled after an error, PostgreSQL 15 and newer) (pg_subscription, pg_stat_subscription).
    STATE: Gauge "pg_subscription_state" [datname, subname, state];
    /// 1 while the subscription's main worker runs, else 0 (pg_stat_subscription.pid).
    RUNNING: Gauge "pg_subscription_worker_running" [datname, subname];
    /// Workers that copy tables for the subscription at present (pg_stat_subscription.relid).
    SYNCING: Gauge "pg_subscription_sync_workers" [datname, subname];
    /// When the last message came from the publisher, as a Unix time (pg_stat_subscription.last_msg_receipt_time).
    LAST_MESSAGE: Gauge "pg_subscription_last_message_timestamp_seconds" [datname, subname];
    /// Bytes of WAL received and not yet confirmed to the publisher as applied (pg_stat_subscription.latest_end_lsn).
    LAG: Gauge "pg_subscription_lag_bytes" [datname, subname];
    /// Errors while changes were applied; PostgreSQL 15 and newer (pg_stat_subscription_stats.apply_error_count).
    APPLY_ERRORS: Counter "pg_subscription_apply_errors_total" [datname, subname];
    /// Errors while tables were copied; PostgreSQL 15 and newer (pg_stat_subscription_stats.sync_error_count).
    SYNC_ERRORS: Counter "pg_subscription_sync_errors_total" [datname, subname];
}

macro_rules! subscriptions {
    ($on_error:literal, $apply:literal, $sync:literal, $workers:literal) => {
        concat!(
            "SELECT d.datname::text, s.subname::text, s.subenabled, count(w.pid) FILTER (WHERE w.relid IS NULL),
       count(w.pid) FILTER (WHERE w.relid IS NOT NULL),
       extract(epoch FROM max(w.last_msg_receipt_time) FILTER (WHERE w.relid IS NULL))::float8,
       max(w.received_lsn - w.latest_end_lsn) FILTER (WHERE w.relid IS NULL)::float8, ",
            $on_error,
            ", ",
            $apply,
            ", ",
            $sync,
            " FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid ",
            $workers,
            " GROUP BY 1, 2, 3, 8, 9, 10 ORDER BY 1, 2"
        )
    };
}

/// How many there are: pg_database is read, and a lock on it waited for, only when there are some.
const HOW_MANY: &str = "SELECT count(*) FROM pg_subscription";
const SQL_15: &str = subscriptions!(
    "s.subdisableonerr",
    "t.apply_error_count",
    "t.sync_error_count",
    "LEFT JOIN pg_stat_get_subscription(NULL) w ON w.subid = s.oid LEFT JOIN LATERAL pg_stat_get_subscription_stats(s.oid) t ON true"
);
/// Before 14 the column oid is not to be read, which leaves the name: two databases' subscriptions of one name are taken
/// for one another.
const SQL_13: &str = subscriptions!("false", "NULL::bigint", "NULL::bigint", "LEFT JOIN pg_stat_subscription w ON w.subname = s.subname");

const STATES: [&str; 4] = ["running", "no_worker", "disabled", "disabled_on_error"];

sage_common::options! {
    /// Options of the `subscriptions` collector.
    pub struct SubscriptionOptions {
        /// How many subscriptions have series of their own.
        pub max: u16 = 100,
    }
}

/// See the file.
pub struct Subscriptions {
    max: usize,
}

impl Collector for Subscriptions {
    type Session = Pg;
    type Options = SubscriptionOptions;
    const HELP: &'static str = "Subscriptions of logical replication: workers, errors, lag (pg_subscription, pg_stat_subscription).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: SubscriptionOptions) -> Self {
        Self { max: usize::from(options.max) }
    }

    fn supports(&self, session: &Pg) -> Support {
        // A standby has its primary's subscriptions, and nobody works on them there.
        if session.is_standby() { Support::NotHere("a standby applies no subscriptions") } else { Support::Yes }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let count: i64 = session.one(HOW_MANY).await?.get(0)?;
        put!(out, COUNT {} = count);
        if count == 0 {
            return Ok(());
        }
        let rows = session.rows(if session.facts.version >= V15 { SQL_15 } else { SQL_13 }).await?;
        for row in rows.iter().take(self.max) {
            let (datname, subname): (&str, &str) = (row.get(0)?, row.get(1)?);
            let (enabled, workers, errors) = (row.get::<bool>(2)?, row.get::<i64>(3)?, row.get::<Option<i64>>(8)?);
            let failed = errors.unwrap_or(0) + row.get::<Option<i64>>(9)?.unwrap_or(0) > 0;
            let present = match (enabled, workers > 0) {
                (true, true) => "running",
                (true, false) => "no_worker",
                (false, _) if row.get(7)? && failed => "disabled_on_error",
                (false, _) => "disabled",
            };
            for state in STATES {
                put!(out, STATE { datname, subname, state } = state == present);
            }
            put!(out, RUNNING { datname, subname } = workers > 0);
            put!(out, SYNCING { datname, subname } = row.get::<i64>(4)?);
            put!(out, LAST_MESSAGE { datname, subname } = row.get::<Option<f64>>(5)?);
            put!(out, LAG { datname, subname } = row.get::<Option<f64>>(6)?.map(|bytes| bytes.max(0.0)));
            put!(out, APPLY_ERRORS { datname, subname } = errors);
            put!(out, SYNC_ERRORS { datname, subname } = row.get::<Option<i64>>(9)?);
        }
        out.drop_series("pg_subscription_state", rows.len().saturating_sub(self.max) as u64);
        Ok(())
    }
}
