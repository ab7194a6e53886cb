//! The connection budget of a server: two connections per address and user, over all flights, modules and timers.
//!
//! Slot 1 is the warm session that scrapes use. Slot 2, the spare one, is shared by the login probe and the timer's
//! walk over databases. Targets with the same address and user share one budget, so that the server never sees a third
//! connection of ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Slot, OwnedMutexGuard};

use crate::service::Service;

/// Connections that one exporter holds at most to one server as one user. The grants set it as connection limit.
pub const CONNECTIONS: usize = 2;

/// The two slots of one server.
pub struct Budget<S: Service> {
    warm: Arc<Slot<Warm<S>>>,
    spare: Arc<Slot<()>>,
}

/// The session kept between scrapes, and the target that it belongs to.
struct Warm<S: Service> {
    held: Option<(String, S::Session)>,
}

impl<S: Service> Default for Budget<S> {
    fn default() -> Self {
        Self { warm: Arc::new(Slot::new(Warm { held: None })), spare: Arc::new(Slot::new(())) }
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
        Arc::clone(self.by_server.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}

impl<S: Service> Budget<S> {
    /// Waits for slot 1. A session that another target left there is closed first.
    pub async fn warm(&self, target: &str) -> Lease<S> {
        let mut slot = Arc::clone(&self.warm).lock_owned().await;
        let session = match slot.held.take() {
            Some((owner, session)) if owner == target && S::usable(&session) => Some(session),
            Some((_, session)) => {
                S::close(session).await;
                None
            }
            None => None,
        };
        Lease { slot: Some(slot), session, target: target.to_owned() }
    }

    /// Waits for slot 2.
    pub async fn spare(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.spare).lock_owned().await
    }

    /// Whether slot 1 holds a session or is in use, and whether slot 2 is in use.
    pub fn in_use(&self) -> (bool, bool) {
        (self.warm.try_lock().map_or(true, |slot| slot.held.is_some()), self.spare.try_lock().is_err())
    }
}

/// Slot 1 while a scrape uses it. Dropped before `finish`, it cancels what runs on the server, and holds the slot until
/// the server has let go.
pub struct Lease<S: Service> {
    slot: Option<OwnedMutexGuard<Warm<S>>>,
    session: Option<S::Session>,
    target: String,
}

impl<S: Service> Lease<S> {
    /// The session, if one is open.
    pub const fn session(&self) -> Option<&S::Session> {
        self.session.as_ref()
    }

    /// Puts a new session into the empty slot.
    pub fn fill(&mut self, session: S::Session) {
        self.session = Some(session);
    }

    /// Ends a session that no longer works.
    pub async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            S::close(session).await;
        }
    }

    /// Ends a session that was cut off in the middle of a request.
    pub async fn cancel(&mut self) {
        if let Some(session) = self.session.take() {
            S::cancel(session).await;
        }
    }

    /// Gives the slot back with its session, to be used by the next scrape.
    pub fn finish(mut self) {
        if let (Some(mut slot), Some(session)) = (self.slot.take(), self.session.take()) {
            slot.held = Some((std::mem::take(&mut self.target), session));
        }
    }
}

impl<S: Service> Drop for Lease<S> {
    fn drop(&mut self) {
        let (Some(slot), Some(session)) = (self.slot.take(), self.session.take()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Bounded by S::cancel; not owned by Tasks, because it must outlive the scrape that was dropped.
            runtime.spawn(async move {
                S::cancel(session).await;
                drop(slot);
            });
        }
    }
}
