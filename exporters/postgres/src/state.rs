//! What outlives the sessions of one target: the version last seen, the server's process, and the tail of its log.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sage_common::error::Invalid;
use sage_common::os::footprint;

use crate::custom::Queries;
use crate::log::{LogFacts, OwnBackends, SlowLog};
use crate::options::Options;
use crate::replication::replay::Memory;
use crate::session::Facts;

/// Time between two looks at the log.
pub const LOG_PACE: Duration = Duration::from_secs(1);

/// The state of one target.
pub struct State {
    name: String,
    local: bool,
    log_fixed: bool,
    version: Mutex<Option<(String, u32)>>,
    postmaster: Mutex<Option<(u32, SystemTime)>>,
    own: OwnBackends,
    log: Mutex<Option<SlowLog>>,
    certificate_end: Mutex<Option<i64>>,
    replay: Arc<Memory>,
    /// The target's custom queries.
    pub queries: Option<Arc<Queries>>,
    /// What the server said of its log, if it has.
    facts: Mutex<Option<LogFacts>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The state of a target that nobody has asked yet.
    ///
    /// # Errors
    /// A file of custom queries that cannot be used.
    pub fn new(name: &str, options: &Options) -> Result<Self, Invalid> {
        let load = |path: &PathBuf| Queries::load(path, options.custom_queries_everywhere);
        Ok(Self {
            name: name.to_owned(),
            queries: options.custom_queries.as_ref().map(load).transpose()?.map(Arc::new),
            local: options.is_local(),
            log_fixed: options.log_file.is_some(),
            version: Mutex::default(),
            postmaster: Mutex::default(),
            certificate_end: Mutex::default(),
            replay: Arc::default(),
            own: OwnBackends::default(),
            facts: Mutex::default(),
            log: Mutex::new(options.log_file.as_deref().map(SlowLog::new)),
        })
    }

    /// The target's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes what a new session says of the server.
    pub fn learn(&self, facts: &Facts) {
        *lock(&self.version) = Some((facts.version_text.clone(), facts.version));
        *lock(&self.certificate_end) = facts.certificate_end;
        self.own.add(facts.backend_pid);
        if self.local {
            // The backend's parent is the postmaster, if the process numbers are those of this machine: the time of its
            // start tells.
            let found = footprint::parent_of(facts.backend_pid).ok().filter(|parent| {
                footprint::start_time(*parent).is_ok_and(|at| {
                    let gap = at.duration_since(facts.started).or_else(|_| facts.started.duration_since(at));
                    gap.is_ok_and(|gap| gap < Duration::from_secs(5))
                })
            });
            *lock(&self.postmaster) = found.map(|pid| (pid, facts.started));
        }
    }

    /// Notes what the server says of its log at present.
    pub fn learn_log(&self, facts: LogFacts) {
        let mut log = lock(&self.log);
        // What was written until now was written the old way.
        while log.as_mut().is_some_and(|log| log.read(&self.own)) {}
        let path = if self.local && !self.log_fixed { facts.place.clone().file(log.as_ref().map(|log| log.since)) } else { None };
        if let (None, Some(path)) = (&*log, &path) {
            *log = Some(SlowLog::new(path));
        }
        if let Some(log) = log.as_mut() {
            log.learn(&facts, path);
            log.read(&self.own);
        }
        drop(log);
        *lock(&self.facts) = Some(facts);
    }

    /// The server's version as text and number, once a session has told it.
    pub fn version(&self) -> Option<(String, u32)> {
        lock(&self.version).clone()
    }

    /// The server's first process and when it was started, where it runs on this machine.
    pub fn postmaster(&self) -> Option<(u32, SystemTime)> {
        *lock(&self.postmaster)
    }

    /// When the certificate ends that the server showed at the last login, as a Unix time; nothing without TLS.
    pub fn certificate_end(&self) -> Option<i64> {
        *lock(&self.certificate_end)
    }

    /// What is kept of the standby's replay between sessions.
    pub fn replay(&self) -> Arc<Memory> {
        Arc::clone(&self.replay)
    }

    /// What the server said of its log last.
    pub fn log_facts(&self) -> Option<LogFacts> {
        lock(&self.facts).clone()
    }

    /// Calls `with` with the log, if its place is known.
    pub fn with_log<T>(&self, with: impl FnOnce(&mut SlowLog) -> T) -> Option<T> {
        lock(&self.log).as_mut().map(with)
    }

    /// Reads what is new in the log.
    pub fn read_log(&self) {
        if let Some(log) = lock(&self.log).as_mut() {
            while log.read(&self.own) {}
        }
    }
}
