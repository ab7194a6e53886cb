//! What happens in a probe, line by line, for people who ask `/probe?debug=true`. Who writes a line leaves out what may be a
//! secret: values of headers, queries of URLs, bodies.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Most lines that are kept, and the longest, in characters.
const MOST: usize = 1000;
const LONGEST: usize = 1000;

#[derive(Debug)]
struct Kept {
    since: Instant,
    lines: Mutex<String>,
    left: Mutex<usize>,
}

/// The log of one probe; what is said to one that nobody asked for costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Log(Option<Arc<Kept>>);

impl Log {
    /// One that keeps what is said, with the time since now.
    pub fn kept() -> Self {
        Self(Some(Arc::new(Kept { since: Instant::now(), lines: Mutex::default(), left: Mutex::new(MOST) })))
    }

    /// Adds a line.
    pub fn say(&self, line: impl FnOnce() -> String) {
        let Some(kept) = &self.0 else { return };
        let mut left = kept.left.lock().unwrap_or_else(PoisonError::into_inner);
        if *left == 0 {
            return;
        }
        *left -= 1;
        let at = kept.since.elapsed().as_secs_f64();
        let line = if *left == 0 { "more is not kept".to_owned() } else { line() };
        // What a target says must not look like a line of ours.
        let clean = line.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c });
        let mut lines = kept.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(lines, "+{at:.6}s ");
        lines.extend(clean);
        lines.push('\n');
    }

    /// All lines.
    pub fn text(&self) -> String {
        self.0.as_ref().map(|kept| kept.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_have_their_time_and_an_end() {
        let log = Log::kept();
        tokio::time::advance(std::time::Duration::from_millis(1500)).await;
        log.clone().say(|| "a\nb".to_owned());
        assert_eq!(log.text(), "+1.500000s a b\n");
        for _ in 0..2000 {
            log.say(|| "x".repeat(5000));
        }
        assert_eq!((log.text().lines().count(), log.text().lines().map(str::len).max()), (MOST, Some(LONGEST + 11)));
        assert!(log.text().ends_with("more is not kept\n"));
        Log::default().say(|| unreachable!("nobody asked"));
        assert_eq!(Log::default().text(), "");
    }
}
