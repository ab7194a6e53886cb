//! The tasks that HTTP/2 wants beside a request: they run while somebody waits for the answer, and end with it.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::rt::Executor;
use sage_common::app::BoxFuture;

#[derive(Default)]
struct Queue {
    new: Vec<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

/// Takes tasks, and runs them where it is awaited itself.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<Queue>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.new.push(Box::pin(task));
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

impl Tasks {
    /// Runs what it is given; never ends by itself.
    pub async fn run(self) {
        let mut running = FuturesUnordered::new();
        poll_fn(|cx| {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            running.extend(queue.new.drain(..));
            queue.waker = Some(cx.waker().clone());
            drop(queue);
            // A task that ends may leave others that can go on.
            while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
            Poll::<()>::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_start_tasks_and_run_while_awaited() {
        let (tasks, (tell, told)) = (Tasks::default(), tokio::sync::oneshot::channel());
        let inner = tasks.clone();
        tasks.execute(async move {
            tokio::task::yield_now().await;
            inner.execute(async move { tell.send(7).unwrap() });
        });
        let seen = tokio::select! { seen = told => seen.unwrap(), () = tasks.run() => 0 };
        assert_eq!(seen, 7);
    }
}
