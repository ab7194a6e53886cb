//! The configuration file: `modules:` as in a blackbox.yml, and beside them what the exporter does on its own.

use sage_common::config::Named;
use serde::{Deserialize, Serialize};

use super::ModuleConfig;
use crate::ping::config::PingConfig;
use crate::throughput::config::ThroughputConfig;

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// Modules by name; where none are given, those that there are without a file.
    pub modules: Named<ModuleConfig>,
    /// Pings on their own interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingConfig>,
    /// Transfers on their own interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<ThroughputConfig>,
}

impl Default for FileConfig {
    fn default() -> Self {
        let plain = |(name, prober): (&str, _)| Some((name.to_owned(), ModuleConfig::plain(prober)?));
        let modules = [("http_2xx", "http"), ("tcp_connect", "tcp"), ("icmp", "icmp")].into_iter().filter_map(plain).collect();
        Self { modules: Named(modules), ping: None, throughput: None }
    }
}
