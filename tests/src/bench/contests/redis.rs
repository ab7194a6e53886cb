//! redis_exporter and ours at one Redis, small and large, and at a thousand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::{Contest, Load, Setup, Stage, silent};
use crate::bench::figures;
use crate::bench::fleet::{Fleet, FleetStage, Member};
use crate::bench::measure::USUAL;
use crate::bench::peer::Peer;
use crate::servers::redis::{Redis, RedisOptions};

const PEER: Peer = Peer { built: "redis_exporter", packaged: "prometheus-redis-exporter", up: "redis_up" };

/// A small server, as most are.
pub const SMALL: Contest = Contest {
    name: "redis-small",
    exporter: "redis",
    effort: USUAL,
    peer: PEER,
    server: || stage(1_000, 10),
    loads: &[INSTALLED],
    aims: figures::aims,
};

/// A large one with many clients.
pub const LARGE: Contest = Contest {
    name: "redis-large",
    server: || stage(1_000_000, 500),
    loads: &[
        INSTALLED,
        Load {
            title: "with the clients",
            ours: Setup { args: &[], without: &[], reads: "the same: the clients are there already" },
            peer: Setup { args: &["--export-client-list"], without: &[], reads: "also a series for each client" },
        },
    ],
    aims: |contest, pair| figures::aims(contest, pair).into_iter().chain(figures::aims_of_large(contest, pair)).collect(),
    ..SMALL
};

const INSTALLED: Load = Load {
    title: "as installed",
    ours: Setup {
        args: &[],
        without: &[],
        reads: "INFO, slow log, latency events, settings; clients every minute; a fresh login every 30 s; the server's processes",
    },
    peer: Setup {
        args: &[],
        without: &[],
        reads: "INFO, slow log, latency events and histograms, all settings; a fresh login at each scrape",
    },
};

/// A thousand targets in one process, of which some hang.
pub const FLEET: Fleet = Fleet {
    name: "redis-fleet",
    exporter: "redis",
    peer: Some(PEER),
    up: PEER.up,
    targets: 1_000,
    hung: &[0, 8, 40, 64],
    start: fleet,
    aims: Some((40_000_000, 300.0)),
};

/// A few targets beside as many hung ones: what those cost the others.
pub const ISOLATION: Fleet = Fleet { name: "redis-isolation", peer: None, targets: 8, hung: &[0, 8, 64], aims: None, ..FLEET };

/// A server with as many keys and clients that do nothing.
fn stage(keys: usize, clients: usize) -> Stage {
    let server = start(1);
    server.cli(&["debug", "populate", &keys.to_string(), "key", "64"]).expect("keys");
    let clients: Vec<TcpStream> = (0..clients).map(|_| client(server.address())).collect();
    let version = version(&server);
    let about = format!("Redis {version}, {keys} keys, {} clients, no load of its own", clients.len());
    Stage::new(server.pid(), about, vec![("REDIS_ADDR", format!("redis://{}", server.address()))], (server, clients))
}

fn client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"PING\r\n").expect("a request");
    stream.read_exact(&mut [0; 7]).expect("an answer");
    stream
}

fn version(server: &Redis) -> String {
    let info = server.cli(&["info", "server"]).expect("an answer");
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("of unknown version").trim().to_owned()
}

/// A server that listens on so many addresses of the loopback network.
fn start(addresses: u8) -> Redis {
    let bind = (1..=addresses).map(|n| format!(" 127.0.0.{n}")).collect::<String>();
    Redis::start_with(RedisOptions { settings: vec![format!("bind{bind}")], ..RedisOptions::default() })
}

/// What one server can listen on.
const ADDRESSES: u8 = 16;

/// Real servers with sixteen addresses each, since two targets with one address are one server for us; and ports that accept
/// and never answer.
fn fleet(healthy: usize, hung: usize) -> FleetStage {
    let servers: Vec<Redis> = (0..healthy.div_ceil(usize::from(ADDRESSES))).map(|_| start(ADDRESSES)).collect();
    let silent = silent(hung);
    let addresses = servers.iter().flat_map(|server| (1..=ADDRESSES).map(|n| SocketAddr::from(([127, 0, 0, n], server.port()))));
    let members = addresses.take(healthy).map(|address| member("t", address)).collect();
    let hung = silent.iter().map(|listener| member("hung", listener.local_addr().expect("bound"))).collect();
    let about = format!("{} servers, Redis {}, on {ADDRESSES} addresses each", servers.len(), version(&servers[0]));
    FleetStage::new(about, members, hung, (servers, silent))
}

fn member(kind: &str, address: SocketAddr) -> Member {
    let name = format!("{kind}-{}-{}", address.ip(), address.port()).replace('.', "-");
    Member {
        config: format!("  {name}: {{host: {}, port: {}}}\n", address.ip(), address.port()),
        ours: format!("/probe?target={name}"),
        peer: format!("/scrape?target=redis://{address}"),
    }
}
