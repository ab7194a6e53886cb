//! The JSON of the traffic status module (nginx-module-vts), as far as `traffic` shows it. Fields that are missing or of another
//! type count as none, so that all versions of the module can be read.

use std::collections::BTreeMap;

use serde_json::Value;

/// The classes of status codes.
pub const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one host or server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Requests.
    pub requests: f64,
    /// Requests by class of the status, as [`CODES`].
    pub codes: [f64; 5],
    /// Bytes from clients.
    pub inward: f64,
    /// Bytes to clients.
    pub outward: f64,
    /// Time of all requests or answers.
    pub seconds: f64,
    /// Whether it is marked down.
    pub down: bool,
}

impl Counters {
    fn read(json: &Value, time: &str) -> Self {
        // A count is not below zero.
        let number = |json: &Value, name: &str| json.get(name).and_then(Value::as_f64).filter(|n| *n >= 0.0).unwrap_or(0.0);
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

/// The virtual hosts; the zone `*`, the sum of the others, is left out.
pub fn hosts(json: &Value) -> BTreeMap<String, Counters> {
    let zones = json.get("serverZones").and_then(Value::as_object).into_iter().flatten().filter(|(host, _)| *host != "*");
    zones.map(|(host, zone)| (host.clone(), Counters::read(zone, "requestMsecCounter"))).collect()
}

/// The servers of upstreams, by upstream and address.
pub fn servers(json: &Value) -> BTreeMap<(String, String), Counters> {
    let mut servers = BTreeMap::new();
    for (upstream, zone) in json.get("upstreamZones").and_then(Value::as_object).into_iter().flatten() {
        for server in zone.as_array().into_iter().flatten() {
            let name = server.get("server").and_then(Value::as_str).unwrap_or_default();
            servers.insert((upstream.clone(), name.to_owned()), Counters::read(server, "responseMsecCounter"));
        }
    }
    servers
}

/// Those with most requests, and the rest as one.
pub fn top<K: Ord + Clone>(all: BTreeMap<K, Counters>, limit: usize, other: K) -> Vec<(K, Counters)> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|(_, a), (_, b)| b.requests.total_cmp(&a.requests));
    let rest = all.split_off(limit.min(all.len()));
    if !rest.is_empty() {
        all.push((other, rest.iter().fold(Counters::default(), |sum, (_, one)| sum.add(one))));
    }
    all
}

/// What must hold for any JSON: asked by the fuzzer and, of its corpus, by a test.
#[cfg(any(test, fuzzing))]
pub mod check {
    use super::{Counters, hosts, servers, top};

    fn holds(counters: &Counters) {
        let numbers = [counters.requests, counters.inward, counters.outward, counters.seconds];
        assert!(numbers.iter().chain(&counters.codes).all(|n| *n >= 0.0), "{counters:?}");
    }

    /// Counts are not below zero and no more than asked for are shown, with one for the rest that loses no request.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(data: &[u8]) {
        let Ok(json) = serde_json::from_slice(data) else { return };
        let (hosts, servers) = (hosts(&json), servers(&json));
        hosts.values().chain(servers.values()).for_each(holds);
        let all: f64 = hosts.values().map(|h| h.requests).sum();
        let shown = top(hosts, 2, "_other".to_owned());
        let sum: f64 = shown.iter().map(|(_, h)| h.requests).sum();
        assert!(shown.len() <= 3 && (all == sum || (all - sum).abs() <= all * 1e-9), "{all} and {sum}");
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
        let json = serde_json::json!({"requestCounter": "many", "responses": [1], "inBytes": -5, "requestMsecCounter": 1500, "down": 1});
        assert_eq!(Counters::read(&json, "requestMsecCounter"), Counters { seconds: 1.5, ..Counters::default() });
    }

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/nginx_vts");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 4, "{} files", files.len());
        files.iter().for_each(|file| check::check(&std::fs::read(file).unwrap()));
    }
}
