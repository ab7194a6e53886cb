//! Connections and requests of the whole server.
//!
//! From stub_status; where the address is that of VTS or of NGINX Plus, from the same numbers there, so that rules and
//! dashboards fit all three. The question itself is one of the connections and one of the requests.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;
use serde_json::Value;

use crate::session::{Page, Session};
use crate::stub::Stub;

sage_common::metrics! {
    /// Client connections now, waiting ones included (stub_status, Active connections).
    ACTIVE: Gauge legacy "nginx_connections_active" [];
    /// Client connections taken since the start (stub_status, accepts).
    ACCEPTED: Counter legacy "nginx_connections_accepted" [];
    /// Client connections served since the start; those taken and not served were dropped at a limit (stub_status, handled).
    HANDLED: Counter legacy "nginx_connections_handled" [];
    /// Client connections dropped since the start: taken less served, as worker_connections or memory ran out (stub_status).
    DROPPED: Counter "nginx_connections_dropped_total" [];
    /// Connections whose request is being read (stub_status, Reading).
    READING: Gauge legacy "nginx_connections_reading" [];
    /// Connections that are being answered (stub_status, Writing).
    WRITING: Gauge legacy "nginx_connections_writing" [];
    /// Connections kept open without a request (stub_status, Waiting).
    WAITING: Gauge legacy "nginx_connections_waiting" [];
    /// Requests since the start (stub_status, requests).
    REQUESTS: Counter legacy "nginx_http_requests_total" [];
    /// Time of all requests since the start, in seconds (stub_status of Tengine, request_time).
    REQUEST_SECONDS: Counter "nginx_http_request_duration_seconds_total" [];
    /// Always 1; what the address answers with: stub_status, vts or plus, and the version of the server where it says.
    PAGE: Gauge "nginx_status_page_info" [kind, version];
}

/// See the file.
pub struct Status;

fn traffic(json: &Value) -> Stub {
    let number = |name: &str| json.get("connections").and_then(|c| c.get(name)).and_then(Value::as_f64);
    Stub {
        active: number("active"),
        accepted: number("accepted"),
        handled: number("handled"),
        requests: number("requests"),
        request_seconds: None,
        reading: number("reading"),
        writing: number("writing"),
        waiting: number("waiting"),
    }
}

/// NGINX Plus counts the waiting ones apart and says how many were dropped, and knows nothing of reading and writing.
fn plus(connections: &Value, requests: &Value) -> Stub {
    let number = |name: &str| connections.get(name).and_then(Value::as_f64);
    let (idle, accepted) = (number("idle"), number("accepted"));
    Stub {
        active: number("active").zip(idle).map(|(active, idle)| active + idle),
        accepted,
        handled: accepted.zip(number("dropped")).map(|(accepted, dropped)| accepted - dropped),
        requests: requests.get("total").and_then(Value::as_f64),
        waiting: idle,
        ..Stub::default()
    }
}

impl Collector for Status {
    type Session = Session;
    type Options = NoOptions;
    const HELP: &'static str = "Connections and requests of the whole server (stub_status, VTS or the API of NGINX Plus).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let text = |json: &Value, name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (stub, kind, version) = match session.page()? {
            Page::Stub(stub) => (*stub, "stub_status", String::new()),
            Page::Traffic(json) => (traffic(json), "vts", text(json, "nginxVersion")),
            Page::Plus(api) => {
                let part = async |path| Ok::<_, CollectError>(session.part(api, path).await?.unwrap_or_default());
                let stub = plus(&part("connections").await?, &part("http/requests").await?);
                (stub, "plus", text(&part("nginx").await?, "version"))
            }
        };
        put!(out, ACTIVE {} = stub.active);
        put!(out, ACCEPTED {} = stub.accepted);
        put!(out, HANDLED {} = stub.handled);
        put!(out, DROPPED {} = stub.accepted.zip(stub.handled).map(|(accepted, handled)| (accepted - handled).max(0.0)));
        put!(out, READING {} = stub.reading);
        put!(out, WRITING {} = stub.writing);
        put!(out, WAITING {} = stub.waiting);
        put!(out, REQUESTS {} = stub.requests);
        put!(out, REQUEST_SECONDS {} = stub.request_seconds);
        put!(out, PAGE { kind, version } = 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_pages_have_the_same_numbers() {
        let json = serde_json::json!({"connections": {"active": 2, "reading": 0, "writing": 1, "waiting": 1, "accepted": 7, "handled": 6, "requests": 9}});
        let stub = traffic(&json);
        assert_eq!((stub.active, stub.handled, stub.requests, stub.waiting), (Some(2.0), Some(6.0), Some(9.0), Some(1.0)));
        let connections = serde_json::json!({"accepted": 4968119, "dropped": 19, "active": 5, "idle": 117});
        let stub = plus(&connections, &serde_json::json!({"total": 10624511, "current": 4}));
        assert_eq!((stub.active, stub.handled, stub.requests), (Some(122.0), Some(4_968_100.0), Some(10_624_511.0)));
        assert_eq!(plus(&Value::Null, &Value::Null), Stub::default());
    }
}
