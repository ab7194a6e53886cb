//! The table of collectors: one line each, sorted by name.

pub mod clients;
pub mod cluster;
pub mod commandstats;
pub mod config;
pub mod errorstats;
pub mod footprint;
pub mod info;
pub mod keyspace;
pub mod latency;
pub mod latency_histogram;
pub mod latencystats;
pub mod memory;
pub mod persistence;
pub mod replication;
pub mod sentinel;
pub mod slowlog;
pub mod stats;

use crate::service::RedisService;

sage_common::collectors! {
    RedisService;
    clients: clients::Clients,
    cluster: cluster::Cluster,
    commandstats: commandstats::Commandstats,
    config: config::Config,
    errorstats: errorstats::Errorstats,
    footprint: footprint::Footprint,
    info: info::ServerInfo,
    keyspace: keyspace::Keyspace,
    latency: latency::Latency,
    latency_histogram: latency_histogram::LatencyHistogram,
    latencystats: latencystats::Latencystats,
    memory: memory::Memory,
    persistence: persistence::Persistence,
    replication: replication::Replication,
    sentinel: sentinel::Sentinel,
    slowlog: slowlog::Slowlog,
    stats: stats::Stats,
}
