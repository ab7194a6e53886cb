//! Custom queries of a file, in every database.
//!
//! Where that is asked for (`custom_queries_everywhere`, --auto-discover-databases): the queries that are not `master`,
//! database by database on the timer. Where no column is called datname, a label of that name tells the rows apart.

use sage_common::collector::{Collector, Scope, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::scrape::report::note;
use sage_common::sink::Sink;
use tokio::time::Instant;

use super::custom_queries::{CustomOptions, Failures, SUCCESS};
use crate::session::Pg;

/// See the file.
pub struct CustomQueriesEach(CustomOptions);

impl Collector for CustomQueriesEach {
    type Session = Pg;
    type Options = CustomOptions;
    const HELP: &'static str = "The custom queries that are not `master`, in every database where that is asked for.";
    const SCOPE: Scope = Scope::Database;
    const METRICS: &'static [Info] = &[];

    fn new(options: CustomOptions) -> Self {
        Self(options)
    }

    fn supports(&self, session: &Pg) -> Support {
        match &session.queries {
            Some(queries) if queries.everywhere => Support::Yes,
            _ => Support::NotHere(
                "custom queries in every database are not asked for (custom_queries_everywhere, --auto-discover-databases)",
            ),
        }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let Some(queries) = &session.queries else { return Ok(()) };
        let (end, datname) = (Instant::now() + session.told(), session.database.as_str());
        let mut failures = Failures::default();
        for query in queries.in_each(session.facts.version) {
            let name = query.name.as_str();
            match self.0.run(session, query, end, Some(datname)).await {
                Ok(sink) => out.absorb(&sink),
                Err(error) if !session.usable() => return Err(error),
                Err(error) => {
                    put!(out, SUCCESS { datname, query: name } = 0);
                    failures.add(name, error.kind, &note(&error));
                }
            }
        }
        failures.tell(out);
        Ok(())
    }
}
