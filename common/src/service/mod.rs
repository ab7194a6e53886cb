//! What an exporter of a product provides: sessions, their trivial request, and state for data that needs no session.

pub mod app;
pub mod module;
mod program;
mod settings;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::collector::Table;
use crate::commands::check::Advice;
use crate::commands::discover::Traces;
use crate::commands::own::OwnCommand;
use crate::config::credentials::Credentials;
use crate::desc::Info;
use crate::error::{CollectError, ErrorKind, Invalid};
use crate::os::listening::Place;
use crate::peer::Peer;
use crate::scrape::report::Report;
use crate::sink::Sink;
use crate::tasks::Tasks;

/// Who an exporter is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Meta {
    /// Short name: `sage-<name>-exporter`, `/etc/sage/<name>.yml`, the `exporter` label.
    pub name: &'static str,
    /// Name of the product as people write it.
    pub product: &'static str,
    /// Default port, that of the exporter it replaces.
    pub port: u16,
    /// Version of the binary.
    pub version: &'static str,
    /// Whether databases (or the like) are visited one by one on the timer.
    pub members: &'static str,
}

/// A product that is read over sessions.
pub trait Service: Sized + Send + Sync + 'static {
    /// Who the exporter is.
    const META: Meta;
    /// Reasons for failure that only this product has (`ErrorKind::Product`).
    const REASONS: &'static [&'static str] = &[];
    /// The exporter that this one replaces, whose flags and variables are understood.
    const PEER: Option<Peer> = None;
    /// Families that `compat` writes.
    const COMPAT: &'static [Info] = &[];
    /// Where a target is and as whom to log in: a strict struct of the configuration.
    type Options: TargetOptions;
    /// The table of collectors, made by `collectors!`.
    type Collectors: Table<Self>;
    /// An open, authenticated connection and what is known of the server.
    type Session: Send + Sync + 'static;
    /// What outlives scrapes and sessions of one target: log tails, results of tasks.
    type State: Send + Sync + 'static;
    /// Command-line flags of the first target.
    type Flags: clap::Args + fmt::Debug + Send + Sync;
    /// Commands that this exporter has beside those of all; `NoCommands` where it has none.
    type Command: OwnCommand<Self>;

    /// How servers of this product on this machine are recognised.
    const TRACES: Traces = Traces::NONE;

    /// The target behind `place`, if it answers as this product does. One request that needs no login and changes nothing.
    fn recognise(place: &Place) -> impl Future<Output = Option<Self::Options>> + Send {
        let _ = place;
        async { None }
    }

    /// Puts flags and environment over the options of the first target.
    ///
    /// # Errors
    /// A flag or variable that cannot be read; never with a secret in the text.
    fn overlay(flags: &Self::Flags, options: &mut Self::Options) -> Result<(), Invalid>;

    /// Makes the target's state and starts its tasks.
    ///
    /// # Errors
    /// Options that cannot work.
    fn start(name: &str, options: &Self::Options, tasks: &Tasks) -> Result<Arc<Self::State>, Invalid>;

    /// Connects, logs in and answers one trivial request, as a user would; `member` names another database than the
    /// target's own. Marks each phase as it ends.
    fn connect(
        target: &Target<Self>,
        member: Option<&str>,
        phases: &mut Phases,
    ) -> impl Future<Output = Result<Self::Session, CollectError>> + Send;

    /// The trivial round trip that proves a warm session alive, and refreshes what may have changed since. The default is for
    /// products of which no session outlives its scrape.
    fn request(session: &Self::Session, state: &Self::State) -> impl Future<Output = Result<(), CollectError>> + Send {
        let _ = (session, state);
        async { Ok(()) }
    }

    /// Tells the server how long the next request may run and wait for locks; the default is for servers that take no limits.
    fn limit(session: &Self::Session, time: Duration) -> impl Future<Output = Result<(), CollectError>> + Send {
        let _ = (session, time);
        async { Ok(()) }
    }

    /// The members that Database collectors visit; empty where the product has none.
    fn members(session: &Self::Session) -> impl Future<Output = Result<Vec<String>, CollectError>> + Send {
        let _ = session;
        async { Ok(Vec::new()) }
    }

    /// Puts a session away until the next scrape: what it holds only for the one that has ended is given back. An exporter may
    /// keep a thousand of them.
    fn rest(session: &Self::Session) -> impl Future<Output = ()> + Send {
        let _ = session;
        std::future::ready(())
    }

    /// True while the session can take another request, also after one has failed. The default is for those that connect anew
    /// by themselves.
    fn usable(session: &Self::Session) -> bool {
        let _ = session;
        true
    }

    /// Ends a session and waits until the server has let go of it; the default is for those that end when they are dropped.
    fn close(session: Self::Session) -> impl Future<Output = ()> + Send {
        drop(session);
        std::future::ready(())
    }

    /// Cancels what runs on the server, then ends the session. For sessions that were cut off in the middle of a request; the
    /// default is for servers where nothing could be cancelled.
    fn cancel(session: Self::Session) -> impl Future<Output = ()> + Send {
        Self::close(session)
    }

    /// What `check` should warn of though every part works, such as a role that can do more than it needs.
    fn advise(session: &Self::Session) -> impl Future<Output = Result<Vec<Advice>, CollectError>> + Send {
        let _ = session;
        async { Ok(Vec::new()) }
    }

    /// False where a session lives for one scrape, as over HTTP: each scrape is a fresh login then.
    const WARM: bool = true;

    /// True where `write` is more than the default, so that a module may ask for it.
    const WRITES: bool = false;
    /// What to do when a write of the probe does not end.
    const LATE_HINT: &'static str = "";

    /// The write probe: changes the one row that is the exporter's own and commits it, over a session opened for this alone.
    /// Marks the phases update and commit. False, with nothing done, on a server that must not be written to.
    fn write(session: &Self::Session, phases: &mut Phases) -> impl Future<Output = Result<bool, CollectError>> + Send {
        let _ = (session, phases);
        async { Ok(false) }
    }

    /// The server's own name of the session's backend.
    fn backend(session: &Self::Session) -> u64 {
        let _ = session;
        0
    }

    /// Asked over the warm session about a write that is late: what its backend waits for, or `None` once it is gone. With
    /// `cancel` the server is told to end what it does.
    fn lingers(warm: &Self::Session, backend: u64, cancel: bool) -> impl Future<Output = Result<Option<ErrorKind>, CollectError>> + Send {
        let _ = (warm, backend, cancel);
        async { Ok(None) }
    }

    /// Writes the peer's own self metrics (`pg_up` and the like).
    fn compat(report: &Report, state: &Self::State, out: &mut Sink) {
        let _ = (report, state, out);
    }
}

/// What every service's target options can tell the framework.
pub trait TargetOptions: DeserializeOwned + Serialize + Default + Clone + fmt::Debug + Send + Sync + 'static {
    /// Address and user. Targets that share it share one connection budget.
    fn budget_key(&self) -> String;

    /// What people call the target: address, database; never a secret.
    fn describe(&self) -> String;

    /// True when this is the target that the peer's users call by this address in `/probe?target=`. Nothing is read from
    /// the text but which of the configured targets is meant.
    fn is_at(&self, address: &str) -> bool {
        let _ = address;
        false
    }

    /// Files that are read once, when the target starts: with another content, a reload starts the target anew.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// The name of the shared login that this target takes from the section `credentials`.
    fn credentials(&self) -> Option<&str> {
        None
    }

    /// Takes a shared login over.
    ///
    /// # Errors
    /// The name of the setting that the target has itself, and with another value.
    fn log_in_with(&mut self, login: &Credentials) -> Result<(), &'static str> {
        let _ = login;
        Ok(())
    }

    /// Refuses options that cannot work.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    fn validate(&self) -> Result<(), Invalid>;
}

/// A named target.
#[derive(Debug)]
pub struct Target<S: Service> {
    /// Its name in the configuration and in `/probe?target=`.
    pub name: String,
    /// Where it is, and as whom.
    pub options: S::Options,
    /// What outlives a session.
    pub state: Arc<S::State>,
}

/// The session of a local collector: the target's state.
pub struct Local<S: Service> {
    /// What tasks and former sessions left.
    pub state: Arc<S::State>,
}

/// The parts of a fresh login and how long each took.
#[derive(Clone, Debug)]
pub struct Phases {
    last: Instant,
    done: Vec<(&'static str, Duration)>,
    refused: Option<ErrorKind>,
}

impl Default for Phases {
    fn default() -> Self {
        Self { last: Instant::now(), done: Vec::with_capacity(5), refused: None }
    }
}

impl Phases {
    /// Ends a phase: the time since the end of the one before belongs to it.
    pub fn end(&mut self, phase: &'static str) {
        let now = Instant::now();
        self.done.push((phase, now - self.last));
        self.last = now;
    }

    /// What comes now begins here: the time since the last phase belongs to none.
    pub fn restart(&mut self) {
        self.last = Instant::now();
    }

    /// The server let us in and refuses users' requests, while it still tells how it does. The login counts as failed for this
    /// reason, and the session is used all the same.
    pub const fn refuse(&mut self, kind: ErrorKind) {
        self.refused = Some(kind);
    }

    /// Why users' requests are refused.
    pub const fn refused(&self) -> Option<ErrorKind> {
        self.refused
    }

    /// The phases that ended.
    pub fn done(&self) -> &[(&'static str, Duration)] {
        &self.done
    }
}
