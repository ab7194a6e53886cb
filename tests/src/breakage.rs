//! What `make demo BREAK=...` breaks: in PostgreSQL a lock that is not let go, connections until hardly one is left, a standby
//! cut off from its primary; in Redis memory until writes fail, places until clients are turned away, the primary of a
//! replica; of a site its page at NGINX, the workers of Apache. Each lasts until it is dropped, and names the alert that must tell of it.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::drill::Lowered;
use crate::servers::apache::Apache;
use crate::servers::nginx::{Nginx, NginxOptions};
use crate::servers::postgres::{Postgres, Session};
use crate::servers::redis::Redis;

/// A fault that the demo can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// A session locks a table of the load and leaves it so.
    Lock,
    /// Sessions are opened until more than 95 % of the places are taken.
    Connections,
    /// The standby no longer reaches its primary.
    Replication,
    /// Redis is filled until it refuses writes.
    Memory,
    /// Clients take all places of Redis, and more come.
    Rejected,
    /// The primary of a Redis replica is stopped.
    ReplicationRedis,
    /// NGINX answers its page with an error.
    Site,
    /// Clients that begin a request and do not end it hold all workers of Apache.
    Workers,
}

/// What there is to be broken.
#[derive(Clone, Copy, Debug)]
pub struct Servers<'a> {
    /// The PostgreSQL primary.
    pub primary: &'a Postgres,
    /// Its standby, where there is one.
    pub standby: Option<&'a Postgres>,
    /// Redis.
    pub redis: &'a Redis,
    /// NGINX, and what it was started with.
    pub nginx: (&'a Nginx, &'a NginxOptions),
    /// Apache.
    pub apache: &'a Apache,
}

/// All of them by the name that is asked for.
const NAMES: [(&str, Breakage); 8] = [
    ("lock", Breakage::Lock),
    ("connections", Breakage::Connections),
    ("replication", Breakage::Replication),
    ("memory", Breakage::Memory),
    ("rejected", Breakage::Rejected),
    ("replication-redis", Breakage::ReplicationRedis),
    ("site", Breakage::Site),
    ("workers", Breakage::Workers),
];

/// Clients that come again and again; ended when dropped.
#[derive(Debug)]
struct Crowd {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Holds `held` connections on which this was said, and tries `more` five times a second; those that the server ends are
    /// opened again.
    fn start(address: SocketAddr, held: usize, more: usize, said: &'static [u8]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut crowd: Vec<TcpStream> = Vec::new();
            let come = |_| {
                let mut stream = TcpStream::connect(address).ok()?;
                stream.write_all(said).and_then(|()| stream.set_nonblocking(true)).ok()?;
                Some(stream)
            };
            while !seen.load(Ordering::Relaxed) {
                crowd.retain(|stream| stream.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
                crowd.truncate(held);
                crowd.extend((0..held + more - crowd.len()).filter_map(come));
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// What keeps a fault going; it ends with this.
#[derive(Debug)]
pub struct Broken {
    _sessions: Vec<Session>,
    _crowd: Option<Crowd>,
}

impl Breakage {
    /// The fault of this name; no name is no fault.
    ///
    /// # Errors
    /// Another name; the text lists those that there are.
    pub fn named(name: &str) -> Result<Option<Self>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        let found = NAMES.iter().find(|(known, _)| *known == name);
        let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
        found.map(|(_, breakage)| Some(*breakage)).ok_or_else(|| format!("BREAK={name}: there are {}", known.join(", ")))
    }

    /// What is done, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Lock => "a session locks the table that the load writes to, and does not let go",
            Self::Connections => "an application opens connections until hardly one is left",
            Self::Replication => "the standby no longer reaches its primary",
            Self::Memory => "Redis is full, evicts nothing, and refuses what is written",
            Self::Rejected => "clients take all places of Redis, and more come",
            Self::ReplicationRedis => "the primary of a Redis replica is stopped, and nobody takes its place",
            Self::Site => "the site at NGINX answers with 503",
            Self::Workers => "clients that begin a request and do not end it hold all workers of Apache",
        }
    }

    /// The alert that must fire, and the host it is about.
    pub fn alert(self) -> (&'static str, &'static str) {
        match self {
            Self::Lock => ("PostgresSessionsBlocked", "db01"),
            Self::Connections => ("PostgresConnectionsFull", "db01"),
            Self::Replication => ("PostgresReplicationBroken", "db02"),
            Self::Memory => ("RedisWriteFailing", "cache01"),
            Self::Rejected => ("RedisConnectionsRejected", "cache01"),
            Self::ReplicationRedis => ("RedisNoPrimary", "cache02"),
            Self::Site => ("HttpProbeFailing", "web01"),
            Self::Workers => ("ApacheWorkersExhausted", "web03"),
        }
    }

    /// Limits of the demo: a minute of waiting is much when one sits before it.
    pub fn limits(self) -> &'static [Lowered] {
        match self {
            Self::Lock => &[("PostgresSessionsBlocked", "db01", 5.0)],
            _ => &[],
        }
    }

    /// Settings of the primary: few connections, so that they are soon taken.
    pub fn settings(self) -> Vec<String> {
        if self == Self::Connections { vec!["max_connections = 40".to_owned()] } else { Vec::new() }
    }

    /// Settings of Redis: little memory and few places.
    pub fn redis_settings(self) -> Vec<String> {
        match self {
            Self::Memory => vec!["maxmemory 20mb".to_owned()],
            Self::Rejected => vec!["maxclients 20".to_owned()],
            _ => Vec::new(),
        }
    }

    /// Begins it.
    ///
    /// # Panics
    /// When a server refuses, or without a standby to cut off.
    pub fn begin(self, servers: Servers<'_>) -> Broken {
        let Servers { primary, standby, redis, nginx: (nginx, options), apache } = servers;
        let mut sessions = Vec::new();
        let mut crowd = None;
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
            Self::Memory => {
                let fill = r#"for i=1,220 do redis.call("set","session:"..i,string.rep("x",100000)) end"#;
                let _ = redis.cli(&["eval", fill, "0"]).expect("Redis answers");
            }
            // The exporter keeps one place and takes a second one for its logins.
            Self::Rejected => crowd = Some(Crowd::start(redis.address(), 17, 6, b"")),
            Self::ReplicationRedis => {
                let _ = redis.cli(&["shutdown", "nosave"]);
            }
            // Not the status page, by which the exporter sees the server.
            Self::Site => {
                nginx.configure(&NginxOptions { server: "if ($uri = /) { return 503; }".to_owned(), ..options.clone() });
                nginx.reload();
            }
            // One of ten is left for the exporter.
            Self::Workers => crowd = Some(Crowd::start(apache.address(), 9, 0, b"GET / HTTP/1.1\r\nHost: shop.example\r\n")),
        }
        Broken { _sessions: sessions, _crowd: crowd }
    }
}

#[cfg(test)]
mod tests {
    use super::Breakage;

    #[test]
    fn names_are_known_or_listed() {
        assert_eq!(Breakage::named(""), Ok(None));
        assert_eq!(Breakage::named("lock"), Ok(Some(Breakage::Lock)));
        assert!(Breakage::named("disk").unwrap_err().contains("lock, connections, replication, memory, "));
        assert_eq!(Breakage::named("replication-redis"), Ok(Some(Breakage::ReplicationRedis)));
    }
}
