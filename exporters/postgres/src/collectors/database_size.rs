//! Size of each database on disk.
//!
//! From pg_database_size(), which walks the database's folders; hence on the timer, and asked in the database itself, so
//! that the size of a dropped one goes with it and does not stay until the next walk. Databases that we may not enter
//! are left out.

use sage_common::collector::{Collector, NoOptions, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Bytes on disk of the database, read on a timer (pg_database_size).
    SIZE: Gauge legacy "pg_database_size_bytes" [datname];
}

const SQL: &str = "SELECT current_database()::text, pg_database_size(current_database())";

/// See the file.
pub struct DatabaseSize;

impl Collector for DatabaseSize {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Size of each database on disk (pg_database_size).";
    // The peer's collector of this name reads sizes; ours of this name reads pg_stat_database. Who asks for it gets both.
    const ALIASES: &'static [&'static str] = &["database"];
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(SQL).await?;
        let datname: String = row.get(0)?;
        put!(out, SIZE { datname } = row.get::<i64>(1)?);
        Ok(())
    }
}
