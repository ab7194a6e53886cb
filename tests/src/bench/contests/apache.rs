//! apache_exporter and ours at one Apache with server-status.

use super::{Contest, Load, Setup, Stage};
use crate::bench::figures;
use crate::bench::measure::USUAL;
use crate::bench::peer::Peer;
use crate::servers::apache::{Apache, ApacheOptions};

const PEER: Peer = Peer { built: "apache_exporter", packaged: "prometheus-apache-exporter", up: "apache_up" };

/// A server without load of its own.
pub const SITE: Contest = Contest {
    name: "apache",
    exporter: "apache",
    effort: USUAL,
    peer: PEER,
    server: stage,
    loads: &[Load {
        title: "as installed",
        ours: Setup { args: URL, without: &[], reads: "server-status; a fresh connection every 30 s; the server's processes" },
        peer: Setup { args: URL, without: &[], reads: "server-status" },
    }],
    aims: figures::aims_of_pages,
};

/// Both take it by this name, and neither from the environment.
const URL: &[&str] = &["--scrape_uri={url}"];

fn stage() -> Stage {
    let server = Apache::start(&ApacheOptions::default());
    let url = server.url("/server-status?auto");
    let about = "Apache httpd, event MPM".to_owned();
    Stage { url, ..Stage::new(server.pid(), about, Vec::new(), server) }
}
