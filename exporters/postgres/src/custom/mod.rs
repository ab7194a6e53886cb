//! Custom queries: the file, where it may come from, and what is kept of their results between scrapes.
//!
//! The file is read when the target starts, and again with a reload when it has changed. Whoever can write it can have the exporter read all that its role can read, so it
//! must belong to root or to the service's user, and to nobody else to write.

mod file;
mod run;
mod versions;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sage_common::codes;
use sage_common::collector::Table as _;
use sage_common::error::{ErrorKind, Invalid};
use sage_common::os::files;
use sage_common::service::Service as _;
use sage_common::sink::Sink;
use tokio::time::Instant;

pub use file::{Entry, Query};
pub use run::run;

use crate::collectors::Collectors;
use crate::service::Postgres;
use sage_common::collector::Enabled;

/// The reason of an entry of the file that cannot be used.
pub const QUERY_FILE: &str = "query_file";

/// Largest file.
const MAX_BYTES: u64 = 1024 * 1024;

/// A failure is not kept longer than this, however long a result is.
const RETRY: Duration = Duration::from_secs(60);

/// The queries of one target.
pub struct Queries {
    /// What the file holds.
    pub entries: Vec<Entry>,
    /// Whether those that are not `master` run in every database.
    pub everywhere: bool,
    last: Mutex<HashMap<String, Last>>,
}

/// How the last run of a query in the target's own database ended.
#[derive(Clone)]
pub struct Last {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Its samples, or the reason and the error in words.
    pub result: Result<Arc<Sink>, (ErrorKind, String)>,
}

impl Queries {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that others can write or that is no file of queries. An entry that cannot be used is logged.
    pub fn load(path: &Path, everywhere: bool) -> Result<Self, Invalid> {
        let shown = path.display();
        let unreadable = |code, why: String| Invalid::new(format!("{shown}: {why}")).hint(format!("ls -l {shown}")).code(code);
        let missing = |e: std::io::Error| unreadable(codes::of_file(&e), e.to_string());
        if std::fs::metadata(path).map_err(missing)?.len() > MAX_BYTES {
            return Err(unreadable(codes::RANGE, format!("a file of queries has at most {MAX_BYTES} bytes")));
        }
        if let Some(why) = files::changed_by_others(path) {
            return Err(Invalid::new(format!("{shown}: {why}; its queries would run with the rights of the monitoring role"))
                .hint(format!("chown root {shown}; chmod go-w {shown}"))
                .code(codes::SECRET_OPEN));
        }
        let text = std::fs::read_to_string(path).map_err(missing)?;
        let entries = file::read(&text, &shown.to_string(), owner)?;
        for entry in &entries {
            if let Entry::Bad(query, error) = entry {
                tracing::warn!(query, detail = %error, "a custom query cannot be used");
            }
        }
        Ok(Self { entries, everywhere, last: Mutex::default() })
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queries that the server's version is for and that run in the target's own database, in the order in which they
    /// should run: what was quick the last time does not wait for what was slow.
    pub fn here(&self, version: u32) -> Vec<&Query> {
        let mut queries: Vec<&Query> = self.all(version).filter(|query| query.master || !self.everywhere).collect();
        let last = self.last();
        queries.sort_by_key(|query| last.get(&query.name).map_or(Duration::ZERO, |last| last.took));
        queries
    }

    /// The queries that run in every database.
    pub fn in_each(&self, version: u32) -> impl Iterator<Item = &Query> {
        self.all(version).filter(|query| !query.master && self.everywhere)
    }

    fn all(&self, version: u32) -> impl Iterator<Item = &Query> {
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Query(query) if query.versions.as_ref().is_none_or(|range| range.hold(version)) => Some(query),
            _ => None,
        })
    }

    /// What is kept of a query, while it is new enough to be shown again.
    pub fn kept(&self, query: &Query) -> Option<Last> {
        let last = self.last().get(&query.name).cloned()?;
        let time = if last.result.is_ok() { query.cache } else { query.cache.min(RETRY) };
        (last.at.elapsed() < time).then_some(last)
    }

    /// Keeps how a query ended.
    pub fn keep(&self, query: &Query, last: Last) {
        self.last().insert(query.name.clone(), last);
    }
}

/// Who has a metric of this name, unless it is on request only.
fn owner(family: &str) -> Option<&'static str> {
    let has = |metrics: &[sage_common::desc::Info]| {
        metrics.iter().any(|info| if info.pattern { family.starts_with(info.name) } else { family == info.name })
    };
    let unasked = Collectors::ABOUT.iter().filter(|about| about.enabled == Enabled::ByDefault);
    let collector = unasked.map(|about| (about.name, about.metrics)).find(|(_, metrics)| has(metrics)).map(|(name, _)| name);
    collector.or_else(|| has(Postgres::COMPAT).then_some("this exporter"))
}
