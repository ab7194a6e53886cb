//! apache_exporter's flags, version 1.0, and what becomes of each.
//!
//! Names from its sources and help text; it has no variables.

use sage_common::peer::Fate::{Becomes, Refused, Same};
use sage_common::peer::{Flag, Peer, never, switch, value};

/// See the file.
pub const PEER: Peer = Peer { name: "apache_exporter", flags: FLAGS, keys: &[] };

const LISTEN: &str = "the default is 127.0.0.1:9117; an address that other machines reach needs TLS and a password \
    (`--web.config.file`) or `--web.insecure`";

const FLAGS: &[Flag] = &[
    value("scrape_uri", Same("`?auto` is added where it is missing; a user in it is taken out")),
    value("host_override", Same("")),
    switch("insecure", Becomes(&["--apache.tls=insecure"])),
    value("custom_headers", never("write `targets: {main: {headers: {NAME: VALUE}}}` in the file of --config.file")),
    value("telemetry.endpoint", Refused { unless: "/metrics", instead: "write --web.telemetry-path=PATH" }),
    value("telemetry.address", never("write --web.listen-address=HOST:PORT")),
    value("web.listen-address", Same(LISTEN)),
    switch("web.systemd-socket", Same("")),
    value("web.config.file", Same("the format too")),
    value("log.level", Same("debug, info, warn, error")),
    value("log.format", Same("logfmt or json")),
    switch("version", Same("")),
    switch("help", Same("")),
];
