//! `grants`: prints the SQL of the roles, for the version that the server says or that is given.

use std::time::Duration;

use sage_common::codes;
use sage_common::collector::About;
use sage_common::commands::own::{Failure, Setup, say};
use sage_common::deadline::Deadline;
use sage_common::error::{CollectError, Invalid};
use sage_common::service::Phases;

use crate::commands::maintain::ROLE as MAINTAIN_ROLE;
use crate::grants::{self, Server};
use crate::options::Options;
use crate::service::Postgres;
use crate::session::Pg;

/// What is printed.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Target of the configuration file [default: the first]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Role to make [default: the one that is configured; with --maintain sage_maintain]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Version to write for where the server cannot be asked, such as 13 or 17 [default: 15]
    #[arg(long, value_name = "MAJOR")]
    server_version: Option<u32>,
    /// Print the role of `maintain` instead of the one that scrapes
    #[arg(long)]
    maintain: bool,
    /// Print the table of the write probe and the rights on it, for a role that is there
    #[arg(long, conflicts_with_all = ["maintain", "server_version"])]
    write_probe: bool,
    /// Print what takes the role away again
    #[arg(long, conflicts_with = "write_probe")]
    remove: bool,
}

/// Taken where neither the server nor the operator says.
const DEFAULT_VERSION: u32 = 15;
/// Longest question to the server.
const LIMIT: Duration = Duration::from_secs(5);

/// Prints the SQL.
pub async fn run(args: Args, setup: &Setup<Postgres>) -> Result<(), Failure> {
    let (_, options) = setup.target(args.target.as_deref())?;
    let scraper = options.user.as_str();
    let role = args.role.as_deref().unwrap_or(if args.maintain { MAINTAIN_ROLE } else { scraper });
    if args.maintain && role == scraper {
        let error = Invalid::new(format!("{role} is the role that scrapes; maintenance has one of its own"));
        return Err(error.hint(format!("leave --role out, or write --role {MAINTAIN_ROLE}")).code(codes::FLAG_VALUE).into());
    }
    let database = options.database.as_str();
    if role.is_empty() || format!("{role}{database}").contains(char::is_control) {
        return Err(Invalid::new("the names of role and database must not be empty or hold control characters")
            .code(codes::FLAG_VALUE)
            .into());
    }
    if args.remove {
        say(&grants::remove(role, database, if args.maintain { " --maintain --remove" } else { " --remove" }));
        return Ok(());
    }
    if args.write_probe {
        say(&grants::write_probe(role, database));
        return Ok(());
    }
    let server = match args.server_version {
        Some(major @ 13..=99) => Server::assumed(major * 10_000),
        Some(other) => {
            return Err(Invalid::new(format!("--server-version {other}: PostgreSQL 13 and later are known"))
                .code(codes::FLAG_VALUE)
                .into());
        }
        None => match Deadline::after(LIMIT).run(ask(options)).await.unwrap_or_else(|_| Err(CollectError::timeout("ask the server"))) {
            Ok(server) => server,
            Err(error) => {
                say(&format!("-- The server could not be asked ({}); --server-version says for which one this is.\n", error.kind));
                Server::assumed(DEFAULT_VERSION * 10_000)
            }
        },
    };
    let sql = if args.maintain {
        grants::maintain(role, database, &server)
    } else {
        let entries = setup.modules.iter().flat_map(|module| &module.entries).filter(|entry| entry.enabled);
        let mut collectors: Vec<&About> = entries.map(|entry| entry.about).collect();
        // Several modules: what one of them enables is needed.
        collectors.sort_by_key(|about| about.name);
        collectors.dedup_by_key(|about| about.name);
        let writes = setup.modules.iter().any(|module| module.write_interval.is_some());
        grants::monitor(role, database, &server, &collectors, writes)
    };
    say(&sql);
    Ok(())
}

/// Asks the server, with the role that scrapes.
async fn ask(options: &Options) -> Result<Server, CollectError> {
    const CLOSED: &str = "SELECT datname::text FROM pg_database
        WHERE datallowconn AND NOT datistemplate AND NOT has_database_privilege('public', oid, 'CONNECT') ORDER BY 1 LIMIT 1000";
    const OWNERS: &str = "SELECT d.datname::text, r.rolname::text, r.rolsuper FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
        WHERE d.datallowconn AND NOT d.datistemplate ORDER BY 1 LIMIT 1000";
    let session = Pg::connect(options, &options.database, &mut Phases::default()).await?;
    let closed = session.rows(CLOSED).await?.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    let owners =
        session.rows(OWNERS).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect::<Result<_, CollectError>>()?;
    let server = Server { version: session.facts.version, asked: true, closed, owners };
    session.close().await;
    Ok(server)
}
