//! The table of collectors: one line each, sorted by name.

pub mod activity;
pub mod cluster;
pub mod database;
pub mod database_size;
pub mod footprint;
pub mod locks;
pub mod replication;
pub mod replication_slots;
pub mod settings;
pub mod slow_queries;
pub mod standbys;
pub mod subscriptions;
pub mod tables;
pub mod wal_receiver;

use crate::service::Postgres;

sage_common::collectors! {
    Postgres;
    activity: activity::Activity,
    cluster: cluster::Cluster,
    database: database::Database,
    database_size: database_size::DatabaseSize,
    footprint: footprint::Footprint,
    locks: locks::Locks,
    replication: replication::Replication,
    replication_slots: replication_slots::ReplicationSlots,
    settings: settings::Settings,
    slow_queries: slow_queries::SlowQueries,
    standbys: standbys::Standbys,
    subscriptions: subscriptions::Subscriptions,
    tables: tables::Tables,
    wal_receiver: wal_receiver::WalReceiver,
}
