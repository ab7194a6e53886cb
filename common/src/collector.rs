//! What a collector is, and an exporter's table of collectors.
//!
//! A collector reads one view or command in one file. It declares its name (by the table), help, scope, interval and
//! metrics, so that flags, catalogue, `check` and documents follow from the declaration. A collector writes into a sink
//! of its own; the framework times it, cuts it off and reports it like every other one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codes;
use crate::desc::Info;
use crate::error::{CollectError, Invalid};
use crate::service::{Local, Service};
use crate::sink::Sink;

/// Whether a collector runs when nobody says anything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enabled {
    /// Runs unless switched off.
    ByDefault,
    /// Runs only when switched on or asked for by name.
    OnRequest,
}

/// What one run of a collector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole server, over the warm session.
    Instance,
    /// One member (database) at a time, over a connection of its own on the timer; the framework merges the members.
    Database,
}

/// Whether a collector can run against this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Yes,
    /// This version, role or build of the server has nothing to read; the collector is absent from the page.
    NotHere(&'static str),
    /// A grant is missing, named here; the collector counts as failed with the reason `permission`.
    Denied(&'static str),
}

/// A right that a collector needs on the server, in the product's own words; the command `grants` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// What is granted, such as `pg_monitor`.
    pub what: &'static str,
    /// What it is needed for.
    pub why: &'static str,
    /// The first version, in the product's own numbers, that needs it no more; `u32::MAX` where all do.
    pub before: u32,
    /// True for what makes a collector a little more exact and is not missed by it.
    pub optional: bool,
}

/// One source of metrics.
pub trait Collector: Send + Sync + 'static {
    /// What it reads from: the service's session, or `Local<S>` for data that needs no connection.
    type Session: Send + Sync + 'static;
    /// Its options, made with `options!`.
    type Options: CollectorOptions;
    /// Names the view or command it reads.
    const HELP: &'static str;
    /// The names that the peer's `collect[]` and flags have for it.
    const ALIASES: &'static [&'static str] = &[];
    /// Whether it runs unasked.
    const ENABLED: Enabled = Enabled::ByDefault;
    /// What one run reads.
    const SCOPE: Scope = Scope::Instance;
    /// On its own timer instead of at each scrape; the age of the data is exposed. A Database collector always is.
    const EVERY: Option<Duration> = None;
    /// What the role needs for it beyond a login; without one it fails or reads less, and says so by name.
    const GRANTS: &'static [Grant] = &[];
    /// All families it can write.
    const METRICS: &'static [Info];

    /// Makes it from its options.
    fn new(options: Self::Options) -> Self
    where
        Self: Sized;

    /// Whether this server has what it reads.
    fn supports(&self, session: &Self::Session) -> Support {
        let _ = session;
        Support::Yes
    }

    /// Reads once. What was written is dropped when this fails.
    fn collect(&self, session: &Self::Session, out: &mut Sink) -> impl Future<Output = Result<(), CollectError>> + Send
    where
        Self: Sized;
}

/// What all collectors' options have; `options!` adds these fields.
pub trait CollectorOptions: DeserializeOwned + Serialize + Default + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The fields that all collectors share.
    fn common(&self) -> Common;

    /// Switches the collector on or off, as the flags do.
    fn switch(&mut self, on: bool);

    /// Refuses values that make no sense together.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The options that every collector has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Common {
    /// On or off; nothing said means the collector's own default.
    pub enabled: Option<bool>,
    /// Longest run.
    pub timeout: Option<Duration>,
    /// Time between two runs of a timed collector.
    pub interval: Option<Duration>,
}

/// Declares the options of one collector: strict fields with defaults, beside the ones that all collectors have.
#[macro_export]
macro_rules! options {
    ($(#[doc = $doc:literal])* pub struct $name:ident { $($(#[doc = $help:literal])+ pub $field:ident : $type:ty = $default:expr),* $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// On or off; nothing said means the collector's own default.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub enabled: Option<bool>,
            /// Longest run; default 2s.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub timeout: Option<$crate::config::Span>,
            /// Time between two runs, for collectors on a timer.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub interval: Option<$crate::config::Span>,
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { enabled: None, timeout: None, interval: None, $($field: $default,)* }
            }
        }

        impl $crate::collector::CollectorOptions for $name {
            fn common(&self) -> $crate::collector::Common {
                $crate::collector::Common {
                    enabled: self.enabled,
                    timeout: self.timeout.map(|t| t.0),
                    interval: self.interval.map(|t| t.0),
                }
            }

            fn switch(&mut self, on: bool) {
                self.enabled = Some(on);
            }
        }
    };
}

options! {
    /// For collectors that have nothing to set but on, off and their times.
    pub struct NoOptions {}
}

/// The future of one run.
pub type RunFuture<'a> = Pin<Box<dyn Future<Output = Result<(), CollectError>> + Send + 'a>>;

/// A collector with its type erased, so that a table can hold it.
pub trait Run<T>: Send + Sync {
    /// See `Collector::supports`.
    fn supports(&self, session: &T) -> Support;
    /// See `Collector::collect`.
    fn collect<'a>(&'a self, session: &'a T, out: &'a mut Sink) -> RunFuture<'a>;
}

impl<C: Collector> Run<C::Session> for C {
    fn supports(&self, session: &C::Session) -> Support {
        Collector::supports(self, session)
    }

    fn collect<'a>(&'a self, session: &'a C::Session, out: &'a mut Sink) -> RunFuture<'a> {
        Box::pin(Collector::collect(self, session, out))
    }
}

/// A collector's place in the scrape: over the session, or local.
pub enum Runner<S: Service> {
    /// Needs a session.
    Remote(Arc<dyn Run<S::Session>>),
    /// Runs even when the server is down.
    Local(Arc<dyn Run<Local<S>>>),
}

/// Tells from a collector's `Session` type where it runs.
pub trait Seat<S: Service>: Sized {
    /// The collector in its place.
    fn seat(run: Arc<dyn Run<Self>>) -> Runner<S>;
}

impl<S: Service> Seat<S> for Local<S> {
    fn seat(run: Arc<dyn Run<Self>>) -> Runner<S> {
        Runner::Local(run)
    }
}

/// What the table says of a collector.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct About {
    /// Its name in flags, configuration, `collect[]` and `sage_collector_*`.
    pub name: &'static str,
    /// The peer's names for it.
    pub aliases: &'static [&'static str],
    /// What it reads.
    pub help: &'static str,
    /// Whether it runs unasked.
    pub enabled: Enabled,
    /// What one run reads.
    pub scope: Scope,
    /// On a timer: the default time between runs.
    #[serde(skip)]
    pub every: Option<Duration>,
    /// What the role needs for it.
    pub grants: &'static [Grant],
    /// What it can write.
    pub metrics: &'static [Info],
}

impl About {
    /// The declaration of collector `C`, named by the table.
    pub const fn of<C: Collector>(name: &'static str) -> Self {
        Self {
            name,
            aliases: C::ALIASES,
            help: C::HELP,
            enabled: C::ENABLED,
            scope: C::SCOPE,
            every: match (C::SCOPE, C::EVERY) {
                (Scope::Database, None) => Some(DEFAULT_INTERVAL),
                (_, every) => every,
            },
            grants: C::GRANTS,
            metrics: C::METRICS,
        }
    }

    /// True when `name` means this collector, by our name or by the peer's.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// A collector of the table, made from its options.
pub struct Entry<S: Service> {
    /// What the table says of it.
    pub about: &'static About,
    /// Whether it runs unasked, after flags and configuration.
    pub enabled: bool,
    /// Longest run.
    pub timeout: Duration,
    /// Time between two runs, for a collector on a timer.
    pub every: Option<Duration>,
    /// The collector itself.
    pub runner: Runner<S>,
}

/// Time between two runs of a collector on a timer that says nothing else.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

/// Longest run of a collector that sets none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two runs of a collector on a timer.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl<S: Service> Entry<S> {
    /// Makes collector `C` of `about` from its options.
    ///
    /// # Errors
    /// The options make no sense.
    pub fn new<C>(about: &'static About, options: &C::Options) -> Result<Self, Invalid>
    where
        C: Collector,
        C::Session: Seat<S>,
    {
        options.validate()?;
        let common = options.common();
        if common.interval.is_some() && about.every.is_none() {
            return Err(Invalid::new(format!(
                "collector {}: `interval` is for collectors on a timer; this one runs at each scrape",
                about.name
            ))
            .hint("leave `interval` out; how often it runs is up to the scrape job")
            .code(codes::CONFLICT));
        }
        if common.timeout.is_some_and(|time| time.is_zero()) || common.interval.is_some_and(|time| time < SHORTEST_INTERVAL) {
            // An interval near zero would ask the server without a pause.
            return Err(Invalid::new(format!("collector {}: `timeout` must be greater than 0 and `interval` at least 1s", about.name))
                .hint("leave them out to get the defaults")
                .code(codes::RANGE));
        }
        Ok(Self {
            about,
            enabled: common.enabled.unwrap_or(about.enabled == Enabled::ByDefault),
            timeout: common.timeout.unwrap_or(DEFAULT_TIMEOUT),
            every: about.every.map(|default| common.interval.unwrap_or(default)),
            runner: <C::Session as Seat<S>>::seat(Arc::new(C::new(options.clone()))),
        })
    }
}

/// An exporter's collectors and their options; made by `collectors!`.
pub trait Table<S: Service>: DeserializeOwned + Serialize + Default + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The collectors, sorted by name.
    const ABOUT: &'static [About];

    /// Makes all collectors from these options.
    ///
    /// # Errors
    /// The first option that makes no sense.
    fn build(&self) -> Result<Vec<Entry<S>>, Invalid>;

    /// Switches a collector on or off by its own name; false when there is none.
    fn switch(&mut self, name: &str, on: bool) -> bool;
}

/// The table of an exporter: one line per collector, sorted by name. It makes the strict options struct and the entries.
#[macro_export]
macro_rules! collectors {
    ($service:ty; $($name:ident : $collector:ty),* $(,)?) => {
        /// Options of every collector, by its name.
        #[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Collectors {
            $(#[doc = concat!("Options of `", stringify!($name), "`.")]
            pub $name: <$collector as $crate::collector::Collector>::Options,)*
        }

        impl $crate::collector::Seat<$service> for <$service as $crate::service::Service>::Session {
            fn seat(run: std::sync::Arc<dyn $crate::collector::Run<Self>>) -> $crate::collector::Runner<$service> {
                $crate::collector::Runner::Remote(run)
            }
        }

        impl $crate::collector::Table<$service> for Collectors {
            const ABOUT: &'static [$crate::collector::About] =
                &[$($crate::collector::About::of::<$collector>(stringify!($name))),*];

            fn build(&self) -> Result<Vec<$crate::collector::Entry<$service>>, $crate::error::Invalid> {
                let mut about = Self::ABOUT.iter();
                let mut entries = Vec::with_capacity(Self::ABOUT.len());
                $(if let Some(about) = about.next() {
                    entries.push($crate::collector::Entry::new::<$collector>(about, &self.$name)?);
                })*
                Ok(entries)
            }

            fn switch(&mut self, name: &str, on: bool) -> bool {
                match name {
                    $(stringify!($name) => $crate::collector::CollectorOptions::switch(&mut self.$name, on),)*
                    _ => return false,
                }
                true
            }
        }
    };
}
