//! Token buckets: one for all requests (`rate_limit`), and one per client address for wrong passwords.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A token comes back each interval; there are never more than the burst.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Time in which a token comes back.
    pub interval: Duration,
    /// Tokens at most.
    pub burst: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let came = now.saturating_duration_since(self.at).as_secs_f64() / rate.interval.as_secs_f64().max(f64::MIN_POSITIVE);
        (self.tokens, self.at) = ((self.tokens + came).min(f64::from(rate.burst)), now);
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }
}

/// A limit for all requests together.
#[derive(Debug)]
pub struct Limit {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Limit {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, bucket: Mutex::new(Bucket::full(rate, Instant::now())) }
    }

    /// Takes a token; false when there is none.
    pub fn take(&self) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.rate, Instant::now())
    }
}

/// Addresses whose buckets are kept; those that come later share one.
const MOST_ADDRESSES: usize = 1024;

/// A limit for each client address; a network of IPv6 (/64) is one address, since its user has all of it.
#[derive(Debug)]
pub struct PerAddress {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl PerAddress {
    /// Full buckets for all.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a token of this address; false when there is none.
    pub fn take(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let rate = self.rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = network(address);
        if buckets.len() >= MOST_ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| {
                bucket.refill(rate, now);
                bucket.tokens < f64::from(rate.burst)
            });
            if buckets.len() >= MOST_ADDRESSES {
                address = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        buckets.entry(address).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }

    /// Gives a token back: it was not spent on a failure.
    pub fn give_back(&self, address: IpAddr) {
        if let Some(bucket) = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&network(address)) {
            bucket.tokens = (bucket.tokens + 1.0).min(f64::from(self.rate.burst));
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval: Duration::from_secs(1), burst: 3 };

    fn taken(limit: impl Fn() -> bool) -> usize {
        (0..10).filter(|_| limit()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_each_interval() {
        let limit = Limit::new(RATE);
        assert_eq!(taken(|| limit.take()), 3);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(taken(|| limit.take()), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(|| limit.take()), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_do_not_take_each_other_s_tokens() {
        let limit = PerAddress::new(RATE);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(taken(|| limit.take(address("192.0.2.1"))), 3);
        assert_eq!(taken(|| limit.take(address("::ffff:192.0.2.1"))), 0);
        assert_eq!(taken(|| limit.take(address("192.0.2.2"))), 3);
        limit.give_back(address("192.0.2.2"));
        assert_eq!(taken(|| limit.take(address("192.0.2.2"))), 1);
        assert_eq!(taken(|| limit.take(address("2001:db8::1"))), 3);
        assert_eq!(taken(|| limit.take(address("2001:db8::ffff:1"))), 0);
        assert_eq!(taken(|| limit.take(address("2001:db8:0:1::1"))), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_are_bounded() {
        let limit = PerAddress::new(RATE);
        for n in 0..100_000_u32 {
            limit.take(IpAddr::from(n.to_be_bytes()));
        }
        assert!(limit.buckets.lock().unwrap().len() <= MOST_ADDRESSES + 1);
        // When time has passed, the table has room again.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(taken(|| limit.take(IpAddr::from([203, 0, 113, 9]))), 3);
        assert_eq!(limit.buckets.lock().unwrap().len(), 1);
    }
}
