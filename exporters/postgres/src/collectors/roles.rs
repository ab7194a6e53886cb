//! Roles that may hold only so many connections, and how many they hold.
//!
//! From pg_roles (rolconnlimit) and pg_stat_activity; all versions, readable by everybody. Roles without a limit have no
//! series: -1 would spoil every ratio. The roles nearest to their limit come first.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Connections that the role may hold; absent when it has no limit (pg_roles.rolconnlimit).
    LIMIT: Gauge legacy "pg_roles_connection_limit" [rolname];
    /// Connections that a role with a limit holds (pg_stat_activity).
    HELD: Gauge "pg_role_connections" [rolname];
}

/// Roles with series of their own.
const MOST: usize = 50;

const SQL: &str = "
SELECT r.rolname::text, r.rolconnlimit, coalesce(a.held, 0)
FROM pg_roles r LEFT JOIN (
    SELECT usesysid, count(*) AS held FROM pg_stat_get_activity(NULL)
    WHERE coalesce(backend_type, 'client backend') IN ('client backend', 'walsender') GROUP BY 1
) AS a ON a.usesysid = r.oid
WHERE r.rolconnlimit >= 0 AND r.rolcanlogin ORDER BY coalesce(a.held, 0)::float8 / greatest(r.rolconnlimit, 1) DESC, 1";

/// See the file.
pub struct Roles;

impl Collector for Roles {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Roles with a connection limit, and the connections they hold (pg_roles, pg_stat_activity).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let rows = session.rows(SQL).await?;
        out.drop_series(LIMIT.info().name, rows.len().saturating_sub(MOST) as u64);
        for row in rows.iter().take(MOST) {
            let rolname: &str = row.get(0)?;
            put!(out, LIMIT { rolname } = row.get::<i32>(1)?);
            put!(out, HELD { rolname } = row.get::<i64>(2)?);
        }
        Ok(())
    }
}
