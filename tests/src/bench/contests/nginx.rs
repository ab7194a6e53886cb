//! Our exporter of nginx with many targets, of which some hang; nginx-prometheus-exporter and ours at one server.

use super::{Contest, Load, Setup, Stage, status_pages};
use crate::bench::figures;
use crate::bench::fleet::{Fleet, FleetStage};
use crate::bench::measure::USUAL;
use crate::bench::peer::Peer;
use crate::servers::nginx::{Nginx, NginxOptions};

/// Eight status pages of one server beside ports that accept and never answer.
pub const ISOLATION: Fleet = Fleet {
    name: "nginx-isolation",
    exporter: "nginx",
    peer: None,
    up: "sage_up",
    targets: 8,
    hung: &[0, 8, 64],
    start: fleet,
    aims: None,
};

fn fleet(healthy: usize, hung: usize) -> FleetStage {
    let pages = (0..healthy).map(|n| format!("location = /s{n} {{ stub_status; }}\n")).collect();
    let server = Nginx::start(&NginxOptions { server: pages, ..NginxOptions::default() });
    let about = format!("one nginx, {healthy} addresses of its status page");
    let urls = (0..healthy).map(|n| server.url(&format!("/s{n}"))).collect();
    status_pages(about, urls, hung, server)
}

const PEER: Peer = Peer { built: "nginx-prometheus-exporter", packaged: "prometheus-nginx-exporter", up: "nginx_up" };

/// A server without load of its own.
pub const SITE: Contest = Contest {
    name: "nginx",
    exporter: "nginx",
    effort: USUAL,
    peer: PEER,
    server: stage,
    loads: &[Load {
        title: "as installed",
        ours: Setup { args: &[], without: &[], reads: "stub_status; a fresh connection every 30 s; the server's processes" },
        peer: Setup { args: &[], without: &[], reads: "stub_status" },
    }],
    aims: figures::aims_of_pages,
};

fn stage() -> Stage {
    let site = Nginx::start(&NginxOptions::default());
    let env = vec![("SCRAPE_URI", site.url("/stub_status"))];
    Stage::new(site.pid(), "NGINX with one worker".to_owned(), env, site)
}
