//! What is in shared buffers.
//!
//! From pg_buffercache_summary() and pg_buffercache_usage_counts() of the extension pg_buffercache 1.4, which PostgreSQL 16
//! brought; pg_monitor may call them. They look at every buffer without a lock, which takes its time where there are many:
//! on request, and then on the timer.

use std::time::Duration;

use sage_common::collector::{Collector, Enabled, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::extension::Extension;
use crate::grants::MONITOR;
use crate::session::Pg;

sage_common::metrics! {
    /// Shared buffers in use (pg_buffercache_summary).
    USED: Gauge legacy "pg_buffercache_summary_buffers_used" [];
    /// Shared buffers that hold nothing (pg_buffercache_summary).
    UNUSED: Gauge legacy "pg_buffercache_summary_buffers_unused" [];
    /// Shared buffers whose block is to be written (pg_buffercache_summary).
    DIRTY: Gauge legacy "pg_buffercache_summary_buffers_dirty" [];
    /// Shared buffers that somebody works on (pg_buffercache_summary).
    PINNED: Gauge legacy "pg_buffercache_summary_buffers_pinned" [];
    /// Mean usage count of the shared buffers in use (pg_buffercache_summary).
    AVERAGE: Gauge legacy "pg_buffercache_summary_usagecount_avg" [];
    /// Shared buffers by usage count, 0 to 5; many with a high one tell that the cache is too small (pg_buffercache_usage_counts).
    BY_USAGE: Gauge "pg_buffercache_buffers" [usage_count];
}

/// See the file.
pub struct Buffercache;

impl Collector for Buffercache {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Use of shared buffers, read on a timer, from PostgreSQL 16 on (extension pg_buffercache).";
    const ALIASES: &'static [&'static str] = &["buffercache_summary"];
    const ENABLED: Enabled = Enabled::OnRequest;
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let schema = match Extension::find(session, "pg_buffercache").await? {
            Some(Extension { version: (1, 4..) | (2.., _), schema }) => schema,
            Some(_) => {
                out.not_here("it takes pg_buffercache 1.4 of PostgreSQL 16: ALTER EXTENSION pg_buffercache UPDATE after an upgrade");
                return Ok(());
            }
            None => {
                out.not_here("CREATE EXTENSION pg_buffercache in the database that the exporter is connected to (PostgreSQL 16 on)");
                return Ok(());
            }
        };
        let sql = format!(
            "SELECT buffers_used::int8, buffers_unused::int8, buffers_dirty::int8, buffers_pinned::int8, usagecount_avg
             FROM {schema}.pg_buffercache_summary()"
        );
        let row = session.one(&sql).await?;
        put!(out, USED {} = row.get::<i64>(0)?);
        put!(out, UNUSED {} = row.get::<i64>(1)?);
        put!(out, DIRTY {} = row.get::<i64>(2)?);
        put!(out, PINNED {} = row.get::<i64>(3)?);
        put!(out, AVERAGE {} = row.get::<Option<f64>>(4)?);
        let sql = format!("SELECT usage_count, buffers::int8 FROM {schema}.pg_buffercache_usage_counts()");
        for row in session.rows(&sql).await? {
            put!(out, BY_USAGE { usage_count: row.get::<i32>(0)? } = row.get::<i64>(1)?);
        }
        Ok(())
    }
}
