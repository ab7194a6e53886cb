//! The table of collectors: one line each, sorted by name.

pub mod clients;
pub mod cluster;
pub mod commandlog;
pub mod commandstats;
pub mod config;
pub mod config_values;
pub mod errorstats;
pub mod footprint;
pub mod info;
pub mod keys;
pub mod keys_count;
pub mod keyspace;
pub mod latency;
pub mod latency_histogram;
pub mod latencystats;
pub mod memory;
pub mod modules;
pub mod persistence;
pub mod replication;
pub mod sentinel;
pub mod slowlog;
pub mod stats;
pub mod streams;

use crate::service::RedisService;

sage_common::collectors! {
    RedisService;
    clients: clients::Clients,
    cluster: cluster::Cluster,
    commandlog: commandlog::Commandlog,
    commandstats: commandstats::Commandstats,
    config: config::Config,
    config_values: config_values::ConfigValues,
    errorstats: errorstats::Errorstats,
    footprint: footprint::Footprint,
    info: info::ServerInfo,
    keys: keys::Keys,
    keys_count: keys_count::KeysCount,
    keyspace: keyspace::Keyspace,
    latency: latency::Latency,
    latency_histogram: latency_histogram::LatencyHistogram,
    latencystats: latencystats::Latencystats,
    memory: memory::Memory,
    modules: modules::Modules,
    persistence: persistence::Persistence,
    replication: replication::Replication,
    sentinel: sentinel::Sentinel,
    slowlog: slowlog::Slowlog,
    stats: stats::Stats,
    streams: streams::Streams,
}
