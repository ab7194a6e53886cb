//! The vacuums that run now: of which table, in which phase, how far.
//!
//! From pg_stat_progress_vacuum; PostgreSQL 17 counts the dead rows in another way. A table of another database has no
//! name here; autovacuum says it in the text that it shows in pg_stat_activity, else the oid stands for it. Others'
//! vacuums need pg_read_all_stats.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg, V17};

sage_common::metrics! {
    /// Vacuums that run now, by who started them: autovacuum or a session (pg_stat_progress_vacuum).
    RUNNING: Gauge "pg_vacuums_running" [starter];
    /// 1 for the phase that the vacuum is in, 0 for the others (pg_stat_progress_vacuum.phase).
    PHASE: Gauge legacy "pg_stat_progress_vacuum_phase" [datname, relname, phase];
    /// Blocks of the table (pg_stat_progress_vacuum.heap_blks_total).
    BLOCKS: Gauge legacy "pg_stat_progress_vacuum_heap_blks" [datname, relname];
    /// Blocks of the table scanned so far (pg_stat_progress_vacuum.heap_blks_scanned).
    SCANNED: Gauge legacy "pg_stat_progress_vacuum_heap_blks_scanned" [datname, relname];
    /// Blocks of the table vacuumed so far (pg_stat_progress_vacuum.heap_blks_vacuumed).
    VACUUMED: Gauge legacy "pg_stat_progress_vacuum_heap_blks_vacuumed" [datname, relname];
    /// Rounds over the indexes that are done (pg_stat_progress_vacuum.index_vacuum_count).
    INDEX_ROUNDS: Gauge legacy "pg_stat_progress_vacuum_index_vacuums" [datname, relname];
    /// Dead rows that fit into memory before a round over the indexes; until PostgreSQL 16 (pg_stat_progress_vacuum.max_dead_tuples).
    MAX_DEAD: Gauge legacy "pg_stat_progress_vacuum_max_dead_tuples" [datname, relname];
    /// Dead rows collected since the last round over the indexes (pg_stat_progress_vacuum.num_dead_tuples; from 17 on num_dead_item_ids).
    DEAD: Gauge legacy "pg_stat_progress_vacuum_num_dead_tuples" [datname, relname];
}

/// As many as these can run at once; more are not listed.
const LIMIT: usize = 50;

const PHASES: [&str; 7] = [
    "initializing",
    "scanning heap",
    "vacuuming indexes",
    "vacuuming heap",
    "cleaning up indexes",
    "truncating heap",
    "performing final cleanup",
];

/// A select list and a FROM clause that the versions share.
macro_rules! sql {
    ($max_dead:literal, $dead:literal) => {
        concat!(
            "SELECT coalesce(v.datname::text, ''), coalesce(CASE WHEN v.datname = current_database() THEN v.relid::regclass::text END,
                    substring(a.query FROM '^autovacuum: VACUUM (?:ANALYZE )?(.+?)(?: \\(to prevent wraparound\\))?$'), v.relid::text, ''),
                    coalesce(v.phase, ''), v.heap_blks_total, v.heap_blks_scanned, v.heap_blks_vacuumed, v.index_vacuum_count, ",
            $max_dead,
            ", ",
            $dead,
            ", coalesce(a.backend_type = 'autovacuum worker', false)
             FROM pg_stat_progress_vacuum v LEFT JOIN pg_stat_activity a ON a.pid = v.pid ORDER BY v.heap_blks_total DESC NULLS LAST"
        )
    };
}

const SQL_13: &str = sql!("v.max_dead_tuples", "v.num_dead_tuples");
const SQL_17: &str = sql!("NULL::int8", "v.num_dead_item_ids");

/// See the file.
pub struct ProgressVacuum;

impl Collector for ProgressVacuum {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Vacuums that run now and how far they are (pg_stat_progress_vacuum).";
    const ALIASES: &'static [&'static str] = &["stat_progress_vacuum"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let rows = session.rows(if session.facts.version >= V17 { SQL_17 } else { SQL_13 }).await?;
        let mut automatic = 0;
        for row in &rows {
            automatic += usize::from(row.get::<bool>(9)?);
        }
        put!(out, RUNNING { starter: "autovacuum" } = automatic);
        put!(out, RUNNING { starter: "session" } = rows.len() - automatic);
        out.drop_series(BLOCKS.info().name, rows.len().saturating_sub(LIMIT) as u64);
        for row in rows.iter().take(LIMIT) {
            let (datname, relname, now): (&str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?);
            for phase in PHASES.into_iter().filter(|_| !now.is_empty()) {
                put!(out, PHASE { datname, relname, phase } = phase == now);
            }
            put!(out, BLOCKS { datname, relname } = row.get::<Option<i64>>(3)?);
            put!(out, SCANNED { datname, relname } = row.get::<Option<i64>>(4)?);
            put!(out, VACUUMED { datname, relname } = row.get::<Option<i64>>(5)?);
            put!(out, INDEX_ROUNDS { datname, relname } = row.get::<Option<i64>>(6)?);
            put!(out, MAX_DEAD { datname, relname } = row.get::<Option<i64>>(7)?);
            put!(out, DEAD { datname, relname } = row.get::<Option<i64>>(8)?);
        }
        Ok(())
    }
}
