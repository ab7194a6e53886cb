//! Autovacuum workers: how many, for which purpose, and since when at which table.
//!
//! From the text that a worker shows in pg_stat_activity ("autovacuum: VACUUM schema.table"), which names the table also
//! where it lies in another database. All versions; needs pg_read_all_stats.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Enabled, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// When the autovacuum worker began with the table, as a Unix time; the earliest of tables of one name (pg_stat_activity.xact_start).
    BEGAN: Gauge legacy "pg_stat_activity_autovacuum_timestamp_seconds" [relname];
    /// Autovacuum workers by purpose: wraparound (to prevent it) or upkeep (pg_stat_activity).
    WORKERS: Gauge "pg_autovacuum_workers" [purpose];
}

/// More tables than these are not listed.
const LIMIT: usize = 50;

const SQL: &str = "
SELECT query, extract(epoch FROM xact_start)::float8 FROM pg_stat_activity
WHERE backend_type = 'autovacuum worker' AND query LIKE 'autovacuum: %' ORDER BY xact_start";

/// See the file.
pub struct ActivityAutovacuum;

impl Collector for ActivityAutovacuum {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Autovacuum workers and their tables (pg_stat_activity).";
    const ALIASES: &'static [&'static str] = &["stat_activity_autovacuum"];
    const ENABLED: Enabled = Enabled::OnRequest;
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.facts.reads_stats { Support::Yes } else { Support::Denied(GRANT) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let (mut tables, mut urgent, mut all) = (BTreeMap::new(), 0, 0);
        for row in session.rows(SQL).await? {
            let (relname, wraparound) = table_of(row.get(0)?);
            all += 1;
            urgent += i64::from(wraparound);
            if let Some(began) = row.get::<Option<f64>>(1)? {
                tables.entry(relname.to_owned()).or_insert(began);
            }
        }
        put!(out, WORKERS { purpose: "wraparound" } = urgent);
        put!(out, WORKERS { purpose: "upkeep" } = all - urgent);
        out.drop_series(BEGAN.info().name, tables.len().saturating_sub(LIMIT) as u64);
        for (relname, began) in tables.iter().take(LIMIT) {
            put!(out, BEGAN { relname } = *began);
        }
        Ok(())
    }
}

/// The table in a worker's text, without its schema, and whether the vacuum is to prevent wraparound.
fn table_of(text: &str) -> (&str, bool) {
    let (text, wraparound) = text.strip_suffix(" (to prevent wraparound)").map_or((text, false), |text| (text, true));
    (text.split_once('.').map_or(text, |(_, table)| table), wraparound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_workers() {
        for (text, want) in [
            ("autovacuum: VACUUM public.customer", ("customer", false)),
            ("autovacuum: VACUUM ANALYZE public.customer", ("customer", false)),
            ("autovacuum: ANALYZE shop.two words", ("two words", false)),
            ("autovacuum: VACUUM public.customer (to prevent wraparound)", ("customer", true)),
        ] {
            assert_eq!(table_of(text), want, "{text}");
        }
    }
}
