//! A prober as a program: how its configuration is read, taken over and documented, and what its commands do.

use super::Prober;
use super::app::{METRICS, ProbeApp, ProbeFlags};
use super::background::Background as _;
use crate::app::Program;
use crate::app::Section;
use crate::cli::CommonFlags;
use crate::collector::About;
use crate::commands::discover;
use crate::commands::own::Failure;
use crate::error::Invalid;
use crate::peer::Peer;
use crate::selfmon;
use crate::service::Meta;

impl<P: Prober> Program for ProbeApp<P> {
    const META: &'static Meta = &P::META;
    const PEER: Option<Peer> = P::PEER;
    type Flags = ProbeFlags;
    type Command = P::Command;

    fn sections() -> Vec<Section> {
        let mut sections = vec![
            Section {
                collector: "",
                help: "About the exporter itself, on /metrics only.",
                when: "each scrape".into(),
                metrics: selfmon::METRICS,
            },
            Section { collector: "probe", help: "The answer of /probe.", when: "each probe".into(), metrics: P::METRICS },
            Section {
                collector: "",
                help: "On every probe page, as on the pages of all exporters.",
                when: "each probe".into(),
                metrics: METRICS,
            },
        ];
        sections.extend(P::Work::sections());
        sections
    }

    fn collectors() -> Vec<&'static About> {
        Vec::new()
    }

    fn reasons() -> &'static [&'static str] {
        P::REASONS
    }

    fn load(common: &CommonFlags, flags: &ProbeFlags, _: &[(&'static str, bool)]) -> Result<Self, Invalid> {
        Self::make(common, flags, None)
    }

    fn load_after(&self, common: &CommonFlags, flags: &ProbeFlags, _: &[(&'static str, bool)]) -> Result<Self, Invalid> {
        Self::make(common, flags, Some(self))
    }

    fn in_force(&self) {
        P::Work::start(&self.work, &self.tasks);
    }

    async fn discover() -> Result<String, Invalid> {
        let (mut once, mut found) = (discover::Once::default(), Vec::new());
        for listener in P::TRACES.candidates() {
            if let Some(target) = P::recognise(&listener.place).await
                && once.is_new_port(&listener)
            {
                found.push(format!("'{target}'"));
            }
        }
        if found.is_empty() {
            return Err(P::TRACES.nothing(P::META.product));
        }
        let targets = found.join(", ");
        Ok(format!(
            "# Found on this machine, nothing is changed. This line belongs to the job that scrape-config prints:\n\
             #      - targets: [{targets}]\n{}",
            P::STARTER
        ))
    }

    fn hand_over(&self, next: &Self) -> String {
        self.tasks.end();
        format!("modules: {} before, {} now", self.modules.len(), next.modules.len())
    }

    fn logs(command: &P::Command) -> bool {
        P::logs(command)
    }

    async fn own(command: P::Command, common: &CommonFlags, _: &ProbeFlags, _: &[(&'static str, bool)]) -> Result<(), Failure> {
        P::own(command, common).await
    }
}
