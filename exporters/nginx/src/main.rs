//! Prometheus exporter for NGINX: stub_status, the traffic status module (VTS), NGINX Plus.

mod collectors;
mod discover;
mod grants;
mod options;
mod peer;
mod plus;
mod service;
mod session;
mod stub;
mod vts;

use std::process::ExitCode;

use sage_common::service::app::ServiceApp;

fn main() -> ExitCode {
    sage_common::exporter::run::<ServiceApp<service::NginxService>>(sage_common::shipped!())
}
