//! When the pings of a target are due: bursts of some pings, a fixed time apart.

use std::time::Duration;

use tokio::time::Instant;

/// The pings of a target in time.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    burst: Instant,
    number: u32,
    count: u32,
    spacing: Duration,
    interval: Duration,
}

impl Schedule {
    /// The first burst begins at `first`.
    pub const fn new(first: Instant, count: u32, spacing: Duration, interval: Duration) -> Self {
        Self { burst: first, number: 0, count, spacing, interval }
    }

    /// When the next ping is due.
    pub fn due(&self) -> Instant {
        self.burst + self.spacing * self.number
    }

    /// The ping that was due has been sent at `now`. Bursts that are over by now, after a sleep of the machine, are left out
    /// rather than sent all at once.
    pub fn sent(&mut self, now: Instant) {
        self.number += 1;
        if self.number >= self.count {
            self.number = 0;
            self.burst += self.interval;
            let behind = now.saturating_duration_since(self.burst).as_nanos() / self.interval.as_nanos().max(1);
            self.burst += self.interval * u32::try_from(behind).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bursts_keep_their_times_and_missed_ones_are_left_out() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut schedule = Schedule::new(start, 3, ms(100), ms(1000));
        let mut due = Vec::new();
        for _ in 0..5 {
            due.push((schedule.due() - start).as_millis());
            // Late by a little each time, which does not add up.
            schedule.sent(schedule.due() + ms(30));
        }
        assert_eq!(due, [0, 100, 200, 1000, 1100]);
        schedule.sent(start + ms(7350));
        assert_eq!((schedule.due() - start).as_millis(), 7000);
        schedule.sent(start + ms(7350));
        assert_eq!((schedule.due() - start).as_millis(), 7100);
        let mut single = Schedule::new(start, 1, ms(100), ms(1000));
        single.sent(start);
        assert_eq!((single.due() - start).as_millis(), 1000);
    }
}
