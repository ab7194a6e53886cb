//! The last good backup of each backup tool, from files on this machine: see `backup`.
//!
//! No connection and no grant; read access to the files. What is not known is absent and said, never 0.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::backup::{self, Backup, Problem, Source};
use crate::service::Postgres;

sage_common::metrics! {
    /// End of the last good backup, as a Unix time; absent while it is not known (the tool's file).
    LAST_SUCCESS: Gauge "pg_backup_last_success_timestamp_seconds" [tool, name];
    /// Size of what the last good backup holds, in bytes, where the tool tells (the tool's file).
    SIZE: Gauge "pg_backup_size_bytes" [tool, name];
    /// 1 when the tool's file tells of a good backup, else 0 (the tool's file).
    READABLE: Gauge "pg_backup_readable" [tool, name];
    /// Always 1, while the last good backup is not known: missing, denied, empty, corrupt, too_large, no_backup, future,
    /// timeout (the tool's file).
    PROBLEM: Gauge "pg_backup_problem_info" [tool, name, reason];
}

/// Most sources of a configuration.
const MOST: usize = 64;

sage_common::options! {
    /// Options of the `backups` collector.
    pub struct BackupsOptions {
        /// Where backup tools leave what they have done: name, tool (pgbackrest, barman, walg, file) and path of each.
        pub sources: Vec<Source> = Vec::new(),
    }
}

/// See the file.
pub struct Backups {
    sources: Arc<Vec<Source>>,
    /// The reading under way: a disk that does not answer is asked by one thread, not by one more with each scrape.
    reading: Mutex<Option<Reading>>,
}

/// What is found of each source; `None` when the thread has failed.
type Reading = Shared<BoxFuture<'static, Option<Arc<Vec<Result<Backup, Problem>>>>>>;

impl Collector for Backups {
    type Session = Local<Postgres>;
    type Options = BackupsOptions;
    const HELP: &'static str = "The last good backup by the files of pgBackRest, Barman, WAL-G or an own script.";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: BackupsOptions) -> Self {
        Self { sources: Arc::new(options.sources), reading: Mutex::default() }
    }

    fn supports(&self, _: &Local<Postgres>) -> Support {
        if self.sources.is_empty() { Support::NotHere("no file of a backup tool is configured; set `sources`") } else { Support::Yes }
    }

    async fn collect(&self, _: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        const LIMIT: Duration = Duration::from_secs(1);
        if self.sources.len() > MOST {
            return Err(CollectError::new(ErrorKind::Limit, format!("more than {MOST} sources")));
        }
        let found = tokio::time::timeout(LIMIT, self.read()).await.ok().flatten();
        for (place, source) in self.sources.iter().enumerate() {
            let result = found.as_ref().and_then(|all| all.get(place)).copied().unwrap_or(Err(Problem::Timeout));
            write(source, result, out);
        }
        Ok(())
    }
}

impl Backups {
    fn read(&self) -> Reading {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = reading.as_ref().filter(|reading| reading.peek().is_none()) {
            return reading.clone();
        }
        let sources = Arc::clone(&self.sources);
        let all = move || Arc::new(sources.iter().map(|source| backup::last(source, SystemTime::now())).collect());
        let thread = tokio::task::spawn_blocking(all);
        reading.insert(async move { thread.await.ok() }.boxed().shared()).clone()
    }
}

fn write(source: &Source, result: Result<Backup, Problem>, out: &mut Sink) {
    let (tool, name) = (source.tool.name(), source.name.as_str());
    put!(out, READABLE { tool, name } = result.is_ok());
    match result {
        Ok(backup) => {
            put!(out, LAST_SUCCESS { tool, name } = backup.end);
            put!(out, SIZE { tool, name } = backup.size);
        }
        Err(problem) => {
            let reason = problem.name();
            put!(out, PROBLEM { tool, name, reason } = 1);
        }
    }
}
