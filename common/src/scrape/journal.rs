//! The log of a target: a line when a part of it begins to fail or recovers, and a reminder now and then.
//!
//! A target that is down is data, not an error of ours; logging each scrape of it would flood the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::codes::Code;
use crate::error::ErrorKind;

/// What fails at present of one target.
#[derive(Default)]
pub struct Journal {
    failing: Mutex<HashMap<&'static str, Episode>>,
}

struct Episode {
    kind: ErrorKind,
    told: Instant,
    count: u64,
}

/// Time between two reminders of the same failure.
const REMINDER: Duration = Duration::from_secs(600);

impl Journal {
    /// Notes the outcome of one part (`connect`, `login` or a collector) of `target`.
    pub fn note(&self, target: &str, part: &'static str, failure: Option<(ErrorKind, Code, &str)>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match (failure, failing.get_mut(part)) {
            (None, None) => {}
            (None, Some(episode)) => {
                tracing::info!(target_name = target, part, failed_times = episode.count, "a part of the target works again");
                failing.remove(part);
            }
            (Some((kind, ..)), Some(episode)) if episode.kind == kind && episode.told.elapsed() < REMINDER => episode.count += 1,
            (Some((kind, code, text)), known) => {
                let count = known.filter(|e| e.kind == kind).map_or(1, |e| e.count + 1);
                macro_rules! tell {
                    ($level:ident) => {
                        tracing::$level!(
                            target_name = target,
                            part,
                            reason = kind.as_str(),
                            code = code.id,
                            failed_times = count,
                            detail = text,
                            "a part of the target fails"
                        )
                    };
                }
                // These end only when a person does something.
                if matches!(kind, ErrorKind::Auth | ErrorKind::Permission | ErrorKind::Tls) {
                    tell!(warn)
                } else {
                    tell!(info)
                }
                failing.insert(part, Episode { kind, told: Instant::now(), count });
            }
        }
    }
}
