//! A target at work: what lives between its scrapes, and the background work that belongs to it alone.
//!
//! A new configuration takes over the targets that are the same in it, with their sessions, results and timers. What is
//! the same is told by the settings and by the content of the files that are read once, when the target starts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::Serialize;

use crate::error::Invalid;
use crate::scrape::journal::Journal;
use crate::service::module::Module;
use crate::service::{Service, Target, TargetOptions as _};
use crate::targets::Live;
use crate::targets::budget::Budgets;
use crate::targets::timer::Timer;
use crate::targets::walk;
use crate::targets::write;
use crate::tasks::Tasks;

/// A target with its background work, which ends with it.
pub(crate) struct Running<S: Service> {
    /// The target.
    pub live: Arc<Live<S>>,
    /// Walk and write probe.
    pub rounds: Tasks,
    /// What it was made from.
    made_from: u64,
    /// The product's own tasks.
    _tasks: Tasks,
}

impl<S: Service> Running<S> {
    /// Starts a target.
    ///
    /// # Errors
    /// Options that cannot work.
    pub fn start(name: &str, options: &S::Options, budgets: &Budgets<S>) -> Result<Self, Invalid> {
        // Before the files are read: one that changes meanwhile is read anew with the next reload.
        let made_from = mark::<S>(options);
        let (tasks, rounds) = (Tasks::default(), Tasks::default());
        let live = Arc::new(Live {
            budget: budgets.of(options.budget_key()),
            target: Target { name: name.to_owned(), options: options.clone(), state: S::start(name, options, &tasks)? },
            owner: Default::default(),
            login: Default::default(),
            write: Default::default(),
            timer: Timer::default(),
            walk: Default::default(),
            journal: Journal::default(),
        });
        let walked = Arc::clone(&live);
        rounds.keep("walk", move || walk::walk(Arc::clone(&walked)));
        let written = Arc::clone(&live);
        rounds.keep("write", move || write::keep(Arc::clone(&written)));
        Ok(Self { live, rounds, made_from, _tasks: tasks })
    }

    /// True when a target of this name and with these options would be the same as this one.
    pub fn is_as(&self, name: &str, options: &S::Options) -> bool {
        self.live.target.name == name && self.made_from == mark::<S>(options)
    }

    /// Goes on under another configuration, with its modules.
    pub fn adopt(&self, modules: &BTreeMap<String, Arc<Module<S>>>) {
        self.live.timer.adopt(modules);
        self.live.write.forget();
    }

    /// Ends under another configuration that does not have it. The scrape that uses its session may still do so.
    pub fn leave(&self) {
        let live = Arc::clone(&self.live);
        // Bounded by the scrape that holds the session and by the session's end.
        tokio::spawn(async move { live.budget.retire(&live.owner).await });
    }
}

/// Stands for options and for the content of the files that they name. Passwords are read at each login and are no part.
fn mark<S: Service>(options: &S::Options) -> u64 {
    let mut hash = DefaultHasher::new();
    written(options).hash(&mut hash);
    for file in options.files() {
        std::fs::read(file).ok().hash(&mut hash);
    }
    hash.finish()
}

/// Settings as text, to be compared.
pub(crate) fn written(settings: &impl Serialize) -> Option<String> {
    serde_json::to_string(settings).ok()
}
