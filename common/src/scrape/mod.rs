//! One scrape of one target: session, fan-out, deadlines, reports.
//!
//! The order: the warm session proves itself by the trivial request (or a fresh one is opened), the collectors run over
//! it one after the other, each within its slice, while the login probe runs beside them if it is due; local collectors
//! run in any case. A collector that fails loses its own samples only.

pub mod flight;
pub mod journal;
pub mod report;
pub mod run;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::collector::{Entry, Runner, Scope};
use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::scrape::report::{Failure, Report, Status};
use crate::scrape::run::{Part, run_one, timed_run};
use crate::service::module::Module;
use crate::service::{Local, Service};
use crate::sink::Sink;
use crate::targets::Live;
use crate::targets::budget::Lease;
use crate::targets::login;

/// Longest trivial request on the warm session.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// Kept back from the deadline for merging and encoding the page.
const ENCODE_MARGIN: Duration = Duration::from_millis(50);

/// Scrapes `live` with the collectors of `module` that `selected` names, and returns the settled page.
pub async fn scrape<S: Service>(live: &Live<S>, module: &Arc<Module<S>>, selected: &[usize], deadline: Deadline) -> (Sink, Report) {
    let started = Instant::now();
    let deadline = deadline.sooner(ENCODE_MARGIN);
    let mut page = Sink::new(module.max_series);
    let mut report = Report::default();
    let entries: Vec<&Entry<S>> = selected.iter().filter_map(|i| module.entries.get(*i)).collect();

    let (remote, mut here) = tokio::join!(remote(live, module, &entries, deadline), local(live, &entries, deadline));
    if remote.opened {
        // The new session has told where the server's processes and its log are now; what was read beside it is older.
        here = local(live, &entries, deadline).await;
    }
    report.up = remote.up;
    report.failures = remote.failures;
    let mut parts = remote.parts;
    parts.extend(here);
    // Of a server that is down there is no news, and old news would pass for it.
    if report.up {
        parts.extend(live.timer.parts(module, &entries, remote.members.as_deref()));
    }
    parts.sort_by_key(|part| part.report.name);
    // Objects come last: where a page is full, a table is missing before a server's or a database's own values are.
    for objects in [false, true] {
        parts.iter().filter(|part| part.sink.is_ranked() == objects).for_each(|part| page.absorb(&part.sink));
    }
    report.collectors = parts.into_iter().map(|part| part.report).collect();
    report.walk = entries.iter().any(|entry| entry.about.scope == Scope::Database).then(|| live.walk.get());
    page.lift_limit();
    report.login = live.login.get();
    report.write = live.write.get().filter(|_| module.write_interval.is_some());
    report.connections = live.budget.in_use();
    report.duration = started.elapsed();
    report.write(&mut page);
    S::compat(&report, &live.target.state, &mut page);
    tell(live, &report);
    (page, report)
}

#[derive(Default)]
struct Remote {
    up: bool,
    parts: Vec<Part>,
    failures: Vec<Failure>,
    members: Option<Vec<String>>,
    /// A session was opened in this scrape.
    opened: bool,
}

async fn remote<S: Service>(live: &Live<S>, module: &Arc<Module<S>>, entries: &[&Entry<S>], deadline: Deadline) -> Remote {
    let mut out = Remote::default();
    let Ok(mut lease) = deadline.run(live.budget.warm(&live.owner)).await else {
        let error = CollectError::new(ErrorKind::Overloaded, "another scrape held the connection until the time was over")
            .hint("let scrapes that ask for different collectors come less often, or raise the scrape timeout");
        out.fail(entries, &error);
        return out;
    };
    prove(&mut lease, &live.target.state, &mut out, deadline).await;
    let fresh = lease.is_free();
    if fresh {
        match login::fresh(&live.target, None, deadline, Some(&live.login)).await {
            Ok(session) => {
                lease.fill(session);
                out.up = true;
                out.opened = true;
            }
            Err(error) => out.fail(entries, &error),
        }
    }
    if lease.session().is_some() {
        let probe = async {
            // A write that hangs may keep the spare slot for long; the next scrape tries the login again.
            if !fresh && live.login.due(module.probe_interval) && !live.write.is_busy() {
                probe_login(live, deadline).await;
            }
        };
        let collect = collect(live, module, &mut lease, entries, deadline, &mut out);
        tokio::join!(collect, probe);
    } else if out.failures.is_empty() {
        out.fail(entries, &CollectError::timeout("the warm session did not answer in time"));
    }
    if S::WARM {
        if let Some(session) = lease.session() {
            S::rest(session).await;
        }
        lease.finish();
    } else {
        lease.end(deadline).await;
    }
    out
}

impl Remote {
    /// Notes that there is no connection, for all collectors that need one.
    fn fail<S: Service>(&mut self, entries: &[&Entry<S>], error: &CollectError) {
        self.failures.push(Failure::new("connect", error));
        let lost = entries.iter().filter(|entry| matches!(entry.runner, Runner::Remote(_)));
        self.parts.extend(lost.map(|entry| Part::without_run(entry.about.name, Status::Failed(error.kind), None)));
    }
}

/// Asks the warm session, if there is one, the trivial request; a dead one is ended, so that a new one is opened.
async fn prove<S: Service>(lease: &mut Lease<S>, state: &S::State, out: &mut Remote, deadline: Deadline) {
    let Some(session) = lease.session() else { return };
    match deadline.slice(REQUEST_LIMIT).run(S::request(session, state)).await {
        Ok(Ok(())) => out.up = true,
        // An answer without end, or one that cannot be read, is none: what follows it would be out of step.
        Ok(Err(error)) if S::usable(session) && !matches!(error.kind, ErrorKind::Limit | ErrorKind::Decode) => {
            // It answered, if only with an error; the collectors may still do.
            out.up = true;
            out.failures.push(Failure::new("connect", &error));
        }
        Ok(Err(_)) | Err(_) => lease.end(deadline).await,
    }
}

/// Opens and closes a session over the spare slot, if that is free in time; its result is recorded by `fresh`.
async fn probe_login<S: Service>(live: &Live<S>, deadline: Deadline) {
    let Ok(slot) = deadline.run(live.budget.spare_first()).await else { return };
    if let Ok(session) = login::fresh(&live.target, None, deadline, Some(&live.login)).await {
        // Cut off by the deadline, the connection is closed all the same, only without waiting for the server.
        let _ = deadline.run(S::close(session)).await;
    }
    drop(slot);
}

async fn collect<S: Service>(
    live: &Live<S>,
    module: &Arc<Module<S>>,
    lease: &mut Lease<S>,
    entries: &[&Entry<S>],
    deadline: Deadline,
    out: &mut Remote,
) {
    let mut may_reconnect = true;
    // Why there is no session any more.
    let mut lost = CollectError::timeout("the time of this scrape was used up by the collectors before");
    for entry in entries {
        let (Runner::Remote(run), None) = (&entry.runner, entry.every) else { continue };
        let part = match lease.session() {
            Some(session) => run_one(entry, run.as_ref(), session, deadline).await,
            None => Part::failed(entry.about.name, &lost),
        };
        if part.cut || lease.session().is_some_and(|session| !S::usable(session)) {
            lease.end(deadline).await;
        }
        out.parts.push(part);
        if lease.is_free() && may_reconnect {
            may_reconnect = false;
            match login::fresh(&live.target, None, deadline, Some(&live.login)).await {
                Ok(session) => lease.fill(session),
                Err(error) => {
                    out.failures.push(Failure::new("connect", &error));
                    lost = error;
                }
            }
        }
    }
    if entries.iter().any(|entry| entry.every.is_some()) {
        live.timer.asked(module);
        let Some(session) = lease.session() else { return };
        match deadline.slice(REQUEST_LIMIT).run(S::members(session)).await {
            Ok(members) => out.members = members.ok(),
            Err(_) => lease.end(deadline).await,
        }
    }
}

/// Local collectors: they run whatever the connection does.
async fn local<S: Service>(live: &Live<S>, entries: &[&Entry<S>], deadline: Deadline) -> Vec<Part> {
    let here = Local { state: Arc::clone(&live.target.state) };
    let mut parts = Vec::new();
    for entry in entries {
        if let Runner::Local(run) = &entry.runner {
            parts.push(timed_run(entry, run.as_ref(), &here, deadline.slice(entry.timeout)).await);
        }
    }
    parts
}

fn tell<S: Service>(live: &Live<S>, report: &Report) {
    let target = &live.target.name;
    let connect = report.failures.iter().find(|f| f.part == "connect");
    live.journal.note(target, "connect", connect.map(|f| (f.kind, f.code, f.note.as_str())));
    if connect.is_none() {
        let login = report.login.as_ref().and_then(|l| l.error);
        live.journal.note(target, "login", login.map(|(kind, code)| (kind, code, "a fresh login fails while the warm session works")));
    }
    let write = report.write.as_ref().and_then(|write| write.error.as_ref());
    live.journal.note(target, "write", write.map(|f| (f.kind, f.code, f.note.as_str())));
    for c in &report.collectors {
        // Without a connection every collector fails; that was said once already.
        if connect.is_none() {
            let reason = c.status.reason().or(c.lacks.map(|_| ErrorKind::Permission));
            let told = reason.map(|kind| (kind, c.code.unwrap_or_else(|| kind.code()), c.note.as_deref().unwrap_or_default()));
            live.journal.note(target, c.name, told);
        }
    }
    tracing::debug!(target_name = target, up = report.up, duration_ms = report.duration.as_millis() as u64, "scraped");
}
