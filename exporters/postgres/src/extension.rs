//! An extension in the database of a session: its version and its schema.
//!
//! From pg_extension. An extension's functions exist only in the databases where it was created, under any schema.

use sage_common::error::{CollectError, ErrorKind};

use crate::session::Pg;

const SQL: &str = "
SELECT e.extversion, quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE') FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = $1";

/// An extension as it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its version, such as (1, 10).
    pub version: (u32, u32),
    /// Its schema, quoted where it must be.
    pub schema: String,
}

impl Extension {
    /// The extension `name` of the session's database, if it is installed there.
    ///
    /// # Errors
    /// The server's; `Permission` when the role may not enter the extension's schema.
    pub async fn find(session: &Pg, name: &str) -> Result<Option<Self>, CollectError> {
        let rows = session.rows_with(SQL, &[&name]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let schema: String = row.get(1)?;
        if !row.get::<bool>(2)? {
            return Err(CollectError::new(ErrorKind::Permission, format!("call the functions of {name} in schema {schema}"))
                .hint(format!("GRANT USAGE ON SCHEMA {schema} TO the monitoring role")));
        }
        Ok(Some(Self { version: version_of(row.get(0)?), schema }))
    }
}

fn version_of(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version_of("1.10") > version_of("1.9"));
        assert_eq!(["1.8", "2", "odd"].map(version_of), [(1, 8), (2, 0), (0, 0)]);
    }
}
