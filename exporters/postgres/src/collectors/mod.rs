//! The table of collectors: one line each, sorted by name.

pub mod activity;
pub mod database;
pub mod database_size;
pub mod footprint;
pub mod indexes;
pub mod locks;
mod ranked;
pub mod replication;
pub mod sequences;
pub mod settings;
pub mod slow_queries;
pub mod statio;
pub mod tables;

use crate::service::Postgres;

sage_common::collectors! {
    Postgres;
    activity: activity::Activity,
    database: database::Database,
    database_size: database_size::DatabaseSize,
    footprint: footprint::Footprint,
    indexes: indexes::Indexes,
    locks: locks::Locks,
    replication: replication::Replication,
    sequences: sequences::Sequences,
    settings: settings::Settings,
    slow_queries: slow_queries::SlowQueries,
    statio: statio::Statio,
    tables: tables::Tables,
}
