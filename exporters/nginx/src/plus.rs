//! The JSON of the API of NGINX Plus, as far as `plus` and `plus_upstreams` show it. Fields that are missing or of another type
//! count as not there, so that all versions of the API can be read.

use serde_json::Value;

/// The classes of status codes.
pub const CODES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// States of a server, from 1 on.
const STATES: [&str; 6] = ["up", "draining", "down", "unavail", "checking", "unhealthy"];

/// A server of an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Its upstream.
    pub upstream: &'a str,
    /// Its address.
    pub name: &'a str,
    /// Its object.
    pub json: &'a Value,
}

/// A number of an object; none where the server does not have it, or has one below zero.
pub fn number(json: &Value, name: &str) -> Option<f64> {
    json.get(name)?.as_f64().filter(|n| *n >= 0.0)
}

/// The number of a server's state, as the peer counts them.
pub fn state(json: &Value) -> Option<u8> {
    let text = json.get("state")?.as_str()?;
    (1..).zip(STATES).find(|(_, name)| *name == text).map(|(number, _)| number)
}

/// The server zones with most requests, and how many are left out.
pub fn zones(json: &Value, limit: usize) -> (Vec<(&str, &Value)>, usize) {
    let mut all: Vec<_> = json.as_object().into_iter().flatten().map(|(name, zone)| (name.as_str(), zone)).collect();
    let requests = |zone: &Value| number(zone, "requests").unwrap_or(0.0);
    all.sort_by(|(_, a), (_, b)| requests(b).total_cmp(&requests(a)));
    let dropped = all.len().saturating_sub(limit);
    all.truncate(limit);
    (all, dropped)
}

/// The upstreams.
pub fn upstreams(json: &Value) -> impl Iterator<Item = (&str, &Value)> {
    json.as_object().into_iter().flatten().map(|(name, upstream)| (name.as_str(), upstream))
}

/// The servers of all upstreams in their order, and how many are left out.
pub fn servers(json: &Value, limit: usize) -> (Vec<Server<'_>>, usize) {
    let peers = upstreams(json).flat_map(|(upstream, group)| {
        let peers = group.get("peers").and_then(Value::as_array).into_iter().flatten();
        peers.filter_map(move |json| Some(Server { upstream, name: json.get("server")?.as_str()?, json }))
    });
    let mut all: Vec<_> = peers.collect();
    let dropped = all.len().saturating_sub(limit);
    all.truncate(limit);
    (all, dropped)
}

/// What must hold for any JSON: asked by the fuzzer and, of its corpus, by a test.
#[cfg(any(test, fuzzing))]
pub mod check {
    use super::{number, servers, state, zones};

    /// No more than asked for are shown, none is lost without being counted, and those with most requests come first.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(data: &[u8]) {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else { return };
        let ((all, none), (shown, dropped)) = (zones(&json, usize::MAX), zones(&json, 2));
        assert!(none == 0 && shown.len() <= 2 && shown.len() + dropped == all.len(), "{} of {}", shown.len(), all.len());
        let requests: Vec<f64> = all.iter().map(|(_, zone)| number(zone, "requests").unwrap_or(0.0)).collect();
        assert!(requests.iter().all(|n| *n >= 0.0) && requests.is_sorted_by(|a, b| a >= b), "{requests:?}");
        let ((all, none), (shown, dropped)) = (servers(&json, usize::MAX), servers(&json, 3));
        assert!(none == 0 && shown.len() <= 3 && shown.len() + dropped == all.len(), "{} of {}", shown.len(), all.len());
        assert!(all.iter().all(|server| state(server.json).is_none_or(|state| (1..=6).contains(&state))));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_the_peer_s_numbers() {
        assert_eq!(["up", "down", "unhealthy", "else"].map(|text| state(&json!({ "state": text }))), [Some(1), Some(3), Some(6), None]);
    }

    #[test]
    fn odd_values_are_none_and_the_rest_is_counted() {
        let all = json!({"a": {"requests": 1}, "b": {"requests": 5}, "c": {"requests": -7}, "d": 3, "e": {"requests": "9"}});
        let (shown, dropped) = zones(&all, 2);
        assert_eq!((shown.iter().map(|(name, _)| *name).collect::<Vec<_>>(), dropped), (vec!["b", "a"], 3));
        assert_eq!((number(&all["c"], "requests"), number(&all["d"], "requests"), number(&all["e"], "requests")), (None, None, None));
        let groups =
            json!({"app": {"peers": [{"server": "a"}, {"server": 5}, 7, {"server": "b", "state": "up"}]}, "x": [], "y": {"peers": {}}});
        let (shown, dropped) = servers(&groups, 1);
        assert_eq!((shown.len(), shown[0].upstream, shown[0].name, dropped), (1, "app", "a", 1));
        assert_eq!(upstreams(&groups).count(), 3);
    }

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/nginx_plus");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 4, "{} files", files.len());
        files.iter().for_each(|file| check::check(&std::fs::read(file).unwrap()));
    }
}
