//! Transactions that were prepared for a two-phase commit and wait for their end.
//!
//! From pg_prepared_xact(), all versions, readable by everybody; the view above it would look up names that are not needed
//! here. A forgotten one keeps its locks and holds VACUUM back, also over a restart.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Prepared transactions (pg_prepared_xact).
    COUNT: Gauge legacy "pg_prepared_xacts_count" [];
    /// Time since the oldest of them was prepared, in seconds; 0 when there is none (pg_prepared_xact).
    OLDEST: Gauge "pg_prepared_xacts_oldest_seconds" [];
}

const SQL: &str = "SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - prepared)), 0)::float8 FROM pg_prepared_xact()";

/// See the file.
pub struct PreparedTransactions;

impl Collector for PreparedTransactions {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Prepared transactions and the oldest of them (pg_prepared_xact).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(SQL).await?;
        put!(out, COUNT {} = row.get::<i64>(0)?);
        put!(out, OLDEST {} = row.get::<f64>(1)?.max(0.0));
        Ok(())
    }
}
