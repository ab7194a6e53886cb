//! An exporter of a product: its targets, modules and single flights behind the routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::settings::{DEFAULT, configure};
use crate::app::{App, Ask, BoxFuture, Scrapes};
use crate::cli::CommonFlags;
use crate::codes;
use crate::collector::Entry;
use crate::commands::check::{Advice, CheckResult};
use crate::config::{self, ServiceConfig};
use crate::deadline::Deadline;
use crate::error::{CollectError, HttpError, Invalid};
use crate::scrape::flight::Flight;
use crate::scrape::report::{Failure, Report, Status};
use crate::scrape::scrape;
use crate::service::module::Module;
use crate::service::{Meta, Service, TargetOptions as _};
use crate::sink::{NO_LIMIT, Sink};
use crate::targets::Live;
use crate::targets::budget::Budgets;
use crate::targets::login;
use crate::targets::running::{Running, written};
use crate::targets::walk;
use crate::targets::write;

/// Scrapes at once beside those of the targets' own Prometheus servers.
const LOOKERS: usize = 62;

/// An exporter of product `S` with its configuration loaded.
pub struct ServiceApp<S: Service> {
    pub(super) config: ServiceConfig<S>,
    pub(super) targets: Vec<Arc<Running<S>>>,
    pub(super) modules: BTreeMap<String, Arc<Module<S>>>,
    budgets: Arc<Budgets<S>>,
    flight: Flight<Key, Arc<Sink>>,
    offset: Duration,
}

/// Longest question for advice.
const ADVICE_LIMIT: Duration = Duration::from_secs(2);

/// What makes two requests the same question: target, module and collectors.
type Key = (String, String, Vec<usize>);

impl<S: Service> ServiceApp<S> {
    /// Loads the configuration. What is the same as `before` is taken from there.
    pub(super) fn make(
        common: &CommonFlags,
        flags: &S::Flags,
        switches: &[(&'static str, bool)],
        before: Option<&Self>,
    ) -> Result<Self, Invalid> {
        let (config, made) = configure::<S>(common, flags, switches)?;
        let text = |config: &ServiceConfig<S>, name: &str| config.modules.0.iter().find(|(n, _)| n == name).and_then(|(_, m)| written(m));
        let mut modules = BTreeMap::new();
        for module in made {
            let known =
                before.and_then(|app| app.modules.get(&module.name).filter(|m| text(&app.config, &m.name) == text(&config, &m.name)));
            modules.insert(module.name.clone(), known.cloned().unwrap_or_else(|| Arc::new(module)));
        }
        let budgets = before.map_or_else(Arc::default, |app| Arc::clone(&app.budgets));
        let mut targets = Vec::new();
        for (name, options) in &config.targets.0 {
            let known = before.and_then(|app| app.targets.iter().find(|target| target.is_as(name, options)));
            targets.push(match known {
                Some(target) => Arc::clone(target),
                None => Arc::new(Running::start(name, options, &budgets)?),
            });
        }
        Ok(Self { config, targets, modules, budgets, flight: Flight::default(), offset: common.timeout_offset.0 })
    }

    fn target(&self, name: Option<&str>) -> Result<&Arc<Live<S>>, HttpError> {
        match name {
            None => self.lives().next().ok_or_else(|| HttpError::bad_request("no target is configured")),
            Some(name) => {
                let named = self.lives().find(|live| live.target.name == name);
                named.or_else(|| self.lives().find(|live| live.target.options.is_at(name))).ok_or_else(|| {
                    let text = "this target is not in the configuration: /probe asks configured targets alone";
                    let hint = "write it below `targets:` in the file of --config.file";
                    HttpError::new(403, Invalid::new(text).hint(hint).code(codes::NO_TARGET))
                })
            }
        }
    }

    fn lives(&self) -> impl Iterator<Item = &Arc<Live<S>>> {
        self.targets.iter().map(|target| &target.live)
    }

    fn module(&self, name: Option<&str>) -> Result<&Arc<Module<S>>, HttpError> {
        let name = name.unwrap_or(DEFAULT);
        self.modules.get(name).ok_or_else(|| HttpError::no_module(name, self.modules.keys()))
    }

    /// The collectors that a request selects, by their place in the table.
    fn select(module: &Module<S>, ask: &Ask) -> Result<Vec<usize>, HttpError> {
        let named: BTreeSet<&str> = ask.all("collect[]").collect();
        if let Some(unknown) = named.iter().find(|name| !module.entries.iter().any(|e| e.about.is_called(name))) {
            let known: Vec<&str> = module.entries.iter().map(|e| e.about.name).collect();
            return Err(HttpError::new(400, config::unknown_name(&format!("unknown collector {unknown:?}"), unknown, &known)));
        }
        let wanted = |entry: &Entry<S>| {
            if named.is_empty() { entry.enabled } else { named.iter().any(|name| entry.about.is_called(name)) }
        };
        Ok(module.entries.iter().enumerate().filter(|(_, e)| wanted(e)).map(|(i, _)| i).collect())
    }

    async fn page(&self, target: Option<&str>, ask: &Ask) -> Result<Sink, HttpError> {
        let live = self.target(target)?;
        let module = self.module(ask.one("module")?)?;
        let selected = Self::select(module, ask)?;
        let deadline = ask.deadline(self.offset, module.timeout);
        if let Some(interval) = module.write_interval {
            live.write.asked(interval);
        }
        let key = (live.target.name.clone(), module.name.clone(), selected.clone());
        let (work, _joined) = self.flight.join(key, || {
            let (live, module) = (Arc::clone(live), Arc::clone(module));
            async move { Arc::new(scrape(&live, &module, &selected, deadline).await.0) }.boxed()
        });
        let mut page = Sink::new(NO_LIMIT);
        match deadline.run(work).await {
            Ok(scraped) => page.absorb(&scraped),
            Err(_) => {
                // Who joined a scrape that ends after its own deadline gets at least this.
                let error = CollectError::timeout("the scrape that runs already was not ready in time");
                let report =
                    Report { failures: vec![Failure::new("connect", &error)], duration: ask.accepted.elapsed(), ..Report::default() };
                report.write(&mut page);
                S::compat(&report, &live.target.state, &mut page);
            }
        }
        Ok(page)
    }
}

/// What the product would warn of, over the session that the scrape has left.
async fn advice<S: Service>(live: &Live<S>, deadline: Deadline) -> Vec<Advice> {
    let mut lease = live.budget.warm(&live.owner).await;
    if !S::WARM
        && let Ok(session) = login::fresh(&live.target, None, deadline, None).await
    {
        lease.fill(session);
    }
    let Some(session) = lease.session() else { return Vec::new() };
    let found = match deadline.slice(ADVICE_LIMIT).run(S::advise(session)).await {
        Ok(Ok(advice)) => Ok(advice),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    };
    match found {
        Ok(advice) => {
            lease.finish();
            advice
        }
        Err(error) => {
            lease.end(deadline).await;
            let hint = "run check again; if this stays, the server's log says why".to_owned();
            vec![Advice { about: "advice".to_owned(), found: format!("could not be asked for: {error}"), hint }]
        }
    }
}

impl<S: Service> App for ServiceApp<S> {
    fn meta(&self) -> &'static Meta {
        &S::META
    }

    fn metrics(&self, ask: Ask) -> BoxFuture<'_, Result<Sink, HttpError>> {
        async move { self.page(None, &ask).await }.boxed()
    }

    fn probe(&self, ask: Ask) -> BoxFuture<'_, Result<Sink, HttpError>> {
        async move {
            let Some(target) = ask.one("target")?.map(str::to_owned) else {
                return Err(HttpError::bad_request("the parameter target is missing: /probe?target=NAME, a name from the configuration"));
            };
            self.page(Some(&target), &ask).await
        }
        .boxed()
    }

    fn room(&self) -> usize {
        // Two servers of Prometheus that ask for each target, and some people that look.
        LOOKERS + 2 * self.targets.len()
    }

    fn overview(&self) -> Vec<(String, String)> {
        let state = |live: &Live<S>| match live.login.get() {
            None => "not scraped yet".to_owned(),
            Some(login) => {
                let ago = login.at.elapsed().as_secs();
                login.error.map_or_else(|| format!("login worked {ago} s ago"), |(kind, _)| format!("login failed {ago} s ago: {kind}"))
            }
        };
        self.lives().map(|live| (format!("{}: {}", live.target.name, live.target.options.describe()), state(live))).collect()
    }

    fn targets(&self) -> Option<Vec<(String, String)>> {
        Some(
            self.targets
                .iter()
                .map(|running| &running.live.target)
                .map(|target| (target.name.clone(), target.options.describe()))
                .collect(),
        )
    }

    fn scrapes(&self) -> Scrapes {
        let max_series = self.modules.get(DEFAULT).map_or(0, |module| module.max_series);
        Scrapes::Targets { others: self.lives().skip(1).map(|live| live.target.name.clone()).collect(), max_series }
    }

    fn check(&self, deadline: Deadline) -> BoxFuture<'_, CheckResult> {
        async move {
            let (Ok(live), Ok(module)) = (self.target(None), self.module(None)) else {
                return CheckResult::default();
            };
            // Both are done here, in front; one more would be in the middle of a session when the command ends.
            self.targets.iter().for_each(|target| target.rounds.end());
            let enabled: Vec<usize> = module.entries.iter().enumerate().filter(|(_, e)| e.enabled).map(|(i, _)| i).collect();
            let timed: Vec<usize> = enabled.iter().copied().filter(|i| module.entries.get(*i).is_some_and(|e| e.every.is_some())).collect();
            // The walk's results are part of the page only when they are there: run it first, if the server lets us in.
            let first = scrape(live, module, &[], deadline).await.1;
            if first.up {
                deadline.run(walk::round(live, module, &timed, false)).await.ok();
                if module.write_interval.is_some() {
                    deadline.run(write::once(live)).await.ok();
                }
            }
            let (_, mut report) = scrape(live, module, &enabled, deadline).await;
            for c in report.collectors.iter_mut().filter(|c| c.status == Status::Pending) {
                c.note = Some("the time of this check was over before it ran".to_owned());
            }
            let mut result = CheckResult::from_report(live.target.options.describe(), &report);
            if report.up {
                result.advise(advice(live, deadline).await);
            }
            result.others = self.lives().skip(1).map(|live| live.target.name.clone()).collect();
            result
        }
        .boxed()
    }

    fn effective_config(&self) -> String {
        serde_saphyr::to_string(&self.config).unwrap_or_else(|e| format!("# cannot be written as YAML: {e}\n"))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        futures_util::future::join_all(self.lives().map(|live| live.budget.close())).map(drop).boxed()
    }
}
