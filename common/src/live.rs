//! What lives between scrapes: a target with its budget, results and log state, and the modules that requests name.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::collector::Entry;
use crate::login::LastLogin;
use crate::report::Journal;
use crate::service::{Service, Target};
use crate::timer::Timer;

/// A target with all that lives between its scrapes.
pub struct Live<S: Service> {
    /// The target.
    pub target: Target<S>,
    /// Its server's connection budget.
    pub budget: Arc<Budget<S>>,
    /// The last fresh login.
    pub login: LastLogin,
    /// Results of the collectors on a timer.
    pub timer: Timer<S>,
    /// What fails at present, for the log.
    pub journal: Journal,
}

/// What a request selects and how it is limited; made once from the configuration.
pub struct Module<S: Service> {
    /// Its name.
    pub name: String,
    /// Longest scrape.
    pub timeout: Duration,
    /// Time between two fresh logins.
    pub probe_interval: Duration,
    /// Most series of one page.
    pub max_series: usize,
    /// All collectors.
    pub entries: Vec<Entry<S>>,
}
