//! What the pings of one target add up to: counters, histogram, the last N, jitter.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sage_common::sink::Value;

/// Upper bounds of the buckets of round trip times, in seconds; what is above all of them is in +Inf.
pub const BUCKETS: [f64; 15] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Round trip times by bucket.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, seconds: f64) {
        if let Some((_, count)) = BUCKETS.iter().zip(&mut self.counts).find(|(bound, _)| seconds <= **bound) {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// As a sample.
    pub fn value(&self) -> Value {
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = BUCKETS
            .iter()
            .zip(self.counts)
            .map(|(bound, count)| {
                below += count;
                (*bound, below)
            })
            .collect();
        buckets.push((f64::INFINITY, self.count));
        Value::Histogram { buckets, sum: self.sum, count: self.count }
    }
}

/// RFC 3550, section 6.4.1: J = J + (|D| - J) / 16, where D is the difference between a round trip and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    before: Option<f64>,
    value: Option<f64>,
}

impl Jitter {
    fn add(&mut self, seconds: f64) {
        if let Some(before) = self.before.replace(seconds) {
            let value = self.value.unwrap_or_default();
            self.value = Some(value + ((seconds - before).abs() - value) / 16.0);
        }
    }
}

/// The round trip times among the last N pings, and how many were lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Share of lost pings, 0 to 1.
    pub loss: f64,
    /// Shortest, longest, mean and standard deviation of the round trips, in seconds; none when all were lost.
    pub rtt: Option<[f64; 4]>,
}

/// The last N pings, oldest first; none is a lost one.
#[derive(Clone, Debug, Default)]
struct Window(VecDeque<Option<f64>>);

impl Window {
    fn add(&mut self, rtt: Option<f64>, most: usize) {
        while self.0.len() >= most.max(1) {
            self.0.pop_front();
        }
        self.0.push_back(rtt);
    }

    fn summary(&self) -> Option<Summary> {
        let all = self.0.len();
        let times: Vec<f64> = self.0.iter().flatten().copied().collect();
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let spread = (times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / count).sqrt();
        let best = times.iter().copied().reduce(f64::min);
        let rtt = best.zip(times.iter().copied().reduce(f64::max)).map(|(best, worst)| [best, worst, mean, spread]);
        (all > 0).then(|| Summary { loss: 1.0 - count / all as f64, rtt })
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests that left.
    pub sent: u64,
    /// Replies within the timeout.
    pub received: u64,
    /// Requests without a reply within the timeout.
    pub lost: u64,
    /// Replies to what had been answered already.
    pub duplicates: u64,
    /// Replies after the timeout.
    pub late: u64,
    /// Pings that could not be sent, and look-ups that failed, by reason.
    pub errors: BTreeMap<&'static str, u64>,
    /// Round trip times.
    pub histogram: Histogram,
    /// The last one, in seconds.
    pub last: Option<f64>,
    jitter: Jitter,
    window: Window,
}

impl Stats {
    /// A reply in time.
    pub fn reply(&mut self, rtt: Duration, window: usize) {
        let seconds = rtt.as_secs_f64();
        self.received += 1;
        self.histogram.add(seconds);
        self.jitter.add(seconds);
        self.last = Some(seconds);
        self.window.add(Some(seconds), window);
    }

    /// No reply in time.
    pub fn loss(&mut self, window: usize) {
        self.lost += 1;
        self.window.add(None, window);
    }

    /// A ping that could not be sent counts in the window as lost: nothing reaches the target.
    pub fn unsent(&mut self, reason: &'static str, window: usize) {
        self.error(reason);
        self.window.add(None, window);
    }

    /// Something failed.
    pub fn error(&mut self, reason: &'static str) {
        *self.errors.entry(reason).or_default() += 1;
    }

    /// Jitter in seconds, from the second reply on.
    pub fn jitter(&self) -> Option<f64> {
        self.jitter.value
    }

    /// The last N pings; none before the first one has ended.
    pub fn summary(&self) -> Option<Summary> {
        self.window.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut stats = Stats::default();
        stats.reply(ms(10), 5);
        assert_eq!(stats.jitter(), None);
        // |D| = 16 ms: 0 + 16/16 = 1 ms; then |D| = 0: 1 - 1/16; then |D| = 10: + (10 - 0.9375)/16.
        for (rtt, want) in [(26, 1.0), (26, 0.9375), (16, 0.9375 + 9.0625 / 16.0)] {
            stats.reply(ms(rtt), 5);
            let got = stats.jitter().unwrap() * 1e3;
            assert!((got - want).abs() < 1e-9, "{rtt}: {got} is not {want}");
        }
        // What is lost between two replies does not count: the next difference is to the last reply.
        stats.loss(5);
        stats.reply(ms(16), 5);
        let want = (0.9375 + 9.0625 / 16.0) * 15.0 / 16.0;
        assert!((stats.jitter().unwrap() * 1e3 - want).abs() < 1e-9);
    }

    #[test]
    fn the_window_is_the_last_n_pings() {
        let mut stats = Stats::default();
        assert_eq!(stats.summary(), None);
        for rtt in [100, 1, 2, 3] {
            stats.reply(ms(rtt), 4);
        }
        stats.loss(4);
        let Summary { loss, rtt: Some([best, worst, mean, spread]) } = stats.summary().unwrap() else { panic!("no times") };
        assert_eq!(loss, 0.25);
        let near = |got: f64, want: f64| (got - want).abs() < 1e-7;
        assert!(near(best, 0.001) && near(worst, 0.003) && near(mean, 0.002), "{best} {worst} {mean}");
        assert!(near(spread, (2.0_f64 / 3.0).sqrt() / 1e3), "{spread}");
        for _ in 0..4 {
            stats.unsent("unreachable", 4);
        }
        assert_eq!(stats.summary(), Some(Summary { loss: 1.0, rtt: None }));
        assert_eq!((stats.sent, stats.received, stats.lost, stats.errors["unreachable"]), (0, 4, 1, 4));
    }

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_them() {
        let mut histogram = Histogram::default();
        for seconds in [0.00005, 0.0002, 0.3, 0.5, 9.0] {
            histogram.add(seconds);
        }
        let Value::Histogram { buckets, sum, count } = histogram.value() else { panic!("no histogram") };
        let at = |bound: f64| buckets.iter().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!((at(0.00005), at(0.0001), at(0.00025), at(0.25), at(0.5), at(2.5), at(f64::INFINITY)), (1, 1, 2, 2, 4, 4, 5));
        assert_eq!((count, buckets.len()), (5, 16));
        assert!((sum - 9.80025).abs() < 1e-9);
    }
}
