//! blackbox_exporter's flags, version 0.28, and what becomes of each.
//!
//! Names from its help text; it has no variables.

use sage_common::peer::Fate::{Becomes, Refused, Same};
use sage_common::peer::{Flag, Peer, never, switch, value};

/// See the file.
pub const PEER: Peer = Peer { name: "blackbox_exporter", flags: FLAGS, keys: &[] };

const LISTEN: &str = "the default is 127.0.0.1:9115; an address that other machines reach needs TLS and a password \
    (`--web.config.file`) or `--web.insecure`";

const FLAGS: &[Flag] = &[
    value("config.file", Same("modules of a blackbox.yml; nothing is read where it is not given")),
    value("timeout-offset", Refused { unless: "0.5", instead: "write --scrape.timeout-offset=500ms, with a unit" }),
    switch("config.check", never("run `sage-http-exporter config validate --config.file=FILE`")),
    switch("config.enable-auto-reload", never("send SIGHUP when the file has changed")),
    value("config.auto-reload-interval", Refused { unless: "30s", instead: "leave it out, and send SIGHUP when the file has changed" }),
    // There is no history: `probe` shows one probe, and the reason of a failure is a series.
    value(
        "history.limit",
        Refused { unless: "100", instead: "leave it out; `sage-http-exporter probe TARGET --module=NAME` shows a probe" },
    ),
    value("web.external-url", never("leave it out; links of the page / are relative")),
    value("web.route-prefix", Refused { unless: "/", instead: "leave it out, and let the proxy in front take the prefix away" }),
    value("log.prober", Refused { unless: "none", instead: "write --log.level=debug: each failed probe is logged" }),
    switch("web.systemd-socket", Same("")),
    value("web.listen-address", Same(LISTEN)),
    value("web.config.file", Same("the format too")),
    value("log.level", Same("debug, info, warn, error")),
    value("log.format", Same("logfmt or json")),
    switch("help-long", Becomes(&["--help"])),
    switch("version", Same("")),
    switch("help", Same("")),
];
