//! The table of collectors: one line each, sorted by name.

pub mod activity;
pub mod activity_autovacuum;
pub mod archiver;
pub mod backups;
pub mod bgwriter;
pub mod buffercache;
pub mod certificate;
pub mod checkpointer;
pub mod cluster;
pub mod conflicts;
pub mod custom_queries;
pub mod custom_queries_each;
pub mod database;
pub mod database_size;
pub mod footprint;
pub mod indexes;
pub mod io;
pub mod locks;
pub mod long_running_transactions;
pub mod maintenance;
pub mod memory;
pub mod postmaster;
pub mod prepared_transactions;
pub mod process_idle;
pub mod progress_vacuum;
mod ranked;
pub mod replication;
pub mod replication_slots;
pub mod roles;
pub mod sequences;
pub mod settings;
pub mod slow_queries;
pub mod slru;
pub mod ssl;
pub mod standbys;
pub mod statements;
pub mod statio;
pub mod subscriptions;
pub mod tables;
pub mod wal;
pub mod wal_receiver;
pub mod wraparound;
pub mod xmin_horizon;

use crate::service::Postgres;

sage_common::collectors! {
    Postgres;
    activity: activity::Activity,
    activity_autovacuum: activity_autovacuum::ActivityAutovacuum,
    archiver: archiver::Archiver,
    backups: backups::Backups,
    bgwriter: bgwriter::Bgwriter,
    buffercache: buffercache::Buffercache,
    certificate: certificate::Certificate,
    checkpointer: checkpointer::Checkpointer,
    cluster: cluster::Cluster,
    conflicts: conflicts::Conflicts,
    custom_queries: custom_queries::CustomQueries,
    custom_queries_each: custom_queries_each::CustomQueriesEach,
    database: database::Database,
    database_size: database_size::DatabaseSize,
    footprint: footprint::Footprint,
    indexes: indexes::Indexes,
    io: io::Io,
    locks: locks::Locks,
    long_running_transactions: long_running_transactions::LongRunningTransactions,
    maintenance: maintenance::Maintenance,
    memory: memory::Memory,
    postmaster: postmaster::Postmaster,
    prepared_transactions: prepared_transactions::PreparedTransactions,
    process_idle: process_idle::ProcessIdle,
    progress_vacuum: progress_vacuum::ProgressVacuum,
    replication: replication::Replication,
    replication_slots: replication_slots::ReplicationSlots,
    roles: roles::Roles,
    sequences: sequences::Sequences,
    settings: settings::Settings,
    slow_queries: slow_queries::SlowQueries,
    slru: slru::Slru,
    ssl: ssl::Ssl,
    standbys: standbys::Standbys,
    statements: statements::Statements,
    statio: statio::Statio,
    subscriptions: subscriptions::Subscriptions,
    tables: tables::Tables,
    wal: wal::Wal,
    wal_receiver: wal_receiver::WalReceiver,
    wraparound: wraparound::Wraparound,
    xmin_horizon: xmin_horizon::XminHorizon,
}
