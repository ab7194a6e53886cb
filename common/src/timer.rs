//! Collectors too dear for each scrape: run on their own interval, with the age of their data exposed.
//!
//! One walk per target. Each step opens one connection over the spare slot, runs what is due there (timed Instance
//! collectors in the target's own database, Database collectors in every member) and lets the slot go, so that the login
//! probe is never kept waiting long. A walk that meets a server that is down waits and goes on where it stopped. Only
//! targets that are being scraped are walked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::collector::{Entry, Runner, Scope};
use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::login;
use crate::report::{CollectorReport, Status, note};
use crate::scrape::{Live, Module, Part, run_one};
use crate::service::Service;
use crate::sink::{NO_LIMIT, Sink};

/// Time between two runs of a collector on a timer that says nothing else.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

/// Longest step of a walk: one connection to one member.
const STEP_LIMIT: Duration = Duration::from_secs(15);

/// How long a walk waits before it asks a server again that did not let it in.
const RETRY: Duration = Duration::from_secs(15);

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
        Self {
            inner: Mutex::new(Inner {
                cells: BTreeMap::new(),
                modules: BTreeMap::new(),
            }),
            wake: Notify::new(),
        }
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
                let used = InUse {
                    module: Arc::clone(module),
                    asked: now,
                    started: BTreeMap::new(),
                };
                inner.modules.insert(module.name.clone(), used);
                self.wake.notify_one();
            }
        }
    }

    /// What the timed collectors among `entries` last found. `members` are those that exist now: a dropped database
    /// vanishes at once, not with the next walk.
    pub(crate) fn parts(&self, module: &Module<S>, entries: &[&Entry<S>], members: Option<&[String]>) -> Vec<Part> {
        let inner = self.inner();
        let mut parts = Vec::new();
        for entry in entries.iter().filter(|entry| entry.every.is_some()) {
            let name = entry.about.name;
            let mut part = Part {
                report: CollectorReport::new(name, Status::Pending),
                sink: Sink::new(NO_LIMIT),
                cut: false,
            };
            for ((_, _, member), cell) in inner.cells.iter().filter(|(key, _)| key.0 == module.name && key.1 == name) {
                if let (Some(member), Some(members)) = (member, members)
                    && !members.contains(member)
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

    fn store(&self, module: &str, member: Option<&str>, part: Part) {
        let key = (module.to_owned(), part.report.name, member.map(str::to_owned));
        let mut inner = self.inner();
        let good = match part.report.status.reason() {
            None => Some((Instant::now(), Arc::new(part.sink))),
            // The last good samples stay, with their age; success says that they are old.
            Some(_) => inner.cells.remove(&key).and_then(|cell| cell.good),
        };
        inner.cells.insert(key, Cell { good, last: part.report });
    }

    /// Forgets results of members that are gone and of modules that nobody uses.
    fn forget(&self, module: &str, members: &[String]) {
        self.inner()
            .cells
            .retain(|(m, _, member), _| m != module || member.as_ref().is_none_or(|member| members.contains(member)));
    }

    /// The module with the collector that is due first, all its collectors due with it, and when.
    fn next(&self) -> Option<(Instant, Arc<Module<S>>, Vec<usize>)> {
        let mut inner = self.inner();
        inner.modules.retain(|_, used| used.asked.elapsed() < FORGET);
        let due = |used: &InUse<S>, entry: &Entry<S>| {
            let every = entry.every?;
            Some(
                used.started
                    .get(entry.about.name)
                    .map_or_else(Instant::now, |started| *started + every),
            )
        };
        inner
            .modules
            .values()
            .filter_map(|used| {
                let first = used
                    .module
                    .entries
                    .iter()
                    .filter(|e| e.enabled)
                    .filter_map(|e| due(used, e))
                    .min()?;
                let together = used.module.entries.iter().enumerate().filter(|(_, e)| e.enabled);
                let together = together
                    .filter(|(_, e)| due(used, e).is_some_and(|at| at <= first))
                    .map(|(i, _)| i)
                    .collect();
                Some((first, Arc::clone(&used.module), together))
            })
            .min_by_key(|(at, _, _)| *at)
    }

    fn started(&self, module: &Module<S>, entries: &[usize]) {
        if let Some(used) = self.inner().modules.get_mut(&module.name) {
            let now = Instant::now();
            used.started
                .extend(entries.iter().filter_map(|i| module.entries.get(*i)).map(|e| (e.about.name, now)));
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
        report.duration += self.last.duration;
        report.age = report.age.max(age);
        if let Some(member) = member {
            report.members.push((member.to_owned(), self.last.status.reason().is_none(), age));
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

/// Walks a target for as long as the exporter runs.
pub async fn walk<S: Service>(live: Arc<Live<S>>) {
    loop {
        let Some((at, module, due)) = live.timer.next() else {
            live.timer.wake.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            // A module that was not in use before may be due sooner.
            () = live.timer.wake.notified() => continue,
        }
        live.timer.started(&module, &due);
        round(&live, &module, &due, true).await;
    }
}

/// Runs the timed collectors `due` of `module` once, in the target's own database and in every member. With `patient`, a
/// server that does not let us in is asked again until it does; else the round ends there.
pub async fn round<S: Service>(live: &Live<S>, module: &Arc<Module<S>>, due: &[usize], patient: bool) {
    let entries: Vec<&Entry<S>> = due.iter().filter_map(|i| module.entries.get(*i)).collect();
    let per_member = entries.iter().any(|entry| entry.about.scope == Scope::Database);
    let mut todo: VecDeque<Option<String>> = VecDeque::from([None]);
    while let Some(member) = todo.front().cloned() {
        let deadline = Deadline::after(STEP_LIMIT);
        match step(live, module, &entries, member.as_deref(), per_member, deadline).await {
            Ok(members) => {
                todo.pop_front();
                if let Some(members) = members {
                    live.timer.forget(&module.name, &members);
                    todo.extend(members.into_iter().map(Some));
                }
            }
            Err(error) if patient && is_outage(error.kind) => tokio::time::sleep(RETRY).await,
            Err(_) => {
                todo.pop_front();
            }
        }
    }
}

/// One step: a connection to the target's own database (`None`) or to a member. Returns the members after the first.
async fn step<S: Service>(
    live: &Live<S>,
    module: &Module<S>,
    entries: &[&Entry<S>],
    member: Option<&str>,
    list_members: bool,
    deadline: Deadline,
) -> Result<Option<Vec<String>>, CollectError> {
    let scope = if member.is_some() { Scope::Database } else { Scope::Instance };
    let here = || entries.iter().filter(|entry| entry.about.scope == scope);
    let slot = deadline
        .run(live.budget.spare())
        .await
        .map_err(|_| CollectError::new(ErrorKind::Overloaded, "the spare connection is in use"))?;
    // Recorded nowhere: a connect at the timer's pace must not stand for the login probe's.
    let session = match login::fresh(&live.target, member, deadline, None).await {
        Ok(session) => session,
        Err(error) => {
            for entry in here() {
                let report = CollectorReport {
                    note: Some(note(&error)),
                    ..CollectorReport::new(entry.about.name, Status::Failed(error.kind))
                };
                live.timer.store(
                    &module.name,
                    member,
                    Part {
                        report,
                        sink: Sink::new(0),
                        cut: false,
                    },
                );
            }
            return Err(error);
        }
    };
    let mut members = None;
    if member.is_none() && list_members {
        members = Some(
            deadline
                .run(S::members(&session))
                .await
                .map_err(|_| CollectError::timeout("list the databases"))??,
        );
    }
    let mut cut = false;
    for entry in here() {
        let Runner::Remote(run) = &entry.runner else { continue };
        let part = run_one(entry, run.as_ref(), &session, deadline).await;
        cut |= part.cut;
        live.timer.store(&module.name, member, part);
        if cut {
            break;
        }
    }
    if cut {
        S::cancel(session).await;
    } else {
        S::close(session).await;
    }
    drop(slot);
    Ok(members)
}

/// True when the server as a whole does not let us in, so that the next database would fare no better.
const fn is_outage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Resolve | ErrorKind::Refused | ErrorKind::Connect | ErrorKind::Starting | ErrorKind::Overloaded | ErrorKind::Timeout
    )
}
