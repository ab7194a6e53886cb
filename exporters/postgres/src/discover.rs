//! How a PostgreSQL on this machine is found: its sockets, its port, its process, and its answer to SSLRequest, the one
//! message that needs no login and leaves no line in the server's log.

use sage_common::commands::discover::{GREETING, Traces};
use sage_common::os::listening::{Place, greet};

use crate::options::Options;

/// What it looks like from outside.
pub const TRACES: Traces = Traces { ports: &[5432], sockets: &[".s.PGSQL."], by_socket: true, processes: &["postgres"] };

/// Length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The target behind `place`, if it is PostgreSQL.
pub async fn recognise(place: &Place) -> Option<Options> {
    let answer = greet(place, &SSL_REQUEST, GREETING).await?;
    if answer != *b"S" && answer != *b"N" {
        return None;
    }
    let (host, port) = match place {
        Place::Socket(path) => (path.parent()?.to_str()?.to_owned(), place.port()?),
        Place::Tcp(at) => (at.ip().to_string(), at.port()),
    };
    Some(Options { host, port, ..Options::default() })
}
