//! How long a connection may stay as it is.
//!
//! A client has 5 s for its handshake and first request header, and for each later header from its first byte on. A
//! connection that is kept between scrapes may be silent for 5 minutes: Prometheus asks each quarter of a minute, and a
//! new TLS handshake each time would cost both sides more than the scrape.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

/// Time that a client has to send its request header.
const HEADER: Duration = Duration::from_secs(5);
/// Time that a connection may be silent after an answer; also the time in which an answer must have been taken.
const IDLE: Duration = Duration::from_secs(300);

/// The clock of one connection.
#[derive(Debug)]
pub struct Clock {
    state: Mutex<State>,
    /// When the connection ends unless something happens; `None` while a request is being answered.
    until: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    served: bool,
    /// Bytes of the next request have come.
    bytes: bool,
}

impl Clock {
    /// A connection that was just made.
    pub fn start() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), until: watch::Sender::new(Some(Instant::now() + HEADER)) })
    }

    fn change(&self, change: impl FnOnce(&mut State) -> Option<Option<Instant>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = change(&mut state) {
            self.until.send_replace(until);
        }
    }

    /// A request begins; it ends when the guard is dropped.
    pub fn request(self: &Arc<Self>) -> Running {
        self.change(|state| {
            state.running += 1;
            state.bytes = false;
            Some(None)
        });
        Running(Arc::clone(self))
    }

    /// Bytes have come.
    fn bytes(&self) {
        self.change(|state| {
            let first = !std::mem::replace(&mut state.bytes, true);
            (first && state.served && state.running == 0).then(|| Some(Instant::now() + HEADER))
        });
    }

    /// What makes room for another: `None` while a request is being answered, else whether one ever was.
    pub fn idle(&self) -> Option<bool> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.running == 0).then_some(state.served)
    }

    /// Returns when the connection has been as it is for too long.
    pub async fn run_out(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Running(Arc<Clock>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.running -= 1;
            state.served = true;
            // The beginning of the next request may have come while this one was being answered.
            (state.running == 0).then(|| Some(Instant::now() + if state.bytes { HEADER } else { IDLE }))
        });
    }
}

/// A stream that tells the clock when bytes come.
#[derive(Debug)]
pub struct Watched<T> {
    /// The stream.
    pub stream: T,
    /// Its clock.
    pub clock: Arc<Clock>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.clock.bytes();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lasts(clock: &Clock) -> Duration {
        let begun = Instant::now();
        clock.run_out().await;
        begun.elapsed().max(Duration::from_millis(1)) - Duration::from_millis(1)
    }

    #[tokio::test(start_paused = true)]
    async fn headers_have_seconds_and_kept_connections_minutes() {
        let near = |lasted: Duration, want: Duration| lasted.abs_diff(want) < Duration::from_millis(10);
        let clock = Clock::start();
        clock.bytes();
        assert_eq!(clock.idle(), Some(false));
        assert!(near(lasts(&clock).await, HEADER));

        drop(clock.request());
        assert_eq!(clock.idle(), Some(true));
        assert!(near(lasts(&clock).await, IDLE));

        drop(clock.request());
        clock.bytes();
        // Drips do not stretch it.
        tokio::time::advance(Duration::from_secs(3)).await;
        clock.bytes();
        assert!(near(lasts(&clock).await, Duration::from_secs(2)));

        let running = clock.request();
        assert_eq!(clock.idle(), None);
        assert!(tokio::time::timeout(Duration::from_secs(3600), clock.run_out()).await.is_err());
        clock.bytes();
        drop(running);
        assert!(near(lasts(&clock).await, HEADER), "the next request began early");
    }
}
