//! Connections, requests, TLS handshakes and server zones of NGINX Plus, by the peer's names.
//!
//! From the API (`/api/VERSION/...`, versions 4 to 9): connections, http/requests, ssl, http/server_zones. Zones beyond the
//! limit are counted in `sage_series_dropped`.

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::plus::{self, CODES, number};
use crate::session::{Page, Session};

sage_common::metrics! {
    /// Client connections taken since the start (API, connections).
    ACCEPTED: Counter legacy "nginxplus_connections_accepted" [];
    /// Client connections dropped since the start (API, connections).
    DROPPED: Counter legacy "nginxplus_connections_dropped" [];
    /// Client connections with a request now (API, connections).
    ACTIVE: Gauge legacy "nginxplus_connections_active" [];
    /// Client connections without a request now (API, connections).
    IDLE: Gauge legacy "nginxplus_connections_idle" [];
    /// Requests since the start (API, http/requests).
    REQUESTS: Counter legacy "nginxplus_http_requests_total" [];
    /// Requests now (API, http/requests).
    CURRENT: Gauge legacy "nginxplus_http_requests_current" [];
    /// TLS handshakes that succeeded (API, ssl).
    HANDSHAKES: Counter legacy "nginxplus_ssl_handshakes" [];
    /// TLS handshakes that failed (API, ssl).
    HANDSHAKES_FAILED: Counter legacy "nginxplus_ssl_handshakes_failed" [];
    /// TLS sessions that were resumed (API, ssl).
    REUSES: Counter legacy "nginxplus_ssl_session_reuses" [];
    /// Requests of a zone that are being worked on (API, http/server_zones).
    ZONE_PROCESSING: Gauge legacy "nginxplus_server_zone_processing" [server_zone];
    /// Requests of a zone (API, http/server_zones).
    ZONE_REQUESTS: Counter legacy "nginxplus_server_zone_requests" [server_zone];
    /// Answers of a zone by class of the status (API, http/server_zones).
    ZONE_RESPONSES: Counter legacy "nginxplus_server_zone_responses" [server_zone, code];
    /// Requests of a zone that ended without an answer (API, http/server_zones).
    ZONE_DISCARDED: Counter legacy "nginxplus_server_zone_discarded" [server_zone];
    /// Bytes that a zone received from clients (API, http/server_zones).
    ZONE_RECEIVED: Counter legacy "nginxplus_server_zone_received" [server_zone];
    /// Bytes that a zone sent to clients (API, http/server_zones).
    ZONE_SENT: Counter legacy "nginxplus_server_zone_sent" [server_zone];
}

sage_common::options! {
    /// Options of `plus`.
    pub struct Options {
        /// Zones with series: those with most requests.
        pub top_zones: usize = 100,
    }
}

/// See the file.
pub struct Plus {
    options: Options,
}

/// The path of the API, where the address is one. Where there is no page at all, `status` says why.
pub fn api(session: &Session) -> Option<&str> {
    match &session.page {
        Ok(Page::Plus(api)) => Some(api),
        _ => None,
    }
}

/// Only an API has what these collectors read.
pub fn supports(session: &Session) -> Support {
    if api(session).is_some() { Support::Yes } else { Support::NotHere("the address is not that of the API of NGINX Plus") }
}

impl Collector for Plus {
    type Session = Session;
    type Options = Options;
    const HELP: &'static str = "Connections, requests, TLS and server zones (API of NGINX Plus).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Session) -> Support {
        supports(session)
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let Some(api) = api(session) else { return Ok(()) };
        let part = async |path| Ok::<_, CollectError>(session.part(api, path).await?.unwrap_or_default());
        let connections = part("connections").await?;
        put!(out, ACCEPTED {} = number(&connections, "accepted"));
        put!(out, DROPPED {} = number(&connections, "dropped"));
        put!(out, ACTIVE {} = number(&connections, "active"));
        put!(out, IDLE {} = number(&connections, "idle"));
        let requests = part("http/requests").await?;
        put!(out, REQUESTS {} = number(&requests, "total"));
        put!(out, CURRENT {} = number(&requests, "current"));
        let ssl = part("ssl").await?;
        put!(out, HANDSHAKES {} = number(&ssl, "handshakes"));
        put!(out, HANDSHAKES_FAILED {} = number(&ssl, "handshakes_failed"));
        put!(out, REUSES {} = number(&ssl, "session_reuses"));
        let zones = part("http/server_zones").await?;
        let (zones, dropped) = plus::zones(&zones, self.options.top_zones);
        out.drop_series(ZONE_REQUESTS.info().name, dropped as u64);
        for (server_zone, zone) in zones {
            put!(out, ZONE_PROCESSING { server_zone } = number(zone, "processing"));
            put!(out, ZONE_REQUESTS { server_zone } = number(zone, "requests"));
            for code in CODES {
                put!(out, ZONE_RESPONSES { server_zone, code } = zone.get("responses").and_then(|r| number(r, code)));
            }
            put!(out, ZONE_DISCARDED { server_zone } = number(zone, "discarded"));
            put!(out, ZONE_RECEIVED { server_zone } = number(zone, "received"));
            put!(out, ZONE_SENT { server_zone } = number(zone, "sent"));
        }
        Ok(())
    }
}
