//! The statements that cost most, without their texts.
//!
//! From pg_stat_statements(false) of the extension of that name (1.7 to 1.12; it counts for the whole instance but must
//! be created in the database of our session, and pg_read_all_stats is needed). Only the `top` statements by total time
//! have series; what the others add from one reading to the next is summed up in `_other`, which therefore never falls
//! when a statement rises into the top or leaves it. On request and on the timer: the server walks all that it holds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sage_common::collector::{Collector, Enabled, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::extension::Extension;
use crate::grants::MONITOR;
use crate::rest::{Before, Key, Reading, Sums};
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Times that the statement was executed; user, datname and queryid _other are the rest (pg_stat_statements.calls).
    CALLS: Counter legacy "pg_stat_statements_calls_total" [user, datname, queryid];
    /// Seconds spent executing the statement (pg_stat_statements.total_exec_time).
    SECONDS: Counter legacy "pg_stat_statements_seconds_total" [user, datname, queryid];
    /// Rows returned or changed by the statement (pg_stat_statements.rows).
    ROWS: Counter legacy "pg_stat_statements_rows_total" [user, datname, queryid];
    /// Seconds that the statement spent reading blocks, with track_io_timing (pg_stat_statements.shared_blk_read_time).
    READ: Counter legacy "pg_stat_statements_block_read_seconds_total" [user, datname, queryid];
    /// Seconds that the statement spent writing blocks, with track_io_timing (pg_stat_statements.shared_blk_write_time).
    WRITE: Counter legacy "pg_stat_statements_block_write_seconds_total" [user, datname, queryid];
}

sage_common::options! {
    /// Options of the `statements` collector.
    pub struct StatementsOptions {
        /// How many statements have series of their own; the rest is `_other`.
        pub top: u16 = 50,
    }
}

/// See the file.
pub struct Statements {
    top: i64,
    /// By target: a module may serve several.
    before: Mutex<HashMap<String, Before>>,
}

impl Collector for Statements {
    type Session = Pg;
    type Options = StatementsOptions;
    const HELP: &'static str = "Statements by total time, read on a timer, without texts (extension pg_stat_statements).";
    const ALIASES: &'static [&'static str] = &["stat_statements"];
    const ENABLED: Enabled = Enabled::OnRequest;
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: StatementsOptions) -> Self {
        Self { top: options.top.into(), before: Mutex::default() }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        const LOADED: &str = "SELECT current_setting('pg_stat_statements.track', true) IS NOT NULL";
        let Some(extension) = Extension::find(session, "pg_stat_statements").await? else {
            out.not_here(
                "CREATE EXTENSION pg_stat_statements in the database that the exporter is connected to; it counts for all of them",
            );
            return Ok(());
        };
        if !session.one(LOADED).await?.get::<bool>(0)? {
            out.not_here("add pg_stat_statements to shared_preload_libraries and restart the server");
            return Ok(());
        }
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let target = session.target();
        let known = self.before.lock().unwrap_or_else(PoisonError::into_inner).get(&target).map(|b| b.top.clone());
        let known = known.unwrap_or_default();
        let users: Vec<u32> = known.iter().map(|key| key.0).collect();
        let databases: Vec<u32> = known.iter().map(|key| key.1).collect();
        let ids: Vec<i64> = known.iter().map(|key| key.2).collect();
        let rows = session.rows_with(&sql(&extension), &[&self.top, &users, &databases, &ids]).await?;
        let mut reading = Reading::default();
        for row in &rows {
            let sums: Sums = [row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?];
            let Some(queryid) = row.get::<Option<i64>>(2)? else {
                reading.total = sums;
                continue;
            };
            let (key, is_top): (Key, bool) = ((row.get(0)?, row.get(1)?, queryid), row.get(10)?);
            if is_top {
                write(out, row.get(3)?, row.get(4)?, &queryid.to_string(), sums);
                reading.top.insert(key, sums);
            } else {
                reading.left.insert(key, sums);
            }
        }
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let now = reading.follow(before.get(&target));
        write(out, "_other", "_other", "_other", now.other);
        before.insert(target, now);
        Ok(())
    }
}

fn write(out: &mut Sink, user: &str, datname: &str, queryid: &str, [calls, seconds, rows, read, written]: Sums) {
    put!(out, CALLS { user, datname, queryid } = calls);
    put!(out, SECONDS { user, datname, queryid } = seconds);
    put!(out, ROWS { user, datname, queryid } = rows);
    put!(out, READ { user, datname, queryid } = read);
    put!(out, WRITE { user, datname, queryid } = written);
}

/// The columns were renamed in 1.8 (PostgreSQL 13) and 1.11 (17). The last row is the sum of all.
fn sql(extension: &Extension) -> String {
    let time = if extension.version >= (1, 8) { "total_exec_time" } else { "total_time" };
    let blocks = if extension.version >= (1, 11) { "shared_blk" } else { "blk" };
    let schema = &extension.schema;
    format!(
        "WITH s AS (
             SELECT userid, dbid, queryid, sum(calls)::float8 AS calls, sum({time})::float8 / 1e3 AS seconds, sum(rows)::float8 AS rows,
                    sum({blocks}_read_time)::float8 / 1e3 AS read, sum({blocks}_write_time)::float8 / 1e3 AS written
             FROM {schema}.pg_stat_statements(false) GROUP BY 1, 2, 3
         ), ranked AS (
             SELECT *, queryid IS NOT NULL AND row_number() OVER (ORDER BY queryid IS NULL, seconds DESC, userid, dbid, queryid) <= $1 AS top FROM s
         )
         SELECT userid, dbid, queryid, pg_get_userbyid(userid)::text, coalesce(d.datname::text, ''), calls, seconds, rows, read, written, top
         FROM ranked LEFT JOIN pg_database d ON d.oid = dbid
         WHERE top OR (userid, dbid, queryid) IN (SELECT * FROM unnest($2::oid[], $3::oid[], $4::int8[]))
         UNION ALL
         SELECT NULL, NULL, NULL, '', '', coalesce(sum(calls), 0), coalesce(sum(seconds), 0), coalesce(sum(rows), 0),
                coalesce(sum(read), 0), coalesce(sum(written), 0), false FROM s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_by_version() {
        let of = |version| sql(&Extension { version, schema: "stats".to_owned() });
        assert!(of((1, 7)).contains("sum(total_time)") && of((1, 7)).contains("sum(blk_read_time)"));
        assert!(of((1, 10)).contains("sum(total_exec_time)") && of((1, 10)).contains("sum(blk_write_time)"));
        assert!(of((1, 12)).contains("sum(shared_blk_read_time)") && of((1, 12)).contains("FROM stats.pg_stat_statements(false)"));
    }
}
