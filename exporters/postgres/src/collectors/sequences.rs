//! Sequences that come near their end: their own, or that of the column that they feed.
//!
//! From pg_sequence, pg_depend and pg_sequence_last_value(), all versions, database by database on the timer. A bigint
//! sequence that feeds an int4 column ends with the column. Reading a sequence needs SELECT or USAGE on it and takes the
//! same weak lock that nextval() does, so one that somebody is changing is left out, counted, and read the next time.
//! Sequences that begin anew (CYCLE) have no end.

use sage_common::collector::{Collector, Grant, NoOptions, Scope};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// How much of a sequence is used, from 0 to 1, where it is half or more; the limit is that of the sequence or of the column that it feeds, whichever comes first (pg_sequence_last_value).
    USED: Gauge "pg_sequence_used_ratio" [datname, schemaname, sequencename];
    /// Sequences without CYCLE of the database, by whether their value was read: yes, not the role's to read (denied), or locked by somebody (busy).
    COUNT: Gauge "pg_sequences" [datname, state];
}

/// Without it a sequence is only counted, as denied.
const SELECT: Grant = Grant {
    what: "SELECT ON ALL SEQUENCES IN SCHEMA public",
    why: "how much of them is used; in each database, for each schema that has sequences",
    before: u32::MAX,
    optional: true,
};

/// From here on a sequence is shown.
const SHOWN: f64 = 0.5;
/// Most sequences of a database with a series; the fullest come first, the others are counted.
const MOST: usize = 50;

/// Which sequences are locked is asked first: one such would make the whole statement wait.
const SQL: &str = "
WITH fed AS (
    SELECT d.objid AS seqrelid, d.refobjid AS relid, d.refobjsubid AS attnum FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    UNION ALL
    SELECT d.refobjid, a.adrelid, a.adnum FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
), column_max AS (
    SELECT fed.seqrelid, min(CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END::bigint) AS most
    FROM fed JOIN pg_attribute a ON a.attrelid = fed.relid AND a.attnum = fed.attnum GROUP BY 1
), busy AS MATERIALIZED (
    SELECT relation FROM pg_locks WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
), found AS MATERIALIZED (
    SELECT s.*, n.nspname, c.relname, m.most,
           CASE WHEN NOT has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN 'denied'
                WHEN s.seqrelid IN (SELECT relation FROM busy) THEN 'busy' ELSE 'read' END AS state
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN column_max m ON m.seqrelid = s.seqrelid
    WHERE NOT s.seqcycle AND c.relpersistence <> 't'
), valued AS MATERIALIZED (
    SELECT *, CASE WHEN state = 'read' THEN pg_sequence_last_value(seqrelid) END AS last_value FROM found
)
SELECT current_database()::text, state, nspname::text, relname::text,
       CASE WHEN last_value IS NULL THEN 0.0
            WHEN seqincrement > 0 THEN (last_value::float8 - seqmin) / nullif(least(seqmax, most)::float8 - seqmin, 0)
            ELSE (seqmax::float8 - last_value) / nullif(seqmax::float8 - greatest(seqmin, -most - 1)::float8, 0) END::float8
FROM valued ORDER BY 5 DESC NULLS LAST, 3, 4";

/// See the file.
pub struct Sequences;

impl Collector for Sequences {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Sequences of which half or more is used (pg_sequences).";
    const SCOPE: Scope = Scope::Database;
    const GRANTS: &'static [Grant] = &[SELECT];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let rows = match session.rows(SQL).await {
            // Locked between the question who is and the reading: once more, and then it stands among the busy ones.
            Err(error) if error.kind == ErrorKind::Timeout => session.rows(SQL).await?,
            other => other?,
        };
        let (mut read, mut denied, mut busy, mut shown) = (0, 0, 0, 0);
        for row in &rows {
            match row.get(1)? {
                "denied" => denied += 1,
                "busy" => busy += 1,
                _ => read += 1,
            }
            let (datname, schemaname, sequencename): (&str, &str, &str) = (row.get(0)?, row.get(2)?, row.get(3)?);
            if let Some(ratio) = row.get::<Option<f64>>(4)?.filter(|ratio| *ratio >= SHOWN) {
                shown += 1;
                if shown <= MOST {
                    put!(out, USED { datname, schemaname, sequencename } = ratio.min(1.0));
                }
            }
        }
        out.drop_series(USED.info().name, shown.saturating_sub(MOST) as u64);
        if let Some(row) = rows.first() {
            let datname: &str = row.get(0)?;
            for (state, count) in [("read", read), ("denied", denied), ("busy", busy)] {
                // A database without sequences, or one that is read in full, needs no line for the others.
                put!(out, COUNT { datname, state } = Some(count).filter(|count| state == "read" || *count > 0));
            }
        }
        if denied > 0 {
            out.more_with(
                "GRANT SELECT ON ALL SEQUENCES IN SCHEMA ... TO the monitoring role, in each database (pg_sequences{state=\"denied\"})",
            );
        }
        Ok(())
    }
}
