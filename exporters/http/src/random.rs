//! Numbers that nobody else can guess, and times that do not meet.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// A number that tells our packets from those of others. Keyed by the system's random numbers once for each thread.
pub fn nonce() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A time from zero to `most`.
pub fn up_to(most: Duration) -> Duration {
    most.mul_f64((nonce() >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_times_are_within() {
        assert_ne!(nonce(), nonce());
        let most = Duration::from_secs(60);
        let times: Vec<_> = (0..1000).map(|_| up_to(most)).collect();
        assert!(times.iter().all(|time| *time < most));
        assert!(times.iter().any(|time| *time < most / 4) && times.iter().any(|time| *time > most * 3 / 4));
    }
}
