//! When the server was started.
//!
//! From pg_postmaster_start_time(), which each session asks at its login: a restart ends the session, so the answer cannot
//! grow old. All versions, readable by everybody.

use std::time::SystemTime;

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// When the server was started, as a Unix time (pg_postmaster_start_time).
    STARTED: Gauge legacy "pg_postmaster_start_time_seconds" [];
}

/// See the file.
pub struct Postmaster;

impl Collector for Postmaster {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Start of the server (pg_postmaster_start_time).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        put!(out, STARTED {} = session.facts.started.duration_since(SystemTime::UNIX_EPOCH).ok());
        Ok(())
    }
}
