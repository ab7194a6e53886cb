//! Results of `maintain`, which runs as a process of its own and leaves them in a file.
//!
//! From /var/lib/sage/postgres-TARGET-maintain.json, or `state_file`. Where no maintenance has run there is no file and
//! nothing is told; a file that cannot be read, is broken or tells of the future is an error, and so is a configured one
//! that is missing.

use std::path::{Path, PathBuf};

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::maintenance::{self, FOLDER, Record};
use crate::service::Postgres;

sage_common::metrics! {
    /// When the last run of the maintenance task in this database ended, as a Unix time (state file of `maintain`).
    LAST_RUN: Gauge "pg_maintenance_last_run_timestamp_seconds" [task, database];
    /// When the task last ended with no table failed or left, as a Unix time; absent when it never did (state file of `maintain`).
    LAST_SUCCESS: Gauge "pg_maintenance_last_success_timestamp_seconds" [task, database];
    /// When the task was first meant to run in this database, as a Unix time (state file of `maintain`).
    FIRST_RUN: Gauge "pg_maintenance_first_run_timestamp_seconds" [task, database];
    /// How long the last run of the task took in this database, in seconds (state file of `maintain`).
    DURATION: Gauge "pg_maintenance_duration_seconds" [task, database];
    /// Tables of the last run by result: ok, skipped_busy, failed, not_started (state file of `maintain`).
    TABLES: Gauge "pg_maintenance_tables" [task, database, result];
}

sage_common::options! {
    /// Options of `maintenance`.
    pub struct MaintenanceOptions {
        /// File that `maintain` writes; nothing said means the one of the target below /var/lib/sage.
        pub state_file: Option<PathBuf> = None,
        /// Databases with series of their own, those that were longest without success first.
        pub top: usize = 50,
    }
}

/// See the file.
pub struct Maintenance {
    options: MaintenanceOptions,
}

impl Maintenance {
    fn file(&self, here: &Local<Postgres>) -> PathBuf {
        self.options.state_file.clone().unwrap_or_else(|| maintenance::path(Path::new(FOLDER), here.state.name(), "json"))
    }
}

impl Collector for Maintenance {
    type Session = Local<Postgres>;
    type Options = MaintenanceOptions;
    const HELP: &'static str = "Results of maintain: last run and success, duration, tables by result (its state file).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: MaintenanceOptions) -> Self {
        Self { options }
    }

    fn supports(&self, here: &Local<Postgres>) -> Support {
        if self.options.state_file.is_none() && !self.file(here).exists() {
            return Support::NotHere("maintain has not run on this machine for this target");
        }
        Support::Yes
    }

    async fn collect(&self, here: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        let file = self.file(here);
        let record = Record::read(&file)?.ok_or_else(|| {
            CollectError::new(ErrorKind::Decode, format!("{} is missing", file.display()))
                .hint("has `maintain` ever run, and with this --state-folder? see journalctl -u sage-postgres-maintain")
        })?;
        for (task, databases) in &record.tasks {
            let mut databases: Vec<_> = databases.iter().collect();
            databases.sort_by(|(_, a), (_, b)| a.last_success.unwrap_or(0.0).total_cmp(&b.last_success.unwrap_or(0.0)));
            let left_out = databases.len().saturating_sub(self.options.top);
            for family in METRICS {
                out.drop_series(family.name, left_out as u64);
            }
            for (database, outcome) in databases.into_iter().take(self.options.top) {
                put!(out, FIRST_RUN { task, database } = outcome.first_run);
                put!(out, LAST_SUCCESS { task, database } = outcome.last_success);
                let Some(last_run) = outcome.last_run else { continue };
                put!(out, LAST_RUN { task, database } = last_run);
                put!(out, DURATION { task, database } = outcome.duration_seconds);
                let counts = outcome.tables;
                for (result, n) in [
                    ("ok", counts.ok),
                    ("skipped_busy", counts.skipped_busy),
                    ("failed", counts.failed),
                    ("not_started", counts.not_started),
                ] {
                    put!(out, TABLES { task, database, result } = n);
                }
            }
        }
        Ok(())
    }
}
