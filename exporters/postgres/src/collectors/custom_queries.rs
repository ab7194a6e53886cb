//! Custom queries of a file, in the target's own database.
//!
//! All versions; each query reads what the role may read, in a transaction that cannot write. One that fails, is late or
//! cannot be used costs the others nothing: it is told by name, and the collector counts as failed with what the others
//! read. With `cache_seconds` a result is shown again until it is that old.

use std::time::Duration;

use sage_common::collector::{Collector, Support};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::put;
use sage_common::scrape::report::note;
use sage_common::sink::Sink;
use tokio::time::Instant;

use crate::custom::{Entry, Last, QUERY_FILE, Queries, Query, run};
use crate::session::Pg;

sage_common::metrics! {
    /// 1 when the custom query's last run in this database ended well, else 0. In every database but the target's own only what failed has a series.
    SUCCESS: Gauge "pg_custom_query_success" [datname, query];
    /// Time that the custom query's last run took, in seconds.
    DURATION: Gauge "pg_custom_query_duration_seconds" [datname, query];
    /// Age of the custom query's result, in seconds; only where the file lets it be shown again (cache_seconds).
    AGE: Gauge "pg_custom_query_age_seconds" [datname, query];
}

sage_common::options! {
    /// Options of the `custom_queries` collectors.
    pub struct CustomOptions {
        /// Longest run of one query.
        pub query_timeout: Span = Span(Duration::from_secs(1)),
        /// Most series of one query.
        pub max_series: u16 = 1000,
    }
}

/// A query is not started with less time than this.
const SHORTEST: Duration = Duration::from_millis(20);

/// See the file.
pub struct CustomQueries(pub(super) CustomOptions);

/// What went wrong with some of the queries.
#[derive(Default)]
pub(super) struct Failures(Vec<(ErrorKind, String)>);

impl Failures {
    pub(super) fn add(&mut self, query: &str, kind: ErrorKind, text: &str) {
        self.0.push((kind, format!("query {query}: {text}")));
    }

    /// Tells all of them as one.
    pub(super) fn tell(self, out: &mut Sink) {
        let texts: Vec<&str> = self.0.iter().map(|(_, text)| text.as_str()).collect();
        if let Some((kind, _)) = self.0.first() {
            out.flaw(*kind, texts.join("; "));
        }
    }
}

impl CustomOptions {
    /// Runs one query within its time and that of the collector, which ends at `end`.
    pub(super) async fn run(&self, session: &Pg, query: &Query, end: Instant, datname: Option<&str>) -> Result<Sink, CollectError> {
        let time = end.saturating_duration_since(Instant::now()).min(self.query_timeout.0);
        if time < SHORTEST {
            return Err(CollectError::timeout("the time was used up by the queries before"));
        }
        run(session, query, time, self.max_series.into(), datname).await
    }
}

/// The entries of the file that cannot be used.
fn unusable<'a>(queries: &'a Queries, datname: &str, out: &mut Sink, failures: &mut Failures) -> Vec<&'a str> {
    let mut names = Vec::new();
    for entry in &queries.entries {
        if let Entry::Bad(query, error) = entry {
            put!(out, SUCCESS { datname, query } = 0);
            failures.add(query, ErrorKind::Product(QUERY_FILE), &error.to_string().replace('\n', "; "));
            names.push(query.as_str());
        }
    }
    names
}

impl Collector for CustomQueries {
    type Session = Pg;
    type Options = CustomOptions;
    const HELP: &'static str =
        "Custom queries of a file in postgres_exporter's form; their metrics are named NAMESPACE_COLUMN by the file.";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: CustomOptions) -> Self {
        Self(options)
    }

    fn supports(&self, session: &Pg) -> Support {
        match session.queries {
            Some(_) => Support::Yes,
            None => Support::NotHere("no file of queries is given (custom_queries, --extend.query-path)"),
        }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let Some(queries) = &session.queries else { return Ok(()) };
        let (end, datname) = (Instant::now() + session.told(), session.database.as_str());
        let mut failures = Failures::default();
        let bad = unusable(queries, datname, out, &mut failures);
        for query in queries.here(session.facts.version) {
            let last = match queries.kept(query) {
                Some(last) => last,
                None => {
                    let started = Instant::now();
                    let result = self.0.run(session, query, end, None).await;
                    if let Err(error) = &result
                        && !session.usable()
                    {
                        return Err(CollectError::new(error.kind, format!("query {}: {error}", query.name)));
                    }
                    let result = result.map(Into::into).map_err(|error| (error.kind, note(&error)));
                    let last = Last { at: Instant::now(), took: started.elapsed(), result };
                    queries.keep(query, last.clone());
                    last
                }
            };
            let name = query.name.as_str();
            match &last.result {
                Ok(sink) => out.absorb(sink),
                Err((kind, text)) => failures.add(name, *kind, text),
            }
            // Of a name that stands in the file twice the second one is told.
            if !bad.contains(&name) {
                put!(out, SUCCESS { datname, query: name } = last.result.is_ok());
            }
            put!(out, DURATION { datname, query: name } = last.took);
            put!(out, AGE { datname, query: name } = Some(last.at.elapsed()).filter(|_| !query.cache.is_zero()));
        }
        failures.tell(out);
        Ok(())
    }
}
