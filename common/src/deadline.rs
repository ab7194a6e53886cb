//! When an answer must be out, and how that time is shared among the parts of a scrape.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// A fixed point in time by which the work has ended, well or not.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
}

/// The time limit ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Deadline {
    /// Ends `time` from now.
    pub fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time }
    }

    /// Ends at `at`.
    pub const fn at(at: Instant) -> Self {
        Self { at }
    }

    /// The time that is left; zero when it is over.
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// A deadline at most `cap` from now.
    #[must_use]
    pub fn slice(self, cap: Duration) -> Self {
        Self { at: self.at.min(Instant::now() + cap) }
    }

    /// The same deadline, sooner by `margin`.
    #[must_use]
    pub fn sooner(self, margin: Duration) -> Self {
        Self { at: self.at.checked_sub(margin).unwrap_or(self.at) }
    }

    /// Awaits `work` no longer than the deadline.
    ///
    /// # Errors
    /// `Elapsed` when the time is over; `work` is dropped then.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout_at(self.at, work).await.map_err(|_| Elapsed)
    }
}

/// The deadline of a scrape that was accepted at `accepted`, from the scraper's own timeout.
///
/// The answer leaves `offset` (at most a tenth of the timeout) before the scraper cuts the line, and never later than
/// `cap`, the module's limit. Without a header the scraper is taken to wait 10 s.
pub fn scrape_deadline(accepted: Instant, header: Option<Duration>, offset: Duration, cap: Duration) -> Deadline {
    /// What Prometheus waits unless told otherwise.
    const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    let timeout = header.unwrap_or(DEFAULT_TIMEOUT);
    let time = timeout.saturating_sub(offset.min(timeout / 10)).min(cap);
    Deadline::at(accepted + time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_offset_is_at_most_a_tenth() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        for (header, cap, want) in [(10_000, 60_000, 9_500), (1_000, 60_000, 900), (10_000, 5_000, 5_000), (100, 60_000, 90)] {
            let d = scrape_deadline(now, Some(ms(header)), ms(500), ms(cap));
            assert_eq!(d.at - now, ms(want), "{header} {cap}");
        }
        assert_eq!(scrape_deadline(now, None, ms(500), ms(60_000)).at - now, ms(9_500));
    }

    #[tokio::test]
    async fn work_is_cut_at_the_deadline() {
        let d = Deadline::after(Duration::from_millis(20));
        assert_eq!(d.run(std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(d.remaining(), Duration::ZERO);
        assert_eq!(Deadline::after(Duration::from_secs(5)).run(async { 7 }).await, Ok(7));
    }
}
