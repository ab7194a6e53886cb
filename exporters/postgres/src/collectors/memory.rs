//! What the server's shared memory is divided into.
//!
//! From pg_shmem_allocations, PostgreSQL 13 on; pg_read_all_stats may read it from 15 on, before that it takes a grant of
//! its own. The division is made when the server starts, hence on the timer. What the processes use is in `footprint`.

use std::time::Duration;

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg, V15};

sage_common::metrics! {
    /// Bytes of the largest areas of shared memory; area _other is the sum of the rest, _unused is free (pg_shmem_allocations.allocated_size).
    AREA: Gauge "pg_shared_memory_bytes" [area];
}

/// Areas with series of their own.
const LARGEST: i64 = 10;

const MAY_READ: &str = "
SELECT has_table_privilege('pg_catalog.pg_shmem_allocations', 'select')
       AND has_function_privilege('pg_catalog.pg_get_shmem_allocations()', 'execute')";

const SQL: &str = "
WITH ranked AS (
    SELECT name, allocated_size, row_number() OVER (ORDER BY name IS NULL OR name = '<anonymous>', allocated_size DESC) AS place FROM pg_shmem_allocations
)
SELECT CASE WHEN name IS NULL THEN '_unused' WHEN place > $1 THEN '_other' ELSE name END, sum(allocated_size)::float8
FROM ranked GROUP BY 1";

/// See the file.
pub struct Memory;

impl Collector for Memory {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Areas of shared memory, read on a timer (pg_shmem_allocations).";
    const EVERY: Option<Duration> = Some(sage_common::collector::DEFAULT_INTERVAL);
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.one(MAY_READ).await?.get::<bool>(0)? {
            if session.facts.version < V15 {
                out.not_here("before PostgreSQL 15 only a superuser, or who was granted it, may read pg_shmem_allocations");
            } else {
                out.lacks(GRANT);
            }
            return Ok(());
        }
        for row in session.rows_with(SQL, &[&LARGEST]).await? {
            let area: &str = row.get(0)?;
            put!(out, AREA { area } = row.get::<f64>(1)?);
        }
        Ok(())
    }
}
