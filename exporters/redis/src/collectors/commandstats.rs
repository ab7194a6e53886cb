//! Calls, time, refusals and failures of each command.
//!
//! From the section Commandstats of INFO. A server with modules can have many hundred commands: those called most have
//! series of their own, the rest is summed as cmd="_other".

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::part_number;
use crate::session::Redis;

sage_common::metrics! {
    /// Calls of the command (cmdstat_*, calls).
    CALLS: Counter legacy "redis_commands_total" [cmd];
    /// Time spent in the command, in seconds (cmdstat_*, usec).
    SECONDS: Counter legacy "redis_commands_duration_seconds_total" [cmd];
    /// Calls refused before they ran: arguments, rights, memory (cmdstat_*, rejected_calls).
    REJECTED: Counter legacy "redis_commands_rejected_calls_total" [cmd];
    /// Calls that failed while they ran (cmdstat_*, failed_calls).
    FAILED: Counter legacy "redis_commands_failed_calls_total" [cmd];
}

sage_common::options! {
    /// Options of `commandstats`.
    pub struct Options {
        /// Commands with series of their own.
        pub top: usize = 100,
    }
}

/// See the file.
pub struct Commandstats {
    top: usize,
}

/// What one command has: calls, seconds, and from Redis 6.2 on refused and failed calls.
type Numbers = (f64, f64, Option<f64>, Option<f64>);

fn numbers(value: &str) -> Option<Numbers> {
    let number = |name| part_number(value, name);
    Some((number("calls")?, number("usec")? / 1e6, number("rejected_calls"), number("failed_calls")))
}

fn sum(a: Numbers, b: Numbers) -> Numbers {
    let both = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
    (a.0 + b.0, a.1 + b.1, both(a.2, b.2), both(a.3, b.3))
}

impl Collector for Commandstats {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Calls, time, refusals and failures of each command (INFO commandstats).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { top: options.top }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        let mut commands: Vec<(&str, Numbers)> = info.below("cmdstat_").filter_map(|(cmd, value)| Some((cmd, numbers(value)?))).collect();
        commands.sort_by(|(_, a), (_, b)| b.0.total_cmp(&a.0));
        let rest = commands.split_off(self.top.min(commands.len()));
        commands.extend(rest.into_iter().map(|(_, n)| n).reduce(sum).map(|n| ("_other", n)));
        for (cmd, (calls, seconds, rejected, failed)) in commands {
            put!(out, CALLS { cmd } = calls);
            put!(out, SECONDS { cmd } = seconds);
            put!(out, REJECTED { cmd } = rejected);
            put!(out, FAILED { cmd } = failed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_tell_less() {
        assert_eq!(numbers("calls=2,usec=9,usec_per_call=4.50,rejected_calls=1,failed_calls=0"), Some((2.0, 9e-6, Some(1.0), Some(0.0))));
        assert_eq!(numbers("calls=2,usec=9,usec_per_call=4.50"), Some((2.0, 9e-6, None, None)));
        assert_eq!(numbers("calls=x,usec=9"), None);
        assert_eq!(sum((1.0, 2.0, Some(3.0), None), (1.0, 2.0, Some(3.0), Some(4.0))), (2.0, 4.0, Some(6.0), None));
    }
}
