//! The rights that collectors declare, and the SQL that gives a role no more than these.
//!
//! For all versions from 13 on; what differs between them says so. Source: PostgreSQL documentation, predefined roles,
//! GRANT, and VACUUM (who may vacuum what).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sage_common::collector::{About, Grant};

/// Connections that the role may have: two for the exporter (one kept between scrapes, one for the fresh login and the
/// walk over the databases) and as many for `check` and `now` beside it.
pub const CONNECTIONS: usize = 2 * sage_common::targets::budget::CONNECTIONS;

/// Connections of the maintenance role: one that holds the lock of the run, one that works, one that is being closed.
pub const MAINTAIN_CONNECTIONS: usize = 3;

/// From this version on there is a right to vacuum without ownership (pg_maintain).
pub use crate::session::V17;

/// What most collectors need.
pub const MONITOR: Grant = Grant {
    what: "pg_monitor",
    why: "sessions and queries of others, sizes of all databases, all settings, positions of standbys; no table of a user",
    before: u32::MAX,
    optional: false,
};

/// Which log file the server writes at present; from 16 on a part of pg_monitor.
pub const LOG_FILE: Grant = Grant {
    what: "EXECUTE ON FUNCTION pg_catalog.pg_current_logfile(text)",
    why: "which log file is written at present; without it the newest file of log_directory is read",
    before: 160_000,
    optional: true,
};

/// What is known of the server for which the SQL is meant.
#[derive(Debug)]
pub struct Server {
    /// server_version_num.
    pub version: u32,
    /// Whether the server said so itself.
    pub asked: bool,
    /// Databases whose CONNECT was taken from PUBLIC.
    pub closed: Vec<String>,
    /// Databases and their owners, and whether that owner is a superuser.
    pub owners: Vec<(String, String, bool)>,
}

impl Server {
    /// A server of this version that could not be asked.
    pub const fn assumed(version: u32) -> Self {
        Self { version, asked: false, closed: Vec::new(), owners: Vec::new() }
    }

    fn said(&self) -> String {
        let major = self.version / 10_000;
        if self.asked {
            format!("PostgreSQL {major}, as the server says")
        } else {
            format!("PostgreSQL {major} (the server was not asked)")
        }
    }
}

/// How to run what is printed: `arguments` are those of this command.
fn run_line(arguments: &str, database: &str) -> String {
    format!("--   sage-postgres-exporter grants{arguments} | sudo -u postgres psql -X -v ON_ERROR_STOP=1 -d {database}\n")
}

/// The SQL of the write probe's table, for the role `sage`.
const WRITE_PROBE: &str = include_str!("../grants/write-probe.sql");

/// The same for another role and the exporter's own database.
pub fn write_probe(role: &str, database: &str) -> String {
    let quoted = identifier(role);
    let line = run_line(" --write-probe", database);
    let sql = WRITE_PROBE.replace(&run_line(" --write-probe", "postgres"), &line);
    sql.replace(" TO sage;", &format!(" TO {quoted};")).replace("ALTER ROLE sage RESET", &format!("ALTER ROLE {quoted} RESET"))
}

/// The SQL that makes the scrape role, with what `collectors` declare, and with the table of the write probe where that is
/// asked for.
pub fn monitor(role: &str, database: &str, server: &Server, collectors: &[&About], writes: bool) -> String {
    let quoted = identifier(role);
    let mut out = format!(
        "-- The role that sage-postgres-exporter logs in as, for {}. Roles belong to the whole instance:\n\
         -- run it once, on the primary, in the exporter's own database.\n--\n{}\
         --   sudo -u postgres psql -X -c '\\password {role}'      -- asks; the password stands in no file, history or log\n--\n\
         -- A login over the Unix socket with peer authentication needs no password.\n\n",
        server.said(),
        run_line("", database)
    );
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "-- {} connections are all the exporter ever holds; `check` and `now`, run beside it, need as many. A second exporter\n\
         -- with this role needs {} more. The cancel request of the protocol does not count.\n\
         CREATE ROLE {quoted} LOGIN CONNECTION LIMIT {CONNECTIONS}\n    \
         NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\n",
        sage_common::targets::budget::CONNECTIONS,
        sage_common::targets::budget::CONNECTIONS
    );
    let mut wanted: BTreeMap<Grant, Vec<&str>> = BTreeMap::new();
    for about in collectors {
        for grant in about.grants.iter().filter(|grant| server.version < grant.before) {
            wanted.entry(*grant).or_default().push(about.name);
        }
    }
    for (grant, names) in &wanted {
        let (optional, comment) = if grant.optional { (" (optional)", "-- ") } else { ("", "") };
        let _ = write!(out, "-- {}{optional}: {}.\n{comment}GRANT {} TO {quoted};\n\n", names.join(", "), grant.why, grant.what);
    }
    if !server.closed.is_empty() {
        out.push_str("-- These databases let not everybody in; those without this line are left out by collectors that visit databases.\n");
        for database in &server.closed {
            let _ = writeln!(out, "GRANT CONNECT ON DATABASE {} TO {quoted};", identifier(database));
        }
        out.push('\n');
    }
    if writes {
        out.push_str(&write_probe(role, database));
        return out;
    }
    let _ = write!(
        out,
        "-- The exporter makes its own sessions read-only; this says the same where it cannot be forgotten.\n\
         ALTER ROLE {quoted} SET default_transaction_read_only = on;\n"
    );
    out
}

/// The SQL that makes the role of `maintain`.
pub fn maintain(role: &str, database: &str, server: &Server) -> String {
    let quoted = identifier(role);
    let mut out = format!(
        "-- The role of `sage-postgres-exporter maintain`, for {}. It is not the role that scrapes.\n--\n{}\
         --   sudo -u postgres psql -X -c '\\password {role}'\n\n\
         -- One connection holds the lock of the run, one works, one may still be closing.\n\
         CREATE ROLE {quoted} LOGIN CONNECTION LIMIT {MAINTAIN_CONNECTIONS}\n    \
         NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\n",
        server.said(),
        run_line(" --maintain", database)
    );
    if server.version >= V17 {
        let _ = write!(
            out,
            "-- VACUUM, ANALYZE, REINDEX, CLUSTER and LOCK TABLE on every table, and no right to read or change a row.\n\
             -- Narrower: GRANT MAINTAIN ON TABLE ... TO {quoted}, table by table.\nGRANT pg_maintain TO {quoted};\n\n"
        );
    } else {
        out.push_str(
            "-- Before PostgreSQL 17 there is no right to vacuum: the owner of a table, the owner of the database (all its tables)\n\
             -- and superusers may. So the role must be a member of an owner, and can then read, change and drop what that one owns.\n\
             -- That is much; keep its password apart, or let it log in over the Unix socket only. Tables it may not vacuum are\n\
             -- reported as failed (42501), never left out in silence.\n",
        );
        for (database, owner, superuser) in &server.owners {
            let _ = if *superuser {
                let (database, owner) = (remark(database), remark(owner));
                // A member of a superuser may become one with SET ROLE.
                writeln!(
                    out,
                    "-- Database {database} belongs to the superuser {owner}: a member of that one is a superuser. Give the database an owner\n\
                     -- that is none (ALTER DATABASE {database} OWNER TO ...), or grant the owners of its tables:\n\
                     --   SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema');"
                )
            } else {
                writeln!(out, "-- the owner of database {}:\nGRANT {} TO {quoted};", remark(database), identifier(owner))
            };
        }
        if server.owners.is_empty() {
            let _ =
                writeln!(out, "-- GRANT the_owner_of_the_tables TO {quoted};   -- once for each; the server was not asked who they are");
        }
        out.push('\n');
    }
    if !server.closed.is_empty() {
        for database in &server.closed {
            let _ = writeln!(out, "GRANT CONNECT ON DATABASE {} TO {quoted};", identifier(database));
        }
        out.push('\n');
    }
    let _ = write!(
        out,
        "-- VACUUM and ANALYZE run in read-only sessions too; rows cannot be changed by accident.\n\
         ALTER ROLE {quoted} SET default_transaction_read_only = on;\n"
    );
    out
}

/// The SQL that takes a role away again.
pub fn remove(role: &str, database: &str, arguments: &str) -> String {
    let quoted = identifier(role);
    format!(
        "-- Takes the role away. Stop what logs in with it first: a role that is logged in cannot be dropped cleanly.\n--\n{}--\n\
         -- DROP OWNED takes back what was granted in this database and on databases; it would also drop what the role owns here,\n\
         -- which is nothing unless somebody gave it something. Where rights were granted in other databases, run it there too.\n\
         DROP OWNED BY {quoted};\nDROP ROLE {quoted};\n",
        run_line(arguments, database)
    )
}

/// A name as it may stand in a comment: a line break in it would end the comment, and what follows would be run.
fn remark(name: &str) -> String {
    identifier(name).replace(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'), "?")
}

/// An SQL identifier, quoted where it must be.
pub fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Words that are no role's or database's name without quotes, of those that somebody might take for one.
const RESERVED: [&str; 12] =
    ["all", "analyse", "analyze", "current_role", "current_user", "default", "none", "public", "session_user", "table", "user", "order"];

#[cfg(test)]
mod tests {
    use sage_common::collector::Table as _;

    use super::*;
    use crate::collectors::Collectors;

    fn all() -> Vec<&'static About> {
        Collectors::ABOUT.iter().collect()
    }

    #[test]
    fn the_sql_follows_from_the_collectors() {
        let sql = monitor("sage", "postgres", &Server::assumed(150_000), &all(), false);
        assert!(sql.contains("CREATE ROLE sage LOGIN CONNECTION LIMIT 4\n"), "{sql}");
        assert!(sql.contains("\nGRANT pg_monitor TO sage;\n"), "{sql}");
        assert!(sql.contains("\n-- GRANT EXECUTE ON FUNCTION pg_catalog.pg_current_logfile(text) TO sage;\n"), "{sql}");
        let sql = monitor("sage", "postgres", &Server::assumed(160_000), &all(), false);
        assert!(!sql.contains("pg_current_logfile"), "{sql}");
        let none: Vec<&About> = all().into_iter().filter(|about| about.grants.is_empty()).collect();
        assert!(!none.is_empty());
        let sql = monitor("sage", "postgres", &Server::assumed(150_000), &none, false);
        assert!(!sql.contains("\nGRANT"), "{sql}");
    }

    #[test]
    fn the_write_probe_has_its_table_only_where_it_is_asked_for() {
        let sql = monitor("Own", "postgres", &Server::assumed(150_000), &all(), true);
        assert!(sql.contains("GRANT SELECT (id), UPDATE (written) ON sage.write_probe TO \"Own\";"), "{sql}");
        assert!(
            sql.contains("ALTER ROLE \"Own\" RESET default_transaction_read_only;")
                && !sql.contains("SET default_transaction_read_only = on")
        );
        assert!(!sql.contains("TO sage;") && !sql.contains("ROLE sage "), "{sql}");
        assert_eq!(write_probe("sage", "postgres"), WRITE_PROBE);
        let elsewhere = write_probe("sage", "own");
        assert!(elsewhere.contains("grants --write-probe | sudo -u postgres psql -X -v ON_ERROR_STOP=1 -d own\n"), "{elsewhere}");
        assert!(!monitor("sage", "postgres", &Server::assumed(150_000), &all(), false).contains("write_probe"));
    }

    #[test]
    fn no_name_ends_a_comment() {
        let evil = "x\nDROP TABLE t; --".to_owned();
        for superuser in [true, false] {
            let owners = vec![(evil.clone(), "o".to_owned(), superuser)];
            let sql = maintain("m", "postgres", &Server { asked: true, owners, ..Server::assumed(150_000) });
            assert!(!sql.lines().any(|line| line.starts_with("DROP")), "{sql}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, want) in
            [("sage", "sage"), ("Sage", "\"Sage\""), ("a\"b", "\"a\"\"b\""), ("user", "\"user\""), ("", "\"\""), ("1a", "\"1a\"")]
        {
            assert_eq!(identifier(name), want);
        }
    }

    #[test]
    fn maintenance_is_a_right_from_17_on_and_ownership_before() {
        let sql = maintain("m", "postgres", &Server::assumed(170_000));
        assert!(sql.contains("\nGRANT pg_maintain TO m;\n"), "{sql}");
        let owners = vec![("shop".to_owned(), "shop_owner".to_owned(), false), ("postgres".to_owned(), "postgres".to_owned(), true)];
        let sql = maintain("m", "postgres", &Server { asked: true, owners, ..Server::assumed(150_000) });
        assert!(sql.contains("\nGRANT shop_owner TO m;\n") && !sql.contains("GRANT postgres") && !sql.contains("pg_maintain"), "{sql}");
    }
}
