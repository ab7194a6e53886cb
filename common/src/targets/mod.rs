//! What lives between the scrapes of one target: its budget, the results on timers, the last login and write, the walk, the
//! log's state.

pub mod budget;
pub mod login;
pub(crate) mod running;
pub mod timer;
pub mod walk;
pub mod write;

use std::sync::Arc;

use crate::scrape::journal::Journal;
use crate::service::{Service, Target};
use crate::targets::budget::{Budget, Owner};
use crate::targets::login::LastLogin;
use crate::targets::timer::Timer;
use crate::targets::walk::Progress;
use crate::targets::write::LastWrite;

/// A target with all that lives between its scrapes.
pub struct Live<S: Service> {
    /// The target.
    pub target: Target<S>,
    /// Its server's connection budget.
    pub budget: Arc<Budget<S>>,
    /// Under what it holds the budget's warm session.
    pub owner: Arc<Owner>,
    /// The last fresh login.
    pub login: LastLogin,
    /// The last write of the write probe.
    pub write: LastWrite,
    /// Results of the collectors on a timer.
    pub timer: Timer<S>,
    /// How the walk over the databases does.
    pub walk: Progress,
    /// What fails at present, for the log.
    pub journal: Journal,
}
