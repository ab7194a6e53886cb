//! The last certificates of each target, kept while it is down: an outage must not hide that a certificate ends soon.
//!
//! A few thousand targets at most; the one that was seen longest ago makes room. Nothing is kept but numbers.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::certificate::Ends;

/// Most targets that are kept.
const MOST: usize = 4096;

/// By the hash of what the target is called.
struct Known {
    hasher: RandomState,
    seen: HashMap<u64, (Ends, Instant)>,
    most: usize,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(|| Mutex::new(Known::new(MOST)));

impl Known {
    fn new(most: usize) -> Self {
        Self { hasher: RandomState::new(), seen: HashMap::new(), most }
    }

    fn keep(&mut self, target: &str, ends: Ends) {
        let key = self.hasher.hash_one(target);
        if self.seen.len() >= self.most
            && !self.seen.contains_key(&key)
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, (_, when))| *when).map(|(key, _)| *key)
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(key, (ends, Instant::now()));
    }

    fn last(&self, target: &str) -> Option<(Ends, Duration)> {
        let (ends, when) = self.seen.get(&self.hasher.hash_one(target))?;
        Some((ends.clone(), when.elapsed()))
    }
}

/// Keeps what `target` showed now.
pub fn keep(target: &str, ends: Ends) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).keep(target, ends);
}

/// What `target` showed last, and how long ago.
pub fn last(target: &str) -> Option<(Ends, Duration)> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).last(target)
}

/// Forgets `target`: it answers without TLS.
pub fn forget(target: &str) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = known.hasher.hash_one(target);
    known.seen.remove(&key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room_and_the_age_grows() {
        let mut known = Known::new(2);
        for (i, target) in ["a", "b", "a", "c"].into_iter().enumerate() {
            known.keep(target, Ends { leaf: Some(i as i64), ..Ends::default() });
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert!(known.last("b").is_none(), "seen longest ago");
        let (ends, age) = known.last("a").unwrap();
        assert_eq!((ends.leaf, age), (Some(2), Duration::from_secs(20)));
        assert_eq!(known.seen.len(), 2);
    }
}
