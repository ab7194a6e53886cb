//! What `check` warns of: a scrape role that can do more than it needs.
//!
//! From pg_roles, pg_auth_members (by pg_has_role), pg_shdepend (what the role owns in all databases) and the right to
//! create in schema public of the exporter's database. All versions, readable by everybody.

use sage_common::commands::check::Advice;
use sage_common::error::CollectError;

use crate::grants::{CONNECTIONS, identifier};
use crate::session::Pg;

const SQL: &str = "
SELECT r.rolname::text, current_database()::text, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls, r.rolconnlimit,
  (SELECT coalesce(bool_or(has_schema_privilege(n.oid, 'CREATE')), false) FROM pg_namespace n WHERE n.nspname = 'public'),
  (SELECT count(*) FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'o' AND d.classid = 'pg_class'::regclass),
  ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE g.oid <> r.oid AND pg_has_role(g.oid, 'MEMBER') AND (g.rolsuper OR g.rolname IN
    ('pg_write_all_data', 'pg_read_all_data', 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files', 'pg_maintain', 'pg_checkpoint',
     'pg_signal_backend', 'pg_create_subscription')) ORDER BY 1), r.oid = 10
FROM pg_roles r WHERE r.rolname = current_user";

/// Warnings about the role of this session.
///
/// # Errors
/// The server's.
pub async fn of_role(session: &Pg) -> Result<Vec<Advice>, CollectError> {
    let row = session.one(SQL).await?;
    let mut out = Vec::new();
    let name: String = row.get(0)?;
    let role = identifier(&name);
    let mut warn = |found: String, hint: String| out.push(Advice { about: "role".to_owned(), found: format!("{name} {found}"), hint });
    let superuser: bool = row.get(2)?;
    if row.get(11)? {
        // The cluster's first superuser cannot and must not become less.
        let hint = "let the exporter log in with a role of its own: sage-postgres-exporter grants --role sage".to_owned();
        warn("is the superuser of this server".to_owned(), hint);
        return Ok(out);
    }
    let attributes = [
        (2, "is superuser", "NOSUPERUSER"),
        (3, "can create roles", "NOCREATEROLE"),
        (4, "can create databases", "NOCREATEDB"),
        (5, "can replicate, which is to copy the whole instance", "NOREPLICATION"),
        (6, "passes row level security", "NOBYPASSRLS"),
    ];
    for (column, found, without) in attributes {
        if row.get::<bool>(column)? {
            warn(found.to_owned(), format!("ALTER ROLE {role} {without}"));
        }
    }
    if row.get::<i32>(7)? < 0 {
        warn("has no connection limit".to_owned(), format!("ALTER ROLE {role} CONNECTION LIMIT {CONNECTIONS}"));
    }
    // A superuser may do and is everything: the rest would only repeat that.
    if !superuser {
        for group in row.get::<Vec<String>>(10)? {
            warn(format!("is a member of {group}"), format!("REVOKE {} FROM {role}", identifier(&group)));
        }
        if row.get::<bool>(8)? {
            let database = identifier(row.get(1)?);
            warn(
                format!("can create tables in schema public of database {database}"),
                format!(
                    "in that database: REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role}; applications that make tables there need a grant of their own"
                ),
            );
        }
    }
    let owned: i64 = row.get(9)?;
    if owned > 0 {
        warn(format!("owns {owned} tables, indexes or the like"), format!("in their databases: REASSIGN OWNED BY {role} TO another role"));
    }
    Ok(out)
}
