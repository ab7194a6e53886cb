//! The connection budget of a server: two connections per address and user, over all flights, modules and timers.
//!
//! Slot 1 is the warm session that scrapes use. Slot 2, the spare one, is shared by the login probe and the timer's
//! walk over databases. Targets with the same address and user share one budget, so that the server never sees a third
//! connection of ours.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Slot, OwnedMutexGuard};

use crate::deadline::Deadline;
use crate::service::Service;

/// Connections that one exporter holds at most to one server as one user. The grants set it as connection limit.
pub const CONNECTIONS: usize = 2;

/// The two slots of one server.
pub struct Budget<S: Service> {
    warm: Arc<Slot<Warm<S>>>,
    spare: Arc<Slot<()>>,
    /// How many wait for slot 2 before others.
    wanted: AtomicUsize,
}

/// The session kept between scrapes, and whose it is.
struct Warm<S: Service> {
    held: Option<(Arc<Owner>, S::Session)>,
}

/// One target as one configuration has it. After a reload, a target of the same name with other settings is another owner.
#[derive(Default)]
pub struct Owner {
    /// It is configured no more: nothing is kept for it.
    left: AtomicBool,
}

impl<S: Service> Default for Budget<S> {
    fn default() -> Self {
        Self { warm: Arc::new(Slot::new(Warm { held: None })), spare: Arc::new(Slot::new(())), wanted: AtomicUsize::new(0) }
    }
}

/// All budgets of an exporter by address and user.
pub struct Budgets<S: Service> {
    by_server: Mutex<HashMap<String, Arc<Budget<S>>>>,
}

impl<S: Service> Default for Budgets<S> {
    fn default() -> Self {
        Self { by_server: Mutex::new(HashMap::new()) }
    }
}

impl<S: Service> Budgets<S> {
    /// The budget of a server, the same one for all who share its key.
    pub fn of(&self, key: String) -> Arc<Budget<S>> {
        let mut by_server = self.by_server.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of targets that are configured no more.
        by_server.retain(|_, budget| Arc::strong_count(budget) > 1);
        Arc::clone(by_server.entry(key).or_default())
    }
}

impl<S: Service> Budget<S> {
    /// Waits for slot 1. A session that another target left there is closed first.
    pub async fn warm(&self, target: &Arc<Owner>) -> Lease<S> {
        let mut slot = Arc::clone(&self.warm).lock_owned().await;
        let session = match slot.held.take() {
            Some((owner, session)) if Arc::ptr_eq(&owner, target) && S::usable(&session) => Some(session),
            Some((_, session)) => {
                S::close(session).await;
                None
            }
            None => None,
        };
        Lease { slot: Some(slot), session, owner: Arc::clone(target) }
    }

    /// Waits for slot 2.
    pub async fn spare(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.spare).lock_owned().await
    }

    /// As `spare`, for the login probe: while it waits, a walk gives the slot back at the next opportunity.
    pub async fn spare_first(&self) -> OwnedMutexGuard<()> {
        /// Counted off also when the wait is given up.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.wanted);
        self.spare().await
    }

    /// True while somebody waits for slot 2 before others.
    pub fn spare_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Logs out the session that is kept for `target`, which is configured no more, when no scrape uses it any longer.
    pub async fn retire(&self, target: &Owner) {
        target.left.store(true, Ordering::Release);
        let mut slot = self.warm.lock().await;
        let held = slot.held.take_if(|(owner, _)| std::ptr::eq(Arc::as_ptr(owner), target));
        if let Some((_, session)) = held {
            S::close(session).await;
        }
    }

    /// Logs out the kept session, unless a scrape has it: that one is cut off with the exporter.
    pub async fn close(&self) {
        let held = self.warm.try_lock().ok().and_then(|mut slot| slot.held.take());
        if let Some((_, session)) = held {
            S::close(session).await;
        }
    }

    /// Whether slot 1 holds a session or is in use, and whether slot 2 is in use.
    pub fn in_use(&self) -> (bool, bool) {
        (self.warm.try_lock().map_or(true, |slot| slot.held.is_some()), self.spare.try_lock().is_err())
    }
}

/// Time that the end of a session takes at most: cancel and close. With less than this it ends in the background.
const ENDING: Duration = Duration::from_millis(1200);

/// Slot 1 while a scrape uses it. Dropped before `finish`, it ends its session in the background and holds the slot until
/// the server has let go.
pub struct Lease<S: Service> {
    slot: Option<OwnedMutexGuard<Warm<S>>>,
    session: Option<S::Session>,
    owner: Arc<Owner>,
}

impl<S: Service> Lease<S> {
    /// The session, if one is open.
    pub const fn session(&self) -> Option<&S::Session> {
        self.session.as_ref()
    }

    /// True when the slot is ours and empty, so that a new session may be opened.
    pub const fn is_free(&self) -> bool {
        self.slot.is_some() && self.session.is_none()
    }

    /// Puts a new session into the free slot.
    pub fn fill(&mut self, session: S::Session) {
        self.session = Some(session);
    }

    /// Ends a session that no longer works or was cut off in the middle of a request. Where the deadline leaves too little
    /// time for that, it goes on in the background and takes the slot with it.
    pub async fn end(&mut self, deadline: Deadline) {
        if deadline.remaining() < ENDING {
            self.end_in_background();
        } else if let Some(session) = self.session.take() {
            end::<S>(session).await;
        }
    }

    /// Gives the slot back with its session, to be used by the next scrape.
    pub fn finish(mut self) {
        if self.owner.left.load(Ordering::Acquire) {
            return;
        }
        if let (Some(slot), Some(session)) = (self.slot.as_mut(), self.session.take()) {
            slot.held = Some((Arc::clone(&self.owner), session));
        }
    }

    fn end_in_background(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else { return };
        let slot = self.slot.take();
        // Bounded by the session's own end; not owned by Tasks, because it must outlive the scrape.
        runtime.spawn(async move {
            end::<S>(session).await;
            drop(slot);
        });
    }
}

async fn end<S: Service>(session: S::Session) {
    if S::usable(&session) {
        S::cancel(session).await;
    } else {
        S::close(session).await;
    }
}

impl<S: Service> Drop for Lease<S> {
    fn drop(&mut self) {
        self.end_in_background();
    }
}
