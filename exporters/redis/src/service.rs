//! Redis and Valkey as a service: sessions, their request, and the peer's own series.

use std::sync::Arc;
use std::time::Duration;

use sage_common::commands::discover::Traces;
use sage_common::desc::Info;
use sage_common::error::{CollectError, Invalid};
use sage_common::os::listening::Place;
use sage_common::peer::Peer;
use sage_common::put;
use sage_common::scrape::report::{Report, Status};
use sage_common::service::{Meta, Phases, Service, Target};
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;

use crate::collectors::Collectors;
use crate::commands::Command;
use crate::discover;
use crate::error::REASONS;
use crate::options::{Flags, Options};
use crate::peer::PEER;
use crate::session::Redis;
use crate::state::{Capability, State};
use crate::write;

sage_common::metrics! {
    /// 1 when the server answered in this scrape, else 0; the peer's name for sage_up.
    UP: Gauge legacy "redis_up" [];
    /// 1 when a collector failed or the server did not answer, else 0; err is the reason, from a closed set.
    LAST_SCRAPE_ERROR: Gauge legacy "redis_exporter_last_scrape_error" [err];
    /// Time that this scrape took, in seconds; the peer's name for sage_scrape_duration_seconds.
    LAST_SCRAPE_DURATION: Gauge legacy "redis_exporter_last_scrape_duration_seconds" [];
    /// Time of the last fresh connect and login, in seconds; the sum of sage_login_duration_seconds without the request.
    CONNECT_TIME: Gauge legacy "redis_exporter_last_scrape_connect_time_seconds" [];
    /// Scrapes of this target.
    SCRAPES: Counter legacy "redis_exporter_scrapes_total" [];
    /// 1 when our user may run this command, 0 when it may not or the server does not have it (COMMAND INFO, ACL DRYRUN).
    CAPABILITY: Gauge "redis_exporter_capability" [command];
}

/// The exporter for Redis and Valkey.
pub struct RedisService;

impl Service for RedisService {
    const META: Meta = Meta { name: "redis", product: "Redis", port: 9121, version: env!("CARGO_PKG_VERSION"), members: "" };
    const REASONS: &'static [&'static str] = REASONS;
    const PEER: Option<Peer> = Some(PEER);
    const COMPAT: &'static [Info] = METRICS;
    type Options = Options;
    type Collectors = Collectors;
    type Session = Redis;
    type State = State;
    type Flags = Flags;
    type Command = Command;

    const TRACES: Traces = discover::TRACES;

    async fn recognise(place: &Place) -> Option<Options> {
        discover::recognise(place).await
    }

    fn overlay(flags: &Flags, options: &mut Options) -> Result<(), Invalid> {
        options.overlay(flags, |name| std::env::var(name).ok())
    }

    fn start(_: &str, options: &Options, _: &Tasks) -> Result<Arc<State>, Invalid> {
        Ok(Arc::new(State::new(options)))
    }

    async fn connect(target: &Target<Self>, _: Option<&str>, phases: &mut Phases) -> Result<Redis, CollectError> {
        Redis::connect(&target.options, Arc::clone(&target.state), phases).await
    }

    async fn request(session: &Redis, _: &State) -> Result<(), CollectError> {
        session.request().await
    }

    const WRITES: bool = true;
    const LATE_HINT: &'static str = "the server does not answer: see SLOWLOG, INFO persistence and the load of its machine";

    async fn write(session: &Redis, phases: &mut Phases) -> Result<bool, CollectError> {
        write::write(session, phases).await
    }

    async fn rest(session: &Redis) {
        session.rest().await;
    }

    fn usable(session: &Redis) -> bool {
        session.usable()
    }

    async fn close(session: Redis) {
        session.close().await;
    }

    fn compat(report: &Report, state: &State, out: &mut Sink) {
        put!(out, UP {} = report.up);
        let connect = report.failures.iter().map(|failure| failure.kind).next();
        let collector = || report.collectors.iter().find_map(|c| (c.status != Status::Pending).then(|| c.status.reason()).flatten());
        let err = connect.or_else(collector).map_or("", |kind| kind.as_str());
        put!(out, LAST_SCRAPE_ERROR { err } = !err.is_empty());
        put!(out, LAST_SCRAPE_DURATION {} = report.duration);
        let phases = report.login.as_ref().filter(|login| login.error.is_none()).map(|login| &login.phases);
        let time = |phases: &Vec<(&str, Duration)>| {
            phases.iter().filter(|(phase, _)| *phase != "request").map(|(_, time)| *time).sum::<Duration>()
        };
        put!(out, CONNECT_TIME {} = phases.map(time));
        put!(out, SCRAPES {} = state.count_scrape());
        if report.up {
            for (command, capability) in state.capabilities() {
                put!(out, CAPABILITY { command } = capability == Capability::Allowed);
            }
        }
    }
}
