//! Modules that the server has loaded.
//!
//! From the section Modules of INFO, all versions. What a module itself counts is not read: each has fields of its own.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::part;
use crate::session::Redis;

sage_common::metrics! {
    /// Always 1; a module that is loaded, its version and what it is tied to (INFO modules).
    MODULE: Gauge legacy "redis_module_info" [name, ver, api, filters, usedby, using];
}

/// Modules with series at most.
const MOST: usize = 100;

/// See the file.
pub struct Modules;

impl Collector for Modules {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Modules that are loaded (INFO modules).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        for (at, (_, module)) in info.below("module").filter(|(rest, _)| rest.is_empty()).enumerate() {
            if at >= MOST {
                out.drop_series("redis_module_info", 1);
                continue;
            }
            let text = |name| part(module, name).unwrap_or_default();
            // Names within brackets are parted by | or blanks, not by the commas between the fields.
            put!(
                out,
                MODULE {
                    name: text("name"),
                    ver: text("ver"),
                    api: text("api"),
                    filters: text("filters"),
                    usedby: text("usedby"),
                    using: text("using"),
                } = 1
            );
        }
        Ok(())
    }
}
