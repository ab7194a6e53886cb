//! Indexes of each database: how many, how many are unused or invalid, and the largest of the instance one by one.
//!
//! From pg_index, pg_class and the pg_stat_get_*() functions, all versions, database by database on the timer. No index is
//! opened and no lock on one is taken. An index is unused when no scan was counted since the statistics were reset and
//! no constraint needs it; on a standby the primary's scans are not known. An invalid one is what a failed or running CREATE INDEX
//! CONCURRENTLY leaves: it costs writes and serves no query.

use sage_common::collector::{Collector, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use super::ranked::{TopOptions, columns};
use crate::session::Pg;

sage_common::metrics! {
    /// Indexes of the database (pg_index).
    COUNT: Gauge "pg_indexes" [datname];
    /// Indexes that no scan has used since the statistics were reset and no constraint needs (pg_stat_user_indexes.idx_scan).
    UNUSED: Gauge "pg_indexes_unused" [datname];
    /// Bytes of the unused indexes as of the last VACUUM or ANALYZE (pg_class.relpages).
    UNUSED_SIZE: Gauge "pg_indexes_unused_size_bytes" [datname];
    /// Indexes that are not valid, which no query uses (pg_index.indisvalid).
    INVALID: Gauge "pg_indexes_invalid" [datname];
    /// Bytes of the largest indexes as of the last VACUUM or ANALYZE; indexrelname _other is the sum of the database's others (pg_class.relpages).
    SIZE: Gauge "pg_index_size_bytes" [datname, schemaname, relname, indexrelname];
    /// 1 while the index is valid, else 0 (pg_index.indisvalid).
    VALID: Gauge "pg_index_valid" [datname, schemaname, relname, indexrelname];
    /// Scans of the index (pg_stat_user_indexes.idx_scan).
    SCANS: Counter legacy "pg_stat_user_indexes_idx_scan" [datname, schemaname, relname, indexrelname];
    /// Index entries returned by scans (pg_stat_user_indexes.idx_tup_read).
    TUP_READ: Counter legacy "pg_stat_user_indexes_idx_tup_read" [datname, schemaname, relname, indexrelname];
    /// Rows fetched by simple scans of the index (pg_stat_user_indexes.idx_tup_fetch).
    TUP_FETCH: Counter legacy "pg_stat_user_indexes_idx_tup_fetch" [datname, schemaname, relname, indexrelname];
    /// Blocks of the index read from disk or the system's cache (pg_statio_user_indexes.idx_blks_read).
    BLKS_READ: Counter "pg_statio_user_indexes_idx_blks_read_total" [datname, schemaname, relname, indexrelname];
    /// Blocks of the index found in shared buffers (pg_statio_user_indexes.idx_blks_hit).
    BLKS_HIT: Counter "pg_statio_user_indexes_idx_blks_hit_total" [datname, schemaname, relname, indexrelname];
}

/// The first row sums up all indexes, the second those that have no row of their own.
const SQL: &str = "
WITH sized AS MATERIALIZED (
    SELECT x.indexrelid AS oid, i.relname::text AS indexrelname, c.relname::text AS relname, c.relnamespace, x.indisvalid AS valid,
           NOT (x.indisunique OR x.indisprimary OR x.indisexclusion OR x.indisreplident) AND pg_stat_get_numscans(x.indexrelid) = 0 AS unused,
           i.relpages::float8 * current_setting('block_size')::float8 AS bytes
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
    WHERE i.relkind = 'i' AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
          AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY bytes DESC, oid) AS place FROM sized
)
SELECT current_database()::text, NULL::text, NULL::text, NULL::text, coalesce(sum(bytes) FILTER (WHERE unused), 0), NULL::boolean,
       count(*), count(*) FILTER (WHERE unused), count(*) FILTER (WHERE NOT valid), NULL::bigint, NULL::bigint FROM ranked
UNION ALL
SELECT current_database()::text, '', '', '_other', coalesce(sum(bytes), 0), NULL, NULL, NULL, NULL, NULL, NULL FROM ranked WHERE place > $1
UNION ALL
SELECT current_database()::text, (SELECT nspname::text FROM pg_namespace n WHERE n.oid = r.relnamespace), relname, indexrelname,
       bytes, valid, pg_stat_get_numscans(oid), pg_stat_get_tuples_returned(oid), pg_stat_get_tuples_fetched(oid),
       pg_stat_get_blocks_fetched(oid) - pg_stat_get_blocks_hit(oid), pg_stat_get_blocks_hit(oid)
FROM ranked r WHERE place <= $1";

/// See the file.
pub struct Indexes {
    top: u16,
}

impl Collector for Indexes {
    type Session = Pg;
    type Options = TopOptions;
    const HELP: &'static str = "Unused and invalid indexes; size and use of the largest ones (pg_index, pg_stat_user_indexes).";
    const ALIASES: &'static [&'static str] = &["stat_user_indexes", "statio_user_indexes"];
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: TopOptions) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        out.keep_heaviest(self.top.into());
        let mut count = 0;
        for row in session.rows_with(SQL, &[&i64::from(self.top)]).await? {
            let datname: &str = row.get(0)?;
            let Some(schemaname) = row.get::<Option<&str>>(1)? else {
                count = row.get::<i64>(6)?;
                put!(out, COUNT { datname } = count);
                put!(out, UNUSED { datname } = row.get::<i64>(7)?);
                put!(out, UNUSED_SIZE { datname } = row.get::<f64>(4)?);
                put!(out, INVALID { datname } = row.get::<i64>(8)?);
                continue;
            };
            let (relname, indexrelname): (&str, &str) = (row.get(2)?, row.get(3)?);
            let (bytes, valid): (f64, Option<bool>) = (row.get(4)?, row.get(5)?);
            if valid.is_none() && count == 0 {
                continue;
            }
            put!(out, SIZE { datname, schemaname, relname, indexrelname } = bytes);
            if valid.is_none() {
                out.rest();
                continue;
            }
            put!(out, VALID { datname, schemaname, relname, indexrelname } = valid);
            columns!(out, row, { datname, schemaname, relname, indexrelname }, i64 {
                SCANS = 6, TUP_READ = 7, TUP_FETCH = 8, BLKS_READ = 9, BLKS_HIT = 10,
            });
            out.rank(bytes);
        }
        Ok(())
    }
}
