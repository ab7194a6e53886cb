//! Errors that the server sent, by their code.
//!
//! From the section Errorstats of INFO (Redis 6.2 and newer). The code of an error can come from a script, so their number
//! is bounded: those sent most have series of their own, the rest is summed as err="_other".

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::part_number;
use crate::session::Redis;

sage_common::metrics! {
    /// Errors sent, by code (errorstat_*).
    ERRORS: Counter legacy "redis_errors_total" [err];
}

sage_common::options! {
    /// Options of `errorstats`.
    pub struct Options {
        /// Codes with series of their own.
        pub top: usize = 30,
    }
}

/// See the file.
pub struct Errorstats {
    top: usize,
}

impl Collector for Errorstats {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Errors that the server sent, by code (INFO errorstats).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        let mut errors: Vec<(&str, f64)> =
            info.below("errorstat_").filter_map(|(err, value)| Some((err, part_number(value, "count")?))).collect();
        errors.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let rest = errors.split_off(self.top.min(errors.len()));
        if !rest.is_empty() {
            errors.push(("_other", rest.iter().map(|(_, count)| count).sum()));
        }
        for (err, count) in errors {
            put!(out, ERRORS { err } = count);
        }
        Ok(())
    }
}
