//! What outlives the sessions of one target: who the server is, where its process is, and which commands it lets us run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sage_common::collector::Support;

use crate::info::Info;
use crate::keys::checks::Named;
use crate::keys::scan::Scan;
use crate::options::Options;

/// How long a command that was refused is not tried again: each refusal is an entry in the server's ACL LOG.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// How long the list of commands is good.
const ASK_ANEW: Duration = Duration::from_secs(600);

/// What has to be asked of the server's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// All.
    Whole,
    /// Whether what was refused is so still.
    Denied,
}

/// What is known of the server's commands.
#[derive(Default)]
struct Commands {
    /// Which process of the server it is known of.
    run: Option<String>,
    known: BTreeMap<&'static str, (Capability, Instant)>,
    /// The words that a request takes, for ACL DRYRUN.
    words: BTreeMap<&'static str, usize>,
    /// When all was asked, and when what was refused.
    asked: Option<(Instant, Instant)>,
}

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
    commands: Mutex<Commands>,
    scrapes: AtomicU64,
    databases: Mutex<Option<u32>>,
    mode: Mutex<Option<String>>,
    scans: Mutex<BTreeMap<(&'static str, Named), Scan>>,
    /// Where the target is, and which of its keys are looked at.
    pub options: Options,
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
            scans: Mutex::default(),
            options: options.clone(),
        }
    }

    /// The search of a collector for this pattern, as its last run left it. Whoever takes it gives it back by `keep_scan`.
    pub fn take_scan(&self, collector: &'static str, named: &Named) -> Scan {
        lock(&self.scans).remove(&(collector, named.clone())).unwrap_or_default()
    }

    /// Keeps a search for the next run.
    pub fn keep_scan(&self, collector: &'static str, named: &Named, scan: Scan) {
        lock(&self.scans).insert((collector, named.clone()), scan);
    }

    /// Notes what INFO says of the server's kind and process.
    pub fn learn(&self, info: &Info) {
        let pid = info.get("process_id").and_then(|pid| pid.parse().ok());
        let started = info.number("uptime_in_seconds").and_then(|s| SystemTime::now().checked_sub(Duration::try_from_secs_f64(s).ok()?));
        *lock(&self.mode) = info.get("redis_mode").map(str::to_owned);
        let run = info.get("run_id").map(str::to_owned);
        let mut commands = lock(&self.commands);
        // Started anew it may be another version, with other commands and users.
        if commands.run.is_some() && commands.run != run {
            *commands = Commands::default();
        }
        commands.run = run;
        drop(commands);
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
        lock(&self.commands).known.insert(command, (capability, Instant::now()));
    }

    /// Notes how many words a request takes.
    pub fn takes(&self, command: &'static str, words: usize) {
        lock(&self.commands).words.insert(command, words);
    }

    /// What is to be asked of the server's commands now.
    pub fn probe_due(&self) -> Option<Probe> {
        let commands = lock(&self.commands);
        let denied = || commands.known.values().any(|(capability, _)| *capability == Capability::Denied);
        match commands.asked {
            Some((all, _)) if all.elapsed() >= ASK_ANEW => Some(Probe::Whole),
            Some((_, denied_at)) => (denied_at.elapsed() >= ASK_AGAIN && denied()).then_some(Probe::Denied),
            None => Some(Probe::Whole),
        }
    }

    /// Notes that what was due is asked.
    pub fn probed(&self) {
        let (mut commands, now) = (lock(&self.commands), Instant::now());
        let all = commands.asked.map_or(now, |(all, _)| if all.elapsed() >= ASK_ANEW { now } else { all });
        commands.asked = Some((all, now));
    }

    /// The commands to ask ACL DRYRUN about: what was refused, or all when all is asked anew. None where that is refused itself.
    pub fn dry_runs(&self) -> Vec<(&'static str, usize)> {
        let commands = lock(&self.commands);
        let refused = |command| commands.known.get(command).is_some_and(|(capability, _)| *capability == Capability::Denied);
        let anew = commands.asked.is_some_and(|(all, last)| all == last);
        if !anew && refused("acl|dryrun") {
            return Vec::new();
        }
        commands.words.iter().filter(|(command, _)| anew || refused(command)).map(|(command, words)| (*command, *words)).collect()
    }

    /// Whether a collector that lives on `command` can run; `grant` is what to do when the user may not.
    pub fn may(&self, command: &'static str, grant: &'static str) -> Support {
        match lock(&self.commands).known.get(command) {
            Some((Capability::Denied, at)) if at.elapsed() < ASK_AGAIN => Support::Denied(grant),
            Some((Capability::Missing, at)) if at.elapsed() < ASK_ANEW => {
                Support::NotHere("the server does not have the command, or under another name")
            }
            _ => Support::Yes,
        }
    }

    /// All commands of which something is known.
    pub fn capabilities(&self) -> Vec<(&'static str, Capability)> {
        lock(&self.commands).known.iter().map(|(command, (capability, _))| (*command, *capability)).collect()
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
    fn commands_are_asked_for_once_and_anew_at_another_server() {
        let state = State::new(&Options::default());
        let info = |run: &str| Info::parse(format!("run_id:{run}\r\n"));
        state.learn(&info("a"));
        assert_eq!(state.probe_due(), Some(Probe::Whole));
        state.takes("slowlog|len", 2);
        state.takes("config|get", 3);
        state.probed();
        assert_eq!((state.probe_due(), state.dry_runs()), (None, vec![("config|get", 3), ("slowlog|len", 2)]));
        state.note("config|get", Capability::Denied);
        assert_eq!(state.probe_due(), None, "asked a moment ago");
        state.learn(&info("a"));
        assert!(!state.capabilities().is_empty());
        state.learn(&info("b"));
        assert_eq!((state.capabilities(), state.probe_due()), (vec![], Some(Probe::Whole)));
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
