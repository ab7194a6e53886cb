//! Number of tables, and the largest of the instance with their rows, size and statistics.
//!
//! From pg_class, pg_index and pg_stat_get_*(), all versions, database by database on the timer. No table is opened or locked, so
//! locks of others cannot stop this: sizes are those of the last VACUUM or ANALYZE (relpages), rows the live estimate. Only the
//! `top` largest of all databases have series of their own; the rest of each database is one line, `_other`.

use sage_common::collector::{Collector, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use super::ranked::{TopOptions, columns, ranked};
use crate::session::{Pg, Row};

sage_common::metrics! {
    /// Tables, partitions and materialised views of the database (pg_class).
    COUNT: Gauge "pg_tables" [datname];
    /// Estimated live rows of the largest tables; relname _other is the sum of the database's others (pg_stat_get_live_tuples, reltuples).
    ROWS: Gauge "pg_table_rows" [datname, schemaname, relname];
    /// Bytes of the largest tables with TOAST and indexes as of the last VACUUM or ANALYZE; relname _other is the sum of the database's others (pg_class.relpages).
    SIZE: Gauge "pg_table_size_bytes" [datname, schemaname, relname];
    /// Bytes of the table with TOAST, without indexes, as of the last VACUUM or ANALYZE (pg_class.relpages).
    HEAP_SIZE: Gauge legacy "pg_stat_user_tables_table_size_bytes" [datname, schemaname, relname];
    /// Bytes of the table's indexes as of the last VACUUM or ANALYZE (pg_class.relpages).
    INDEX_SIZE: Gauge legacy "pg_stat_user_tables_index_size_bytes" [datname, schemaname, relname];
    /// Estimated live rows (pg_stat_user_tables.n_live_tup).
    LIVE: Gauge legacy "pg_stat_user_tables_n_live_tup" [datname, schemaname, relname];
    /// Estimated dead rows (pg_stat_user_tables.n_dead_tup).
    DEAD: Gauge legacy "pg_stat_user_tables_n_dead_tup" [datname, schemaname, relname];
    /// Estimated rows changed since the last ANALYZE (pg_stat_user_tables.n_mod_since_analyze).
    CHANGED: Gauge legacy "pg_stat_user_tables_n_mod_since_analyze" [datname, schemaname, relname];
    /// Estimated rows inserted since the last VACUUM (pg_stat_user_tables.n_ins_since_vacuum).
    INSERTED_SINCE: Gauge legacy "pg_stat_user_tables_n_ins_since_vacuum" [datname, schemaname, relname];
    /// Sequential scans (pg_stat_user_tables.seq_scan).
    SEQ_SCAN: Counter legacy "pg_stat_user_tables_seq_scan" [datname, schemaname, relname];
    /// Rows read by sequential scans (pg_stat_user_tables.seq_tup_read).
    SEQ_TUP_READ: Counter legacy "pg_stat_user_tables_seq_tup_read" [datname, schemaname, relname];
    /// Index scans; absent without an index (pg_stat_user_tables.idx_scan).
    IDX_SCAN: Counter legacy "pg_stat_user_tables_idx_scan" [datname, schemaname, relname];
    /// Rows fetched by index scans; absent without an index (pg_stat_user_tables.idx_tup_fetch).
    IDX_TUP_FETCH: Counter legacy "pg_stat_user_tables_idx_tup_fetch" [datname, schemaname, relname];
    /// Rows inserted (pg_stat_user_tables.n_tup_ins).
    INSERTED: Counter legacy "pg_stat_user_tables_n_tup_ins" [datname, schemaname, relname];
    /// Rows updated (pg_stat_user_tables.n_tup_upd).
    UPDATED: Counter legacy "pg_stat_user_tables_n_tup_upd" [datname, schemaname, relname];
    /// Rows updated without a new index entry (pg_stat_user_tables.n_tup_hot_upd).
    HOT_UPDATED: Counter legacy "pg_stat_user_tables_n_tup_hot_upd" [datname, schemaname, relname];
    /// Rows deleted (pg_stat_user_tables.n_tup_del).
    DELETED: Counter legacy "pg_stat_user_tables_n_tup_del" [datname, schemaname, relname];
    /// Times vacuumed by hand (pg_stat_user_tables.vacuum_count).
    VACUUMS: Counter legacy "pg_stat_user_tables_vacuum_count" [datname, schemaname, relname];
    /// Times vacuumed by autovacuum (pg_stat_user_tables.autovacuum_count).
    AUTOVACUUMS: Counter legacy "pg_stat_user_tables_autovacuum_count" [datname, schemaname, relname];
    /// Times analysed by hand (pg_stat_user_tables.analyze_count).
    ANALYZES: Counter legacy "pg_stat_user_tables_analyze_count" [datname, schemaname, relname];
    /// Times analysed by autovacuum (pg_stat_user_tables.autoanalyze_count).
    AUTOANALYZES: Counter legacy "pg_stat_user_tables_autoanalyze_count" [datname, schemaname, relname];
    /// When last vacuumed by hand, as a Unix time; absent when never (pg_stat_user_tables.last_vacuum).
    LAST_VACUUM: Gauge legacy "pg_stat_user_tables_last_vacuum" [datname, schemaname, relname];
    /// When last vacuumed by autovacuum, as a Unix time; absent when never (pg_stat_user_tables.last_autovacuum).
    LAST_AUTOVACUUM: Gauge legacy "pg_stat_user_tables_last_autovacuum" [datname, schemaname, relname];
    /// When last analysed by hand, as a Unix time; absent when never (pg_stat_user_tables.last_analyze).
    LAST_ANALYZE: Gauge legacy "pg_stat_user_tables_last_analyze" [datname, schemaname, relname];
    /// When last analysed by autovacuum, as a Unix time; absent when never (pg_stat_user_tables.last_autoanalyze).
    LAST_AUTOANALYZE: Gauge legacy "pg_stat_user_tables_last_autoanalyze" [datname, schemaname, relname];
}

/// The rest is summed up in the last row, which has no schema.
const SQL: &str = concat!(
    ranked!(),
    "
SELECT current_database()::text, (SELECT nspname::text FROM pg_namespace n WHERE n.oid = r.relnamespace), relname, 1::bigint,
       bytes, coalesce(nullif(pg_stat_get_live_tuples(oid), 0)::float8, reltuples), heap_bytes, index_bytes,
       pg_stat_get_live_tuples(oid), pg_stat_get_dead_tuples(oid), pg_stat_get_mod_since_analyze(oid), pg_stat_get_ins_since_vacuum(oid),
       pg_stat_get_numscans(oid), pg_stat_get_tuples_returned(oid),
       (SELECT sum(pg_stat_get_numscans(x.indexrelid))::bigint FROM pg_index x WHERE x.indrelid = r.oid),
       (SELECT sum(pg_stat_get_tuples_fetched(x.indexrelid))::bigint FROM pg_index x WHERE x.indrelid = r.oid)
         + pg_stat_get_tuples_fetched(oid),
       pg_stat_get_tuples_inserted(oid), pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_hot_updated(oid),
       pg_stat_get_tuples_deleted(oid), pg_stat_get_vacuum_count(oid), pg_stat_get_autovacuum_count(oid), pg_stat_get_analyze_count(oid),
       pg_stat_get_autoanalyze_count(oid), extract(epoch FROM pg_stat_get_last_vacuum_time(oid))::float8,
       extract(epoch FROM pg_stat_get_last_autovacuum_time(oid))::float8, extract(epoch FROM pg_stat_get_last_analyze_time(oid))::float8,
       extract(epoch FROM pg_stat_get_last_autoanalyze_time(oid))::float8
FROM ranked r WHERE place <= $1
UNION ALL
SELECT current_database()::text, NULL, '_other', count(*), coalesce(sum(bytes), 0), coalesce(sum(reltuples), 0),
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM ranked WHERE place > $1"
);

/// See the file.
pub struct Tables {
    top: u16,
}

impl Collector for Tables {
    type Session = Pg;
    type Options = TopOptions;
    const HELP: &'static str = "Number of tables; rows, size and statistics of the largest ones (pg_class, pg_stat_user_tables).";
    const ALIASES: &'static [&'static str] = &["stat_user_tables"];
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: TopOptions) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        out.keep_heaviest(self.top.into());
        let (mut count, mut database) = (0, String::new());
        for row in session.rows_with(SQL, &[&i64::from(self.top)]).await? {
            count += row.get::<i64>(3)?;
            match row.get::<Option<String>>(1)? {
                Some(schema) => {
                    write_size(&row, &schema, out)?;
                    write_table(&row, &schema, out)?;
                    out.rank(row.get(4)?);
                }
                None if count == 0 => {}
                // Its line is there even when nothing is left out here: other databases may have larger tables.
                None => {
                    write_size(&row, "", out)?;
                    out.rest();
                }
            }
            database = row.get(0)?;
        }
        put!(out, COUNT { datname: database } = count);
        Ok(())
    }
}

fn write_size(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    let (datname, relname): (&str, &str) = (row.get(0)?, row.get(2)?);
    columns!(out, row, { datname, schemaname, relname }, f64 { SIZE = 4, ROWS = 5 });
    Ok(())
}

fn write_table(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    let (datname, relname): (&str, &str) = (row.get(0)?, row.get(2)?);
    columns!(out, row, { datname, schemaname, relname }, i64 {
        LIVE = 8, DEAD = 9, CHANGED = 10, INSERTED_SINCE = 11, SEQ_SCAN = 12, SEQ_TUP_READ = 13, IDX_SCAN = 14, IDX_TUP_FETCH = 15,
        INSERTED = 16, UPDATED = 17, HOT_UPDATED = 18, DELETED = 19, VACUUMS = 20, AUTOVACUUMS = 21, ANALYZES = 22, AUTOANALYZES = 23,
    });
    columns!(out, row, { datname, schemaname, relname }, f64 {
        HEAP_SIZE = 6, INDEX_SIZE = 7, LAST_VACUUM = 24, LAST_AUTOVACUUM = 25, LAST_ANALYZE = 26, LAST_AUTOANALYZE = 27,
    });
    Ok(())
}
