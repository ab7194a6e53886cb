//! The probers, one line each, and why a probe can fail.

mod addresses;
mod body;
mod cookies;
mod dialogue;
mod dns;
pub mod exchange;
mod grpc;
pub mod hop;
pub mod http;
pub mod icmp;
mod judge;
pub mod line;
pub mod protocol;
pub mod request;
mod starttls;
mod steps;
mod tasks;
mod tcp;
mod telling;
#[cfg(test)]
mod tests;
mod unix;

use std::fmt;

use futures_util::FutureExt as _;
use sage_common::app::BoxFuture;
use sage_common::codes;
use sage_common::config::{refused, unknown_value};
use sage_common::deadline::Deadline;
use sage_common::error::Invalid;
use sage_common::prober::Outcome;
use sage_common::prober::log::Log;
use sage_common::sink::Sink;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::ModuleConfig;

/// A prober: its name in the file, which targets it takes, and how it asks them.
struct Entry {
    name: &'static str,
    accept: fn(&str) -> Result<(), String>,
    probe: for<'a> fn(Ask<'a>) -> BoxFuture<'a, Outcome>,
}

/// All probers.
static PROBERS: &[Entry] = &[
    Entry { name: "dns", accept: dns::accept, probe: |ask| dns::probe(ask).boxed() },
    Entry { name: "grpc", accept: grpc::accept, probe: |ask| grpc::probe(ask).boxed() },
    Entry { name: "http", accept: hop::accept, probe: |ask| http::probe(ask).boxed() },
    Entry { name: "icmp", accept: icmp::accept, probe: |ask| icmp::probe(ask).boxed() },
    Entry { name: "tcp", accept: tcp::accept, probe: |ask| tcp::probe(ask).boxed() },
    Entry { name: "unix", accept: unix::accept, probe: |ask| unix::probe(ask).boxed() },
];

/// Probers of blackbox_exporter that are not here.
const NOT_HERE: [&str; 1] = ["websocket"];

pub use crate::reason::coarse as reason;

/// One question.
pub struct Ask<'a> {
    /// Whom.
    pub target: &'a str,
    /// What it is called in the question, where that is not its address.
    pub hostname: Option<&'a str>,
    /// How.
    pub module: &'a ModuleConfig,
    /// Until when.
    pub deadline: Deadline,
    /// What is told to people who want to know.
    pub log: Log,
    /// Where the samples go.
    pub out: &'a mut Sink,
}

/// One of the probers.
#[derive(Clone, Copy)]
pub struct Kind(&'static Entry);

impl Kind {
    /// The prober of this name.
    pub fn find(name: &str) -> Option<Self> {
        PROBERS.iter().find(|entry| entry.name == name).map(Self)
    }

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Refuses what cannot be a target of this prober.
    ///
    /// # Errors
    /// What is wrong, without the target itself: it may hold a password.
    pub fn accept(self, target: &str) -> Result<(), String> {
        (self.0.accept)(target)
    }

    /// Asks.
    pub fn probe(self, ask: Ask<'_>) -> BoxFuture<'_, Outcome> {
        (self.0.probe)(ask)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::find(&name).ok_or_else(|| {
            let wrong = if NOT_HERE.contains(&name.as_str()) {
                Invalid::new(format!("`prober: {name}` is not supported by this version"))
                    .hint("remove the module, or keep it in a file of its own for blackbox_exporter")
                    .code(codes::NOT_HERE)
            } else {
                let known: Vec<_> = PROBERS.iter().map(|entry| entry.name).collect();
                unknown_value(&format!("unknown prober `{name}`"), &name, &known)
            };
            refused(wrong)
        })
    }
}
