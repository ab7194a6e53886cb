//! The run itself: database by database, table by table, until all is done, the window is over or a signal comes.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use sage_common::error::CollectError;
use sage_common::os;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::Args;
use super::tables::{self, Filter, Table};
use super::worker::{SHORT, Worker};
use crate::maintenance::{Counts, Outcome, Record, unix};
use crate::options::Options;

/// The task's name in metrics and log.
const TASK: &str = "vacuum-analyze";
/// Bytes a second that are expected before the first table is done.
const FIRST_RATE: f64 = 25e6;
/// A table is remembered when it takes this long, and as many of them as this.
const SLOW: (f64, usize) = (1.0, 200);
/// Longest that a cancelled statement may take to end.
const CANCEL: Duration = Duration::from_secs(20);

/// The signal that asks us to stop; once seen it stays.
pub struct Stop {
    asked: Pin<Box<dyn Future<Output = ()> + Send>>,
    seen: bool,
}

impl Stop {
    /// Listens from the first wait on.
    pub fn new() -> Self {
        Self { asked: Box::pin(os::signal::stop_requested()), seen: false }
    }

    /// The work's result, or `None` when the signal comes first.
    pub async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.seen {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut self.asked => {
                self.seen = true;
                None
            }
            result = work => Some(result),
        }
    }
}

/// How a table ended.
enum End {
    Ok,
    /// Somebody dropped it meanwhile.
    Gone,
    Busy,
    Failed(String),
}

/// A run.
pub struct Run<'a> {
    filter: &'a Filter,
    settings: String,
    options: Options,
    end: Option<Instant>,
    file: PathBuf,
    record: Record,
    stop: Stop,
    /// Bytes and seconds of the tables done so far.
    done: (f64, f64),
    total: Counts,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub fn new(args: &'a Args, options: Options, window: Option<Duration>, file: PathBuf, record: Record, stop: Stop) -> Self {
        let settings = format!(
            "SET vacuum_cost_delay = {}; SET lock_timeout = {};",
            args.cost_delay.0.as_secs_f64() * 1e3,
            args.lock_timeout.0.as_millis().max(1)
        );
        let end = window.map(|window| Instant::now() + window);
        Self { filter: &args.filter, settings, options, end, file, record, stop, done: (0.0, 0.0), total: Counts::default() }
    }

    /// Works in all databases; false when anything failed or the run was stopped.
    ///
    /// # Errors
    /// The results cannot be written.
    pub async fn all(&mut self, control: &Worker, databases: &[String]) -> Result<bool, CollectError> {
        const VERSION: &str = "SELECT current_setting('server_version_num')::int";
        const EXISTING: &str = "SELECT datname::text FROM pg_database";
        let begun = Instant::now();
        let version = control.rows(VERSION, &[]).await?.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
        let existing: Vec<String> = control.rows(EXISTING, &[]).await?.iter().filter_map(|row| row.try_get(0).ok()).collect();
        let now = unix(SystemTime::now());
        let known = self.record.tasks.entry(TASK.to_owned()).or_default();
        known.retain(|name, _| existing.contains(name));
        for database in databases {
            known.entry(database.clone()).or_insert_with(|| Outcome { first_run: now, ..Outcome::default() });
        }
        // What was longest without success comes first, so that a short window gets round to all.
        let success = |name: &String| known.get(name).and_then(|outcome| outcome.last_success).unwrap_or(0.0);
        let mut order: Vec<&String> = databases.iter().collect();
        order.sort_by(|a, b| success(a).total_cmp(&success(b)));
        self.record.write(&self.file)?;
        for database in order {
            if self.stop.seen || self.left().is_some_and(|left| left.is_zero()) || !control.usable() {
                let reason = if !control.usable() { "the lock of the run was lost" } else { self.why() };
                tracing::warn!(task = TASK, database, outcome = "not-started", reason, "database not begun");
                continue;
            }
            self.database(control, database, version).await;
            self.record.write(&self.file)?;
        }
        let Counts { ok, skipped_busy, failed, not_started } = self.total;
        let seconds = begun.elapsed().as_secs_f64();
        let stopped = self.stop.seen || !control.usable();
        tracing::info!(task = TASK, ok, skipped_busy, failed, not_started, stopped, seconds, "maintenance ended");
        Ok(failed == 0 && !stopped)
    }

    fn why(&self) -> &'static str {
        if self.stop.seen { "stopped by a signal" } else { "the window is over" }
    }

    /// Time left of the window.
    fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    async fn database(&mut self, control: &Worker, database: &str, version: i32) {
        let begun = Instant::now();
        let mut counts = Counts::default();
        let mut slow = self.outcome(database).slow.clone();
        let options = self.options.clone();
        let open = async {
            let worker = Worker::connect(&options, database).await?;
            let listed = tables::list(&worker, version).await;
            match listed {
                Ok(tables) => Ok((worker, tables)),
                Err(error) => {
                    worker.close().await;
                    Err(error)
                }
            }
        };
        match self.stop.or(open).await {
            None => {
                tracing::warn!(task = TASK, database, outcome = "not-started", reason = self.why(), "database not begun");
                return;
            }
            // A database that cannot be entered counts as one failed table.
            Some(Err(error)) => {
                counts.failed += 1;
                tracing::error!(task = TASK, database, outcome = "failed", reason = error.kind.as_str(), %error, "database not entered");
            }
            Some(Ok((mut worker, mut tables))) => {
                tables.retain(|table| self.filter.takes_table(database, &table.name));
                for table in &tables {
                    self.table(&mut worker, control, database, table, &mut slow, &mut counts).await;
                }
                let pid = worker.pid;
                worker.close().await;
                if self.stop.seen {
                    gone(control, pid).await;
                }
            }
        }
        while slow.len() > SLOW.1 {
            let least = slow.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(name, _)| name.clone());
            least.and_then(|name| slow.remove(&name));
        }
        let now = unix(SystemTime::now());
        let outcome = self.outcome(database);
        outcome.last_run = Some(now);
        outcome.duration_seconds = begun.elapsed().as_secs_f64();
        outcome.slow = slow;
        outcome.tables = counts;
        if counts.failed == 0 && counts.not_started == 0 {
            outcome.last_success = Some(now);
        }
        self.total.ok += counts.ok;
        self.total.skipped_busy += counts.skipped_busy;
        self.total.failed += counts.failed;
        self.total.not_started += counts.not_started;
    }

    fn outcome(&mut self, database: &str) -> &mut Outcome {
        self.record.tasks.entry(TASK.to_owned()).or_default().entry(database.to_owned()).or_default()
    }

    async fn table(
        &mut self,
        worker: &mut Worker,
        control: &Worker,
        database: &str,
        table: &Table,
        slow: &mut std::collections::BTreeMap<String, f64>,
        counts: &mut Counts,
    ) {
        let name = table.name.as_str();
        let rate = if self.done.1 > 0.1 { self.done.0 / self.done.1 } else { FIRST_RATE };
        let expected = (table.bytes as f64 / rate.max(1.0)).max(slow.get(name).copied().unwrap_or(0.0));
        let left = self.left();
        let fits = left.is_none_or(|left| !left.is_zero() && left.as_secs_f64() >= expected);
        if self.stop.seen || !fits || !worker.usable() || !control.usable() {
            counts.not_started += 1;
            let reason = match (worker.usable() && control.usable(), self.stop.seen, left) {
                (false, ..) => "the connection was lost",
                (_, false, Some(left)) if !left.is_zero() => "it would not fit into the window",
                _ => self.why(),
            };
            tracing::info!(
                task = TASK,
                database,
                table = name,
                outcome = "not-started",
                reason,
                expected_seconds = expected,
                "maintenance of a table"
            );
            return;
        }
        let begun = Instant::now();
        let end = if table.permitted { self.vacuum(worker, table, left).await } else { End::Failed("42501".to_owned()) };
        let seconds = begun.elapsed().as_secs_f64();
        let due = table.need;
        match end {
            End::Ok => {
                counts.ok += 1;
                self.done.0 += table.bytes as f64;
                self.done.1 += seconds;
                slow.remove(name);
                if seconds >= SLOW.0 {
                    slow.insert(name.to_owned(), seconds);
                }
                tracing::info!(task = TASK, database, table = name, outcome = "ok", seconds, due, "maintenance of a table");
            }
            End::Gone => tracing::info!(task = TASK, database, table = name, outcome = "gone", seconds, "table"),
            End::Busy => {
                counts.skipped_busy += 1;
                tracing::info!(task = TASK, database, table = name, outcome = "skipped-busy", seconds, due, "maintenance of a table");
            }
            End::Failed(reason) => {
                counts.failed += 1;
                tracing::error!(task = TASK, database, table = name, outcome = "failed", reason, seconds, due, "maintenance of a table");
            }
        }
    }

    /// One table. The server itself ends it with the window; a signal cancels it there.
    async fn vacuum(&mut self, worker: &mut Worker, table: &Table, left: Option<Duration>) -> End {
        let timeout = left.map_or(0, |left| left.as_millis().max(1));
        worker.warnings();
        let settings = format!("{} SET statement_timeout = {timeout}", self.settings);
        let sql = format!("VACUUM (ANALYZE, SKIP_LOCKED) {}", table.quoted);
        let result = {
            let work = async {
                worker.execute(&settings).await?;
                // Alone in its message: it may not run in a transaction.
                worker.execute(&sql).await
            };
            let mut work = std::pin::pin!(work);
            match self.stop.or(&mut work).await {
                Some(result) => result,
                None => {
                    tracing::warn!(task = TASK, table = table.name, "asked to stop: the running table is cancelled on the server");
                    worker.cancel().await;
                    match tokio::time::timeout(CANCEL, work).await {
                        Ok(result) => result,
                        Err(_) => return End::Failed("cancelled, no answer".to_owned()),
                    }
                }
            }
        };
        let warnings = worker.warnings();
        let warned = |state: &SqlState| warnings.iter().any(|code| code == state.code());
        match result {
            Ok(()) if warned(&SqlState::LOCK_NOT_AVAILABLE) => End::Busy,
            Ok(()) if warned(&SqlState::UNDEFINED_TABLE) => End::Gone,
            Ok(()) => End::Ok,
            Err(error) => match error.code() {
                Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => End::Busy,
                Some(code) if *code == SqlState::UNDEFINED_TABLE => End::Gone,
                Some(code) => End::Failed(code.code().to_owned()),
                None => End::Failed("connection".to_owned()),
            },
        }
    }
}

/// Waits until the server has no process of that session any more, its helpers with it.
async fn gone(control: &Worker, pid: i32) {
    const LEFT: &str = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 OR leader_pid = $1";
    let end = Instant::now() + SHORT;
    while Instant::now() < end {
        match control.rows(LEFT, &[&pid]).await.map(|rows| rows.first().and_then(|row| row.try_get::<_, i64>(0).ok())) {
            Ok(Some(0)) => return tracing::info!(pid, "the server has ended the session"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return tracing::error!(pid, %error, "the server does not say whether the session has ended"),
        }
    }
    tracing::error!(pid, "the session is still there; pg_terminate_backend ends it");
}
