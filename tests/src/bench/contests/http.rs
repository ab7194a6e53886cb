//! Our probe of web pages with many targets, of which some hang.

use std::net::SocketAddr;

use super::silent;
use crate::bench::fleet::{Fleet, FleetStage, Member};
use crate::http::encode;
use crate::servers::nginx::{Nginx, NginxOptions};

/// Eight pages of one server beside ports that accept and never answer.
pub const ISOLATION: Fleet = Fleet {
    name: "http-isolation",
    exporter: "http",
    peer: None,
    up: "probe_success",
    targets: 8,
    passes: 125,
    hung: &[0, 8, 64],
    start: fleet,
    aims: None,
};

fn fleet(healthy: usize, hung: usize) -> FleetStage {
    let server = Nginx::start(&NginxOptions::default());
    let silent = silent(hung);
    let members = (0..healthy).map(|n| member(server.address(), &n.to_string())).collect();
    let hung = silent.iter().map(|listener| member(listener.local_addr().expect("bound"), "hung")).collect();
    FleetStage::new(format!("one nginx, {healthy} addresses of its page"), members, hung, (server, silent))
}

fn member(address: SocketAddr, query: &str) -> Member {
    let target = encode(&format!("http://{address}/?{query}"));
    Member { config: String::new(), ours: format!("/probe?module=http_2xx&target={target}"), peer: String::new() }
}
