//! Number of tables, and the largest of the instance with their rows, size and statistics.
//!
//! From pg_class, pg_index and the pg_stat_get_*() functions, all versions, database by database on the timer. No table is
//! opened and no lock on one is taken, so a lock held by others cannot stop this: sizes are those of the last VACUUM or
//! ANALYZE (relpages), rows are the server's live estimate. Only the `top` largest of all databases have series of their
//! own; the rest of each database is one line, `_other`.

use sage_common::collector::{Collector, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use super::ranked::{TopOptions, ranked};
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
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
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
                    write_table(&row, &schema, out)?;
                    out.rank(row.get(4)?);
                }
                // Its line is there even when nothing is left out here: other databases may have larger tables.
                None if count > 0 => {
                    write_size(&row, "", out)?;
                    out.rest();
                }
                None => {}
            }
            database = row.get(0)?;
        }
        put!(out, COUNT { datname: database } = count);
        Ok(())
    }
}

fn write_size(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    let (datname, relname): (&str, &str) = (row.get(0)?, row.get(2)?);
    put!(out, SIZE { datname, schemaname, relname } = row.get::<f64>(4)?);
    put!(out, ROWS { datname, schemaname, relname } = row.get::<f64>(5)?);
    Ok(())
}

fn write_table(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    write_size(row, schemaname, out)?;
    let (datname, relname): (&str, &str) = (row.get(0)?, row.get(2)?);
    put!(out, HEAP_SIZE { datname, schemaname, relname } = row.get::<f64>(6)?);
    put!(out, INDEX_SIZE { datname, schemaname, relname } = row.get::<f64>(7)?);
    put!(out, LIVE { datname, schemaname, relname } = row.get::<i64>(8)?);
    put!(out, DEAD { datname, schemaname, relname } = row.get::<i64>(9)?);
    put!(out, CHANGED { datname, schemaname, relname } = row.get::<i64>(10)?);
    put!(out, INSERTED_SINCE { datname, schemaname, relname } = row.get::<i64>(11)?);
    put!(out, SEQ_SCAN { datname, schemaname, relname } = row.get::<i64>(12)?);
    put!(out, SEQ_TUP_READ { datname, schemaname, relname } = row.get::<i64>(13)?);
    put!(out, IDX_SCAN { datname, schemaname, relname } = row.get::<Option<i64>>(14)?);
    put!(out, IDX_TUP_FETCH { datname, schemaname, relname } = row.get::<Option<i64>>(15)?);
    put!(out, INSERTED { datname, schemaname, relname } = row.get::<i64>(16)?);
    put!(out, UPDATED { datname, schemaname, relname } = row.get::<i64>(17)?);
    put!(out, HOT_UPDATED { datname, schemaname, relname } = row.get::<i64>(18)?);
    put!(out, DELETED { datname, schemaname, relname } = row.get::<i64>(19)?);
    put!(out, VACUUMS { datname, schemaname, relname } = row.get::<i64>(20)?);
    put!(out, AUTOVACUUMS { datname, schemaname, relname } = row.get::<i64>(21)?);
    put!(out, ANALYZES { datname, schemaname, relname } = row.get::<i64>(22)?);
    put!(out, AUTOANALYZES { datname, schemaname, relname } = row.get::<i64>(23)?);
    put!(out, LAST_VACUUM { datname, schemaname, relname } = row.get::<Option<f64>>(24)?);
    put!(out, LAST_AUTOVACUUM { datname, schemaname, relname } = row.get::<Option<f64>>(25)?);
    put!(out, LAST_ANALYZE { datname, schemaname, relname } = row.get::<Option<f64>>(26)?);
    put!(out, LAST_AUTOANALYZE { datname, schemaname, relname } = row.get::<Option<f64>>(27)?);
    Ok(())
}
