//! `discover`: finds servers of the product on this machine by their sockets, ports and processes, asks each for one answer
//! that needs no login, and prints the configuration for those that are what they seem. Nothing is changed.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::codes;
use crate::error::Invalid;
use crate::os::listening::{self, Listener, Place};

/// How servers of a product are recognised from outside.
#[derive(Clone, Copy, Debug)]
pub struct Traces {
    /// The ports that they have unless told otherwise.
    pub ports: &'static [u16],
    /// How the file names of their sockets begin; none: no socket is looked at.
    pub sockets: &'static [&'static str],
    /// Whether a server that listens on both is asked by its socket.
    pub by_socket: bool,
    /// What their processes are called.
    pub processes: &'static [&'static str],
}

/// Longest wait for the answer to a greeting.
pub const GREETING: Duration = Duration::from_secs(1);

impl Traces {
    /// None: there is nothing to look for.
    pub const NONE: Self = Self { ports: &[], sockets: &[], by_socket: false, processes: &[] };

    fn fit(&self, listener: &Listener) -> bool {
        let process = listener.process.as_ref().is_some_and(|(_, name)| self.processes.contains(&name.as_str()));
        match &listener.place {
            Place::Tcp(at) => process || self.ports.contains(&at.port()),
            Place::Socket(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                process && !self.sockets.is_empty() || self.sockets.iter().any(|begin| name.starts_with(begin))
            }
        }
    }

    /// Those who listen and may be servers of this product, in the order in which their places are taken.
    pub fn candidates(&self) -> Vec<Listener> {
        let mut found: Vec<Listener> = listening::all().into_iter().filter(|listener| self.fit(listener)).collect();
        found.sort_by_key(|listener| matches!(listener.place, Place::Socket(_)) != self.by_socket);
        if !listening::SEEN {
            let tried = self.ports.iter().map(|port| Place::Tcp(([127, 0, 0, 1], *port).into()));
            found.extend(tried.map(|place| Listener { place, process: None }));
        }
        found
    }

    /// For an error: what was looked for.
    pub fn nothing(&self, product: &str) -> Invalid {
        if self.ports.is_empty() {
            let text = format!("{product} cannot be told from others by looking at this machine");
            return Invalid::new(text).hint("write the target yourself: see example.yml").code(codes::NOTHING_FOUND);
        }
        let ports = self.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let sockets = if self.sockets.is_empty() { "" } else { ", Unix sockets" };
        Invalid::new(format!("nothing on this machine answers as {product}; looked at: port {ports}{sockets}, processes called {}", self.processes.join(", ")))
            .hint("where it runs elsewhere, write the target yourself: see example.yml; processes of others on other ports are seen by root alone")
            .code(codes::NOTHING_FOUND)
    }
}

/// What tells two places of one server: its process, or its port, which the name of a socket may end with.
#[derive(PartialEq, Eq)]
enum Same {
    Process(i32),
    Port(u16),
}

/// Leaves out further places of a server that was found already.
#[derive(Default)]
pub struct Once(Vec<Same>);

impl Once {
    /// True when the server was not found before.
    pub fn is_new(&mut self, listener: &Listener) -> bool {
        let process = listener.process.as_ref().map(|(pid, _)| Same::Process(*pid));
        let port = listener.place.port().map(Same::Port);
        let known = [&process, &port].into_iter().flatten().any(|same| self.0.contains(same));
        self.0.extend([process, port].into_iter().flatten());
        !known
    }

    /// True when nothing was found at this port before: each port of a server is a target where pages are asked for.
    pub fn is_new_port(&mut self, listener: &Listener) -> bool {
        let Some(port) = listener.place.port().map(Same::Port) else { return true };
        let known = self.0.contains(&port);
        self.0.push(port);
        !known
    }
}

/// The part of `options` that is not the default: what has to stand in a file.
pub fn written<T: Serialize + Default>(options: &T) -> Value {
    let value = |options: &T| serde_json::to_value(options).unwrap_or_default();
    match (value(options), value(&T::default())) {
        (Value::Object(own), Value::Object(default)) => {
            Value::Object(own.into_iter().filter(|(key, value)| default.get(key) != Some(value)).collect())
        }
        (own, _) => own,
    }
}

/// The name of the n-th target, from 0.
pub fn name(n: usize) -> String {
    if n == 0 { "local".to_owned() } else { format!("local{}", n + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACES: Traces = Traces { ports: &[5432], sockets: &[".s.PGSQL."], by_socket: true, processes: &["postgres"] };

    fn at(place: Place, process: Option<(i32, &str)>) -> Listener {
        Listener { place, process: process.map(|(pid, name)| (pid, name.to_owned())) }
    }

    #[test]
    fn a_server_is_known_by_port_socket_or_process() {
        let port = |port| Place::Tcp(([127, 0, 0, 1], port).into());
        assert!(TRACES.fit(&at(port(5432), None)));
        assert!(!TRACES.fit(&at(port(5433), None)));
        assert!(TRACES.fit(&at(port(5433), Some((1, "postgres")))));
        assert!(TRACES.fit(&at(Place::Socket("/tmp/.s.PGSQL.5433".into()), None)));
        assert!(TRACES.fit(&at(Place::Socket("/tmp/x".into()), Some((1, "postgres")))));
        assert!(!TRACES.fit(&at(Place::Socket("/tmp/x".into()), Some((1, "other")))));
        assert!(!Traces { sockets: &[], ..TRACES }.fit(&at(Place::Socket("/tmp/x".into()), Some((1, "postgres")))));
    }

    #[test]
    fn one_server_is_found_once() {
        let mut once = Once::default();
        assert!(once.is_new(&at(Place::Socket("/tmp/.s.PGSQL.1".into()), None)));
        assert!(!once.is_new(&at(Place::Tcp(([127, 0, 0, 1], 1).into()), Some((7, "p")))));
        assert!(!once.is_new(&at(Place::Tcp(([127, 0, 0, 1], 2).into()), Some((7, "p")))));
        assert!(once.is_new(&at(Place::Tcp(([127, 0, 0, 1], 3).into()), Some((8, "p")))));
        let mut once = Once::default();
        assert!(once.is_new_port(&at(Place::Tcp(([127, 0, 0, 1], 1).into()), Some((7, "p")))));
        assert!(once.is_new_port(&at(Place::Tcp(([127, 0, 0, 1], 2).into()), Some((7, "p")))));
        assert!(!once.is_new_port(&at(Place::Tcp(("::1".parse::<std::net::IpAddr>().unwrap(), 2).into()), None)));
    }

    #[test]
    fn what_was_looked_at_is_told() {
        let text = TRACES.nothing("PostgreSQL").message;
        assert_eq!(text, "nothing on this machine answers as PostgreSQL; looked at: port 5432, Unix sockets, processes called postgres");
        assert!(!Traces { sockets: &[], ..TRACES }.nothing("X").message.contains("sockets"));
    }

    #[test]
    fn only_what_differs_is_written() {
        #[derive(Default, Serialize)]
        struct Options {
            host: String,
            port: u16,
        }
        assert_eq!(written(&Options { host: "a".to_owned(), port: 0 }), serde_json::json!({ "host": "a" }));
    }
}
