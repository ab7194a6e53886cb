//! How a Redis or Valkey on this machine is found: its port, its socket, its process, and its answer to PING, which it gives before any
//! login, if only with a refusal.

use sage_common::commands::discover::{GREETING, Traces};
use sage_common::os::listening::{Place, greet};

use crate::options::Options;

/// What it looks like from outside; Sentinels have port 26379.
pub const TRACES: Traces = Traces {
    ports: &[6379, 26_379],
    sockets: &["redis", "valkey"],
    by_socket: false,
    processes: &["redis-server", "valkey-server", "redis-sentinel", "valkey-sentine"],
};

/// How the answer begins: ready, password needed, protected mode, loading, replica without its primary, busy.
const ANSWERS: [&[u8]; 6] = [b"+PONG", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-MASTERDOWN", b"-BUSY"];

/// The target behind `place`, if it is Redis.
pub async fn recognise(place: &Place) -> Option<Options> {
    let answer = greet(place, b"PING\r\n", GREETING).await?;
    if !ANSWERS.iter().any(|begin| answer.starts_with(begin)) {
        return None;
    }
    Some(match place {
        Place::Tcp(at) => Options { host: at.ip().to_string(), port: at.port(), ..Options::default() },
        Place::Socket(path) => Options { host: path.to_str()?.to_owned(), ..Options::default() },
    })
}
