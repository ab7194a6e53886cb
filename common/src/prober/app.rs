//! An exporter that probes free targets, behind the routes: its modules, its single flights, the page of a probe.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{Outcome, Prober, Question};
use crate::app::{App, Ask, BoxFuture, Scrapes};
use crate::cli::CommonFlags;
use crate::codes;
use crate::commands::check::{CheckResult, Row};
use crate::config;
use crate::deadline::Deadline;
use crate::error::{CollectError, HttpError, Invalid};
use crate::expo::{self, Format};
use crate::prober::background::Background;
use crate::prober::log::Log;
use crate::put;
use crate::scrape::flight::Flight;
use crate::scrape::report::note;
use crate::service::Meta;
use crate::sink::{NO_LIMIT, Sink};
use crate::tasks::Tasks;

crate::metrics! {
    /// 1 when the target answered at all (a connection, a status line), whatever the module thinks of the answer, else 0.
    UP: Gauge "sage_up" [];
    /// Time that this probe took, in seconds.
    SCRAPE_DURATION: Gauge "sage_scrape_duration_seconds" [];
    /// 1 with the reason, from a closed set, while the probe fails.
    ERROR: Gauge "sage_error" [collector, reason];
}

/// Flags of a prober.
#[derive(clap::Args, Clone, Debug)]
pub struct ProbeFlags {
    /// Target that `check` probes, may be given several times
    #[arg(long = "check.target", value_name = "TARGET", global = true)]
    pub check_targets: Vec<String>,
    /// Module that `check` probes with
    #[arg(long = "check.module", value_name = "MODULE", global = true)]
    pub check_module: Option<String>,
    /// Answer `/probe?debug=true` with the log of the probe, its samples and its module; no secrets are shown
    #[arg(long = "probe.debug", global = true)]
    pub debug: bool,
}

/// A prober with its configuration loaded.
pub struct ProbeApp<P: Prober> {
    pub(super) modules: BTreeMap<String, Arc<P::Module>>,
    flight: Flight<Key, Arc<Sink>>,
    pub(super) config: P::Config,
    pub(super) work: Arc<P::Work>,
    pub(super) tasks: Tasks,
    flags: ProbeFlags,
    offset: Duration,
}

/// What makes two questions the same: target, hostname, module.
type Key = (String, Option<String>, String);

/// What a request asks, with the module's name and the module.
type Asked<'a, M> = (Question<'a, M>, &'a str, &'a Arc<M>);

/// Longest probe of a module that sets no limit.
const LONGEST: Duration = Duration::from_secs(120);
/// Probes at once: a thousand targets every 15 s, a third of which hang for 10 s.
const PROBES: usize = 512;
/// Kept back from the deadline for encoding the page.
const ENCODE_MARGIN: Duration = Duration::from_millis(20);
/// How much sooner than we cut it a probe is told to end: then it still writes what it saw.
const LAST_WORDS: Duration = Duration::from_millis(10);

async fn run<P: Prober>(question: Question<'_, P::Module>) -> (Sink, Outcome, Duration) {
    let started = Instant::now();
    let mut out = Sink::new(NO_LIMIT);
    let (target, deadline) = (question.target, question.deadline.sooner(ENCODE_MARGIN));
    let outcome = deadline.run(P::probe(Question { deadline: deadline.sooner(LAST_WORDS), ..question }, &mut out)).await;
    let outcome = outcome.unwrap_or_else(|_| Outcome { error: Some(CollectError::timeout("no answer in time")), ..Outcome::default() });
    let duration = started.elapsed();
    P::verdict(&outcome, duration, &mut out);
    put!(out, UP {} = outcome.answered);
    put!(out, SCRAPE_DURATION {} = duration);
    if let Some(error) = &outcome.error {
        put!(out, ERROR { collector: "probe", reason: error.kind } = 1);
        tracing::debug!(target_name = target, reason = error.kind.as_str(), detail = %error, "the probe failed");
    }
    (out, outcome, duration)
}

impl<P: Prober> ProbeApp<P> {
    pub(super) fn make(common: &CommonFlags, flags: &ProbeFlags, before: Option<&Self>) -> Result<Self, Invalid> {
        let config: P::Config = match &common.config_file {
            Some(path) => config::load(path)?,
            None => P::Config::default(),
        };
        let mut modules = BTreeMap::new();
        for (name, module) in &P::modules(&config).0 {
            P::validate(module).map_err(|e| e.within(format_args!("module {name}")))?;
            modules.insert(name.clone(), Arc::new(module.clone()));
        }
        let work = Arc::new(P::Work::make(&config, before.map(|app| &*app.work))?);
        let (flags, offset) = (flags.clone(), common.timeout_offset.0);
        Ok(Self { modules, flight: Flight::default(), config, work, tasks: Tasks::default(), flags, offset })
    }

    fn module(&self, name: Option<&str>) -> Result<(&str, &Arc<P::Module>), HttpError> {
        let name = name.unwrap_or(P::DEFAULT_MODULE);
        let found = self.modules.get_key_value(name).ok_or_else(|| HttpError::no_module(name, self.modules.keys()))?;
        Ok((found.0.as_str(), found.1))
    }

    /// What a request asks.
    fn question<'a>(&'a self, ask: &'a Ask) -> Result<Asked<'a, P::Module>, HttpError> {
        let target = ask.one("target")?.filter(|t| !t.is_empty());
        let target = target.ok_or_else(|| HttpError::bad_request("the parameter target is missing: /probe?target=https://example.com"))?;
        let (name, module) = self.module(ask.one("module")?)?;
        P::accept(target, module).map_err(HttpError::bad_request)?;
        let hostname = ask.one("hostname")?.filter(|name| !name.is_empty());
        hostname.map_or(Ok(()), |name| P::accept_hostname(name, module)).map_err(HttpError::bad_request)?;
        let deadline = ask.deadline(self.offset, P::timeout(module).unwrap_or(LONGEST));
        Ok((Question { target, hostname, module, deadline, log: Log::default() }, name, module))
    }

    /// The page of a probe for people: how it went, what it would have told, and by what settings.
    async fn told(&self, ask: Ask) -> Result<String, HttpError> {
        if !self.flags.debug {
            let off = Invalid::new("debug is off").hint("start with --probe.debug while you look for a fault");
            return Err(HttpError::new(403, off.code(codes::REQUEST)));
        }
        let (question, name, module) = self.question(&ask)?;
        let log = Log::kept();
        log.say(|| format!("module {name}, {:.3} s are left", question.deadline.remaining().as_secs_f64()));
        let (mut out, outcome, _) = run::<P>(Question { log: log.clone(), ..question }).await;
        log.say(|| {
            outcome.error.as_ref().map_or_else(|| "the probe is well".to_owned(), |error| format!("the probe failed: {}", note(error)))
        });
        out.settle();
        let samples = String::from_utf8_lossy(&expo::write(&out, Format::Text)).into_owned();
        let settings = serde_saphyr::to_string(&**module).unwrap_or_else(|e| format!("cannot be written as YAML: {e}\n"));
        Ok(format!(
            "Log of the probe:\n{}\nMetrics that it would have given:\n{samples}\nModule {name}, without secrets:\n{settings}",
            log.text()
        ))
    }

    async fn page(&self, ask: Ask) -> Result<Sink, HttpError> {
        let (question, name, module) = self.question(&ask)?;
        let (target, hostname, deadline) = (question.target.to_owned(), question.hostname.map(str::to_owned), question.deadline);
        let (work, _) = self.flight.join((target.clone(), hostname.clone(), name.to_owned()), || {
            let module = Arc::clone(module);
            async move {
                let log = Log::default();
                let question = Question { target: &target, hostname: hostname.as_deref(), module: &*module, deadline, log };
                Arc::new(run::<P>(question).await.0)
            }
            .boxed()
        });
        let mut page = Sink::new(NO_LIMIT);
        match deadline.run(work).await {
            Ok(probed) => page.absorb(&probed),
            Err(_) => {
                let outcome = Outcome {
                    error: Some(CollectError::timeout("the probe that runs already was not ready in time")),
                    ..Outcome::default()
                };
                P::verdict(&outcome, ask.accepted.elapsed(), &mut page);
                put!(page, UP {} = 0);
                put!(page, ERROR { collector: "probe", reason: "timeout" } = 1);
            }
        }
        Ok(page)
    }
}

impl<P: Prober> App for ProbeApp<P> {
    fn meta(&self) -> &'static Meta {
        &P::META
    }

    fn metrics(&self, _: Ask) -> BoxFuture<'_, Result<Sink, HttpError>> {
        async {
            let mut page = Sink::new(NO_LIMIT);
            self.work.found(&mut page);
            Ok(page)
        }
        .boxed()
    }

    fn probe(&self, ask: Ask) -> BoxFuture<'_, Result<Sink, HttpError>> {
        self.page(ask).boxed()
    }

    fn explain(&self, ask: &Ask) -> Option<BoxFuture<'_, Result<String, HttpError>>> {
        let wanted = ask.all("debug").any(|value| value == "true");
        wanted.then(|| self.told(ask.clone()).boxed())
    }

    fn room(&self) -> usize {
        PROBES
    }

    fn overview(&self) -> Vec<(String, String)> {
        self.modules.keys().map(|name| (format!("module {name}"), format!("/probe?module={name}&target=..."))).collect()
    }

    fn scrapes(&self) -> Scrapes {
        let module = self.modules.keys().find(|name| *name == P::DEFAULT_MODULE).or_else(|| self.modules.keys().next());
        Scrapes::Free { module: module.cloned().unwrap_or_default(), example: P::EXAMPLE }
    }

    fn check(&self, deadline: Deadline) -> BoxFuture<'_, CheckResult> {
        async move {
            let mut result = CheckResult { target: P::META.product.to_owned(), up: true, ..CheckResult::default() };
            if self.flags.check_targets.is_empty() {
                let rows = self.modules.keys().map(|name| {
                    Row::new(
                        format!("module {name}"),
                        "valid",
                        0.0,
                        0,
                        "probe something with it: check --check.target=TARGET --check.module=NAME",
                        true,
                    )
                });
                result.rows.extend(rows);
                result.rows.extend(self.work.once(deadline).await);
                return result;
            }
            let module = match self.module(self.flags.check_module.as_deref()) {
                Ok((_, module)) => module,
                Err(error) => {
                    result.up = false;
                    result.rows.push(Row::new("module", "unknown", 0.0, 0, error.text(), false));
                    return result;
                }
            };
            let mut answered = false;
            for (i, target) in self.flags.check_targets.iter().enumerate() {
                if let Err(text) = P::accept(target, module) {
                    result.rows.push(Row::new(format!("target {}", i + 1), "refused", 0.0, 0, text, false));
                    continue;
                }
                let question = Question { target, hostname: None, module: &**module, deadline, log: Log::default() };
                let (sink, outcome, duration) = run::<P>(question).await;
                answered |= outcome.answered;
                let kind = outcome.error.as_ref().map_or(if outcome.success { "ok" } else { "failed" }, |e| e.kind.as_str());
                let text = outcome.error.as_ref().map(note).unwrap_or_default();
                result.rows.push(
                    Row::new(target, kind, duration.as_secs_f64() * 1e3, sink.series(), text, outcome.success)
                        .code(outcome.error.as_ref().map(CollectError::code)),
                );
            }
            result.up = answered;
            result
        }
        .boxed()
    }

    fn effective_config(&self) -> String {
        serde_saphyr::to_string(&self.config).unwrap_or_else(|e| format!("# cannot be written as YAML: {e}\n"))
    }
}
