//! Results of the collectors that run on their own interval instead of at each scrape.
//!
//! A result is kept per module, collector and member, with its age. The last good samples stay when a run fails, and the
//! success says so; those of a member that is gone are left out at once. The walk (walk.rs) fills this store.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::collector::{Entry, Scope};
use crate::scrape::report::{CollectorReport, Status};
use crate::scrape::run::Part;
use crate::service::Service;
use crate::service::module::Module;
use crate::sink::{NO_LIMIT, Sink, keep_heaviest};

/// A module that nobody has asked for this long is not walked any more.
const FORGET: Duration = Duration::from_secs(900);

/// Module, collector and member (`None`: the instance) of one result.
type Key = (String, &'static str, Option<String>);

/// Results of the collectors on a timer, for one target.
pub struct Timer<S: Service> {
    inner: Mutex<Inner<S>>,
    wake: Notify,
}

struct Inner<S: Service> {
    cells: BTreeMap<Key, Cell>,
    /// Modules in use, when each was last asked for, and when each of its collectors was last started.
    modules: BTreeMap<String, InUse<S>>,
}

struct InUse<S: Service> {
    module: Arc<Module<S>>,
    asked: Instant,
    started: BTreeMap<&'static str, Instant>,
}

/// The last good samples of a collector for one member, and how its last run did.
struct Cell {
    good: Option<(Instant, Arc<Sink>)>,
    last: CollectorReport,
}

impl<S: Service> Default for Timer<S> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { cells: BTreeMap::new(), modules: BTreeMap::new() }), wake: Notify::new() }
    }
}

impl<S: Service> Timer<S> {
    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a scrape wants the timed collectors of `module`.
    pub fn asked(&self, module: &Arc<Module<S>>) {
        let mut inner = self.inner();
        let now = Instant::now();
        match inner.modules.get_mut(&module.name) {
            Some(used) if Arc::ptr_eq(&used.module, module) => used.asked = now,
            _ => {
                let used = InUse { module: Arc::clone(module), asked: now, started: BTreeMap::new() };
                inner.modules.insert(module.name.clone(), used);
                self.wake.notify_one();
            }
        }
    }

    /// What the timed collectors among `entries` last found. `members` are those that exist now: a dropped database
    /// vanishes at once, not with the next walk.
    pub(crate) fn parts(&self, module: &Module<S>, entries: &[&Entry<S>], members: Option<&[String]>) -> Vec<Part> {
        let inner = self.inner();
        let members: Option<HashSet<&str>> = members.map(|members| members.iter().map(String::as_str).collect());
        let mut parts = Vec::new();
        for entry in entries.iter().filter(|entry| entry.every.is_some()) {
            let name = entry.about.name;
            let mut part = Part { report: CollectorReport::new(name, Status::Pending), sink: Sink::new(NO_LIMIT), cut: false };
            for ((_, _, member), cell) in inner.cells.iter().filter(|(key, _)| key.0 == module.name && key.1 == name) {
                if let (Some(member), Some(members)) = (member, &members)
                    && !members.contains(member.as_str())
                {
                    continue;
                }
                cell.merge_into(&mut part, member.as_deref());
            }
            part.report.series = part.sink.series();
            parts.push(part);
        }
        parts
    }

    pub(crate) fn store(&self, module: &str, member: Option<&str>, part: Part) {
        let name = part.report.name;
        let key = (module.to_owned(), name, member.map(str::to_owned));
        let mut inner = self.inner();
        // A part that failed in part has what it could read, and that is news, too.
        let good = if part.report.status.reason().is_none() || part.sink.series() > 0 {
            Some((Instant::now(), Arc::new(part.sink)))
        } else {
            // The last good samples stay, with their age; success says that they are old.
            inner.cells.remove(&key).and_then(|cell| cell.good)
        };
        inner.cells.insert(key, Cell { good, last: part.report });
        let of_all = inner.cells.iter_mut().filter(|((m, n, _), _)| m == module && *n == name);
        keep_heaviest(&mut of_all.filter_map(|(_, cell)| cell.good.as_mut().map(|(_, sink)| sink)).collect::<Vec<_>>());
    }

    /// Forgets results of members that are gone and of modules that nobody uses.
    pub(crate) fn forget(&self, module: &str, members: &[String]) {
        let members: HashSet<&str> = members.iter().map(String::as_str).collect();
        self.inner().cells.retain(|(m, _, member), _| m != module || member.as_deref().is_none_or(|member| members.contains(member)));
    }

    /// Goes on with the modules of another configuration: what is gone is forgotten, and a changed module starts anew with
    /// the next scrape that asks for it.
    pub(crate) fn adopt(&self, modules: &BTreeMap<String, Arc<Module<S>>>) {
        let mut inner = self.inner();
        inner.modules.retain(|name, used| modules.get(name).is_some_and(|module| Arc::ptr_eq(module, &used.module)));
        let runs = |module: &Module<S>, name: &str| module.entries.iter().any(|entry| entry.enabled && entry.about.name == name);
        inner.cells.retain(|(module, name, _), _| modules.get(module).is_some_and(|module| runs(module, name)));
        drop(inner);
        self.wake.notify_one();
    }

    /// Forgets that Database collectors failed as a whole: the server lets us in again, and each member tells for itself.
    pub(crate) fn let_in(&self, module: &str, entries: &[&Entry<S>]) {
        let whole = |name: &str| entries.iter().any(|e| e.about.name == name && e.about.scope == Scope::Database);
        self.inner().cells.retain(|(m, name, member), _| m != module || member.is_some() || !whole(name));
    }

    /// Returns when a module is asked for that was not in use before.
    pub(crate) async fn asked_anew(&self) {
        self.wake.notified().await;
    }

    /// The module with the collector that is due first, all its collectors due with it, and when.
    pub(crate) fn next(&self) -> Option<(Instant, Arc<Module<S>>, Vec<usize>)> {
        let mut inner = self.inner();
        inner.modules.retain(|_, used| used.asked.elapsed() < FORGET);
        // One present for all: what has never run is due now, and "now" must not move between two looks.
        let now = Instant::now();
        let due = |used: &InUse<S>, entry: &Entry<S>| {
            let every = entry.every?;
            Some(used.started.get(entry.about.name).map_or(now, |started| *started + every))
        };
        inner
            .modules
            .values()
            .filter_map(|used| {
                let first = used.module.entries.iter().filter(|e| e.enabled).filter_map(|e| due(used, e)).min()?;
                let together = used.module.entries.iter().enumerate().filter(|(_, e)| e.enabled);
                let together = together.filter(|(_, e)| due(used, e).is_some_and(|at| at <= first)).map(|(i, _)| i).collect();
                Some((first, Arc::clone(&used.module), together))
            })
            .min_by_key(|(at, _, _)| *at)
    }

    pub(crate) fn started(&self, module: &Module<S>, entries: &[usize]) {
        if let Some(used) = self.inner().modules.get_mut(&module.name) {
            let now = Instant::now();
            used.started.extend(entries.iter().filter_map(|i| module.entries.get(*i)).map(|e| (e.about.name, now)));
        }
    }
}

impl Cell {
    fn merge_into(&self, part: &mut Part, member: Option<&str>) {
        let age = self.good.as_ref().map(|(at, _)| at.elapsed());
        if let Some((_, sink)) = &self.good {
            part.sink.absorb(sink);
        }
        let report = &mut part.report;
        report.lacks = report.lacks.or(self.last.lacks);
        report.duration += self.last.duration;
        report.age = report.age.max(age);
        if let Some(member) = member {
            match self.last.status.reason() {
                None => report.members_ok += 1,
                Some(_) => report.members_failed.push((member.to_owned(), age)),
            }
        }
        // The worst member decides; NotHere counts only when no member has anything.
        let worse = report.status.reason().is_none() && (report.status == Status::Pending || self.last.status.reason().is_some())
            || report.status == Status::NotHere;
        if worse {
            report.status = self.last.status;
            report.note.clone_from(&self.last.note);
        }
    }
}
