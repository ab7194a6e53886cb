//! Number of tables, and the largest of each database with their rows, size and statistics.
//!
//! From pg_class, pg_index and the pg_stat_get_*() functions, database by database on the timer. No table is opened and
//! no lock on one is taken, so a lock held by others cannot stop this: sizes are those of the last VACUUM or ANALYZE
//! (relpages, with TOAST and indexes), rows are the server's live estimate. Only the `top` largest have series of their
//! own; the rest is one line, `_other`.

use sage_common::collector::{Collector, Scope};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, Row};

sage_common::metrics! {
    /// Tables, partitions and materialised views of the database (pg_class).
    COUNT: Gauge "pg_tables" [datname];
    /// Estimated live rows of the largest tables; relname _other is the sum of the rest (pg_stat_get_live_tuples, reltuples).
    ROWS: Gauge "pg_table_rows" [datname, schemaname, relname];
    /// Bytes of the largest tables with TOAST and indexes as of the last VACUUM or ANALYZE; relname _other is the rest (pg_class.relpages).
    SIZE: Gauge "pg_table_size_bytes" [datname, schemaname, relname];
    /// Estimated live rows (pg_stat_user_tables.n_live_tup).
    LIVE: Gauge legacy "pg_stat_user_tables_n_live_tup" [datname, schemaname, relname];
    /// Estimated dead rows (pg_stat_user_tables.n_dead_tup).
    DEAD: Gauge legacy "pg_stat_user_tables_n_dead_tup" [datname, schemaname, relname];
    /// Sequential scans (pg_stat_user_tables.seq_scan).
    SEQ_SCAN: Counter legacy "pg_stat_user_tables_seq_scan" [datname, schemaname, relname];
    /// Rows read by sequential scans (pg_stat_user_tables.seq_tup_read).
    SEQ_TUP_READ: Counter legacy "pg_stat_user_tables_seq_tup_read" [datname, schemaname, relname];
    /// Rows inserted (pg_stat_user_tables.n_tup_ins).
    INSERTED: Counter legacy "pg_stat_user_tables_n_tup_ins" [datname, schemaname, relname];
    /// Rows updated (pg_stat_user_tables.n_tup_upd).
    UPDATED: Counter legacy "pg_stat_user_tables_n_tup_upd" [datname, schemaname, relname];
    /// Rows deleted (pg_stat_user_tables.n_tup_del).
    DELETED: Counter legacy "pg_stat_user_tables_n_tup_del" [datname, schemaname, relname];
    /// Times vacuumed by hand (pg_stat_user_tables.vacuum_count).
    VACUUMS: Counter legacy "pg_stat_user_tables_vacuum_count" [datname, schemaname, relname];
    /// Times vacuumed by autovacuum (pg_stat_user_tables.autovacuum_count).
    AUTOVACUUMS: Counter legacy "pg_stat_user_tables_autovacuum_count" [datname, schemaname, relname];
    /// When last vacuumed by hand, as a Unix time; absent when never (pg_stat_user_tables.last_vacuum).
    LAST_VACUUM: Gauge legacy "pg_stat_user_tables_last_vacuum" [datname, schemaname, relname];
    /// When last vacuumed by autovacuum, as a Unix time; absent when never (pg_stat_user_tables.last_autovacuum).
    LAST_AUTOVACUUM: Gauge legacy "pg_stat_user_tables_last_autovacuum" [datname, schemaname, relname];
    /// When last analysed by hand, as a Unix time; absent when never (pg_stat_user_tables.last_analyze).
    LAST_ANALYZE: Gauge legacy "pg_stat_user_tables_last_analyze" [datname, schemaname, relname];
    /// When last analysed by autovacuum, as a Unix time; absent when never (pg_stat_user_tables.last_autoanalyze).
    LAST_AUTOANALYZE: Gauge legacy "pg_stat_user_tables_last_autoanalyze" [datname, schemaname, relname];
}

/// The rest is summed up in the last row, whose oid is NULL. reltuples is -1 for a table that was never analysed.
const SQL: &str = "
WITH sized AS (
    SELECT c.oid, n.nspname::text AS schemaname, c.relname::text AS relname, greatest(c.reltuples, 0)::float8 AS reltuples,
           (c.relpages + coalesce(t.relpages, 0)
            + coalesce((SELECT sum(ic.relpages) FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid), 0)
           )::float8 * current_setting('block_size')::float8 AS bytes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY bytes DESC, reltuples DESC, oid) AS place FROM sized
)
SELECT current_database()::text, schemaname, relname, bytes,
       coalesce(nullif(pg_stat_get_live_tuples(oid), 0)::float8, reltuples), 1::bigint,
       pg_stat_get_live_tuples(oid), pg_stat_get_dead_tuples(oid), pg_stat_get_numscans(oid), pg_stat_get_tuples_returned(oid),
       pg_stat_get_tuples_inserted(oid), pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_deleted(oid),
       pg_stat_get_vacuum_count(oid), pg_stat_get_autovacuum_count(oid),
       extract(epoch FROM pg_stat_get_last_vacuum_time(oid))::float8, extract(epoch FROM pg_stat_get_last_autovacuum_time(oid))::float8,
       extract(epoch FROM pg_stat_get_last_analyze_time(oid))::float8, extract(epoch FROM pg_stat_get_last_autoanalyze_time(oid))::float8
FROM ranked WHERE place <= $1
UNION ALL
SELECT current_database()::text, NULL, '_other', coalesce(sum(bytes), 0), coalesce(sum(reltuples), 0), count(*),
       0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL
FROM ranked WHERE place > $1";

sage_common::options! {
    /// Options of the `tables` collector.
    pub struct TablesOptions {
        /// How many of the largest tables of each database have series of their own.
        pub top: u16 = 20,
    }
}

/// See the file.
pub struct Tables {
    top: i64,
}

impl Collector for Tables {
    type Session = Pg;
    type Options = TablesOptions;
    const HELP: &'static str = "Number of tables; rows, size and statistics of the largest ones (pg_class, pg_stat_user_tables).";
    const ALIASES: &'static [&'static str] = &["stat_user_tables"];
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: TablesOptions) -> Self {
        Self { top: i64::from(options.top) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let mut count = 0;
        let mut database = String::new();
        for row in session.rows_with(SQL, &[&self.top]).await? {
            let many: i64 = row.get(5)?;
            count += many;
            match row.get::<Option<String>>(1)? {
                Some(schema) => write_table(&row, &schema, out)?,
                None => {
                    database = row.get(0)?;
                    if many > 0 {
                        write_size(&row, "", out)?;
                    }
                }
            }
        }
        put!(out, COUNT { datname: database } = count);
        Ok(())
    }
}

fn write_size(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    let (datname, relname): (String, String) = (row.get(0)?, row.get(2)?);
    put!(out, SIZE { datname, schemaname, relname } = row.get::<f64>(3)?);
    put!(out, ROWS { datname, schemaname, relname } = row.get::<f64>(4)?);
    Ok(())
}

fn write_table(row: &Row, schemaname: &str, out: &mut Sink) -> Result<(), CollectError> {
    write_size(row, schemaname, out)?;
    let (datname, relname): (String, String) = (row.get(0)?, row.get(2)?);
    put!(out, LIVE { datname, schemaname, relname } = row.get::<i64>(6)?);
    put!(out, DEAD { datname, schemaname, relname } = row.get::<i64>(7)?);
    put!(out, SEQ_SCAN { datname, schemaname, relname } = row.get::<i64>(8)?);
    put!(out, SEQ_TUP_READ { datname, schemaname, relname } = row.get::<i64>(9)?);
    put!(out, INSERTED { datname, schemaname, relname } = row.get::<i64>(10)?);
    put!(out, UPDATED { datname, schemaname, relname } = row.get::<i64>(11)?);
    put!(out, DELETED { datname, schemaname, relname } = row.get::<i64>(12)?);
    put!(out, VACUUMS { datname, schemaname, relname } = row.get::<i64>(13)?);
    put!(out, AUTOVACUUMS { datname, schemaname, relname } = row.get::<i64>(14)?);
    put!(out, LAST_VACUUM { datname, schemaname, relname } = row.get::<Option<f64>>(15)?);
    put!(out, LAST_AUTOVACUUM { datname, schemaname, relname } = row.get::<Option<f64>>(16)?);
    put!(out, LAST_ANALYZE { datname, schemaname, relname } = row.get::<Option<f64>>(17)?);
    put!(out, LAST_AUTOANALYZE { datname, schemaname, relname } = row.get::<Option<f64>>(18)?);
    Ok(())
}
