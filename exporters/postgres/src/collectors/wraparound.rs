//! How far each database is from the wraparound of its transaction ids and multixacts.
//!
//! From pg_database (age of datfrozenxid and datminmxid), also of databases that nobody can connect to, since they hold
//! the server back all the same. All versions, readable by everybody. The databases that are farthest have series of
//! their own; `_other` is the farthest of the rest.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Transactions since the oldest unfrozen one of the database; the server stops at 2^31 (age of pg_database.datfrozenxid).
    XID_AGE: Gauge "pg_database_xid_age" [datname];
    /// Multixacts since the oldest one of the database (mxid_age of pg_database.datminmxid).
    MXID_AGE: Gauge "pg_database_mxid_age" [datname];
    /// Transactions, not seconds, since the oldest unfrozen one of the database; the peer's name for pg_database_xid_age.
    LEGACY_XID: Gauge legacy "pg_database_wraparound_age_datfrozenxid_seconds" [datname];
    /// Multixacts, not seconds, since the oldest one of the database; the peer's name for pg_database_mxid_age.
    LEGACY_MXID: Gauge legacy "pg_database_wraparound_age_datminmxid_seconds" [datname];
}

/// Databases with series of their own.
const LIMIT: i64 = 50;

const SQL: &str = "
WITH ranked AS (
    SELECT datname::text, age(datfrozenxid)::int8 AS xid, mxid_age(datminmxid)::int8 AS mxid,
           row_number() OVER (ORDER BY age(datfrozenxid) DESC, datname) AS place FROM pg_database
)
SELECT datname, xid, mxid FROM ranked WHERE place <= $1
UNION ALL SELECT '_other', max(xid), max(mxid) FROM ranked WHERE place > $1 HAVING count(*) > 0";

/// See the file.
pub struct Wraparound;

impl Collector for Wraparound {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Age of transaction ids and multixacts of each database (pg_database).";
    const ALIASES: &'static [&'static str] = &["database_wraparound"];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows_with(SQL, &[&LIMIT]).await? {
            let (datname, xid, mxid): (&str, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            put!(out, XID_AGE { datname } = xid);
            put!(out, MXID_AGE { datname } = mxid);
            put!(out, LEGACY_XID { datname } = xid);
            put!(out, LEGACY_MXID { datname } = mxid);
        }
        Ok(())
    }
}
