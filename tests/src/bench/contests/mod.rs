//! The tables of contests and fleets: a further exporter joins by a file here and its entries.
//!
//! A contest is measured once for each of its loads, that is for each choice of collectors; the first load is the one
//! that the aims are judged by, so it must ask both sides for the same things.

mod apache;
mod http;
mod nginx;
mod postgres;
mod redis;

use std::any::Any;
use std::net::{Ipv4Addr, TcpListener};

use crate::bench::figures::Aim;
use crate::bench::fleet::{Fleet, FleetStage, Member};
use crate::bench::measure::{Effort, Pair, idle_share};
use crate::bench::peer::Peer;

/// One exporter, its peer and the server that both watch.
pub struct Contest {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The exporter's folder below `exporters/`; its binary is `sage-<exporter>-exporter`.
    pub exporter: &'static str,
    /// How often both sides are scraped.
    pub effort: Effort,
    /// The program that it is measured beside.
    pub peer: Peer,
    /// Starts and fills the server.
    pub server: fn() -> Stage,
    /// What both sides are asked for.
    pub loads: &'static [Load],
    /// What its first load is judged by.
    pub aims: fn(&Contest, &Pair) -> Vec<Aim>,
}

/// A choice of collectors on both sides.
pub struct Load {
    /// Heading of its table.
    pub title: &'static str,
    /// Ours.
    pub ours: Setup,
    /// The peer's.
    pub peer: Setup,
}

/// How one side is started, and what it then reads at each scrape, in words.
pub struct Setup {
    /// Further arguments; `{queries}` stands for the stage's file of custom queries, `{url}` for its status page.
    pub args: &'static [&'static str],
    /// Collectors to switch off; those that a program does not have are left out of its command line, since the peer's
    /// collectors differ between its versions.
    pub without: &'static [&'static str],
    /// What it reads, for the reader of the figures.
    pub reads: &'static str,
}

/// A running server.
pub struct Stage {
    /// Its first process: the tree below it is what the server's CPU time is read from.
    pub pid: u32,
    /// The CPU share that it takes on its own.
    pub idle: f64,
    /// What it is, for the reader of the figures.
    pub about: String,
    /// Environment of both exporters.
    pub env: Vec<(&'static str, String)>,
    /// A file of custom queries, where the exporter has such.
    pub queries: String,
    /// Its status page, where it has one.
    pub url: String,
    /// Stops it, and all that belongs to it, when dropped.
    _keep: Box<dyn Any>,
}

impl Stage {
    /// Of a server that has been filled, and does nothing but what it does on its own.
    fn new(pid: u32, about: String, env: Vec<(&'static str, String)>, keep: impl Any) -> Self {
        Self { pid, idle: idle_share(pid), about, env, queries: String::new(), url: String::new(), _keep: Box::new(keep) }
    }
}

/// Every contest.
pub const CONTESTS: &[Contest] = &[
    postgres::SMALL,
    postgres::DATABASES_50,
    postgres::DATABASES_200,
    postgres::TABLES,
    redis::SMALL,
    redis::LARGE,
    nginx::SITE,
    apache::SITE,
];

/// Every fleet.
pub const FLEETS: &[Fleet] = &[
    redis::FLEET,
    redis::ISOLATION,
    postgres::ISOLATION,
    http::ISOLATION,
    http::PLAIN,
    http::TLS,
    http::HUNG,
    nginx::ISOLATION,
    apache::ISOLATION,
];

/// Targets that are status pages at `urls`, beside so many ports that hang; `keep` is their server.
fn status_pages(about: String, urls: Vec<String>, hung: usize, keep: impl Any) -> FleetStage {
    let silent = silent(hung);
    let member = |(n, url): (usize, &String)| {
        let (config, ours) = (format!("  t{n}: {{url: \"{url}\"}}\n"), format!("/probe?target=t{n}"));
        Member { config, ours, peer: String::new() }
    };
    let hanging = silent.iter().map(|listener| format!("http://{}/", listener.local_addr().expect("bound")));
    let urls: Vec<String> = urls.into_iter().chain(hanging).collect();
    let mut members: Vec<Member> = urls.iter().enumerate().map(member).collect();
    let hung = members.split_off(members.len() - hung);
    FleetStage::new(about, members, hung, (keep, silent))
}

/// Ports that accept (the kernel does) and never answer.
fn silent(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of our own")).collect()
}
