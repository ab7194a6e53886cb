//! What a prober provides: modules as they stand in a file, and a probe of one target by one of them. Its targets are free:
//! `/probe?target=&module=` names one; there is no session and no collector.
//!
//! A prober's configuration file lists modules, as blackbox_exporter's does; beside them may stand what it does on its own,
//! on its own interval, whose findings are on `/metrics` (background.rs).

pub mod app;
pub mod background;
pub mod log;
mod program;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::CommonFlags;
use crate::commands::discover::Traces;
use crate::commands::own::Failure;
use crate::config::Named;
use crate::deadline::Deadline;
use crate::desc::Info;
use crate::error::{CollectError, Invalid};
use crate::os::listening::Place;
use crate::peer::Peer;
use crate::prober::background::Background;
use crate::prober::log::Log;
use crate::service::Meta;
use crate::sink::Sink;

/// How one probe ended; its samples are in the sink.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether the target answered at all.
    pub answered: bool,
    /// Whether the module is content with the answer.
    pub success: bool,
    /// Why not.
    pub error: Option<CollectError>,
}

/// What a prober is asked.
pub struct Question<'a, M> {
    /// Whom it asks.
    pub target: &'a str,
    /// What the target is called in the question, where that is not its address.
    pub hostname: Option<&'a str>,
    /// How.
    pub module: &'a M,
    /// Until when; it ends by itself where it can say more than "timeout".
    pub deadline: Deadline,
    /// What is told to people who want to know.
    pub log: Log,
}

/// A way of asking free targets.
pub trait Prober: Sized + Send + Sync + 'static {
    /// Who the exporter is.
    const META: Meta;
    /// The exporter that it replaces.
    const PEER: Option<Peer> = None;
    /// All families it can write.
    const METRICS: &'static [Info];
    /// Reasons for failure that only this prober has.
    const REASONS: &'static [&'static str] = &[];
    /// One way of probing, a strict struct of the configuration.
    type Module: DeserializeOwned + Serialize + Clone + fmt::Debug + Send + Sync + 'static;
    /// The configuration file, a strict struct; its default is what there is without a file.
    type Config: DeserializeOwned + Serialize + Default + Clone + fmt::Debug + Send + Sync + 'static;
    /// What goes on beside probes.
    type Work: Background<Self::Config>;
    /// Its own commands.
    type Command: clap::Subcommand + fmt::Debug + Send + Sync;

    /// A target as one may write it.
    const EXAMPLE: &'static str;

    /// A file to begin with, as `discover` prints it.
    const STARTER: &'static str;

    /// How servers on this machine that can be probed are recognised.
    const TRACES: Traces = Traces::NONE;

    /// The target behind `place`, if it is one. One request that needs no login and changes nothing.
    fn recognise(place: &Place) -> impl Future<Output = Option<String>> + Send {
        let _ = place;
        async { None }
    }

    /// The modules of a configuration file.
    fn modules(config: &Self::Config) -> &Named<Self::Module>;

    /// True for an own command that tells its progress in the log.
    fn logs(command: &Self::Command) -> bool;

    /// Runs an own command to its end.
    fn own(command: Self::Command, common: &CommonFlags) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The module that is used where a request names none.
    const DEFAULT_MODULE: &'static str;

    /// Longest probe, where the module says so.
    fn timeout(module: &Self::Module) -> Option<Duration>;

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    fn validate(module: &Self::Module) -> Result<(), Invalid>;

    /// Refuses a target that cannot be one, before it is logged or probed.
    ///
    /// # Errors
    /// What is wrong with it; the text does not repeat a password that stands in it.
    fn accept(target: &str, module: &Self::Module) -> Result<(), String>;

    /// Refuses what the target cannot be called.
    ///
    /// # Errors
    /// What is wrong with it.
    fn accept_hostname(hostname: &str, module: &Self::Module) -> Result<(), String>;

    /// Probes and writes what it saw, `probe_success` and `probe_duration_seconds` excepted: these the framework writes.
    fn probe(question: Question<'_, Self::Module>, out: &mut Sink) -> impl Future<Output = Outcome> + Send;

    /// Writes the verdict in this prober's own names.
    fn verdict(outcome: &Outcome, duration: Duration, out: &mut Sink);
}
