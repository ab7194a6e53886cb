//! Single flight: the same question asked twice at once is answered once.
//!
//! The work is a shared future that is polled by whoever waits and dropped with the last waiter. Nothing is cached: a
//! question that comes after the answer starts anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

/// Work that may be shared.
pub type Work<V> = Pin<Box<dyn Future<Output = V> + Send>>;

/// The questions that are being answered right now.
pub struct Flight<K, V: Clone> {
    running: Mutex<HashMap<K, WeakShared<Work<V>>>>,
}

impl<K, V: Clone> Default for Flight<K, V> {
    fn default() -> Self {
        Self { running: Mutex::new(HashMap::new()) }
    }
}

impl<K: Hash + Eq, V: Clone> Flight<K, V> {
    /// Joins the work that runs for `key`, or starts it with `make`. The flag is true for who joined.
    pub fn join(&self, key: K, make: impl FnOnce() -> Work<V>) -> (Shared<Work<V>>, bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = running.get(&key).and_then(WeakShared::upgrade).filter(|work| work.peek().is_none()) {
            return (work, true);
        }
        running.retain(|_, work| work.upgrade().is_some_and(|w| w.peek().is_none()));
        let work = make().shared();
        if let Some(weak) = work.downgrade() {
            running.insert(key, weak);
        }
        (work, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn waiters_share_one_run_and_the_next_question_starts_anew() {
        let (flight, runs, go) = (Flight::default(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let make = || {
            let (runs, go) = (Arc::clone(&runs), Arc::clone(&go));
            async move {
                go.notified().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            }
            .boxed()
        };
        let (a, joined_a) = flight.join("k", make);
        let (b, joined_b) = flight.join("k", make);
        let (other, _) = flight.join("other", make);
        assert!(!joined_a && joined_b);
        drop(other);
        go.notify_one();
        assert_eq!((a.await, b.await), (1, 1));
        go.notify_one();
        assert_eq!(flight.join("k", make).0.await, 2);
    }

    #[tokio::test]
    async fn work_is_dropped_with_its_last_waiter() {
        let (flight, alive) = (Flight::<_, ()>::default(), Arc::new(()));
        let held = Arc::clone(&alive);
        let (a, _) = flight.join(1, || {
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
            .boxed()
        });
        let (b, _) = flight.join(1, || unreachable!("the work runs already"));
        drop(a);
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(b);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
