//! Counts the events of the last minute, such as the lines of a log that say something of interest.
//!
//! By the time an event bears, not by when it was read: a log is read in pieces, and a burst belongs to its own second.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many seconds a [`Window`] looks back.
const WINDOW: u64 = 60;

/// Counts the events of the last 60 seconds by the time they bear, in steps of a second and in constant memory.
#[derive(Debug, Clone)]
pub struct Window {
    /// Second since the epoch and its count, at the place `second % 60`.
    buckets: [(u64, u64); WINDOW as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self { buckets: [(0, 0); WINDOW as usize] }
    }
}

fn second(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an event that bears this time; see [`Window::add_seen`].
    pub fn add(&mut self, at: SystemTime) {
        self.add_seen(at, SystemTime::now());
    }

    /// Counts an event that bears the time `at` and is seen at `now`. One older than the window is not counted. One
    /// from the future counts as of now: it has happened, and its clock or time zone is what is wrong.
    pub fn add_seen(&mut self, at: SystemTime, now: SystemTime) {
        let now = second(now);
        let at = second(at).min(now);
        if now - at >= WINDOW {
            return;
        }
        if let Some(bucket) = usize::try_from(at % WINDOW).ok().and_then(|place| self.buckets.get_mut(place)) {
            // What is not of this second is of an earlier round, or of a clock that was set back.
            if bucket.0 != at {
                *bucket = (at, 0);
            }
            bucket.1 = bucket.1.saturating_add(1);
        }
    }

    /// The number of events of the last 60 seconds, the present second and the 59 before it.
    #[must_use]
    pub fn last_minute(&self, now: SystemTime) -> u64 {
        let now = second(now);
        let recent = |second: u64| second <= now && now - second < WINDOW;
        self.buckets.iter().filter(|(second, _)| recent(*second)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
    }

    #[test]
    fn counts_the_last_minute() {
        let mut window = Window::new();
        assert_eq!(window.last_minute(at(0)), 0);
        for second in 0..100 {
            window.add_seen(at(second), at(second));
            window.add_seen(at(second), at(second));
        }
        assert_eq!(window.last_minute(at(99)), 120);
        assert_eq!(window.last_minute(at(100)), 118);
        assert_eq!(window.last_minute(at(158)), 2);
        assert_eq!(window.last_minute(at(159)), 0);
    }

    #[test]
    fn late_and_early_events_are_counted_where_they_belong() {
        let mut window = Window::new();
        window.add_seen(at(30), at(80));
        window.add_seen(at(20), at(80));
        window.add_seen(UNIX_EPOCH, at(80));
        assert_eq!(window.last_minute(at(80)), 1);
        // From the future: as of now.
        window.add_seen(at(4000), at(81));
        assert_eq!(window.last_minute(at(81)), 2);
        assert_eq!(window.last_minute(at(90)), 1);
        assert_eq!(window.last_minute(at(141)), 0);
        // The clock was set back: what was counted is in the future now, what comes is counted.
        window.add_seen(at(10), at(10));
        assert_eq!(window.last_minute(at(10)), 1);
        let now = SystemTime::now();
        window.add(now);
        assert_eq!(window.last_minute(now), 1);
    }
}
