//! Prometheus exporter for Apache httpd (mod_status).

mod collectors;
mod discover;
mod grants;
mod options;
mod peer;
mod service;
mod session;
mod status;

use std::process::ExitCode;

use sage_common::service::app::ServiceApp;

fn main() -> ExitCode {
    sage_common::exporter::run::<ServiceApp<service::ApacheService>>(sage_common::shipped!())
}
