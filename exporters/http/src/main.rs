//! sage-http-exporter: probes HTTP and TCP targets from outside, by the modules of a blackbox.yml.

mod address;
mod allowance;
mod allowed;
mod certificate;
mod config;
mod connection;
mod discover;
mod filling;
mod hostname;
mod json;
mod known;
mod metrics;
mod network;
mod peer;
mod ping;
mod prober;
mod probes;
mod proxy;
mod random;
mod reason;
mod responder;
#[cfg(test)]
mod testing;
mod throughput;
mod token;
mod work;

use std::process::ExitCode;

use sage_common::exporter;
use sage_common::prober::app::ProbeApp;

use crate::prober::Http;

fn main() -> ExitCode {
    exporter::run::<ProbeApp<Http>>(sage_common::shipped!())
}
