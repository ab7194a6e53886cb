//! Size of each database on disk.
//!
//! From pg_database_size(), which walks the database's folders; hence on a timer. Needs CONNECT on the database or
//! pg_read_all_stats; databases without either are left out.

use std::time::Duration;

use sage_common::collector::{Collector, DEFAULT_INTERVAL, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Bytes on disk of the database, read on a timer (pg_database_size).
    SIZE: Gauge legacy "pg_database_size_bytes" [datname];
}

const SQL: &str = "
SELECT datname::text, pg_database_size(oid) FROM pg_database
WHERE pg_has_role(current_user, 'pg_read_all_stats', 'usage') OR has_database_privilege(oid, 'CONNECT')";

/// See the file.
pub struct DatabaseSize;

impl Collector for DatabaseSize {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Size of each database on disk (pg_database_size).";
    // The peer's collector of this name reads sizes; ours of this name reads pg_stat_database. Who asks for it gets both.
    const ALIASES: &'static [&'static str] = &["database"];
    const EVERY: Option<Duration> = Some(DEFAULT_INTERVAL);
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows(SQL).await? {
            let datname: String = row.get(0)?;
            put!(out, SIZE { datname } = row.get::<Option<i64>>(1)?);
        }
        Ok(())
    }
}
