//! Bytes that may be moved in a day, from midnight to midnight UTC: what throughput costs is bounded, whoever asks for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A daily number of bytes, and how many of them are left.
#[derive(Debug, Default)]
pub struct Allowance {
    daily: u64,
    /// The day, and what was spent on it.
    spent: Mutex<(u64, u64)>,
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Allowance {
    /// So many bytes a day; what was spent `before` today counts.
    pub fn new(daily: u64, before: Option<&Self>) -> Self {
        let spent = before.map(|before| *before.spent.lock().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default();
        Self { daily, spent: Mutex::new(spent) }
    }

    /// Takes as many of `wanted` bytes as are left, and says how many.
    pub fn take(&self, wanted: u64, now: SystemTime) -> u64 {
        let today = seconds(now) / DAY;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not give a second allowance for the same day.
        if today > spent.0 {
            *spent = (today, 0);
        }
        let taken = wanted.min(self.daily.saturating_sub(spent.1));
        spent.1 = spent.1.saturating_add(taken);
        taken
    }

    /// Gives back what was taken and not moved.
    pub fn give_back(&self, bytes: u64) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.1 = spent.1.saturating_sub(bytes);
    }

    /// The day and what was spent on it, to be kept over a restart.
    pub fn spent(&self) -> (u64, u64) {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was spent before this process began.
    pub fn recall(&self, before: (u64, u64)) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = if before.0 == spent.0 { (spent.0, spent.1.saturating_add(before.1)) } else { (*spent).max(before) };
    }

    /// Bytes that are left today.
    pub fn left(&self, now: SystemTime) -> u64 {
        let spent = self.spent();
        if seconds(now) / DAY > spent.0 { self.daily } else { self.daily.saturating_sub(spent.1) }
    }
}

/// Time until the next allowance.
pub fn until_midnight(now: SystemTime) -> Duration {
    Duration::from_secs(DAY - seconds(now) % DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64, second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY + second)
    }

    #[test]
    fn a_day_has_its_bytes_and_no_more() {
        let allowance = Allowance::new(100, None);
        assert_eq!((allowance.take(60, at(5, 10)), allowance.take(60, at(5, 20)), allowance.take(1, at(5, 30))), (60, 40, 0));
        allowance.give_back(30);
        assert_eq!((allowance.left(at(5, DAY - 1)), allowance.left(at(6, 0))), (30, 100));
        assert_eq!(allowance.take(10, at(6, 0)), 10);
        // The clock is set back by a day: the allowance of the sixth goes on.
        assert_eq!((allowance.take(95, at(5, 0)), allowance.left(at(5, 0))), (90, 0));
        assert_eq!(until_midnight(at(6, DAY - 5)), Duration::from_secs(5));
    }

    #[test]
    fn a_restart_brings_no_second_one() {
        let before = Allowance::new(100, None);
        before.take(70, at(5, 0));
        let after = Allowance::new(100, None);
        after.take(10, at(5, 1));
        after.recall(before.spent());
        assert_eq!((after.left(at(5, 2)), after.left(at(6, 0))), (20, 100));
        let tomorrow = Allowance::new(100, None);
        tomorrow.take(10, at(6, 0));
        tomorrow.recall(before.spent());
        assert_eq!(tomorrow.left(at(6, 0)), 90);
    }

    #[test]
    fn another_configuration_does_not_bring_a_second_one() {
        let before = Allowance::new(100, None);
        before.take(70, at(1, 0));
        assert_eq!(Allowance::new(100, Some(&before)).left(at(1, 0)), 30);
        assert_eq!(Allowance::new(50, Some(&before)).left(at(1, 0)), 0);
        assert_eq!(Allowance::new(200, Some(&before)).left(at(1, 0)), 130);
    }
}
