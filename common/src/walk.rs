//! The walk of a target: it runs the collectors that are on a timer.
//!
//! Each step opens one connection over the spare slot, runs what is due there (timed Instance collectors in the target's
//! own database, Database collectors in every member) and lets the slot go, so that the login probe is never kept waiting
//! long. A walk that meets a server that is down waits and goes on where it stopped. Only targets that are being scraped
//! are walked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::collector::{Entry, Runner, Scope};
use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::live::Live;
use crate::login;
use crate::module::Module;
use crate::report::{CollectorReport, Status, note};
use crate::run::{Part, run_one};
use crate::service::Service;
use crate::sink::Sink;

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
            Err(error) if patient && is_outage(error.kind, member.is_none()) => tokio::time::sleep(RETRY).await,
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
    let slot =
        deadline.run(live.budget.spare()).await.map_err(|_| CollectError::new(ErrorKind::Overloaded, "the spare connection is in use"))?;
    // Recorded nowhere: a connect at the timer's pace must not stand for the login probe's.
    let session = match login::fresh(&live.target, member, deadline, None).await {
        Ok(session) => session,
        Err(error) => {
            // Without a list of members there is nobody else to fail for a Database collector.
            for entry in entries.iter().filter(|entry| member.is_none() || entry.about.scope == scope) {
                let report =
                    CollectorReport { note: Some(note(&error)), ..CollectorReport::new(entry.about.name, Status::Failed(error.kind)) };
                live.timer.store(&module.name, member, Part { report, sink: Sink::new(0), cut: false });
            }
            return Err(error);
        }
    };
    if member.is_none() {
        live.timer.let_in(&module.name, entries);
    }
    let mut members = None;
    if member.is_none() && list_members {
        members = Some(deadline.run(S::members(&session)).await.map_err(|_| CollectError::timeout("list the databases"))??);
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

/// True when the server as a whole does not let us in, so that the next database would fare no better. A login that is
/// refused tells that only of the target's `own` database: another one may have rules of its own.
const fn is_outage(kind: ErrorKind, own: bool) -> bool {
    own && matches!(kind, ErrorKind::Auth | ErrorKind::Tls | ErrorKind::Decode)
        || matches!(
            kind,
            ErrorKind::Resolve | ErrorKind::Refused | ErrorKind::Connect | ErrorKind::Starting | ErrorKind::Overloaded | ErrorKind::Timeout
        )
}
