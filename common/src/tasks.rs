//! Background work of an exporter: owned, supervised, and gone when the exporter stops.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

/// How long a task that ended or panicked rests before it is started again.
const REST: Duration = Duration::from_secs(1);

/// The tasks of one configuration. Dropping the last handle aborts them all.
#[derive(Clone, Default)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// Ends them all, wherever they are.
    pub fn end(&self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Runs `make`'s future for as long as the exporter runs; one that ends or panics is logged and started again.
    pub fn keep<F>(&self, name: &'static str, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            loop {
                let mut inner = JoinSet::new();
                inner.spawn(make());
                match inner.join_next().await {
                    Some(Err(e)) if e.is_panic() => tracing::error!(task = name, "a background task panicked and is started again"),
                    _ => tracing::debug!(task = name, "a background task ended and is started again"),
                }
                tokio::time::sleep(REST).await;
            }
        });
    }
}

/// The task that moves the bytes of one connection; it ends with this handle, whatever the connection does.
pub struct Driver(tokio::task::JoinHandle<()>);

impl Driver {
    /// Starts it.
    pub fn start(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(connection))
    }

    /// Waits until the connection has ended by itself, no longer than `limit`.
    pub async fn ended(&mut self, limit: Duration) {
        // Either way the handle's drop is the end of it.
        let _ = tokio::time::timeout(limit, &mut self.0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_panicking_task_is_started_again_and_all_end_with_the_set() {
        let runs = Arc::new(AtomicU32::new(0));
        let tasks = Tasks::default();
        let counter = Arc::clone(&runs);
        tasks.keep("test", move || {
            let counter = Arc::clone(&counter);
            async move {
                assert!(counter.fetch_add(1, Ordering::SeqCst) > 0, "the first run panics");
                std::future::pending::<()>().await;
            }
        });
        tokio::time::timeout(Duration::from_secs(10), async {
            while runs.load(Ordering::SeqCst) < 2 {
                tokio::time::advance(Duration::from_millis(100)).await;
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(Arc::strong_count(&runs), 3);
        drop(tasks);
        while Arc::strong_count(&runs) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
