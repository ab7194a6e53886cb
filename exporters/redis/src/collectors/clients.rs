//! Connections by state and by user.
//!
//! From CLIENT LIST, once a minute over a connection of the timer's: the server writes a line for each client, which takes it
//! one to two microseconds each. Above a limit of clients the list is not asked for. Names and addresses are dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use sage_common::collector::{Collector, Grant, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::options::CLIENT_NAME;
use crate::session::Redis;

sage_common::metrics! {
    /// Connections by state, those of this exporter as state exporter; their sum is the total (CLIENT LIST, every minute).
    CONNECTIONS: Gauge "redis_connections" [state];
    /// Connections by ACL user, those of this exporter left out; user _other is the rest (CLIENT LIST).
    BY_USER: Gauge "redis_user_connections" [user];
    /// Bytes that the buffers of all clients take, by direction (CLIENT LIST, qbuf and omem).
    BUFFERS: Gauge "redis_client_buffer_bytes" [direction];
    /// Bytes that wait for the slowest client (CLIENT LIST, largest omem).
    LARGEST: Gauge "redis_client_largest_output_buffer_bytes" [];
    /// 1 when the list was not asked for because there are more clients than max_clients, else 0.
    SKIPPED: Gauge "redis_client_list_skipped" [];
}

sage_common::options! {
    /// Options of `clients`.
    pub struct Options {
        /// Above this number of clients the list is not asked for.
        pub max_clients: u32 = 5000,
        /// A client is active when its last command is younger than this.
        pub active: sage_common::config::Span = sage_common::config::Span(Duration::from_secs(10)),
        /// Users with series of their own.
        pub top_users: usize = 20,
    }
}

/// See the file.
pub struct Clients {
    options: Options,
}

/// The states; those without a client are 0, so that a panel has a line for each.
const STATES: [&str; 7] = ["active", "blocked", "exporter", "idle", "monitor", "pubsub", "replication"];

/// The value of one field of a client's line. Neither names nor users can hold a blank.
pub fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// The state of a client by its flags and the time since its last command.
pub fn state(line: &str, active: Duration) -> &'static str {
    let flags = field(line, "flags").unwrap_or_default();
    let idle: Option<u64> = field(line, "idle").and_then(|idle| idle.parse().ok());
    match flags {
        _ if field(line, "name") == Some(CLIENT_NAME) => "exporter",
        f if f.contains(['S', 'M']) => "replication",
        f if f.contains('O') => "monitor",
        f if f.contains('b') => "blocked",
        f if f.contains('P') => "pubsub",
        _ if idle.is_some_and(|idle| idle < active.as_secs().max(1)) => "active",
        _ => "idle",
    }
}

impl Collector for Clients {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Connections by state and user (CLIENT LIST).";
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = &[grants::CLIENT_LIST, grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("client|list", "ACL SETUSER the monitoring user +client|list")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        let many = info.number("connected_clients").is_some_and(|n| n > f64::from(self.options.max_clients));
        put!(out, SKIPPED {} = many);
        if many {
            return Ok(());
        }
        let Some(answer) = session.command("client|list", &[b"CLIENT", b"LIST"]).await? else { return Ok(()) };
        let list = answer.text().unwrap_or_default();
        let mut states: BTreeMap<&str, u32> = STATES.iter().map(|state| (*state, 0)).collect();
        let mut users: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut input, mut output, mut largest) = (0.0, 0.0, 0.0_f64);
        for line in list.lines().filter(|line| line.starts_with("id=")) {
            let number = |name| field(line, name).and_then(|n| n.parse().ok()).unwrap_or(0.0);
            let state = state(line, self.options.active.0);
            *states.entry(state).or_default() += 1;
            if let Some(user) = field(line, "user").filter(|_| state != "exporter") {
                *users.entry(user).or_default() += 1;
            }
            input += number("qbuf");
            output += number("omem");
            largest = largest.max(number("omem"));
        }
        for (state, count) in states {
            put!(out, CONNECTIONS { state } = count);
        }
        let mut users: Vec<(&str, u32)> = users.into_iter().collect();
        users.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest = users.split_off(self.options.top_users.min(users.len()));
        if !rest.is_empty() {
            users.push(("_other", rest.iter().map(|(_, count)| count).sum()));
        }
        for (user, count) in users {
            put!(out, BY_USER { user } = count);
        }
        put!(out, BUFFERS { direction: "input" } = input);
        put!(out, BUFFERS { direction: "output" } = output);
        put!(out, LARGEST {} = largest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_flags_and_time() {
        let ten = Duration::from_secs(10);
        for (line, want) in [
            ("id=5 addr=127.0.0.1:45438 name= age=0 idle=0 flags=N db=0", "active"),
            ("id=5 name=app idle=10 flags=N", "idle"),
            ("id=5 name=app idle=99 flags=b", "blocked"),
            ("id=5 name=app idle=0 flags=P", "pubsub"),
            ("id=5 name= idle=0 flags=S", "replication"),
            ("id=5 name= idle=0 flags=M", "replication"),
            ("id=5 name= idle=0 flags=O", "monitor"),
            ("id=5 name=sage-redis-exporter idle=0 flags=N", "exporter"),
            // An older server, a name with an equals sign, a field that is none.
            ("id=5", "idle"),
            ("id=5 name=a=b flags=N idle=x", "idle"),
        ] {
            assert_eq!(state(line, ten), want, "{line}");
        }
        assert_eq!(field("id=5 name=a=b user=x", "name"), Some("a=b"));
    }
}
