//! The write probe: one row of the exporter's own is changed and committed, as users' work is.
//!
//! A server whose commits hang looks healthy to whoever only reads. A backend that hangs in its COMMIT outlives its client
//! and heeds no time limit of the server, so that probes could pile up: one that is late is cancelled on the server, the
//! spare slot stays taken until the warm session no longer sees its backend, and no other starts before. Only targets that
//! are being scraped with a module that asks for it are probed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::scrape::report::Failure;
use crate::service::{Phases, Service};
use crate::targets::Live;
use crate::targets::login;

/// Longest UPDATE and COMMIT; who waits longer has users who wait.
const LIMIT: Duration = Duration::from_secs(3);
/// Longest login before it.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
/// Longest look at a late backend over the warm session.
const LOOK_LIMIT: Duration = Duration::from_millis(500);
/// Time between two looks at a backend that does not go.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So many looks without a sight of the server, and the backend counts as gone with it.
const BLIND_LOOKS: u32 = 60;
/// A target that nobody has asked for this long is not probed any more.
const FORGET: Duration = Duration::from_secs(900);

/// The result of one write.
#[derive(Clone, Debug)]
pub struct Written {
    /// When it ended.
    pub at: Instant,
    /// The phases that ended, in order.
    pub phases: Vec<(&'static str, Duration)>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// The last write of a target, and who asks for the next one.
#[derive(Default)]
pub struct LastWrite {
    inner: Mutex<Inner>,
    wake: Notify,
    /// The spare slot belongs to a write, or is about to.
    busy: AtomicBool,
}

#[derive(Default)]
struct Inner {
    last: Option<Written>,
    ended: Option<Instant>,
    asked: Option<(Instant, Duration)>,
}

impl LastWrite {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last result; `None` when there was no write yet, or the server is one that must not be written to.
    pub fn get(&self) -> Option<Written> {
        self.inner().last.clone()
    }

    /// True while a write has the spare slot: the login probe does not wait for it.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Notes that a scrape wants a write each `interval`.
    pub fn asked(&self, interval: Duration) {
        let mut inner = self.inner();
        let news = inner.asked.is_none_or(|(at, before)| before != interval || at.elapsed() >= FORGET);
        inner.asked = Some((Instant::now(), interval));
        drop(inner);
        if news {
            self.wake.notify_one();
        }
    }

    /// Nobody asks any more, until a scrape does again: the configuration has changed.
    pub fn forget(&self) {
        self.inner().asked = None;
        self.wake.notify_one();
    }

    /// When the next write is due; `None` while nobody asks.
    fn due(&self) -> Option<Instant> {
        let inner = self.inner();
        let (at, interval) = inner.asked?;
        (at.elapsed() < FORGET).then(|| inner.ended.map_or_else(Instant::now, |ended| ended + interval))
    }
}

/// Writes to a target for as long as it is asked to.
pub async fn keep<S: Service>(live: Arc<Live<S>>) {
    loop {
        let Some(at) = live.write.due() else {
            live.write.wake.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(at) => {
                // Boxed, so that a target that rests has no room for the whole of it.
                Box::pin(once(&live)).await;
                // From its end on, so that a server whose commits hang has time for others between two of ours.
                live.write.inner().ended = Some(Instant::now());
            }
            // Another interval than before.
            () = live.write.wake.notified() => {}
        }
    }
}

/// Writes once over the spare slot and records how it went.
pub async fn once<S: Service>(live: &Live<S>) {
    // Before the slot, so that no login probe begins to wait for it behind us while it holds the warm session.
    live.write.busy.store(true, Ordering::Release);
    let _idle = Idle(&live.write.busy);
    let slot = live.budget.spare_first().await;
    let mut phases = Phases::default();
    let session = match login::fresh(&live.target, None, Deadline::after(LOGIN_LIMIT), None).await {
        Ok(session) => session,
        Err(error) => return record(live, &phases, Some(&error)),
    };
    phases.restart();
    match tokio::time::timeout(LIMIT, S::write(&session, &mut phases)).await {
        Ok(Ok(true)) => {
            record(live, &phases, None);
            S::close(session).await;
        }
        Ok(Ok(false)) => {
            live.write.inner().last = None;
            S::close(session).await;
        }
        Ok(Err(error)) => {
            record(live, &phases, Some(&error));
            S::close(session).await;
        }
        Err(_) => late(live, &phases, session).await,
    }
    drop(slot);
}

struct Idle<'a>(&'a AtomicBool);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A write that has not ended in time: tells why, cancels it, and waits until its backend is gone.
async fn late<S: Service>(live: &Live<S>, phases: &Phases, session: S::Session) {
    let backend = S::backend(&session);
    let seen = look(live, backend, false).await;
    let kind = match seen {
        Some(Some(kind)) => kind,
        Some(None) | None => ErrorKind::Timeout,
    };
    let phase = phases.done().last().map_or("the change of the row", |_| "the commit");
    let error = CollectError::new(kind, format!("{phase} has not ended after {} s", LIMIT.as_secs())).hint(S::LATE_HINT);
    record(live, phases, Some(&error));
    S::cancel(session).await;
    let mut blind = 0;
    while blind < BLIND_LOOKS {
        // The first cancel may have been lost on its way, or come before there was something to cancel.
        match look(live, backend, true).await {
            Some(None) => return,
            Some(Some(_)) => blind = 0,
            None => blind += 1,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether the backend is still on the server and what it waits for; the outer `None` when the server could not be asked. With
/// `cancel` the server is told once more to end it.
async fn look<S: Service>(live: &Live<S>, backend: u64, cancel: bool) -> Option<Option<ErrorKind>> {
    let deadline = Deadline::after(LOOK_LIMIT);
    let mut lease = deadline.run(live.budget.warm(&live.owner)).await.ok()?;
    let answer = match lease.session() {
        Some(session) => deadline.run(S::lingers(session, backend, cancel)).await,
        None => return None,
    };
    match answer {
        Ok(answer) => {
            lease.finish();
            answer.ok()
        }
        Err(_) => {
            // Cut off in the middle of a request.
            lease.end(Deadline::after(LOGIN_LIMIT)).await;
            None
        }
    }
}

fn record<S: Service>(live: &Live<S>, phases: &Phases, error: Option<&CollectError>) {
    let error = error.map(|error| Failure::new("write", error));
    live.write.inner().last = Some(Written { at: Instant::now(), phases: phases.done().to_vec(), error });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_is_probed_who_does_not_ask() {
        let write = LastWrite::default();
        let interval = Duration::from_secs(30);
        assert!(write.due().is_none());
        write.asked(interval);
        let first = write.due().expect("now");
        assert!(first <= Instant::now());
        write.inner().ended = Some(first);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(write.due(), Some(first + interval));
        write.asked(Duration::from_secs(5));
        assert_eq!(write.due(), Some(first + Duration::from_secs(5)), "another interval counts at once");
        tokio::time::advance(FORGET).await;
        assert!(write.due().is_none(), "nobody has asked for long");
    }
}
