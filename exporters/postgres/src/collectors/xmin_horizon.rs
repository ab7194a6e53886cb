//! Who keeps VACUUM from removing dead rows, and by how many transactions.
//!
//! From the functions below pg_stat_activity, pg_prepared_xacts, pg_replication_slots and pg_stat_replication (backend_xid,
//! backend_xmin, xmin, catalog_xmin), whose ids everybody may see; all versions. Our own session and vacuums, which hold
//! back nobody, do not count.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::Pg;

sage_common::metrics! {
    /// Transactions since the oldest one that VACUUM must still respect, by who holds it: running transactions, prepared
    /// ones, replication slots, standbys without a slot (hot_standby_feedback); 0 when none does (age of xid and xmin).
    AGE: Gauge "pg_xmin_horizon_age_xids" [holder];
}

/// A transaction holds by its own id or by the oldest one that its snapshot may still see, whichever is older. A WAL sender
/// has no transaction of its own but stands for a standby's.
const SQL: &str = "
SELECT coalesce(max(greatest(age(backend_xid), age(backend_xmin)))
           FILTER (WHERE backend_type IS DISTINCT FROM 'walsender'
                   AND pid NOT IN (SELECT pid FROM pg_stat_get_progress_info('VACUUM'))), 0)::int8,
       coalesce(max(age(backend_xmin)) FILTER (WHERE backend_type = 'walsender'), 0)::int8,
       (SELECT coalesce(max(age(transaction)), 0)::int8 FROM pg_prepared_xact()),
       (SELECT coalesce(max(greatest(age(xmin), age(catalog_xmin))), 0)::int8 FROM pg_get_replication_slots())
FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid()";

/// See the file.
pub struct XminHorizon;

impl Collector for XminHorizon {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Who holds VACUUM back (pg_stat_activity, pg_prepared_xacts, pg_replication_slots).";
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let row = session.one(SQL).await?;
        for (holder, column) in [("transaction", 0), ("standby", 1), ("prepared", 2), ("slot", 3)] {
            put!(out, AGE { holder } = row.get::<i64>(column)?);
        }
        Ok(())
    }
}
