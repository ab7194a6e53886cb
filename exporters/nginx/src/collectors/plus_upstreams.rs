//! Servers of the HTTP upstreams of NGINX Plus, by the peer's names.
//!
//! From the API (`/api/VERSION/http/upstreams`, versions 4 to 9). Servers beyond the limit are counted in
//! `sage_series_dropped`.

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;
use serde_json::Value;

use super::plus::{api, supports};
use crate::plus::{self, CODES, Server, number, state};
use crate::session::Session;

sage_common::metrics! {
    /// State of a server: 1 up, 2 draining, 3 down, 4 unavail, 5 checking, 6 unhealthy (API, http/upstreams).
    STATE: Gauge legacy "nginxplus_upstream_server_state" [upstream, server];
    /// Connections to a server now (API, http/upstreams).
    ACTIVE: Gauge legacy "nginxplus_upstream_server_active" [upstream, server];
    /// Most connections to a server, max_conns; absent where there is no limit (API, http/upstreams).
    LIMIT: Gauge legacy "nginxplus_upstream_server_limit" [upstream, server];
    /// Requests sent to a server (API, http/upstreams).
    REQUESTS: Counter legacy "nginxplus_upstream_server_requests" [upstream, server];
    /// Answers of a server by class of the status (API, http/upstreams).
    RESPONSES: Counter legacy "nginxplus_upstream_server_responses" [upstream, server, code];
    /// Bytes sent to a server (API, http/upstreams).
    SENT: Counter legacy "nginxplus_upstream_server_sent" [upstream, server];
    /// Bytes received from a server (API, http/upstreams).
    RECEIVED: Counter legacy "nginxplus_upstream_server_received" [upstream, server];
    /// Attempts to reach a server that failed (API, http/upstreams).
    FAILS: Counter legacy "nginxplus_upstream_server_fails" [upstream, server];
    /// How often a server became unavailable, as max_fails was reached (API, http/upstreams).
    UNAVAIL: Counter legacy "nginxplus_upstream_server_unavail" [upstream, server];
    /// Average time to the head of a server's answer, in milliseconds (API, http/upstreams).
    HEADER_TIME: Gauge legacy "nginxplus_upstream_server_header_time" [upstream, server];
    /// Average time to the end of a server's answer, in milliseconds (API, http/upstreams).
    RESPONSE_TIME: Gauge legacy "nginxplus_upstream_server_response_time" [upstream, server];
    /// Health checks of a server (API, http/upstreams).
    CHECKS: Counter legacy "nginxplus_upstream_server_health_checks_checks" [upstream, server];
    /// Health checks of a server that failed (API, http/upstreams).
    CHECKS_FAILED: Counter legacy "nginxplus_upstream_server_health_checks_fails" [upstream, server];
    /// How often a server became unhealthy (API, http/upstreams).
    UNHEALTHY: Counter legacy "nginxplus_upstream_server_health_checks_unhealthy" [upstream, server];
    /// Connections of an upstream kept open without a request (API, http/upstreams).
    KEEPALIVE: Gauge legacy "nginxplus_upstream_keepalive" [upstream];
    /// Servers taken out of an upstream that still work on requests (API, http/upstreams).
    ZOMBIES: Gauge legacy "nginxplus_upstream_zombies" [upstream];
}

sage_common::options! {
    /// Options of `plus_upstreams`.
    pub struct Options {
        /// Servers with series, in the order of the server.
        pub max_servers: usize = 200,
    }
}

/// See the file.
pub struct PlusUpstreams {
    options: Options,
}

fn write(out: &mut Sink, of: Server<'_>) {
    let Server { upstream, name: server, json } = of;
    put!(out, STATE { upstream, server } = state(json));
    put!(out, ACTIVE { upstream, server } = number(json, "active"));
    put!(out, LIMIT { upstream, server } = number(json, "max_conns"));
    put!(out, REQUESTS { upstream, server } = number(json, "requests"));
    for code in CODES {
        put!(out, RESPONSES { upstream, server, code } = json.get("responses").and_then(|r| number(r, code)));
    }
    put!(out, SENT { upstream, server } = number(json, "sent"));
    put!(out, RECEIVED { upstream, server } = number(json, "received"));
    put!(out, FAILS { upstream, server } = number(json, "fails"));
    put!(out, UNAVAIL { upstream, server } = number(json, "unavail"));
    put!(out, HEADER_TIME { upstream, server } = number(json, "header_time"));
    put!(out, RESPONSE_TIME { upstream, server } = number(json, "response_time"));
    let checks = json.get("health_checks").unwrap_or(&Value::Null);
    put!(out, CHECKS { upstream, server } = number(checks, "checks"));
    put!(out, CHECKS_FAILED { upstream, server } = number(checks, "fails"));
    put!(out, UNHEALTHY { upstream, server } = number(checks, "unhealthy"));
}

impl Collector for PlusUpstreams {
    type Session = Session;
    type Options = Options;
    const HELP: &'static str = "Servers of the HTTP upstreams (API of NGINX Plus).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Session) -> Support {
        supports(session)
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let Some(api) = api(session) else { return Ok(()) };
        let upstreams = session.part(api, "http/upstreams").await?.unwrap_or_default();
        let (servers, dropped) = plus::servers(&upstreams, self.options.max_servers);
        out.drop_series(STATE.info().name, dropped as u64);
        servers.into_iter().for_each(|server| write(out, server));
        for (upstream, group) in plus::upstreams(&upstreams) {
            put!(out, KEEPALIVE { upstream } = number(group, "keepalive"));
            put!(out, ZOMBIES { upstream } = number(group, "zombies"));
        }
        Ok(())
    }
}
