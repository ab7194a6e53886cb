//! The walk of a target: it runs the collectors that are on a timer.
//!
//! Each step opens one connection over the spare slot, runs what is due there (timed Instance collectors in the target's
//! own database, Database collectors in every member) and lets the slot go, so that the login probe is never kept waiting
//! long. A walk that meets a server that is down waits and goes on where it stopped. Only targets that are being scraped
//! are walked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::collector::{Entry, Runner, Scope};
use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::scrape::report::{CollectorReport, Status, Walk};
use crate::scrape::run::{Part, run_one};
use crate::service::Service;
use crate::service::module::Module;
use crate::sink::Sink;
use crate::targets::Live;
use crate::targets::login;

/// Longest step of a walk: one connection to one member.
const STEP_LIMIT: Duration = Duration::from_secs(15);

/// How long a walk waits before it asks a server again that did not let it in.
const RETRY: Duration = Duration::from_secs(15);

/// Walks a target for as long as the exporter runs.
pub async fn walk<S: Service>(live: Arc<Live<S>>) {
    loop {
        let Some((at, module, due)) = live.timer.next() else {
            live.timer.asked_anew().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            // A module that was not in use before may be due sooner.
            () = live.timer.asked_anew() => continue,
        }
        live.timer.started(&module, &due);
        // Boxed, so that a target that rests has no room for the whole of it.
        Box::pin(round(&live, &module, &due, true)).await;
    }
}

/// How the walks of a target do, for its pages.
#[derive(Default)]
pub struct Progress {
    walk: Mutex<Walk>,
}

impl Progress {
    /// The last walk and the one under way.
    pub fn get(&self) -> Walk {
        *self.walk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Walk)) {
        change(&mut self.walk.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// One place to visit, and how many of its collectors have run.
#[derive(Clone)]
struct Stop {
    /// `None`: the target's own database.
    member: Option<String>,
    done: usize,
}

/// Runs the timed collectors `due` of `module` once, in the target's own database and in every member. With `patient`, a
/// server that does not let us in is asked again until it does; else the round ends there.
pub async fn round<S: Service>(live: &Live<S>, module: &Arc<Module<S>>, due: &[usize], patient: bool) {
    let entries: Vec<&Entry<S>> = due.iter().filter_map(|i| module.entries.get(*i)).collect();
    let per_member = entries.iter().any(|entry| entry.about.scope == Scope::Database);
    let (started, mut listed) = (Instant::now(), false);
    let mut todo: VecDeque<Stop> = VecDeque::from([Stop { member: None, done: 0 }]);
    while let Some(stop) = todo.front().cloned() {
        live.walk.set(|walk| walk.left = todo.iter().filter(|stop| stop.member.is_some()).count());
        let deadline = Deadline::after(STEP_LIMIT);
        match step(live, module, &entries, &stop, per_member && !listed, deadline).await {
            Ok(Step { members, done }) => {
                match todo.front_mut() {
                    Some(stop) if done < scoped(&entries, stop).count() => stop.done = done,
                    _ => drop(todo.pop_front()),
                }
                if let Some(members) = members {
                    live.timer.forget(&module.name, &members);
                    todo.extend(members.into_iter().map(|member| Stop { member: Some(member), done: 0 }));
                    listed = true;
                }
            }
            Err(error) if patient && is_outage(error.kind, stop.member.is_none()) => {
                // One database may be full or hang while the server is well: that one waits for the next round.
                if stop.member.is_some() && lets_in(live).await {
                    todo.pop_front();
                } else {
                    tokio::time::sleep(RETRY).await;
                }
            }
            Err(_) => drop(todo.pop_front()),
        }
    }
    live.walk.set(|walk| walk.left = 0);
    if listed {
        live.walk.set(|walk| walk.last = Some((Instant::now(), started.elapsed())));
    }
}

/// The collectors that run at this stop.
fn scoped<'a, S: Service>(entries: &'a [&'a Entry<S>], stop: &Stop) -> impl Iterator<Item = &'a Entry<S>> {
    let scope = if stop.member.is_some() { Scope::Database } else { Scope::Instance };
    entries.iter().copied().filter(move |entry| entry.about.scope == scope)
}

/// What one step did.
struct Step {
    /// The members, when they were asked for.
    members: Option<Vec<String>>,
    /// How many of the stop's collectors have run by now.
    done: usize,
}

/// One step: a connection to the target's own database or to a member. It ends early when the login probe wants the slot.
async fn step<S: Service>(
    live: &Live<S>,
    module: &Module<S>,
    entries: &[&Entry<S>],
    stop: &Stop,
    list_members: bool,
    deadline: Deadline,
) -> Result<Step, CollectError> {
    let member = stop.member.as_deref();
    let slot =
        deadline.run(live.budget.spare()).await.map_err(|_| CollectError::new(ErrorKind::Overloaded, "the spare connection is in use"))?;
    // Recorded nowhere: a connect at the timer's pace must not stand for the login probe's.
    let session = match login::fresh(&live.target, member, deadline, None).await {
        Ok(session) => session,
        Err(error) => {
            // Without a list of members there is nobody else to fail for a Database collector.
            for entry in entries.iter().filter(|entry| member.is_none() || entry.about.scope == Scope::Database) {
                let report = CollectorReport::new(entry.about.name, Status::Failed(error.kind)).failed(&error);
                live.timer.store(&module.name, member, Part { report, sink: Sink::new(0), cut: false });
            }
            return Err(error);
        }
    };
    if member.is_none() {
        live.timer.let_in(&module.name, entries);
    }
    let mut members = None;
    if list_members {
        members = Some(deadline.run(S::members(&session)).await.map_err(|_| CollectError::timeout("list the databases"))??);
    }
    let (mut cut, mut done) = (false, stop.done);
    for entry in scoped(entries, stop).skip(stop.done) {
        let Runner::Remote(run) = &entry.runner else {
            done += 1;
            continue;
        };
        let part = run_one(entry, run.as_ref(), &session, deadline).await;
        cut = part.cut;
        live.timer.store(&module.name, member, part);
        done += 1;
        // What is left is done over another connection: one that works, or after those who wait.
        if cut || !S::usable(&session) || live.budget.spare_wanted() {
            break;
        }
    }
    if cut {
        S::cancel(session).await;
    } else {
        S::close(session).await;
    }
    drop(slot);
    Ok(Step { members, done })
}

/// Whether the server lets us into the target's own database.
async fn lets_in<S: Service>(live: &Live<S>) -> bool {
    let deadline = Deadline::after(STEP_LIMIT);
    let Ok(slot) = deadline.run(live.budget.spare()).await else { return false };
    let session = login::fresh(&live.target, None, deadline, None).await;
    let fine = session.is_ok();
    if let Ok(session) = session {
        S::close(session).await;
    }
    drop(slot);
    fine
}

/// True when the server as a whole does not let us in, so that the next database would fare no better. A login that is
/// refused tells that only of the target's `own` database: another one may have rules of its own.
const fn is_outage(kind: ErrorKind, own: bool) -> bool {
    own && matches!(kind, ErrorKind::Auth | ErrorKind::Tls | ErrorKind::Decode)
        || matches!(
            kind,
            ErrorKind::Resolve | ErrorKind::Refused | ErrorKind::Connect | ErrorKind::Starting | ErrorKind::Overloaded | ErrorKind::Timeout
        )
}
