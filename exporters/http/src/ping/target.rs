//! A target: its address, the requests under way, and what came of all of them. Nothing here waits or asks.
//!
//! Each request has a number; the reply names it. Requests are kept for a minute, so that late replies and duplicates are
//! known as such.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sage_common::os::icmp::Family;

use super::config::{Direction, Method, TargetConfig};
use super::stats::Stats;
use crate::random::nonce;

/// How long a request is remembered.
const HORIZON: Duration = Duration::from_secs(60);
/// Most requests that are remembered.
const MOST: usize = 1024;
/// A reply that came in time waits this long in the socket at most before it is counted as lost.
pub const GRACE: Duration = Duration::from_millis(100);

/// A target with its state, which outlives a reload that does not change it.
pub struct Target {
    /// As configured.
    pub config: TargetConfig,
    /// Where it lies.
    pub direction: Direction,
    /// The settings it was made from.
    pub made_from: String,
    /// Stands for it in its requests; nobody else knows it.
    pub key: u64,
    timeout: Duration,
    window: usize,
    state: Mutex<State>,
}

/// What changes.
#[derive(Default)]
pub struct State {
    /// Where it is; none until its name is resolved.
    pub address: Option<IpAddr>,
    /// How the last ping left.
    pub method: Option<Method>,
    /// What came of the pings.
    pub stats: Stats,
    next: u64,
    under_way: VecDeque<Request>,
}

struct Request {
    number: u64,
    sent: Instant,
    came: Came,
}

#[derive(PartialEq, Eq)]
enum Came {
    NotYet,
    Lost,
    Answered,
}

impl Target {
    /// A target of which nothing is known yet.
    pub fn new(config: &TargetConfig, direction: Direction, timeout: Duration, window: usize, made_from: String) -> Self {
        Self { config: config.clone(), direction, made_from, key: nonce(), timeout, window, state: Mutex::default() }
    }

    /// What is known.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of `found` to ping: the present address while it is among them, so that names with many addresses do not
    /// hop about; else `chosen`. Series of another family are other series, and begin anew.
    pub fn moved(&self, found: &[SocketAddr], chosen: IpAddr) {
        let mut state = self.state();
        if state.address.is_some_and(|now| found.iter().any(|a| a.ip().to_canonical() == now)) {
            return;
        }
        if state.address.is_some_and(|now| Family::of(now) != Family::of(chosen)) {
            *state = State { next: state.next, ..State::default() };
        }
        state.address = Some(chosen);
    }

    /// Sends the next request by `send`, which gets its number and says when it left, or why not.
    pub fn request(&self, method: Method, send: impl FnOnce(u64) -> Result<Instant, &'static str>) -> Option<u64> {
        let mut state = self.state();
        // Locked while it is sent: the reply may be there before we are back.
        let number = state.next;
        state.method = Some(method);
        match send(number) {
            Ok(sent) => {
                state.next += 1;
                state.stats.sent += 1;
                state.under_way.push_back(Request { number, sent, came: Came::NotYet });
                self.forget(&mut state, sent);
                Some(number)
            }
            Err(reason) => {
                state.stats.unsent(reason, self.window);
                None
            }
        }
    }

    /// A ping that could not be sent.
    pub fn unsent(&self, reason: &'static str) {
        self.state().stats.unsent(reason, self.window);
    }

    /// Request `number` was answered from `from`, at `at`.
    pub fn reply(&self, number: u64, from: Option<IpAddr>, at: Instant) {
        let mut state = self.state();
        let State { under_way, stats, address, .. } = &mut *state;
        if from.is_some_and(|from| *address != Some(from)) {
            return;
        }
        let Some(place) = under_way.front().and_then(|first| usize::try_from(number.checked_sub(first.number)?).ok()) else { return };
        let Some(request) = under_way.get_mut(place) else { return };
        let rtt = at.saturating_duration_since(request.sent);
        match request.came {
            Came::NotYet if rtt <= self.timeout => stats.reply(rtt, self.window),
            Came::NotYet => {
                stats.loss(self.window);
                stats.late += 1;
            }
            Came::Lost => stats.late += 1,
            Came::Answered => stats.duplicates += 1,
        }
        request.came = Came::Answered;
    }

    /// Counts what has waited too long by `now`, and says when there is something to count again.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        let State { under_way, stats, .. } = &mut *state;
        for request in under_way.iter_mut().filter(|request| request.came == Came::NotYet) {
            let end = request.sent + self.timeout + GRACE;
            if end > now {
                return Some(end);
            }
            request.came = Came::Lost;
            stats.loss(self.window);
        }
        None
    }

    fn forget(&self, state: &mut State, now: Instant) {
        let State { under_way, stats, .. } = state;
        let old = |request: &Request| now.saturating_duration_since(request.sent) > HORIZON;
        while under_way.len() > MOST || under_way.front().is_some_and(old) {
            if under_way.pop_front().is_some_and(|request| request.came == Came::NotYet) {
                stats.loss(self.window);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn target() -> Target {
        let config = TargetConfig { host: "a".into(), name: None, port: None, labels: Default::default() };
        let target = Target::new(&config, Direction::EastWest, Duration::from_secs(1), 10, String::new());
        target.state().address = Some(HERE);
        target
    }

    fn counts(target: &Target) -> [u64; 5] {
        let state = target.state();
        [state.stats.sent, state.stats.received, state.stats.lost, state.stats.duplicates, state.stats.late]
    }

    #[test]
    fn in_time_lost_late_and_twice() {
        let (target, start) = (target(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for n in 0..4 {
            assert_eq!(target.request(Method::Icmp, |number| Ok(at(number * 100))), Some(n));
        }
        target.reply(0, Some(HERE), at(40));
        target.reply(0, Some(HERE), at(41));
        assert_eq!(target.expire(at(1100)), Some(at(1200)), "the grace of the second one");
        assert_eq!(counts(&target), [4, 1, 0, 1, 0]);
        // In time by the kernel's clock, however late we come to it.
        target.reply(1, Some(HERE), at(1100));
        assert_eq!(target.expire(at(1350)), Some(at(1400)));
        assert_eq!(counts(&target), [4, 2, 1, 1, 0]);
        target.reply(2, Some(HERE), at(5000));
        target.reply(2, Some(HERE), at(5001));
        // Too late, and nobody had counted it yet.
        target.reply(3, Some(HERE), at(9000));
        assert_eq!(counts(&target), [4, 2, 2, 2, 2]);
        assert_eq!(target.expire(at(9999)), None);
        let summary = target.state().stats.summary().unwrap();
        assert_eq!(summary.loss, 0.5);
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let (target, start) = (target(), Instant::now());
        target.reply(0, Some(HERE), start);
        target.request(Method::Icmp, |_| Ok(start));
        target.reply(7, Some(HERE), start);
        target.reply(u64::MAX, Some(HERE), start);
        target.reply(0, Some("192.0.2.1".parse().unwrap()), start);
        assert_eq!(counts(&target), [1, 0, 0, 0, 0]);
    }

    #[test]
    fn requests_are_forgotten_and_none_is_uncounted() {
        let (target, start) = (target(), Instant::now());
        for n in 0..3000_u64 {
            target.request(Method::Icmp, |_| Ok(start + Duration::from_millis(n)));
        }
        assert_eq!(counts(&target)[..3], [3000, 0, 3000 - MOST as u64]);
        target.request(Method::Icmp, |_| Ok(start + Duration::from_secs(70)));
        assert_eq!(target.state().under_way.len(), 1);
        assert_eq!(counts(&target)[..3], [3001, 0, 3000]);
        target.reply(5, Some(HERE), start);
        assert_eq!(counts(&target)[4], 0);
    }

    #[test]
    fn a_ping_that_cannot_be_sent_is_an_error_and_counts_in_the_window() {
        let target = target();
        assert_eq!(target.request(Method::Icmp, |_| Err("unreachable")), None);
        target.unsent("resolve");
        let state = target.state();
        assert_eq!((state.stats.sent, state.stats.errors.len(), state.stats.summary().map(|s| s.loss)), (0, 2, Some(1.0)));
    }

    #[test]
    fn an_address_stays_while_the_name_has_it() {
        let target = target();
        let of = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 0);
        target.request(Method::Icmp, |_| Ok(Instant::now()));
        target.moved(&[of("192.0.2.1"), SocketAddr::new(HERE, 0)], "192.0.2.1".parse().unwrap());
        assert_eq!(target.state().address, Some(HERE));
        target.moved(&[of("192.0.2.1")], "192.0.2.1".parse().unwrap());
        assert_eq!(target.state().address, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(counts(&target)[0], 1);
        target.moved(&[of("::1")], "::1".parse().unwrap());
        assert_eq!(counts(&target)[0], 0, "series of another family begin anew");
    }
}
