//! What `make demo BREAK=...` breaks: a lock that is not let go, connections until hardly one is left, a standby cut off
//! from its primary. Each lasts until it is dropped, and names the alert that must tell of it.

use crate::drill::Lowered;
use crate::servers::postgres::{Postgres, Session};

/// A fault that the demo can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// A session locks a table of the load and leaves it so.
    Lock,
    /// Sessions are opened until more than 95 % of the places are taken.
    Connections,
    /// The standby no longer reaches its primary.
    Replication,
}

/// What keeps a fault going; it ends with this.
#[derive(Debug)]
pub struct Broken {
    _sessions: Vec<Session>,
}

impl Breakage {
    /// The fault of this name; no name is no fault.
    ///
    /// # Errors
    /// Another name; the text lists those that there are.
    pub fn named(name: &str) -> Result<Option<Self>, String> {
        match name {
            "" => Ok(None),
            "lock" => Ok(Some(Self::Lock)),
            "connections" => Ok(Some(Self::Connections)),
            "replication" => Ok(Some(Self::Replication)),
            other => Err(format!("BREAK={other}: there are lock, connections and replication")),
        }
    }

    /// What is done, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Lock => "a session locks the table that the load writes to, and does not let go",
            Self::Connections => "an application opens connections until hardly one is left",
            Self::Replication => "the standby no longer reaches its primary",
        }
    }

    /// The alert that must fire, and the host it is about.
    pub fn alert(self) -> (&'static str, &'static str) {
        match self {
            Self::Lock => ("PostgresSessionsBlocked", "db01"),
            Self::Connections => ("PostgresConnectionsFull", "db01"),
            Self::Replication => ("PostgresReplicationBroken", "db02"),
        }
    }

    /// Limits of the demo: a minute of waiting is much when one sits before it.
    pub fn limits(self) -> &'static [Lowered] {
        match self {
            Self::Lock => &[("PostgresSessionsBlocked", "db01", 5.0)],
            Self::Connections | Self::Replication => &[],
        }
    }

    /// Settings of the primary: few connections, so that they are soon taken.
    pub fn settings(self) -> Vec<String> {
        if self == Self::Connections { vec!["max_connections = 40".to_owned()] } else { Vec::new() }
    }

    /// Begins it.
    ///
    /// # Panics
    /// When a server refuses, or without a standby to cut off.
    pub fn begin(self, primary: &Postgres, standby: Option<&Postgres>) -> Broken {
        let mut sessions = Vec::new();
        match self {
            Self::Lock => {
                let mut session = primary.session("shop");
                session.query("begin; lock table pgbench_branches in exclusive mode").expect("the table is locked");
                sessions.push(session);
            }
            Self::Connections => {
                let taken = "select count(*) >= 36 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
                while primary.psql(taken).as_deref() != Ok("t") {
                    let mut session = primary.session("shop");
                    session.query("select 1").expect("a place is left");
                    sessions.push(session);
                }
            }
            Self::Replication => {
                let standby = standby.expect("the demo has started one");
                for sql in ["alter system set primary_conninfo = 'host=127.0.0.1 port=1'", "select pg_reload_conf()"] {
                    standby.psql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
                }
            }
        }
        Broken { _sessions: sessions }
    }
}

#[cfg(test)]
mod tests {
    use super::Breakage;

    #[test]
    fn names_are_known_or_listed() {
        assert_eq!(Breakage::named(""), Ok(None));
        assert_eq!(Breakage::named("lock"), Ok(Some(Breakage::Lock)));
        assert!(Breakage::named("disk").unwrap_err().contains("lock, connections and replication"));
    }
}
