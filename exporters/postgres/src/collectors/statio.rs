//! Reads and cache hits of the largest tables of the instance.
//!
//! From the pg_stat_get_blocks_*() functions below pg_statio_user_tables, all versions, database by database on the timer.
//! Like `tables` it opens no table and takes no lock on one, and the same tables have series.

use sage_common::collector::{Collector, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use super::ranked::{TopOptions, columns, ranked};
use crate::session::Pg;

sage_common::metrics! {
    /// Blocks of the table read from disk or the system's cache (pg_statio_user_tables.heap_blks_read).
    HEAP_READ: Counter legacy "pg_statio_user_tables_heap_blocks_read" [datname, schemaname, relname];
    /// Blocks of the table found in shared buffers (pg_statio_user_tables.heap_blks_hit).
    HEAP_HIT: Counter legacy "pg_statio_user_tables_heap_blocks_hit" [datname, schemaname, relname];
    /// Blocks of the table's indexes read from disk or the system's cache; absent without an index (pg_statio_user_tables.idx_blks_read).
    IDX_READ: Counter legacy "pg_statio_user_tables_idx_blocks_read" [datname, schemaname, relname];
    /// Blocks of the table's indexes found in shared buffers; absent without an index (pg_statio_user_tables.idx_blks_hit).
    IDX_HIT: Counter legacy "pg_statio_user_tables_idx_blocks_hit" [datname, schemaname, relname];
    /// Blocks of the table's TOAST table read from disk or the system's cache; absent without one (pg_statio_user_tables.toast_blks_read).
    TOAST_READ: Counter legacy "pg_statio_user_tables_toast_blocks_read" [datname, schemaname, relname];
    /// Blocks of the table's TOAST table found in shared buffers; absent without one (pg_statio_user_tables.toast_blks_hit).
    TOAST_HIT: Counter legacy "pg_statio_user_tables_toast_blocks_hit" [datname, schemaname, relname];
    /// Blocks of the TOAST table's index read from disk or the system's cache; absent without one (pg_statio_user_tables.tidx_blks_read).
    TIDX_READ: Counter legacy "pg_statio_user_tables_tidx_blocks_read" [datname, schemaname, relname];
    /// Blocks of the TOAST table's index found in shared buffers; absent without one (pg_statio_user_tables.tidx_blks_hit).
    TIDX_HIT: Counter legacy "pg_statio_user_tables_tidx_blocks_hit" [datname, schemaname, relname];
}

const SQL: &str = concat!(
    ranked!(),
    "
SELECT current_database()::text, (SELECT nspname::text FROM pg_namespace n WHERE n.oid = r.relnamespace), relname, bytes,
       pg_stat_get_blocks_fetched(oid) - pg_stat_get_blocks_hit(oid), pg_stat_get_blocks_hit(oid), i.missed, i.hit,
       CASE WHEN reltoastrelid > 0 THEN pg_stat_get_blocks_fetched(reltoastrelid) - pg_stat_get_blocks_hit(reltoastrelid) END,
       CASE WHEN reltoastrelid > 0 THEN pg_stat_get_blocks_hit(reltoastrelid) END, t.missed, t.hit
FROM ranked r
     CROSS JOIN LATERAL (SELECT sum(pg_stat_get_blocks_fetched(indexrelid) - pg_stat_get_blocks_hit(indexrelid))::bigint AS missed,
                                sum(pg_stat_get_blocks_hit(indexrelid))::bigint AS hit FROM pg_index WHERE indrelid = r.oid) AS i
     CROSS JOIN LATERAL (SELECT sum(pg_stat_get_blocks_fetched(indexrelid) - pg_stat_get_blocks_hit(indexrelid))::bigint AS missed,
                                sum(pg_stat_get_blocks_hit(indexrelid))::bigint AS hit FROM pg_index WHERE indrelid = r.reltoastrelid) AS t
WHERE place <= $1"
);

/// See the file.
pub struct Statio {
    top: u16,
}

impl Collector for Statio {
    type Session = Pg;
    type Options = TopOptions;
    const HELP: &'static str = "Reads and cache hits of the largest tables (pg_statio_user_tables).";
    const ALIASES: &'static [&'static str] = &["statio_user_tables"];
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: TopOptions) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        out.keep_heaviest(self.top.into());
        for row in session.rows_with(SQL, &[&i64::from(self.top)]).await? {
            let (datname, schemaname, relname): (&str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?);
            columns!(out, row, { datname, schemaname, relname }, i64 {
                HEAP_READ = 4, HEAP_HIT = 5, IDX_READ = 6, IDX_HIT = 7, TOAST_READ = 8, TOAST_HIT = 9, TIDX_READ = 10, TIDX_HIT = 11,
            });
            out.rank(row.get(3)?);
        }
        Ok(())
    }
}
