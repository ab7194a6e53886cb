//! Requests, bytes and times by virtual host and by server of an upstream.
//!
//! From the JSON of the traffic status module (nginx-module-vts, `/status/format/json`), all its versions. Hosts and servers
//! beyond the limits are summed as `_other`.

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Page, Session};
use crate::vts::{self, CODES};

sage_common::metrics! {
    /// Requests to a virtual host by class of the status (VTS, serverZones).
    REQUESTS: Counter legacy "nginx_vts_server_requests_total" [host, code];
    /// Bytes of a virtual host by direction, in: from clients, out: to clients (VTS, serverZones).
    BYTES: Counter legacy "nginx_vts_server_bytes_total" [host, direction];
    /// Time of all requests to a virtual host, in seconds (VTS, serverZones, requestMsecCounter).
    SECONDS: Counter legacy "nginx_vts_server_request_seconds_total" [host];
    /// Requests to a server of an upstream by class of the status (VTS, upstreamZones).
    UPSTREAM_REQUESTS: Counter legacy "nginx_vts_upstream_requests_total" [upstream, backend, code];
    /// Bytes of a server of an upstream by direction (VTS, upstreamZones).
    UPSTREAM_BYTES: Counter legacy "nginx_vts_upstream_bytes_total" [upstream, backend, direction];
    /// Time of all answers of a server of an upstream, in seconds (VTS, upstreamZones, responseMsecCounter).
    UPSTREAM_SECONDS: Counter legacy "nginx_vts_upstream_response_seconds_total" [upstream, backend];
    /// 1 when a server of an upstream is marked down in the configuration, else 0 (VTS, upstreamZones, down).
    UPSTREAM_DOWN: Gauge "nginx_vts_upstream_marked_down" [upstream, backend];
}

sage_common::options! {
    /// Options of `traffic`.
    pub struct Options {
        /// Virtual hosts with series of their own: those with most requests.
        pub top_hosts: usize = 100,
        /// Servers of upstreams with series of their own: those with most requests.
        pub top_servers: usize = 200,
    }
}

/// See the file.
pub struct Traffic {
    options: Options,
}

impl Collector for Traffic {
    type Session = Session;
    type Options = Options;
    const HELP: &'static str = "Virtual hosts and servers of upstreams (traffic status module, VTS).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Session) -> Support {
        match session.page {
            Ok(Page::Traffic(_)) => Support::Yes,
            // Where there is no page, `status` says why.
            _ => Support::NotHere("the address is not that of the traffic status module"),
        }
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let Ok(Page::Traffic(json)) = session.page() else { return Ok(()) };
        for (host, counters) in vts::top(vts::hosts(json), self.options.top_hosts, "_other".to_owned()) {
            for (code, count) in CODES.iter().zip(counters.codes) {
                put!(out, REQUESTS { host, code } = count);
            }
            put!(out, BYTES { host, direction: "in" } = counters.inward);
            put!(out, BYTES { host, direction: "out" } = counters.outward);
            put!(out, SECONDS { host } = counters.seconds);
        }
        for ((upstream, backend), counters) in
            vts::top(vts::servers(json), self.options.top_servers, ("_other".to_owned(), "_other".to_owned()))
        {
            for (code, count) in CODES.iter().zip(counters.codes) {
                put!(out, UPSTREAM_REQUESTS { upstream, backend, code } = count);
            }
            put!(out, UPSTREAM_BYTES { upstream, backend, direction: "in" } = counters.inward);
            put!(out, UPSTREAM_BYTES { upstream, backend, direction: "out" } = counters.outward);
            put!(out, UPSTREAM_SECONDS { upstream, backend } = counters.seconds);
            put!(out, UPSTREAM_DOWN { upstream, backend } = counters.down);
        }
        Ok(())
    }
}
