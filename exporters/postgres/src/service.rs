//! PostgreSQL as a service: sessions, their request, the databases of an instance, and the peer's own series.

use std::time::Duration;

use sage_common::commands::check::Advice;
use sage_common::commands::discover::Traces;
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind, Invalid};
use sage_common::os::listening::Place;
use sage_common::peer::Peer;
use sage_common::put;
use sage_common::scrape::report::{Report, Status};
use sage_common::service::{Meta, Phases, Service, Target};
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;
use std::sync::Arc;

use crate::advice;
use crate::collectors::Collectors;
use crate::commands::Command;
use crate::custom::QUERY_FILE;
use crate::discover;
use crate::error::{DISK_FULL, NO_DATABASE, READ_ONLY, SYNC_STANDBY};
use crate::options::{Flags, Options};
use crate::peer::PEER;
use crate::session::Pg;
use crate::state::{LOG_PACE, State};
use crate::write;

sage_common::metrics! {
    /// 1 when the server answered in this scrape, else 0; the peer's name for sage_up.
    PG_UP: Gauge legacy "pg_up" [];
    /// Always 1; tells the server's version (server_version).
    STATIC: Gauge legacy "pg_static" [version, short_version];
    /// 1 when a collector failed or the server did not answer, else 0.
    LAST_SCRAPE_ERROR: Gauge legacy "pg_exporter_last_scrape_error" [];
    /// Time that this scrape took, in seconds; the peer's name for sage_scrape_duration_seconds.
    LAST_SCRAPE_DURATION: Gauge legacy "pg_exporter_last_scrape_duration_seconds" [];
    /// The peer's name for sage_collector_success.
    COLLECTOR_SUCCESS: Gauge legacy "pg_scrape_collector_success" [collector];
    /// The peer's name for sage_collector_duration_seconds.
    COLLECTOR_DURATION: Gauge legacy "pg_scrape_collector_duration_seconds" [collector];
}

/// The exporter for PostgreSQL.
pub struct Postgres;

impl Service for Postgres {
    const META: Meta =
        Meta { name: "postgres", product: "PostgreSQL", port: 9187, version: env!("CARGO_PKG_VERSION"), members: "databases" };
    const REASONS: &'static [&'static str] = &[NO_DATABASE, QUERY_FILE, READ_ONLY, DISK_FULL, SYNC_STANDBY];
    const COMPAT: &'static [Info] = METRICS;
    const PEER: Option<Peer> = Some(PEER);
    type Options = Options;
    type Collectors = Collectors;
    type Session = Pg;
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

    fn start(name: &str, options: &Options, tasks: &Tasks) -> Result<Arc<State>, Invalid> {
        let state = Arc::new(State::new(name, options)?);
        let read = Arc::clone(&state);
        tasks.keep("log", move || {
            let read = Arc::clone(&read);
            async move {
                let mut pace = tokio::time::interval(LOG_PACE);
                loop {
                    pace.tick().await;
                    read.read_log();
                }
            }
        });
        Ok(state)
    }

    async fn connect(target: &Target<Self>, member: Option<&str>, phases: &mut Phases) -> Result<Pg, CollectError> {
        let mut session = Pg::connect(&target.options, member.unwrap_or(&target.options.database), phases).await?;
        session.replay = target.state.replay();
        session.queries.clone_from(&target.state.queries);
        target.state.learn(&session.facts);
        if member.is_none() {
            Self::request(&session, &target.state).await?;
        }
        Ok(session)
    }

    async fn request(session: &Pg, state: &State) -> Result<(), CollectError> {
        state.learn_log(session.request().await?);
        Ok(())
    }

    async fn limit(session: &Pg, time: Duration) -> Result<(), CollectError> {
        session.limit(time).await
    }

    async fn members(session: &Pg) -> Result<Vec<String>, CollectError> {
        const DATABASES: &str = "SELECT datname::text FROM pg_database
            WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 1";
        session.rows(DATABASES).await?.iter().map(|row| row.get(0)).collect()
    }

    fn usable(session: &Pg) -> bool {
        session.usable()
    }

    async fn close(session: Pg) {
        session.close().await;
    }

    async fn cancel(session: Pg) {
        session.cancel().await;
    }

    async fn advise(session: &Pg) -> Result<Vec<Advice>, CollectError> {
        advice::of_role(session).await
    }

    const WRITES: bool = true;
    const LATE_HINT: &'static str = write::LATE_HINT;

    async fn write(session: &Pg, phases: &mut Phases) -> Result<bool, CollectError> {
        write::write(session, phases).await
    }

    fn backend(session: &Pg) -> u64 {
        u64::from(session.facts.backend_pid)
    }

    async fn lingers(warm: &Pg, backend: u64, cancel: bool) -> Result<Option<ErrorKind>, CollectError> {
        write::lingers(warm, backend, cancel).await
    }

    fn compat(report: &Report, state: &State, out: &mut Sink) {
        put!(out, PG_UP {} = report.up);
        if let Some((version, number)) = state.version() {
            let short_version = format!("{}.{}.0", number / 10_000, number % 10_000);
            let version = format!("PostgreSQL {version}");
            put!(out, STATIC { version, short_version } = 1);
        }
        let mut failed = !report.up;
        for c in &report.collectors {
            let collector = c.name;
            if matches!(c.status, Status::NotHere | Status::Pending) {
                continue;
            }
            failed |= c.status.reason().is_some();
            put!(out, COLLECTOR_SUCCESS { collector } = c.status.reason().is_none());
            put!(out, COLLECTOR_DURATION { collector } = c.duration);
        }
        put!(out, LAST_SCRAPE_ERROR {} = failed);
        put!(out, LAST_SCRAPE_DURATION {} = report.duration);
    }
}
