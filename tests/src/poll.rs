//! Waiting for a state by asking for it again until a deadline: the only way in which the tests wait.

use std::time::{Duration, Instant};

/// Pause between two questions: short enough to add little to a test, long enough to leave the CPU to the server.
const STEP: Duration = Duration::from_millis(20);

/// Asks until `check` returns something and returns that.
///
/// # Panics
/// When `limit` has passed; the message names `what`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, check: impl FnMut() -> Option<T>) -> T {
    match within(limit, check) {
        Some(value) => value,
        None => panic!("waited {limit:?} in vain: {what}"),
    }
}

/// As [`until`], but `None` when the limit has passed.
pub fn within<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        // The time is read first, so that the state is asked once more after the limit on a machine that stalled.
        let late = Instant::now() >= end;
        if let Some(value) = check() {
            return Some(value);
        }
        if late {
            return None;
        }
        std::thread::park_timeout(STEP);
    }
}
