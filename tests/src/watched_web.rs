//! Web servers watched by the shipped exporters for NGINX and Apache, and what is held for both: series of the replaced exporter
//! are found. What is asked of every page is in `watched`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::exporter::Exporter;
use crate::page::Page;
use crate::temp::TempFolder;

/// The exporter for NGINX.
pub const NGINX: &str = "sage-nginx-exporter";
/// The exporter for Apache.
pub const APACHE: &str = "sage-apache-exporter";

/// Starts an exporter with these lines as its one target, `url: ...` among them.
#[track_caller]
pub fn watch(binary: &str, target: &str) -> Exporter {
    watch_with(binary, target, &[])
}

/// As [`watch`], with an environment.
#[track_caller]
pub fn watch_with(binary: &str, target: &str, env: &[(&str, &str)]) -> Exporter {
    let folder = TempFolder::new("config");
    let lines: Vec<String> = target.lines().map(|line| format!("    {}", line.trim())).collect();
    let file = folder.write("config.yml", &format!("targets:\n  main:\n{}\n", lines.join("\n")));
    Exporter::start(binary, &[&format!("--config.file={}", file.display())], env)
}

/// A line of a password file, as htpasswd writes it.
///
/// # Panics
/// Without openssl.
pub fn password_line(user: &str, password: &str) -> String {
    let made = std::process::Command::new("openssl").args(["passwd", "-apr1", password]).output().expect("openssl is installed");
    format!("{user}:{}", String::from_utf8_lossy(&made.stdout))
}

/// Lines of an NGINX that answers as VTS (`/status/format/json`) and as the API of NGINX Plus (`/api/`): neither is to be had for
/// tests, so a real server says what their documents say they answer.
pub fn pages_of_vts_and_plus() -> String {
    let say = |path: &str, json: Value| format!("location = {path} {{ return 200 '{json}'; }}\n");
    let traffic = json!({
        "hostName": "web", "nginxVersion": "1.25.3",
        "connections": {"active": 3, "reading": 0, "writing": 1, "waiting": 2, "accepted": 70, "handled": 68, "requests": 99},
        "serverZones": {
            "shop.example": {"requestCounter": 90, "inBytes": 1000, "outBytes": 2000, "requestMsecCounter": 1500,
                "responses": {"1xx": 0, "2xx": 80, "3xx": 5, "4xx": 3, "5xx": 2, "miss": 0}},
            "*": {"requestCounter": 90, "inBytes": 1000, "outBytes": 2000, "responses": {"2xx": 80}}},
        "upstreamZones": {"app": [{"server": "10.0.0.1:80", "requestCounter": 9, "inBytes": 10, "outBytes": 20,
            "responseMsecCounter": 250, "responses": {"2xx": 8, "5xx": 1}, "down": false},
            {"server": "10.0.0.2:80", "requestCounter": 0, "inBytes": 0, "outBytes": 0, "responses": {}, "down": true}]}
    });
    let zone = json!({"processing": 1, "requests": 706690, "responses": {"1xx": 0, "2xx": 699482, "3xx": 4522, "4xx": 907, "5xx": 266,
        "total": 705177}, "discarded": 1513, "received": 172711587, "sent": 19415530115_u64});
    let peer = json!({"id": 0, "server": "10.0.0.1:8088", "name": "10.0.0.1:8088", "backup": false, "weight": 5, "state": "up",
        "active": 2, "max_conns": 20, "requests": 667231, "responses": {"2xx": 666310, "5xx": 72}, "sent": 251946292, "received": 19222475454_u64,
        "header_time": 20, "response_time": 36, "fails": 1, "unavail": 0, "health_checks": {"checks": 26214, "fails": 3, "unhealthy": 2}});
    let down = json!({"server": "10.0.0.2:8088", "state": "unhealthy", "active": 0, "requests": 0});
    let block: [String; 9] = [
        say("/status/format/json", traffic),
        "location = /api { return 301 /api/; }\n".to_owned(),
        say("/api/", json!([1, 2, 3, 4, 5, 6, 7, 8, 9])),
        say("/api/9/nginx", json!({"version": "1.25.5", "build": "nginx-plus-r32", "pid": 2212})),
        say("/api/9/connections", json!({"accepted": 4968119, "dropped": 19, "active": 5, "idle": 117})),
        say("/api/9/http/requests", json!({"total": 10624511, "current": 4})),
        say("/api/9/ssl", json!({"handshakes": 79572, "handshakes_failed": 21025, "session_reuses": 15762})),
        say("/api/9/http/server_zones", json!({ "shop": zone })),
        say("/api/9/http/upstreams", json!({"app": {"peers": [peer, down], "keepalive": 3, "zombies": 1, "zone": "app"}})),
    ];
    block.concat()
}

/// The families of the replaced exporter, from `golden/NAME`: the page has each with the same labels and type, or the file
/// says why not. Returns how many are the same.
#[track_caller]
pub fn has_series_of_the_peer(page: &Page, name: &str) -> usize {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sample in &page.samples {
        labels.entry(&sample.name).or_default().extend(sample.labels.keys().map(String::as_str));
    }
    let kept = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)).unwrap();
    let mut same = 0;
    for line in kept.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        // name type label,label | why it differs
        let (family, why) = line.split_once(" | ").map_or((line, None), |(f, why)| (f, Some(why)));
        let words: Vec<&str> = family.split(' ').collect();
        let wanted: BTreeSet<&str> = words.get(2).map(|l| l.split(',').collect()).unwrap_or_default();
        let ours = page.types.get(words[0]).map(String::as_str);
        let equal = ours == Some(words[1]) && labels.get(words[0]) == Some(&wanted);
        assert_eq!(equal, why.is_none(), "{line}: ours is {ours:?} {:?}", labels.get(words[0]));
        same += usize::from(equal);
    }
    same
}
