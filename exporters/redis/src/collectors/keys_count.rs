//! How many keys match patterns that the target's `checks` name.
//!
//! From SCAN, on the timer, within a time and a number of keys a run; a large database takes several runs, and the count is of the
//! last whole search. Names are counted and not kept.

use std::time::Duration;

use sage_common::collector::{Collector, Grant, Support};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::keys::label::label;
use crate::keys::place;
use crate::keys::run;
use crate::keys::scan::Limits;
use crate::session::Redis;

sage_common::metrics! {
    /// Keys that match the pattern, as the last whole search found; absent before the first (SCAN).
    COUNT: Gauge legacy "redis_keys_count" [db, key];
    /// Share of the database that the present search has looked at; 1 when the last run ended it (SCAN).
    PROGRESS: Gauge "redis_keys_count_search_ratio" [db, key];
    /// When the last whole search ended, as a Unix time (SCAN).
    ENDED: Gauge "redis_keys_count_search_timestamp_seconds" [db, key];
}

sage_common::options! {
    /// Options of `keys_count`.
    pub struct Options {
        /// Keys that the server looks at in one run; the next run goes on there.
        pub keys_per_run: u64 = 500_000,
        /// Shortest pause between two batches; in any case it is three times as long as the batch took.
        pub pause: Span = Span(Duration::from_millis(1)),
    }
}

/// See the file.
pub struct KeysCount {
    options: Options,
}

impl Collector for KeysCount {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Keys that match patterns (SCAN).";
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = grants::SCAN;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Redis) -> Support {
        run::supports(session, &session.state.options.checks.count_keys, &[])
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let mut limits = Limits::new(self.options.timeout.map(|t| t.0), self.options.keys_per_run, 0, self.options.pause.0);
        let at = match place::find(session).await? {
            Ok(at) => at,
            Err(why) => {
                out.not_here(why);
                return Ok(());
            }
        };
        for named in &session.state.options.checks.count_keys {
            let mut scan = session.state.take_scan("keys_count", named);
            scan.go(&at, named, None, &mut limits).await?;
            let (db, key) = (named.db_label(), label(&named.key));
            put!(out, COUNT { db, key } = scan.count());
            put!(out, PROGRESS { db, key } = scan.progress);
            put!(out, ENDED { db, key } = scan.timestamp());
            session.state.keep_scan("keys_count", named, scan);
        }
        at.end().await;
        Ok(())
    }
}
