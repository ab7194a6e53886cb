//! The configuration of a product's exporter: the file, with environment and flags over it.

use super::module::Module;
use super::{Service, TargetOptions as _};
use crate::cli::CommonFlags;
use crate::codes;
use crate::collector::Table;
use crate::config::{self, ModuleConfig, ServiceConfig, credentials};
use crate::error::Invalid;

/// The name of the target and module that a configuration without names has.
pub(super) const DEFAULT: &str = "default";

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
            return Err(Invalid::new("a target has no name").hint("name it: /probe?target=NAME asks for it").code(codes::INCOMPLETE));
        }
        options.validate().map_err(|e| e.within(format_args!("target {name}")))?;
    }
    Ok((config, modules))
}
