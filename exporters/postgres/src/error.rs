//! Errors of the server and the client library, told apart by SQLSTATE and never by message text.
//!
//! Source: PostgreSQL documentation, appendix A (error codes).

use std::error::Error as _;

use sage_common::codes::{self, Code};
use sage_common::error::{CollectError, ErrorKind};
use tokio_postgres::error::SqlState;

/// The database that was asked for does not exist.
pub const NO_DATABASE: &str = "no_database";
/// The server takes no writes.
pub const READ_ONLY: &str = "read_only";
/// No space is left on the server's disk.
pub const DISK_FULL: &str = "disk_full";
/// A commit waits for a synchronous standby that does not answer.
pub const SYNC_STANDBY: &str = "sync_standby";

/// What an SQLSTATE means to us.
fn kind_of(code: &SqlState) -> ErrorKind {
    match code.code() {
        "3D000" => ErrorKind::Product(NO_DATABASE),
        "25006" => ErrorKind::Product(READ_ONLY),
        "53100" => ErrorKind::Product(DISK_FULL),
        "42501" => ErrorKind::Permission,
        // cannot_connect_now, admin_shutdown, crash_shutdown
        "57P03" | "57P01" | "57P02" => ErrorKind::Starting,
        // query_canceled (statement_timeout), lock_not_available (lock_timeout), idle session and transaction timeouts
        "57014" | "55P03" | "57P05" | "25P03" | "25P04" => ErrorKind::Timeout,
        other => match other.get(..2) {
            Some("28") => ErrorKind::Auth,
            Some("08") => ErrorKind::Connect,
            Some("53") => ErrorKind::Overloaded,
            _ => ErrorKind::Query,
        },
    }
}

/// The number of a cause that its reason does not tell.
fn number_of(code: &SqlState) -> Option<Code> {
    Some(match code.code() {
        "28P01" => codes::WRONG_PASSWORD,
        "28000" => codes::CLIENT_REFUSED,
        "53300" => codes::SERVER_FULL,
        _ => return None,
    })
}

/// What to run or change, by SQLSTATE.
fn hint_of(code: &SqlState) -> Option<&'static str> {
    Some(match code.code() {
        "28P01" => "the password is not the one of this role: compare the secret file with ALTER ROLE ... PASSWORD",
        "28000" => "the role may not log in from here: look at pg_hba.conf and ALTER ROLE ... LOGIN",
        "3D000" => "connect to a database that exists: set `database` (usually postgres)",
        "42501" => "GRANT pg_monitor TO the monitoring role",
        "53300" => "all connection slots are taken: see pg_stat_activity for who holds them; max_connections needs a restart",
        "25006" => "the server takes no writes: see default_transaction_read_only, and why it was set",
        "53100" => "no space is left where the server writes: free or add some; look at its log for the file",
        "57P03" => "the server is starting up or in recovery: wait, and look at its log",
        "55P03" => "somebody holds an exclusive lock on what this collector reads: see pg_locks",
        _ => return None,
    })
}

/// An error of the client library, met while doing `context`.
pub fn convert(context: impl Into<String>, error: tokio_postgres::Error) -> CollectError {
    let context = context.into();
    if let Some(code) = error.code() {
        let mut converted = CollectError::new(kind_of(code), context);
        converted.hint = hint_of(code).map(str::to_owned);
        if let Some(number) = number_of(code) {
            converted = converted.coded(number);
        }
        return converted.caused_by(error);
    }
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let kind = match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => ErrorKind::Decode,
        Some(_) => ErrorKind::Connect,
        None if error.is_closed() => ErrorKind::Connect,
        None => ErrorKind::Decode,
    };
    CollectError::new(kind, context).caused_by(error)
}

/// True when what was asked for is not there: no such schema, table or column.
pub fn is_missing(error: &CollectError) -> bool {
    let code = error.source().and_then(|cause| cause.downcast_ref::<tokio_postgres::Error>()).and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| matches!(code.code(), "3F000" | "42P01" | "42703"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_reasons() {
        for (code, want) in [
            ("28P01", "auth"),
            ("28000", "auth"),
            ("3D000", NO_DATABASE),
            ("42501", "permission"),
            ("53300", "overloaded"),
            ("53200", "overloaded"),
            ("53100", DISK_FULL),
            ("25006", READ_ONLY),
            ("57P03", "starting"),
            ("57014", "timeout"),
            ("55P03", "timeout"),
            ("08006", "connect"),
            ("42P01", "query"),
        ] {
            assert_eq!(kind_of(&SqlState::from_code(code)).as_str(), want, "{code}");
        }
    }

    #[test]
    fn what_an_operator_can_mend_has_a_hint() {
        for code in ["28P01", "28000", "3D000", "42501", "53100", "25006", "53300"] {
            assert!(hint_of(&SqlState::from_code(code)).is_some(), "{code}");
        }
    }
}
