//! Commands that one exporter has beside those of all: what they get, how they end.
//!
//! A product names its commands as `Service::Command`, an enum with `clap::Subcommand`; one without says `NoCommands`.
//! They are processes of their own: no scrape runs them, and the background work of `run` is not started for them.

use std::fmt;
use std::future::Future;
use std::io::Write as _;

use crate::config;
use crate::error::{CollectError, Invalid};
use crate::service::Service;
use crate::service::module::Module;

/// The commands of a product.
pub trait OwnCommand<S: Service>: clap::Subcommand + fmt::Debug + Send + Sync {
    /// True for a command that tells its progress in the log; others log only what is broken.
    fn logs(&self) -> bool {
        false
    }

    /// Runs the command to its end. What it has to say goes to `say`.
    fn run(self, setup: Setup<S>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// For a product without commands of its own.
#[derive(clap::Subcommand, Clone, Copy, Debug)]
pub enum NoCommands {}

impl<S: Service> OwnCommand<S> for NoCommands {
    async fn run(self, _: Setup<S>) -> Result<(), Failure> {
        match self {}
    }
}

/// The configuration as `run` would have it: file, environment and flags in one.
pub struct Setup<S: Service> {
    /// Targets by name; the first is the one of `/metrics`.
    pub targets: Vec<(String, S::Options)>,
    /// All modules with their collectors.
    pub modules: Vec<Module<S>>,
}

impl<S: Service> Setup<S> {
    /// The target of this name; the first one where none is given.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn target(&self, name: Option<&str>) -> Result<(&str, &S::Options), Invalid> {
        let found = match name {
            None => self.targets.first(),
            Some(name) => self.targets.iter().find(|(known, _)| known == name),
        };
        found.map(|(name, options)| (name.as_str(), options)).ok_or_else(|| {
            let known: Vec<&str> = self.targets.iter().map(|(name, _)| name.as_str()).collect();
            config::unknown_name(&format!("unknown target {:?}", name.unwrap_or_default()), name.unwrap_or_default(), &known)
        })
    }
}

/// How a command ends that does not end well.
#[derive(Debug)]
pub enum Failure {
    /// Flags or configuration cannot work: exit code 2.
    Config(Invalid),
    /// What was to be done failed: exit code 1.
    Failed(CollectError),
    /// The command has said in its own output what failed: exit code 1.
    Said,
}

impl From<Invalid> for Failure {
    fn from(error: Invalid) -> Self {
        Self::Config(error)
    }
}

impl From<CollectError> for Failure {
    fn from(error: CollectError) -> Self {
        Self::Failed(error)
    }
}

/// Prints to standard output; a closed pipe is not an error of ours.
pub fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
