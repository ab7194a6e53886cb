//! What outlives the sessions of one target: who the server is, where its process is, and which commands it lets us run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sage_common::collector::Support;

use crate::info::Info;
use crate::options::Options;

/// How long a command that was refused is not tried again: each refusal is an entry in the server's ACL LOG.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Whether the server lets us run a command, as its last answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// It answered.
    Allowed,
    /// The user may not.
    Denied,
    /// It does not exist there, or has another name.
    Missing,
}

/// The state of one target.
pub struct State {
    local: bool,
    process: Mutex<Option<(u32, SystemTime)>>,
    commands: Mutex<BTreeMap<&'static str, (Capability, Instant)>>,
    scrapes: AtomicU64,
    databases: Mutex<Option<u32>>,
    mode: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The state of a target that nobody has asked yet.
    pub fn new(options: &Options) -> Self {
        Self {
            local: options.is_local(),
            process: Mutex::default(),
            commands: Mutex::default(),
            scrapes: AtomicU64::new(0),
            databases: Mutex::default(),
            mode: Mutex::default(),
        }
    }

    /// Notes what INFO says of the server's kind and process.
    pub fn learn(&self, info: &Info) {
        let pid = info.get("process_id").and_then(|pid| pid.parse().ok());
        let started = info.number("uptime_in_seconds").and_then(|s| SystemTime::now().checked_sub(Duration::try_from_secs_f64(s).ok()?));
        *lock(&self.mode) = info.get("redis_mode").map(str::to_owned);
        if self.local {
            *lock(&self.process) = pid.zip(started);
        }
    }

    /// The server's process and when it was started, where the server seems to run on this machine.
    pub fn process(&self) -> Option<(u32, SystemTime)> {
        *lock(&self.process)
    }

    /// Whether the server is a node of a cluster; `None` before it has said.
    pub fn is_cluster(&self) -> Option<bool> {
        lock(&self.mode).as_ref().map(|mode| mode == "cluster")
    }

    /// Whether the server is a Sentinel; `None` before it has said.
    pub fn is_sentinel(&self) -> Option<bool> {
        lock(&self.mode).as_ref().map(|mode| mode == "sentinel")
    }

    /// Notes how many databases the server has, where it says.
    pub fn learn_databases(&self, databases: Option<u32>) {
        *lock(&self.databases) = databases;
    }

    /// How many databases the server has, where it has said.
    pub fn databases(&self) -> Option<u32> {
        *lock(&self.databases)
    }

    /// Notes how the server answered `command`.
    pub fn note(&self, command: &'static str, capability: Capability) {
        lock(&self.commands).insert(command, (capability, Instant::now()));
    }

    /// Whether a collector that lives on `command` can run; `grant` is what to do when the user may not.
    pub fn may(&self, command: &'static str, grant: &'static str) -> Support {
        match lock(&self.commands).get(command) {
            Some((Capability::Denied, at)) if at.elapsed() < ASK_AGAIN => Support::Denied(grant),
            Some((Capability::Missing, at)) if at.elapsed() < ASK_AGAIN => {
                Support::NotHere("the server does not have the command, or under another name")
            }
            _ => Support::Yes,
        }
    }

    /// All commands that were tried.
    pub fn capabilities(&self) -> Vec<(&'static str, Capability)> {
        lock(&self.commands).iter().map(|(command, (capability, _))| (*command, *capability)).collect()
    }

    /// Counts a scrape; returns how many there were.
    pub fn count_scrape(&self) -> u64 {
        self.scrapes.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_and_an_answer_ends_it() {
        let state = State::new(&Options::default());
        assert_eq!(state.may("config|get", "g"), Support::Yes);
        state.note("config|get", Capability::Denied);
        assert_eq!(state.may("config|get", "g"), Support::Denied("g"));
        state.note("config|get", Capability::Missing);
        assert!(matches!(state.may("config|get", "g"), Support::NotHere(_)));
        state.note("config|get", Capability::Allowed);
        assert_eq!(state.may("config|get", "g"), Support::Yes);
        assert_eq!(state.capabilities(), [("config|get", Capability::Allowed)]);
    }

    #[test]
    fn only_a_local_server_has_processes() {
        let info = Info::parse(format!("process_id:{}\r\nuptime_in_seconds:10\r\n", std::process::id()));
        for (host, wanted) in [("127.0.0.1", true), ("cache.example", false)] {
            let state = State::new(&Options { host: host.to_owned(), ..Options::default() });
            state.learn(&info);
            assert_eq!(state.process().map(|(pid, _)| pid), wanted.then(std::process::id), "{host}");
        }
    }
}
