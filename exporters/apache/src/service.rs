//! Apache as a service: one scrape is one connection and its questions.

use std::sync::Arc;

use sage_common::commands::check::Advice;
use sage_common::commands::discover::Traces;
use sage_common::desc::Info;
use sage_common::error::{CollectError, Invalid};
use sage_common::os::listening::Place;
use sage_common::page::{PageSession, PageState, probe};
use sage_common::peer::Peer;
use sage_common::put;
use sage_common::scrape::report::{Report, Status};
use sage_common::service::{Meta, Phases, Service, Target};
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;

use crate::collectors::Collectors;
use crate::discover;
use crate::grants::Command;
use crate::options::{self, Apache, Flags, Options};
use crate::peer::PEER;
use crate::session::Session;

sage_common::metrics! {
    /// 1 when the status page was read in this scrape, else 0. A server that answers with another page is sage_up 1 and this 0.
    UP: Gauge legacy "apache_up" [];
    /// Scrapes in which the status page was not read, since the exporter's start.
    FAILURES: Counter legacy "apache_exporter_scrape_failures_total" [];
}

/// The exporter for Apache httpd.
pub struct ApacheService;

impl Service for ApacheService {
    const META: Meta = Meta { name: "apache", product: "Apache httpd", port: 9117, version: env!("CARGO_PKG_VERSION"), members: "" };
    const REASONS: &'static [&'static str] = &[probe::STATUS];
    const PEER: Option<Peer> = Some(PEER);
    const COMPAT: &'static [Info] = METRICS;
    const WARM: bool = false;
    const TRACES: Traces = discover::TRACES;
    type Options = Options;
    type Collectors = Collectors;
    type Session = Session;
    type State = PageState<Apache>;
    type Flags = Flags;
    type Command = Command;

    async fn recognise(place: &Place) -> Option<Options> {
        discover::recognise(place).await
    }

    fn overlay(flags: &Flags, options: &mut Options) -> Result<(), Invalid> {
        options::overlay(options, flags, |name| std::env::var(name).ok())
    }

    fn start(_: &str, options: &Options, _: &Tasks) -> Result<Arc<PageState<Apache>>, Invalid> {
        Ok(PageState::new(options))
    }

    async fn connect(target: &Target<Self>, _: Option<&str>, phases: &mut Phases) -> Result<Session, CollectError> {
        Ok(Session::new(PageSession::connect(&target.options, phases).await?))
    }

    async fn advise(session: &Session) -> Result<Vec<Advice>, CollectError> {
        Ok(session.http.advice())
    }

    fn compat(report: &Report, state: &PageState<Apache>, out: &mut Sink) {
        let status = report.collectors.iter().find(|c| c.name == "status");
        let read = status.map_or(report.up, |c| c.status == Status::Ok);
        put!(out, UP {} = read);
        put!(out, FAILURES {} = state.count_failure(!read));
    }
}
