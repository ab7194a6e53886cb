//! What a prober does on its own, beside probes: its tasks share their findings with `/metrics`.
//!
//! Made from the configuration without asking or opening anything, so that commands can load it; started when the
//! configuration is in force; ended when another one is, or with the exporter. A vanished target vanishes with it.

use std::future::Future;
use std::sync::Arc;

use crate::app::Section;
use crate::commands::check::Row;
use crate::deadline::Deadline;
use crate::error::Invalid;
use crate::sink::Sink;
use crate::tasks::Tasks;

/// The work of one configuration `C`.
pub trait Background<C>: Sized + Send + Sync + 'static {
    /// Makes it ready. `before` is that of the configuration whose place this one may take: what is the same in both is
    /// shared, with its counters.
    ///
    /// # Errors
    /// What is wrong and what to write instead; `before` goes on as it was then.
    fn make(config: &C, before: Option<&Self>) -> Result<Self, Invalid>;

    /// Starts its tasks.
    fn start(work: &Arc<Self>, tasks: &Tasks);

    /// Writes what they have found; no waiting here.
    fn found(&self, out: &mut Sink);

    /// The families that `found` writes, for the catalogue.
    fn sections() -> Vec<Section>;

    /// Does once what the tasks do, for `check`.
    fn once(&self, deadline: Deadline) -> impl Future<Output = Vec<Row>> + Send;
}
