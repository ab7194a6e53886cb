//! An exporter of a product as a program: how its configuration is read, taken over and documented, and what its commands do.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::{DEFAULT, ServiceApp};
use super::module::Module;
use super::{Meta, Service, TargetOptions as _};
use crate::app::Section;
use crate::cli::CommonFlags;
use crate::collector::{About, Enabled, Scope, Table};
use crate::commands::discover;
use crate::commands::own::{Failure, OwnCommand as _, Setup};
use crate::config::{self, ModuleConfig, Named, ServiceConfig, credentials};
use crate::error::Invalid;
use crate::exporter::Program;
use crate::peer::Peer;
use crate::scrape::report;
use crate::selfmon;
use crate::target::running::Running;

impl<S: Service> Program for ServiceApp<S> {
    const META: &'static Meta = &S::META;
    const PEER: Option<Peer> = S::PEER;
    type Flags = S::Flags;
    type Command = S::Command;

    fn sections() -> Vec<Section> {
        let mut sections = vec![
            Section { collector: "", help: "On every page.", when: "each scrape", metrics: report::METRICS },
            Section { collector: "", help: "About the exporter itself, on /metrics only.", when: "each scrape", metrics: selfmon::METRICS },
        ];
        if !S::COMPAT.is_empty() {
            sections.push(Section {
                collector: "",
                help: "Kept from the exporter that this one replaces.",
                when: "each scrape",
                metrics: S::COMPAT,
            });
        }
        sections.extend(S::Collectors::ABOUT.iter().map(|about| Section {
            collector: about.name,
            help: about.help,
            when: match (about.enabled, about.scope, about.every) {
                (Enabled::OnRequest, _, _) => "on request",
                (_, Scope::Database, _) => "every 5 min, each database",
                (_, _, Some(every)) if every.as_secs() == 60 => "every min",
                (_, _, Some(_)) => "every 5 min",
                _ => "each scrape",
            },
            metrics: about.metrics,
        }));
        sections
    }

    fn collectors() -> Vec<&'static About> {
        S::Collectors::ABOUT.iter().collect()
    }

    fn reasons() -> &'static [&'static str] {
        S::REASONS
    }

    fn load(common: &CommonFlags, flags: &S::Flags, switches: &[(&'static str, bool)]) -> Result<Self, Invalid> {
        Self::make(common, flags, switches, None)
    }

    fn load_after(&self, common: &CommonFlags, flags: &S::Flags, switches: &[(&'static str, bool)]) -> Result<Self, Invalid> {
        Self::make(common, flags, switches, Some(self))
    }

    fn hand_over(&self, next: &Self) -> String {
        let has = |app: &Self, target: &Arc<Running<S>>| app.targets.iter().any(|other| Arc::ptr_eq(other, target));
        let (kept, new): (Vec<_>, Vec<_>) = next.targets.iter().partition(|target| has(self, target));
        let gone: Vec<_> = self.targets.iter().filter(|target| !has(next, target)).collect();
        kept.iter().for_each(|target| target.adopt(&next.modules));
        gone.iter().for_each(|target| target.leave());
        let same = |(name, module): &(&String, &Arc<Module<S>>)| self.modules.get(*name).is_some_and(|before| Arc::ptr_eq(before, module));
        let modules = next.modules.iter().filter(same).count();
        format!(
            "targets: {} as before, {} started, {} ended; modules: {modules} as before, {} new or changed",
            kept.len(),
            new.len(),
            gone.len(),
            next.modules.len() - modules
        )
    }

    async fn discover() -> Result<String, Invalid> {
        let (mut once, mut found) = (discover::Once::default(), Vec::new());
        for listener in S::TRACES.candidates() {
            if let Some(options) = S::recognise(&listener.place).await
                && once.is_new(&listener)
            {
                found.push((discover::name(found.len()), discover::written(&options)));
            }
        }
        if found.is_empty() {
            return Err(S::TRACES.nothing(S::META.product));
        }
        let yaml = serde_saphyr::to_string(&BTreeMap::from([("targets", Named(found))]));
        let yaml = yaml.map_err(|e| Invalid::new(format!("cannot be written as YAML: {e}")))?;
        let name = S::META.name;
        Ok(format!("# Found on this machine. Add who to log in as, then: sage-{name}-exporter check --config.file={name}.yml\n{yaml}"))
    }

    fn logs(command: &S::Command) -> bool {
        command.logs()
    }

    async fn own(command: S::Command, common: &CommonFlags, flags: &S::Flags, switches: &[(&'static str, bool)]) -> Result<(), Failure> {
        let (config, modules) = configure::<S>(common, flags, switches)?;
        command.run(Setup { targets: config.targets.0, modules }).await
    }
}

/// Reads the file, puts environment and flags over it, and makes the modules. Starts nothing.
pub(super) fn configure<S: Service>(
    common: &CommonFlags,
    flags: &S::Flags,
    switches: &[(&'static str, bool)],
) -> Result<(ServiceConfig<S>, Vec<Module<S>>), Invalid> {
    let mut config: ServiceConfig<S> = match &common.config_file {
        Some(path) => config::load(path).map_err(|error| S::PEER.map_or(error.clone(), |peer| peer.explain(error)))?,
        None => ServiceConfig::default(),
    };
    if config.targets.0.is_empty() {
        config.targets.0.push((DEFAULT.to_owned(), S::Options::default()));
    }
    credentials::share(&config.credentials, &mut config.targets)?;
    if let Some((_, first)) = config.targets.0.first_mut() {
        S::overlay(flags, first)?;
    }
    if !config.modules.0.iter().any(|(name, _)| name == DEFAULT) {
        config.modules.0.push((DEFAULT.to_owned(), ModuleConfig::default()));
    }
    for (_, module) in &mut config.modules.0 {
        for (name, on) in switches {
            for about in S::Collectors::ABOUT.iter().filter(|about| about.is_called(name)) {
                module.collectors.switch(about.name, *on);
            }
        }
    }
    let modules = config.modules.0.iter().map(|(name, module)| module.build(name)).collect::<Result<_, _>>()?;
    for (name, options) in &config.targets.0 {
        if name.is_empty() {
            return Err(Invalid::new("a target has no name").hint("name it: /probe?target=NAME asks for it"));
        }
        options.validate().map_err(|e| e.within(format_args!("target {name}")))?;
    }
    Ok((config, modules))
}
