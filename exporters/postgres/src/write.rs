//! The write probe of PostgreSQL: UPDATE and COMMIT of the one row of sage.write_probe, which `grants --write-probe` makes.
//!
//! A COMMIT that waits for a synchronous standby heeds no statement_timeout, since that is switched off before the wait,
//! and goes on when its client has left, whatever client_connection_check_interval says, since nothing but a cancel is looked
//! at in this wait; the protocol's cancel ends it (the row is then committed on the primary alone).
//! Source: PostgreSQL documentation, synchronous replication; pg_stat_activity.wait_event SyncRep.

use sage_common::error::{CollectError, ErrorKind};
use sage_common::service::Phases;

use crate::error::{READ_ONLY, SYNC_STANDBY, is_missing};
use crate::session::Pg;

/// Where the table comes from.
const NOT_PREPARED: &str = "run as a superuser, in the exporter's own database, what `sage-postgres-exporter grants --write-probe` prints";
/// Cancels commits of this role's exporters that have waited for a standby longer than a living one lets them: its exporter was
/// killed in that moment. Nothing else ends them while the standby is gone, and they hold the lock on the row.
const END_LEFT: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_get_activity(NULL)
    WHERE usesysid = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND application_name = 'sage-postgres-exporter'
    AND wait_event = 'SyncRep' AND state_change < clock_timestamp() - interval '10 s'";
/// For a write that does not end.
pub const LATE_HINT: &str =
    "see what sessions wait for (pg_stat_activity.wait_event); SyncRep: pg_stat_replication says whether the synchronous standby is there";

/// Changes the row and commits it. False on a standby, which takes no writes by its nature.
pub async fn write(session: &Pg, phases: &mut Phases) -> Result<bool, CollectError> {
    if session.is_standby() {
        return Ok(false);
    }
    // Our sessions are read-only by our own word. Back to what the server says, so that a server that takes no writes shows.
    session.execute("RESET default_transaction_read_only").await?;
    let ended = session.execute(END_LEFT).await?;
    if ended > 0 {
        tracing::info!(count = ended, "ended commits that an exporter which was killed had left waiting for a synchronous standby");
    }
    session.execute("BEGIN").await?;
    let changed = match session.execute("UPDATE sage.write_probe SET written = clock_timestamp() WHERE id = 1").await {
        Ok(changed) => changed,
        Err(error) => return Err(explain(session, error).await),
    };
    if changed != 1 {
        return Err(CollectError::new(ErrorKind::Permission, "the row of sage.write_probe is missing").hint(NOT_PREPARED));
    }
    phases.end("update");
    session.execute("COMMIT").await?;
    phases.end("commit");
    Ok(true)
}

/// Tells our own setup from the server's: a table that is not there, and a role that was made read-only.
async fn explain(session: &Pg, error: CollectError) -> CollectError {
    const SOURCE: &str = "SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'";
    if error.kind == ErrorKind::Product(READ_ONLY) {
        let own = async {
            session.execute("ROLLBACK").await?;
            session.one(SOURCE).await?.get::<String>(0)
        };
        // Of the role, or of the role in this database.
        if own.await.is_ok_and(|source| matches!(source.as_str(), "user" | "database user")) {
            return CollectError::new(ErrorKind::Permission, "the role is read-only").hint(NOT_PREPARED).caused_by(error);
        }
        return error;
    }
    if error.kind == ErrorKind::Permission || is_missing(&error) {
        return CollectError::new(ErrorKind::Permission, "sage.write_probe cannot be written").hint(NOT_PREPARED).caused_by(error);
    }
    error
}

/// What a late backend of ours waits for; `None` once it is gone. A role may cancel what its own backends do.
pub async fn lingers(warm: &Pg, backend: u64, cancel: bool) -> Result<Option<ErrorKind>, CollectError> {
    const SQL: &str = "SELECT wait_event, CASE WHEN $2 THEN pg_cancel_backend(pid) END FROM pg_stat_get_activity($1)
        WHERE application_name = 'sage-postgres-exporter' AND pid <> pg_backend_pid()";
    let pid = i32::try_from(backend).map_err(|e| CollectError::new(ErrorKind::Internal, "a process number").caused_by(e))?;
    let rows = warm.rows_with(SQL, &[&pid, &cancel]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(match row.get::<Option<&str>>(0)? {
        Some("SyncRep") => ErrorKind::Product(SYNC_STANDBY),
        _ => ErrorKind::Timeout,
    }))
}
