//! Prometheus exporter for PostgreSQL.

mod advice;
mod collectors;
mod commands;
mod details;
mod dsn;
mod error;
mod extension;
mod grants;
mod log;
mod options;
mod replication;
mod rest;
mod service;
mod session;
mod sqltext;
mod state;
mod wire;
mod write;

use std::process::ExitCode;

use sage_common::service_app::ServiceApp;

fn main() -> ExitCode {
    sage_common::exporter::run::<ServiceApp<service::Postgres>>()
}
