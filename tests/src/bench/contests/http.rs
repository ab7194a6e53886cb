//! Our probe of web pages with many targets, of which some hang; blackbox_exporter and ours at a thousand pages, the same over TLS
//! with a handshake each, and targets that hang.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::silent;
use crate::bench::fleet::{Fleet, FleetStage, Member};
use crate::bench::peer::Peer;
use crate::http::encode;
use crate::issuer::Authority;
use crate::servers::nginx::{Nginx, NginxOptions};
use crate::temp::TempFolder;

/// Eight pages of one server beside ports that accept and never answer.
pub const ISOLATION: Fleet = Fleet {
    name: "http-isolation",
    exporter: "http",
    peer: None,
    up: "probe_success",
    targets: 8,
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

const PEER: Peer = Peer { built: "blackbox_exporter", packaged: "prometheus-blackbox-exporter", up: "probe_success" };

/// A thousand pages without TLS.
pub const PLAIN: Fleet = Fleet {
    name: "http-plain",
    peer: Some(PEER),
    targets: 1_000,
    hung: &[0],
    start: |healthy, hung| stage(false, healthy, hung),
    ..ISOLATION
};

/// The same over TLS 1.3, trust in one authority's file.
pub const TLS: Fleet = Fleet { name: "http-tls", start: |healthy, hung| stage(true, healthy, hung), ..PLAIN };

/// A hundred targets of which thirty hang.
pub const HUNG: Fleet = Fleet { name: "http-hung", targets: 70, hung: &[0, 30], ..PLAIN };

/// One server with a page of 2 KB at each path, and ports that accept and never answer.
fn stage(tls: bool, healthy: usize, hung: usize) -> FleetStage {
    let folder = TempFolder::new("bench");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "site", &["127.0.0.1"]);
    let mut page = String::new();
    for line in 0..40 {
        let _ = write!(page, "<p>Line {line} of a page that users of a shop may see.</p>");
    }
    let server = format!("location /page/ {{ return 200 '{page}'; }}");
    let site = Nginx::start(&NginxOptions { server, tls: Some(pair), ..NginxOptions::default() });
    let silent = silent(hung);
    let module = json!({"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": authority.file}});
    let modules = json!({"modules": {"page": {"prober": "http", "timeout": "5s", "http": module}}});
    let member = |url: String| {
        let path = format!("/probe?module=page&target={}", encode(&url));
        Member { config: String::new(), ours: path.clone(), peer: path }
    };
    let url = |path: String| if tls { site.tls_url(&path) } else { site.url(&path) };
    let members = (0..healthy).map(|n| member(url(format!("/page/{n}")))).collect();
    let address = |listener: &TcpListener| format!("http://{}/", listener.local_addr().expect("bound"));
    let hanging = silent.iter().map(|listener| member(address(listener))).collect();
    let about = format!("NGINX, pages of {} bytes{}, a connection for each probe", page.len(), if tls { " over TLS 1.3" } else { "" });
    FleetStage::new(about, members, hanging, (site, silent, folder)).probed_by(format!("{modules:#}"))
}
