//! A module: one named way of scraping, made once from the configuration.

use std::time::Duration;

use crate::collector::Entry;
use crate::service::Service;

/// What a request selects and how it is limited; made once from the configuration.
pub struct Module<S: Service> {
    /// Its name.
    pub name: String,
    /// Longest scrape.
    pub timeout: Duration,
    /// Time between two fresh logins.
    pub probe_interval: Duration,
    /// Time between two writes of the write probe; `None`: it is not asked for.
    pub write_interval: Option<Duration>,
    /// Most series of one page.
    pub max_series: usize,
    /// All collectors.
    pub entries: Vec<Entry<S>>,
}
