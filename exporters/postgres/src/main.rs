//! Prometheus exporter for PostgreSQL.

mod advice;
mod backup;
mod collectors;
mod commands;
mod custom;
mod details;
mod discover;
mod dsn;
mod error;
mod extension;
mod grants;
mod log;
mod maintenance;
mod options;
mod peer;
mod replication;
mod rest;
mod service;
mod session;
mod sqltext;
mod state;
mod wire;
mod write;

fn main() -> std::process::ExitCode {
    sage_common::exporter::run::<sage_common::service::app::ServiceApp<service::Postgres>>(sage_common::shipped!())
}
