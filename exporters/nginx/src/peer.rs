//! nginx-prometheus-exporter's flags and variables, version 1.5, and what becomes of each.
//!
//! Names from its help text.

use sage_common::peer::Fate::{Becomes, Refused, Same};
use sage_common::peer::{Flag, Peer, never, switch, value};

/// See the file.
pub const PEER: Peer = Peer { name: "nginx-prometheus-exporter", flags: FLAGS, keys: &[] };

const LISTEN: &str = "the default is 127.0.0.1:9113; an address that other machines reach needs TLS and a password \
    (`--web.config.file`) or `--web.insecure`";
const PLAIN: &str = "leave it out, and give stub_status a `listen` without proxy_protocol, such as listen 127.0.0.1:8080";
const TIME: &str = "write `modules: {default: {timeout: 5s}}` in the file of --config.file; `scrape_timeout` of Prometheus counts anyway";
const LABELS: &str = "leave it out and write `labels: {key: value}` below `static_configs` of the job in prometheus.yml";

const FLAGS: &[Flag] = &[
    value("web.listen-address", Same(LISTEN)).or("LISTEN_ADDRESS"),
    value("web.telemetry-path", Same("")).or("TELEMETRY_PATH"),
    value("web.config.file", Same("the format too")).or("CONFIG_FILE"),
    switch("web.systemd-socket", Same("")).or("SYSTEMD_SOCKET"),
    // There are no series of a Go runtime to leave out, and what the server is tells its answer.
    switch("web.nginx-metrics-only", Becomes(&[])).or("NGINX_METRICS_ONLY"),
    switch("nginx.plus", Becomes(&[])).or("NGINX_PLUS"),
    value("nginx.scrape-uri", Same("once; several servers are targets of the file")).or("SCRAPE_URI"),
    switch("nginx.ssl-verify", Becomes(&["--nginx.tls=verify-full"])).or("SSL_VERIFY"),
    value("nginx.ssl-ca-cert", Same("")).or("SSL_CA_CERT"),
    value("nginx.ssl-client-cert", Same("")).or("SSL_CLIENT_CERT"),
    value("nginx.ssl-client-key", Same("")).or("SSL_CLIENT_KEY"),
    switch("nginx.proxy-protocol", never(PLAIN)).or("PROXY_PROTOCOL"),
    value("nginx.timeout", Refused { unless: "5s", instead: TIME }).or("TIMEOUT"),
    value("prometheus.const-label", never(LABELS)).or("CONST_LABELS"),
    value("log.level", Same("debug, info, warn, error")),
    value("log.format", Same("logfmt or json")),
    switch("version", Same("")),
    switch("help", Same("")),
];
