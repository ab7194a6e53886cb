//! Our exporter of Apache with many targets, of which some hang; apache_exporter and ours at one Apache with server-status.

use super::{Contest, Load, Setup, Stage, status_pages};
use crate::bench::figures;
use crate::bench::fleet::{Fleet, FleetStage};
use crate::bench::measure::USUAL;
use crate::bench::peer::Peer;
use crate::servers::apache::{Apache, ApacheOptions};

/// Eight addresses of one status page beside ports that accept and never answer.
pub const ISOLATION: Fleet = Fleet { name: "apache-isolation", exporter: "apache", start: fleet, ..super::nginx::ISOLATION };

fn fleet(healthy: usize, hung: usize) -> FleetStage {
    let server = Apache::start(&ApacheOptions::default());
    let about = format!("one Apache httpd, {healthy} addresses of its status page");
    let urls = (0..healthy).map(|n| server.url(&format!("/server-status?auto&n={n}"))).collect();
    status_pages(about, urls, hung, server)
}

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
