//! What the HTTP server and the commands need of an exporter, whether it serves a product or probes free targets: `App`, once
//! its configuration is loaded, and `Program`, to load it and to tell of itself.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::CommonFlags;
use crate::collector::About;
use crate::commands::check::CheckResult;
use crate::commands::own::Failure;
use crate::deadline::{Deadline, scrape_deadline};
use crate::desc::Info;
use crate::error::{HttpError, Invalid};
use crate::peer::Peer;
use crate::service::Meta;
use crate::sink::Sink;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What there is to scrape, for the job of Prometheus.
#[derive(Clone, Debug)]
pub enum Scrapes {
    /// Configured targets.
    Targets {
        /// The names of all but the first, which `/metrics` shows.
        others: Vec<String>,
        /// Most series of a page.
        max_series: usize,
    },
    /// Whatever a request names.
    Free {
        /// The module that is used unless told otherwise.
        module: String,
        /// A target as one may write it.
        example: &'static str,
    },
}

/// An exporter with its configuration loaded.
pub trait App: Send + Sync + 'static {
    /// Who it is.
    fn meta(&self) -> &'static Meta;

    /// The samples of `/metrics`, without our own.
    fn metrics(&self, ask: Ask) -> BoxFuture<'_, Result<Sink, HttpError>>;

    /// The samples of `/probe`.
    fn probe(&self, ask: Ask) -> BoxFuture<'_, Result<Sink, HttpError>>;

    /// The page for people that `ask` wants in the place of samples, if it wants one and there is one.
    fn explain(&self, ask: &Ask) -> Option<BoxFuture<'_, Result<String, HttpError>>> {
        let _ = ask;
        None
    }

    /// Scrapes that may run at once where the user says nothing: enough for all targets, whichever of them hang.
    fn room(&self) -> usize;

    /// For the landing page: what is watched and how it is at present, a line each.
    fn overview(&self) -> Vec<(String, String)>;

    /// Names and addresses of the configured targets; `None` where targets are free.
    fn targets(&self) -> Option<Vec<(String, String)>> {
        None
    }

    /// What there is to scrape.
    fn scrapes(&self) -> Scrapes;

    /// Connects once and tells how each part does.
    fn check(&self, deadline: Deadline) -> BoxFuture<'_, CheckResult>;

    /// The effective configuration as YAML, without a secret.
    fn effective_config(&self) -> String;

    /// Logs out wherever a session is kept, so that a server does not count it as lost.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What an exporter's binary is made of: an `App` that can be loaded from flags and file.
pub trait Program: App + Sized {
    /// Who it is.
    const META: &'static Meta;
    /// The exporter that it replaces.
    const PEER: Option<Peer> = None;
    /// Its own flags.
    type Flags: clap::Args + std::fmt::Debug + Send + Sync;
    /// Its own commands.
    type Command: clap::Subcommand + std::fmt::Debug + Send + Sync;

    /// The catalogue.
    fn sections() -> Vec<Section>;

    /// The collectors, which have switches.
    fn collectors() -> Vec<&'static About>;

    /// Reasons for failure that only this product has.
    fn reasons() -> &'static [&'static str];

    /// Loads the configuration. A product's own work on its targets starts here, that of a prober with `in_force`.
    ///
    /// # Errors
    /// What is wrong in flags, environment or file.
    fn load(common: &CommonFlags, flags: &Self::Flags, switches: &[(&'static str, bool)]) -> Result<Self, Invalid>;

    /// As `load`, for the exporter that is to take the place of this one: it goes on with what has not changed.
    ///
    /// # Errors
    /// As `load`; then this one has not changed.
    fn load_after(&self, common: &CommonFlags, flags: &Self::Flags, switches: &[(&'static str, bool)]) -> Result<Self, Invalid> {
        Self::load(common, flags, switches)
    }

    /// The exporter serves by this configuration from now on: starts what goes on beside scrapes. No command calls it.
    fn in_force(&self) {}

    /// `next` has taken the place of this one: ends what it does not go on with, and says what has changed.
    fn hand_over(&self, next: &Self) -> String;

    /// Finds servers of this product on this machine and writes a configuration for them.
    ///
    /// # Errors
    /// None was found.
    fn discover() -> impl Future<Output = Result<String, Invalid>> + Send;

    /// True for an own command that tells its progress in the log.
    fn logs(command: &Self::Command) -> bool;

    /// Runs an own command, with the configuration as `load` would read it.
    fn own(
        command: Self::Command,
        common: &CommonFlags,
        flags: &Self::Flags,
        switches: &[(&'static str, bool)],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One part of the catalogue: a collector with its families.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Section {
    /// The collector; empty for what every page has.
    pub collector: &'static str,
    /// What it reads.
    pub help: &'static str,
    /// When it runs.
    pub when: Cow<'static, str>,
    /// What it writes.
    pub metrics: &'static [Info],
}

/// What a request for metrics asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When the request was taken up; deadlines count from here.
    pub accepted: Instant,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// What the scraper says it waits.
    pub timeout: Option<Duration>,
}

/// The header in which Prometheus says how long it waits.
pub const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

impl Ask {
    /// Reads query and timeout header.
    ///
    /// # Errors
    /// 400 when the header is not a positive number of seconds.
    pub fn parse(query: &str, header: Option<&str>) -> Result<Self, HttpError> {
        /// No scraper waits longer; larger values are taken for this.
        const LONGEST: f64 = 3600.0;
        let timeout = match header.map(|text| (text, text.trim().parse::<f64>())) {
            None => None,
            Some((_, Ok(seconds))) if seconds.is_finite() && seconds > 0.0 => Some(Duration::from_secs_f64(seconds.min(LONGEST))),
            Some((text, _)) => {
                return Err(HttpError::bad_request(format!("{TIMEOUT_HEADER}: {text:?} is not a positive number of seconds")));
            }
        };
        Ok(Self { accepted: Instant::now(), query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), timeout })
    }

    /// The value of a parameter that is given at most once.
    ///
    /// # Errors
    /// 400 when it is given twice.
    pub fn one(&self, name: &str) -> Result<Option<&str>, HttpError> {
        let mut values = self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(HttpError::bad_request(format!("the parameter {name} is given more than once"))),
        }
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// When the answer must be out, for a module that lasts `cap` at most.
    pub fn deadline(&self, offset: Duration, cap: Duration) -> Deadline {
        scrape_deadline(self.accepted, self.timeout, offset, cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn odd_timeouts_are_refused_or_clamped() {
        for bad in ["", "abc", "0", "-1", "NaN", "inf"] {
            assert_eq!(Ask::parse("", Some(bad)).unwrap_err().status, 400, "{bad}");
        }
        assert_eq!(Ask::parse("", Some("1e300")).unwrap().timeout, Some(Duration::from_secs(3600)));
        assert_eq!(Ask::parse("", Some("2.5")).unwrap().timeout, Some(Duration::from_millis(2500)));
        assert_eq!(Ask::parse("", None).unwrap().timeout, None);
    }

    /// What the fuzz target asserts, over the requests that it began with and found.
    #[tokio::test]
    async fn replays_the_corpus_of_requests() {
        let mut seen = 0;
        for entry in std::fs::read_dir("../fuzz/corpus/request").unwrap() {
            let Ok(text) = String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()) else { continue };
            let mut lines = text.splitn(4, '\n');
            let (query, timeout) = (lines.next().unwrap(), lines.next());
            match Ask::parse(query, timeout) {
                Ok(ask) => {
                    assert!(ask.timeout.is_none_or(|limit| limit <= Duration::from_secs(3600)), "{text}");
                    let written: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&ask.query).finish();
                    assert_eq!(Ask::parse(&written, None).unwrap().query, ask.query, "{text}");
                }
                Err(error) => assert!(error.status == 400 && !error.error.message.contains('\n'), "{text}"),
            }
            let format = crate::expo::negotiate(lines.next());
            assert!(format == crate::expo::Format::Text || text.contains("application/openmetrics-text"), "{text}");
            seen += 1;
        }
        assert!(seen >= 5, "{seen}");
    }

    #[tokio::test]
    async fn the_query_is_decoded() {
        let ask = Ask::parse("collect%5B%5D=a&collect[]=b+c&target=x%2Fy", None).unwrap();
        assert_eq!(ask.all("collect[]").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(ask.one("target").unwrap(), Some("x/y"));
        assert_eq!(ask.one("collect[]").unwrap_err().status, 400);
        assert_eq!(ask.one("module").unwrap(), None);
    }
}
