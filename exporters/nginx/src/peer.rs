//! nginx-prometheus-exporter's flags and variables, version 1.5, and what becomes of each.
//!
//! Names from its help text.

use sage_common::peer::Fate::{Becomes, Refused, Same};
use sage_common::peer::{Fate, Flag, Peer};

/// See the file.
pub const PEER: Peer = Peer { name: "nginx-prometheus-exporter", flags: FLAGS, keys: &[] };

const fn switch(name: &'static str, variable: Option<&'static str>, fate: Fate) -> Flag {
    Flag { name, value: false, variable, fate }
}

const fn value(name: &'static str, variable: Option<&'static str>, fate: Fate) -> Flag {
    Flag { name, value: true, variable, fate }
}

const FLAGS: &[Flag] = &[
    value(
        "web.listen-address",
        Some("LISTEN_ADDRESS"),
        Same(
            "the default is 127.0.0.1:9113; an address that other machines reach needs TLS and a password (`--web.config.file`) or `--web.insecure`",
        ),
    ),
    value("web.telemetry-path", Some("TELEMETRY_PATH"), Same("")),
    value("web.config.file", Some("CONFIG_FILE"), Same("the format too")),
    switch("web.systemd-socket", Some("SYSTEMD_SOCKET"), Same("")),
    // There are no series of a Go runtime to leave out, and what the server is tells its answer.
    switch("web.nginx-metrics-only", Some("NGINX_METRICS_ONLY"), Becomes(&[])),
    switch("nginx.plus", Some("NGINX_PLUS"), Becomes(&[])),
    value("nginx.scrape-uri", Some("SCRAPE_URI"), Same("once; several servers are targets of the file")),
    switch("nginx.ssl-verify", Some("SSL_VERIFY"), Becomes(&["--nginx.tls=verify-full"])),
    value("nginx.ssl-ca-cert", Some("SSL_CA_CERT"), Same("")),
    value("nginx.ssl-client-cert", Some("SSL_CLIENT_CERT"), Same("")),
    value("nginx.ssl-client-key", Some("SSL_CLIENT_KEY"), Same("")),
    switch(
        "nginx.proxy-protocol",
        Some("PROXY_PROTOCOL"),
        Refused {
            unless: "",
            instead: "leave it out, and give stub_status a `listen` without proxy_protocol, such as listen 127.0.0.1:8080",
        },
    ),
    value(
        "nginx.timeout",
        Some("TIMEOUT"),
        Refused {
            unless: "5s",
            instead: "write `modules: {default: {timeout: 5s}}` in the file of --config.file; `scrape_timeout` of Prometheus counts anyway",
        },
    ),
    value(
        "prometheus.const-label",
        Some("CONST_LABELS"),
        Refused {
            unless: "",
            instead: "leave it out and write `labels: {key: value}` below `static_configs` of the job in prometheus.yml",
        },
    ),
    value("log.level", None, Same("debug, info, warn, error")),
    value("log.format", None, Same("logfmt or json")),
    switch("version", None, Same("")),
    switch("help", None, Same("")),
];
