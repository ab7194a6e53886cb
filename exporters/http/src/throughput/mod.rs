//! Throughput: transfers of configured URLs, rarely, one at a time, within a daily budget of bytes.
//!
//! Results outlive the test that failed after them: the last good rate stays, `throughput_success` and the time of the last
//! run say how old it is. The budget goes on over a reload, and with a `state_file` over a restart.

pub mod config;
mod kept;
mod transfer;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sage_common::commands::check::Row;
use sage_common::desc::Info;
use sage_common::error::{CollectError, Invalid};
use sage_common::put;
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;
use tokio::time::{Instant, sleep_until};

use self::config::{Address, FEWEST, TargetConfig, ThroughputConfig};
use self::kept::{Kept, Rates};
use self::transfer::{Moved, download, upload};
use crate::allowance::Allowance;
use crate::random::up_to;
use crate::reason::Reason;

sage_common::metrics! {
    /// Rate of the last transfer that gave one, in bytes a second, from the first byte on, without connection and handshake.
    RATE: Gauge "throughput_bytes_per_second" [target, direction, way];
    /// The higher one of the last two rates, in bytes a second: low when the line was slow twice running; absent before the second.
    BEST: Gauge "throughput_best_of_two_bytes_per_second" [target, direction, way];
    /// Bytes of body of that transfer.
    BYTES: Gauge "throughput_transfer_bytes" [target, direction, way];
    /// Time of that transfer from its first byte on, in seconds.
    SECONDS: Gauge "throughput_transfer_seconds" [target, direction, way];
    /// 1 when the last test gave a rate, else 0.
    SUCCESS: Gauge "throughput_success" [target, direction, way];
    /// 1 with the reason why the last test gave no rate; among them budget, too_short, http_status, auth.
    ERROR: Gauge "throughput_error_info" [target, direction, way, reason];
    /// When the last test ended, as a Unix time.
    LAST_RUN: Gauge "throughput_last_run_timestamp_seconds" [target, direction, way];
    /// When the last test that gave a rate ended, as a Unix time.
    LAST_SUCCESS: Gauge "throughput_last_success_timestamp_seconds" [target, direction, way];
    /// Bytes that tests may still move today (UTC).
    LEFT: Gauge "throughput_budget_bytes_remaining" [];
}

/// The families, for the catalogue.
pub const ALL: &[Info] = METRICS;

/// All tests of one configuration.
pub struct Throughput {
    targets: Vec<Arc<Target>>,
    allowance: Allowance,
    daily: u64,
    /// Where to keep what a restart should find.
    state_file: Option<PathBuf>,
    /// Nothing was read from there yet, or it could not be written: that is said once.
    fresh: AtomicBool,
    silent: AtomicBool,
}

/// A target with its results, which outlive a reload that does not change it.
struct Target {
    config: TargetConfig,
    made_from: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it is tested next.
    next: Option<Instant>,
    down: Tested,
    up: Tested,
}

/// The tests of one way.
#[derive(Clone, Debug, Default)]
struct Tested {
    at: Option<SystemTime>,
    good: Option<(SystemTime, Moved)>,
    /// The rate of the good test before.
    before: Option<f64>,
    error: Option<&'static str>,
}

impl Tested {
    fn kept(&self) -> Option<Rates> {
        let (at, moved) = self.good?;
        Some(Rates { at: unix(at), bytes: moved.bytes, seconds: moved.time.as_secs_f64(), rate: moved.rate, before: self.before })
    }

    fn of(rates: Rates) -> Self {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(rates.at);
        let moved = Moved { bytes: rates.bytes, time: Duration::from_secs_f64(rates.seconds), rate: rates.rate };
        Self { good: Some((at, moved)), before: rates.before, ..Self::default() }
    }
}

impl Target {
    /// Tells its settings apart from others of the same name.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.made_from.hash(&mut hasher);
        hasher.finish()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it is tested next; the first time soon, but not at once with everything else that starts.
    fn due(&self) -> Instant {
        *self.state().next.get_or_insert_with(|| Instant::now() + up_to(self.config.interval.0 / 10))
    }

    fn tested(&self) {
        self.state().next = Some(Instant::now() + jittered(self.config.interval.0));
    }

    /// Tests one way and keeps what came of it.
    async fn test(&self, down: bool, url: &Address, allowance: &Allowance) {
        let cap = self.config.max_bytes.0.min(allowance.left(SystemTime::now()));
        let moved = if cap < FEWEST {
            Err(Reason::BUDGET.error("the daily budget is used up"))
        } else if down {
            download(&url.0, &self.config, cap, allowance).await
        } else {
            upload(&url.0, &self.config, cap, allowance).await
        };
        let now = SystemTime::now();
        let mut state = self.state();
        let tested = if down { &mut state.down } else { &mut state.up };
        tested.at = Some(now);
        match moved {
            Ok(moved) => {
                tracing::debug!(target_name = self.config.name, down, bytes = moved.bytes, rate = moved.rate, "a throughput test");
                tested.before = tested.good.map(|(_, before)| before.rate);
                (tested.good, tested.error) = (Some((now, moved)), None);
            }
            Err(error) => {
                let (reason, hint) = (Reason::of(&error).name, error.advice());
                if tested.error != Some(reason) {
                    tracing::warn!(target_name = self.config.name, down, reason, %error, hint, "a throughput test gave no rate");
                }
                tested.error = Some(reason);
            }
        }
    }
}

/// An interval, a tenth more or less by chance: many exporters do not stay in step.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9) + up_to(interval / 5)
}

impl Throughput {
    /// Makes them. Targets that were the same in `before` keep their results and their next time; what was spent today counts.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn make(config: &ThroughputConfig, before: Option<&Self>) -> Result<Self, Invalid> {
        config.validate().map_err(|e| e.within("throughput"))?;
        let target = |target: &TargetConfig| {
            let made_from = format!("{target:?}");
            let known = before.and_then(|before| before.targets.iter().find(|known| known.made_from == made_from));
            known.map_or_else(|| Arc::new(Target { config: target.clone(), made_from, state: Mutex::default() }), Arc::clone)
        };
        let daily = config.daily_budget.0;
        let allowance = Allowance::new(daily, before.map(|before| &before.allowance));
        let targets = config.targets.iter().map(target).collect();
        let state_file = config.state_file.clone();
        Ok(Self { targets, allowance, daily, state_file, fresh: before.is_none().into(), silent: false.into() })
    }

    /// Starts the task.
    pub fn start<W: Send + Sync + 'static>(work: &Arc<W>, this: fn(&W) -> Option<&Self>, tasks: &Tasks) {
        let work = Arc::clone(work);
        tasks.keep("throughput", move || {
            let work = Arc::clone(&work);
            async move {
                if let Some(throughput) = this(&work) {
                    throughput.run().await;
                }
            }
        });
    }

    /// Tests each target when it is due, one after the other, for ever.
    async fn run(&self) {
        if self.fresh.swap(false, Ordering::Relaxed) {
            self.recall().await;
        }
        loop {
            let Some((due, target)) = self.targets.iter().map(|target| (target.due(), target)).min_by_key(|(due, _)| *due) else {
                return std::future::pending().await;
            };
            sleep_until(due).await;
            // Before the test: one that is broken off by a reload is not begun again at once.
            target.tested();
            for (down, url) in [(true, &target.config.download), (false, &target.config.upload)] {
                if let Some(url) = url {
                    target.test(down, url, &self.allowance).await;
                }
            }
            self.keep().await;
        }
    }

    /// Takes up what was kept before the exporter was started.
    async fn recall(&self) {
        let Some(path) = self.state_file.clone() else { return };
        let now = unix(SystemTime::now());
        let kept = match off_the_runtime(move || Kept::read(&path, now)).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the state file of throughput tests is not used; the day's budget begins anew");
                return;
            }
        };
        self.allowance.recall(kept.spent);
        for target in &self.targets {
            let Some(known) = kept.targets.get(&target.config.name).filter(|known| known.made_from == target.mark()) else { continue };
            let mut state = target.state();
            (state.down, state.up) = (known.down.map(Tested::of).unwrap_or_default(), known.up.map(Tested::of).unwrap_or_default());
        }
    }

    /// Keeps what the next start should know.
    async fn keep(&self) {
        let Some(path) = self.state_file.clone() else { return };
        let target = |target: &Arc<Target>| {
            let state = target.state();
            let kept = kept::Target { made_from: target.mark(), down: state.down.kept(), up: state.up.kept() };
            (target.config.name.clone(), kept)
        };
        let kept = Kept::new(self.allowance.spent(), self.targets.iter().map(target).collect::<BTreeMap<_, _>>());
        match off_the_runtime(move || kept.write(&path)).await {
            Ok(()) => self.silent.store(false, Ordering::Relaxed),
            Err(error) if self.silent.swap(true, Ordering::Relaxed) => tracing::debug!(%error, "the state file is still not written"),
            Err(error) => tracing::warn!(%error, "the state file of throughput tests is not written: a restart begins a new budget"),
        }
    }

    /// Writes what is known.
    pub fn write(&self, out: &mut Sink) {
        for target in &self.targets {
            let state = target.state();
            let (target, direction) = (&target.config.name, target.config.direction);
            for (way, tested) in [("down", &state.down), ("up", &state.up)] {
                // Nothing is known before the first test; after a restart only what was kept.
                if let Some(at) = tested.at {
                    put!(out, SUCCESS { target, direction, way } = tested.error.is_none());
                    put!(out, LAST_RUN { target, direction, way } = unix(at));
                }
                if let Some(reason) = tested.error {
                    put!(out, ERROR { target, direction, way, reason } = 1);
                }
                if let Some((at, moved)) = tested.good {
                    put!(out, RATE { target, direction, way } = moved.rate);
                    put!(out, BEST { target, direction, way } = tested.before.map(|before| before.max(moved.rate)));
                    put!(out, BYTES { target, direction, way } = moved.bytes);
                    put!(out, SECONDS { target, direction, way } = moved.time);
                    put!(out, LAST_SUCCESS { target, direction, way } = unix(at));
                }
            }
        }
        put!(out, LEFT {} = self.allowance.left(SystemTime::now()));
    }

    /// What the tests would move in a day; `check` runs none: that is the bytes of others.
    pub fn rows(&self) -> Vec<Row> {
        let row = |target: &Arc<Target>| {
            let (planned, daily) = (target.config.planned(), self.daily);
            let note = format!("not run by check; up to {planned} bytes a day, of {daily} for all");
            Row::new(format!("throughput {}", target.config.name), "valid", 0.0, 0, note, true)
        };
        self.targets.iter().map(row).collect()
    }
}

/// Files are read and written beside the runtime: a disk may be slow.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T, CollectError> + Send + 'static) -> Result<T, CollectError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|_| Err(Reason::INTERNAL.error("the work on the state file broke off")))
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests;
