//! An exporter of a product as a program: how its configuration is read, taken over and documented, and what its commands do.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::app::ServiceApp;
use super::module::Module;
use super::settings::configure;
use super::{Meta, Service};
use crate::app::Program;
use crate::app::Section;
use crate::cli::CommonFlags;
use crate::codes;
use crate::collector::{About, Table};
use crate::commands::own::{Failure, OwnCommand as _, Setup};
use crate::commands::{catalogue, discover};
use crate::config::Named;
use crate::error::Invalid;
use crate::peer::Peer;
use crate::scrape::report;
use crate::selfmon;
use crate::targets::running::Running;

impl<S: Service> Program for ServiceApp<S> {
    const META: &'static Meta = &S::META;
    const PEER: Option<Peer> = S::PEER;
    type Flags = S::Flags;
    type Command = S::Command;

    fn sections() -> Vec<Section> {
        let mut sections = vec![
            Section { collector: "", help: "On every page.", when: "each scrape".into(), metrics: report::METRICS },
            Section {
                collector: "",
                help: "About the exporter itself, on /metrics only.",
                when: "each scrape".into(),
                metrics: selfmon::METRICS,
            },
        ];
        if !S::COMPAT.is_empty() {
            sections.push(Section {
                collector: "",
                help: "Kept from the exporter that this one replaces.",
                when: "each scrape".into(),
                metrics: S::COMPAT,
            });
        }
        sections.extend(S::Collectors::ABOUT.iter().map(|about| Section {
            collector: about.name,
            help: about.help,
            when: catalogue::when(about).into(),
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
        let yaml = yaml.map_err(|e| Invalid::new(format!("cannot be written as YAML: {e}")).code(codes::INTERNAL))?;
        let name = S::META.name;
        Ok(format!(
            "# Found on this machine, nothing is changed. Write it to a file, with user and password_file where a login is asked for:\n\
             #   sage-{name}-exporter check --config.file={name}.yml\n{yaml}"
        ))
    }

    fn logs(command: &S::Command) -> bool {
        command.logs()
    }

    async fn own(command: S::Command, common: &CommonFlags, flags: &S::Flags, switches: &[(&'static str, bool)]) -> Result<(), Failure> {
        let (config, modules) = configure::<S>(common, flags, switches)?;
        command.run(Setup { targets: config.targets.0, modules }).await
    }
}
