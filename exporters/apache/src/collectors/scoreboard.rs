//! The places for workers by state.
//!
//! From the scoreboard of server-status?auto. There are ServerLimit times ThreadsPerChild places; MaxRequestWorkers may allow fewer.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Session;
use crate::status;

sage_common::metrics! {
    /// Places for workers by state; open_slot has none, idle waits for a request, graceful_stop ends (Scoreboard).
    SCOREBOARD: Gauge legacy "apache_scoreboard" [state];
    /// Places for workers in all (Scoreboard, ServerLimit times ThreadsPerChild).
    SLOTS: Gauge "apache_scoreboard_slots" [];
}

/// See the file.
pub struct Scoreboard;

impl Collector for Scoreboard {
    type Session = Session;
    type Options = NoOptions;
    const HELP: &'static str = "Places for workers by state (scoreboard of server-status).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Session) -> Support {
        if session.page().is_ok() { Support::Yes } else { Support::NotHere("there is no page: see status") }
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let Some(text) = session.page()?.get("Scoreboard") else { return Ok(()) };
        let (counts, unknown) = status::scoreboard(text);
        for (state, count) in counts {
            put!(out, SCOREBOARD { state } = count);
        }
        // A letter of a later version is a place all the same.
        if unknown > 0 {
            put!(out, SCOREBOARD { state: "other" } = unknown);
        }
        put!(out, SLOTS {} = counts.iter().map(|(_, count)| count).sum::<u64>() + unknown);
        Ok(())
    }
}
