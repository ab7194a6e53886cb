//! Errors of the server, told apart by the code that each of them begins with and never by the text after it.
//!
//! Source: the codes of the error replies in the documentation of Redis and Valkey (commands, ACL, replication, cluster).

use sage_common::codes::{self, Code};
use sage_common::error::{CollectError, ErrorKind};

use crate::resp::Fault;

/// A script or function has been running for longer than busy-reply-threshold, so that nobody else is served.
const BUSY: &str = "busy";
/// Memory is full and the policy evicts nothing.
const OOM: &str = "oom";
/// A replica takes no writes.
const READONLY: &str = "readonly";
/// A replica has lost its primary and may not serve old data.
pub const MASTERDOWN: &str = "masterdown";
/// The last save failed, so that the server takes no writes.
const MISCONF: &str = "misconf";
/// Too few replicas are in step, so that the server takes no writes.
const NOREPLICAS: &str = "noreplicas";
/// The cluster does not serve.
const CLUSTERDOWN: &str = "clusterdown";

/// Reasons that only this product has.
pub const REASONS: &[&str] = &[BUSY, OOM, READONLY, MASTERDOWN, MISCONF, NOREPLICAS, CLUSTERDOWN];

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Its code: the first word, in capitals.
    pub code: String,
    text: String,
}

/// Longest part of an error that reaches log and `check`.
const SHOWN: usize = 200;

impl ServerError {
    /// Reads an error reply.
    pub fn new(reply: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(reply).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let code = text.split(' ').next().unwrap_or_default();
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        Self { code: if is_code { code.to_owned() } else { "ERR".to_owned() }, text }
    }

    fn kind(&self) -> ErrorKind {
        match self.code.as_str() {
            "NOAUTH" | "WRONGPASS" | "DENIED" => ErrorKind::Auth,
            "NOPERM" => ErrorKind::Permission,
            "LOADING" => ErrorKind::Starting,
            "BUSY" => ErrorKind::Product(BUSY),
            "OOM" => ErrorKind::Product(OOM),
            "READONLY" => ErrorKind::Product(READONLY),
            "MASTERDOWN" => ErrorKind::Product(MASTERDOWN),
            "MISCONF" => ErrorKind::Product(MISCONF),
            "NOREPLICAS" => ErrorKind::Product(NOREPLICAS),
            "CLUSTERDOWN" => ErrorKind::Product(CLUSTERDOWN),
            _ => ErrorKind::Query,
        }
    }

    /// What to run or change.
    fn hint(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "NOAUTH" => "the server asks for a password and none is configured: REDIS_PASSWORD_FILE or password_file",
            "WRONGPASS" => "user or password is not the server's: compare the secret file with ACL LIST, or with requirepass",
            "DENIED" => "the server is in protected mode: set a password there, or connect over the loopback address",
            "NOPERM" => "grant the command: ACL SETUSER the monitoring user as in grants/monitor.acl",
            "LOADING" => "the server reads its data from disk: wait, and look at loading_eta_seconds of INFO persistence",
            "BUSY" => {
                "a script or function has been running for long: see SLOWLOG and the application; SCRIPT KILL ends one that has not written"
            }
            "MASTERDOWN" => "the replica has lost its primary: look at master_link_status of INFO replication",
            "MISCONF" => "the last save to disk failed: look at the disk and the server's log",
            "CLUSTERDOWN" => "slots have no primary: see CLUSTER INFO and CLUSTER NODES",
            _ => return None,
        })
    }

    /// The number of a cause that its reason does not tell.
    fn number(&self) -> Option<Code> {
        Some(match self.code.as_str() {
            "NOAUTH" => codes::NO_PASSWORD,
            "WRONGPASS" => codes::WRONG_PASSWORD,
            "DENIED" => codes::CLIENT_REFUSED,
            _ => return None,
        })
    }

    /// The error of a request that was made to do `context`.
    pub fn into_error(self, context: impl Into<String>) -> CollectError {
        let mut error = CollectError::new(self.kind(), context);
        error.hint = self.hint().map(str::to_owned);
        if let Some(number) = self.number() {
            error = error.coded(number);
        }
        error.caused_by(self.text)
    }
}

/// The error of an answer that the reader refuses.
pub fn refused(context: impl Into<String>, fault: Fault) -> CollectError {
    let kind = match fault {
        Fault::Malformed(_) => ErrorKind::Decode,
        Fault::TooLarge(_) => ErrorKind::Limit,
    };
    CollectError::new(kind, context).caused_by(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_reasons() {
        for (reply, want) in [
            ("NOAUTH Authentication required.", "auth"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "auth"),
            ("DENIED Redis is running in protected mode", "auth"),
            ("NOPERM this user has no permissions to run the 'config|get' command", "permission"),
            ("LOADING Redis is loading the dataset in memory", "starting"),
            ("BUSY Redis is busy running a script.", BUSY),
            ("OOM command not allowed when used memory > 'maxmemory'.", OOM),
            ("READONLY You can't write against a read only replica.", READONLY),
            ("MASTERDOWN Link with MASTER is down", MASTERDOWN),
            ("MISCONF Redis is configured to save RDB snapshots", MISCONF),
            ("CLUSTERDOWN The cluster is down", CLUSTERDOWN),
            ("ERR unknown command 'NOAUTH'", "query"),
            ("nothing in capitals", "query"),
            ("", "query"),
        ] {
            let error = ServerError::new(reply.as_bytes()).into_error("ask");
            assert_eq!(error.kind.as_str(), want, "{reply}");
        }
        assert_eq!(ServerError::new(b"odd text").code, "ERR");
    }

    #[test]
    fn what_is_shown_of_an_error_is_short_and_one_line() {
        let long = [b"ERR a\r\n\x1b[2J".as_slice(), &b"x".repeat(5000)].concat();
        let text = ServerError::new(&long).into_error("ask").to_string();
        assert!(text.len() < 300 && !text.contains(['\n', '\x1b']), "{text}");
    }
}
