//! The prober as the framework sees it.

use std::time::Duration;

use sage_common::cli::CommonFlags;
use sage_common::commands::discover::Traces;
use sage_common::commands::own::{self, Failure};
use sage_common::config::Named;
use sage_common::desc::Info;
use sage_common::error::Invalid;
use sage_common::os::listening::Place;
use sage_common::peer::Peer;
use sage_common::prober::{Outcome, Prober, Question};
use sage_common::put;
use sage_common::service::Meta;
use sage_common::sink::Sink;

use crate::config::ModuleConfig;
use crate::config::file::FileConfig;
use crate::discover;
use crate::hostname;
use crate::metrics::{self, DURATION, ERROR_INFO, SUCCESS};
use crate::peer::PEER;
use crate::probes::Ask;
use crate::reason::{self, Reason};
use crate::responder::{GRANTS, Own};
use crate::work::Work;

/// Probes by the modules of a blackbox.yml.
pub struct Http;

impl Prober for Http {
    const META: Meta = Meta { name: "http", product: "HTTP and TCP targets", port: 9115, version: env!("CARGO_PKG_VERSION"), members: "" };
    const METRICS: &'static [Info] = metrics::METRICS;
    const PEER: Option<Peer> = Some(PEER);
    const REASONS: &'static [&'static str] = reason::coarse::ALL;
    const DEFAULT_MODULE: &'static str = "http_2xx";
    const EXAMPLE: &'static str = "https://example.com/";
    const STARTER: &'static str = "modules:\n  http_2xx:\n    prober: http\n  tcp_connect:\n    prober: tcp\n";
    const TRACES: Traces = discover::TRACES;
    type Module = ModuleConfig;
    type Config = FileConfig;
    type Work = Work;
    type Command = Own;

    async fn recognise(place: &Place) -> Option<String> {
        discover::recognise(place).await
    }

    fn modules(config: &FileConfig) -> &Named<ModuleConfig> {
        &config.modules
    }

    fn logs(command: &Own) -> bool {
        matches!(command, Own::Responder(_))
    }

    async fn own(command: Own, _: &CommonFlags) -> Result<(), Failure> {
        match command {
            Own::Responder(flags) => flags.run().await,
            Own::Grants => {
                own::say(GRANTS);
                Ok(())
            }
        }
    }

    fn timeout(module: &ModuleConfig) -> Option<Duration> {
        module.timeout.map(|t| t.0)
    }

    fn validate(module: &ModuleConfig) -> Result<(), Invalid> {
        module.validate()
    }

    fn accept(target: &str, module: &ModuleConfig) -> Result<(), String> {
        module.prober.accept(target)
    }

    fn accept_hostname(hostname: &str, module: &ModuleConfig) -> Result<(), String> {
        hostname::accept(hostname, module)
    }

    async fn probe(question: Question<'_, ModuleConfig>, out: &mut Sink) -> Outcome {
        let Question { target, hostname, module, deadline, log } = question;
        module.prober.probe(Ask { target, hostname, module, deadline, log, out }).await
    }

    fn verdict(outcome: &Outcome, duration: Duration, out: &mut Sink) {
        put!(out, SUCCESS {} = outcome.success);
        put!(out, DURATION {} = duration);
        if let Some(error) = &outcome.error {
            put!(out, ERROR_INFO { reason: Reason::of(error).name } = 1);
        }
    }
}
