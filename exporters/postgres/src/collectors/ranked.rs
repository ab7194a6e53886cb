//! What the collectors of the largest objects share: their option, and the tables of a database by size.
//!
//! From pg_class and pg_index, all versions. No table is opened and no lock on one is taken: sizes are those of the last
//! VACUUM or ANALYZE (relpages).

sage_common::options! {
    /// Options of the collectors that show the largest objects.
    pub struct TopOptions {
        /// How many of the largest of all databases have series of their own.
        pub top: u16 = 50,
    }
}

/// The tables by size, largest first, as `ranked`. reltuples is -1 for a table that was never analysed.
macro_rules! ranked {
    () => {
        "
WITH indexes AS (
    SELECT x.indrelid, sum(i.relpages) AS pages FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid GROUP BY 1
), sized AS (
    SELECT c.oid, c.relnamespace, c.relname::text AS relname, c.reltoastrelid, greatest(c.reltuples, 0)::float8 AS reltuples,
           (c.relpages + coalesce(t.relpages, 0) + coalesce(ti.pages, 0))::float8 * current_setting('block_size')::float8 AS heap_bytes,
           coalesce(x.pages, 0)::float8 * current_setting('block_size')::float8 AS index_bytes
    FROM pg_class c LEFT JOIN indexes x ON x.indrelid = c.oid
         LEFT JOIN pg_class t ON t.oid = c.reltoastrelid LEFT JOIN indexes ti ON ti.indrelid = c.reltoastrelid
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
          AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
), ranked AS (
    SELECT *, heap_bytes + index_bytes AS bytes,
           row_number() OVER (ORDER BY heap_bytes + index_bytes DESC, reltuples DESC, oid) AS place FROM sized
)"
    };
}
pub(super) use ranked;

/// Writes a column of the row for each family, all with the same labels: `columns!(out, row, { datname }, i64 { SCANS = 4 })`.
/// NULL writes no sample.
macro_rules! columns {
    ($out:ident, $row:ident, $labels:tt, $type:ty { $($metric:ident = $column:literal),* $(,)? }) => {
        $(sage_common::put!($out, $metric $labels = $row.get::<Option<$type>>($column)?);)*
    };
}
pub(super) use columns;
