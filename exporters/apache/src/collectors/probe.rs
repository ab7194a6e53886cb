//! A page of the users', asked for at each scrape beside the status page.
//!
//! From GET of `probe_path`, over the same connection; any status below 400 is well. It runs where that path is configured.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::page::probe;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Session;

sage_common::metrics! {
    /// 1 when the users' page came with a status below 400, else 0 (GET of probe_path).
    SUCCESS: Gauge "apache_probe_success" [];
    /// Status code of the users' page; absent when no answer came (GET of probe_path).
    STATUS: Gauge "apache_probe_status_code" [];
    /// Time until the users' page was there or given up, in seconds (GET of probe_path).
    DURATION: Gauge "apache_probe_duration_seconds" [];
    /// 1 while the users' page fails, with the reason from a closed set (GET of probe_path).
    ERROR: Gauge "apache_probe_error_info" [reason];
}

/// See the file.
pub struct Probe;

impl Collector for Probe {
    type Session = Session;
    type Options = NoOptions;
    const HELP: &'static str = "A page of the users' (GET of probe_path).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Session) -> Support {
        match session.http.options.probe_path {
            Some(_) => Support::Yes,
            None => Support::NotHere("probe_path is not set"),
        }
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let Some(path) = &session.http.options.probe_path else { return Ok(()) };
        let probed = probe::ask(&session.http, path).await;
        put!(out, SUCCESS {} = probed.reason.is_none());
        put!(out, STATUS {} = probed.status);
        put!(out, DURATION {} = probed.duration);
        if let Some(reason) = probed.reason {
            put!(out, ERROR { reason } = 1);
        }
        Ok(())
    }
}
