//! Requests, bytes and times by virtual host and by server of an upstream.
//!
//! From the JSON of the traffic status module (nginx-module-vts, `/status/format/json`), all its versions. Hosts and servers
//! beyond the limits are summed as `_other`.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;
use serde_json::Value;

use crate::session::{Page, Session};

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

const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one host or server.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counters {
    requests: f64,
    codes: [f64; 5],
    inward: f64,
    outward: f64,
    seconds: f64,
    down: bool,
}

impl Counters {
    fn read(json: &Value, time: &str) -> Self {
        let number = |json: &Value, name: &str| json.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let codes = json.get("responses").unwrap_or(&Value::Null);
        Self {
            requests: number(json, "requestCounter"),
            codes: CODES.map(|code| number(codes, code)),
            inward: number(json, "inBytes"),
            outward: number(json, "outBytes"),
            seconds: number(json, time) / 1000.0,
            down: json.get("down").and_then(Value::as_bool).unwrap_or(false),
        }
    }

    fn add(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.codes.iter_mut().zip(other.codes).for_each(|(ours, theirs)| *ours += theirs);
        self.inward += other.inward;
        self.outward += other.outward;
        self.seconds += other.seconds;
        self.down |= other.down;
        self
    }
}

/// Those with most requests, and the rest as one.
fn top<K: Ord + Clone>(all: BTreeMap<K, Counters>, limit: usize, other: K) -> Vec<(K, Counters)> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|(_, a), (_, b)| b.requests.total_cmp(&a.requests));
    let rest = all.split_off(limit.min(all.len()));
    if !rest.is_empty() {
        all.push((other, rest.iter().fold(Counters::default(), |sum, (_, one)| sum.add(one))));
    }
    all
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
        // The zone `*` is the sum of the others.
        let hosts = json.get("serverZones").and_then(Value::as_object).into_iter().flatten().filter(|(host, _)| *host != "*");
        let hosts = hosts.map(|(host, zone)| (host.clone(), Counters::read(zone, "requestMsecCounter"))).collect();
        for (host, counters) in top(hosts, self.options.top_hosts, "_other".to_owned()) {
            for (code, count) in CODES.iter().zip(counters.codes) {
                put!(out, REQUESTS { host, code } = count);
            }
            put!(out, BYTES { host, direction: "in" } = counters.inward);
            put!(out, BYTES { host, direction: "out" } = counters.outward);
            put!(out, SECONDS { host } = counters.seconds);
        }
        let mut servers = BTreeMap::new();
        for (upstream, zone) in json.get("upstreamZones").and_then(Value::as_object).into_iter().flatten() {
            for server in zone.as_array().into_iter().flatten() {
                let name = server.get("server").and_then(Value::as_str).unwrap_or_default();
                servers.insert((upstream.clone(), name.to_owned()), Counters::read(server, "responseMsecCounter"));
            }
        }
        for ((upstream, backend), counters) in top(servers, self.options.top_servers, ("_other".to_owned(), "_other".to_owned())) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_one() {
        let one = |requests: f64| Counters { requests, codes: [0.0, requests, 0.0, 0.0, 0.0], ..Counters::default() };
        let all = BTreeMap::from([("a", one(1.0)), ("b", one(5.0)), ("c", one(3.0))]);
        let found = top(all.clone(), 1, "_other");
        assert_eq!(found, [("b", one(5.0)), ("_other", one(4.0))]);
        assert_eq!(top(all, 3, "_other").len(), 3);
    }

    #[test]
    fn odd_values_are_none() {
        let json = serde_json::json!({"requestCounter": "many", "responses": [1], "inBytes": null, "requestMsecCounter": 1500, "down": 1});
        assert_eq!(Counters::read(&json, "requestMsecCounter"), Counters { seconds: 1.5, ..Counters::default() });
    }
}
