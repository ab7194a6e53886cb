//! Bytes that no compression makes fewer, as the body of a request or an answer: from one buffer, made once.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::random::nonce;

/// Size of the buffer: more than the window of gzip and of the usual settings of others.
const BUFFER: usize = 8 << 20;
/// Bytes handed over at once.
const CHUNK: usize = 64 << 10;

/// Random enough not to be compressed: xorshift from a number of the system.
static BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = nonce() | 1;
    let mut bytes = Vec::with_capacity(BUFFER);
    while bytes.len() < BUFFER {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.into()
});

/// How a body did; it tells while it is on its way and after.
#[derive(Debug, Default)]
pub struct Progress {
    /// When its first byte was asked for.
    begun: OnceLock<Instant>,
    handed: AtomicU64,
}

impl Progress {
    /// When its first byte was asked for.
    pub fn begun(&self) -> Option<Instant> {
        self.begun.get().copied()
    }

    /// Bytes handed over so far.
    pub fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }
}

/// A body of so many bytes that ends sooner when its time is over.
#[derive(Debug)]
pub struct Filling {
    left: u64,
    at: usize,
    limit: Duration,
    exact: bool,
    progress: Arc<Progress>,
}

impl Filling {
    /// `bytes` bytes, no longer than `limit`. `exact` declares the length: a body that is cut off then breaks the connection.
    pub fn new(bytes: u64, limit: Duration, exact: bool) -> (Self, Arc<Progress>) {
        // Made before the clock runs: it takes a moment, once.
        LazyLock::force(&BYTES);
        let progress = Arc::<Progress>::default();
        (Self { left: bytes, at: 0, limit, exact, progress: Arc::clone(&progress) }, progress)
    }
}

impl Body for Filling {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let begun = *self.progress.begun.get_or_init(Instant::now);
        if self.left == 0 || begun.elapsed() >= self.limit {
            return Poll::Ready(None);
        }
        let size = CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK));
        if self.at + size > BUFFER {
            self.at = 0;
        }
        let chunk = BYTES.slice(self.at..self.at + size);
        self.at += size;
        self.left -= size as u64;
        self.progress.handed.fetch_add(size as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test(start_paused = true)]
    async fn as_many_bytes_as_asked_and_no_longer_than_allowed() {
        let (body, progress) = Filling::new(20_000_001, Duration::from_secs(1), true);
        assert_eq!((body.size_hint().exact(), progress.begun()), (Some(20_000_001), None));
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 20_000_001);
        assert_eq!(progress.handed(), 20_000_001);
        let (mut body, progress) = Filling::new(u64::MAX, Duration::from_secs(1), false);
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), CHUNK);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(body.frame().await.is_none());
        assert_eq!(progress.handed(), CHUNK as u64);
    }

    #[test]
    fn compression_makes_it_no_smaller() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&BYTES[..1 << 20]).unwrap();
        assert!(gzip.finish().unwrap().len() > (1 << 20) * 99 / 100);
    }
}
