//! Prometheus exporter for Redis and Valkey.

mod address;
mod capabilities;
mod collectors;
mod commands;
mod discover;
mod error;
mod grants;
mod info;
mod keys;
mod options;
mod peer;
mod resp;
mod service;
mod session;
mod state;
mod wire;
mod write;

use std::process::ExitCode;

use sage_common::service::app::ServiceApp;

fn main() -> ExitCode {
    sage_common::exporter::run::<ServiceApp<service::RedisService>>(sage_common::shipped!())
}
