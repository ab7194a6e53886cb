//! Recognises a database server by its first answer, without credentials, and ends so that the server takes as little notice
//! as its protocol allows.

pub mod read;
pub mod words;

use std::time::Duration;

use sage_common::error::CollectError;
use sage_common::net::tls::failed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::config::dialogue::Protocol;
use crate::connection::Stream;
use crate::reason::Reason;
use read::{Greeting, MAX_ANSWER, Other, READERS, Read, Trouble};

/// How long a server on a port that tells nothing may take to greet.
const GREETING: Duration = Duration::from_secs(1);
/// How long we wait for a server to take our farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// What comes after the first answer.
enum Then {
    /// Nothing: the protocol has no farewell, or closing is one.
    Close,
    /// These bytes are the farewell.
    Say(&'static [u8]),
    /// A further question for the version, and its reader.
    Ask(&'static [u8], fn(&[u8]) -> Read),
    /// A login that the server refuses: with it the handshake is over.
    Login,
}

/// A protocol: its port, what is said first, and how its answer is read.
struct Entry {
    name: &'static str,
    port: u16,
    hello: &'static [u8],
    read: fn(&[u8]) -> Read,
    then: Then,
}

static ENTRIES: [Entry; 8] = [
    Entry { name: "postgresql", port: 5432, hello: words::POSTGRESQL, read: read::postgresql, then: Then::Close },
    Entry { name: "mysql", port: 3306, hello: b"", read: read::mysql, then: Then::Login },
    Entry { name: "mssql", port: 1433, hello: words::MSSQL, read: read::mssql, then: Then::Close },
    Entry {
        name: "redis",
        port: 6379,
        hello: words::REDIS_PING,
        read: read::redis,
        then: Then::Ask(words::REDIS_HELLO, read::redis_hello),
    },
    Entry { name: "mongodb", port: 27017, hello: words::MONGODB, read: read::mongodb, then: Then::Close },
    Entry { name: "kafka", port: 9092, hello: words::KAFKA, read: read::kafka, then: Then::Close },
    Entry { name: "ldap", port: 389, hello: words::LDAP, read: read::ldap, then: Then::Say(words::LDAP_UNBIND) },
    Entry { name: "amqp", port: 5672, hello: words::AMQP, read: read::amqp, then: Then::Close },
];

/// What was recognised.
#[derive(Debug)]
pub struct Recognised {
    /// Its protocol.
    pub protocol: &'static str,
    /// Its version; empty where it does not say.
    pub version: String,
    /// From our first byte to its last.
    pub took: Duration,
}

/// Which protocol is spoken on a port that is the usual one of a protocol with and without TLS.
fn usual(port: u16) -> Option<&'static Entry> {
    let port = match port {
        636 | 3268 | 3269 => 389,
        5671 => 5672,
        9093 | 9094 => 9092,
        6380 => 6379,
        6432 => 5432,
        other => other,
    };
    ENTRIES.iter().find(|entry| entry.port == port)
}

/// Asks the server at the other end. What it is, is kept also when it takes no clients.
///
/// # Errors
/// `protocol_mismatch`, or why the server takes no clients.
pub async fn recognise(
    wanted: Protocol,
    port: u16,
    stream: &mut Box<dyn Stream>,
    found: &mut Option<Recognised>,
) -> Result<(), CollectError> {
    let started = Instant::now();
    let mut bytes = Vec::with_capacity(4096);
    let entry = match wanted.name() {
        Some(name) => ENTRIES.iter().find(|entry| entry.name == name),
        None => usual(port),
    };
    let Some(entry) = entry else { return unknown(port, stream, started, found).await };
    say(stream, entry.hello).await?;
    let greeting = match answer(stream, entry.read, &mut bytes).await? {
        Ok(greeting) => greeting,
        Err(Other) => {
            let seems = READERS.iter().find(|(_, read)| matches!(read(&bytes), Some(Ok(_))));
            let text = match seems {
                Some((name, _)) => format!("the server speaks {name}, wanted is {}", entry.name),
                None => format!("the server does not speak {}: its answer begins with {:?}", entry.name, begin(&bytes)),
            };
            return Err(Reason::PROTOCOL_MISMATCH.error(text));
        }
    };
    tell(entry.name, greeting, stream, &entry.then, started, found).await
}

/// On a port that tells nothing, only a server that speaks first can be recognised.
async fn unknown(port: u16, stream: &mut Box<dyn Stream>, started: Instant, found: &mut Option<Recognised>) -> Result<(), CollectError> {
    let mut bytes = Vec::with_capacity(4096);
    let greeting = tokio::time::timeout(GREETING, answer(stream, read::mysql, &mut bytes)).await;
    match greeting {
        Ok(Ok(Ok(greeting))) => tell("mysql", greeting, stream, &Then::Login, started, found).await,
        Ok(Err(error)) => Err(error),
        _ => Err(Reason::PROTOCOL_MISMATCH
            .error(format!("port {port} does not tell what is spoken there, and no server of MySQL greets"))
            .hint("name it: `protocol: postgresql`")),
    }
}

async fn tell(
    protocol: &'static str,
    greeting: Greeting,
    stream: &mut Box<dyn Stream>,
    then: &Then,
    started: Instant,
    found: &mut Option<Recognised>,
) -> Result<(), CollectError> {
    let mut now = Recognised { protocol, version: greeting.version, took: started.elapsed() };
    let refused = greeting.trouble.map(|trouble| match trouble {
        Trouble::TooMany => Reason::TOO_MANY_CONNECTIONS.error(format!("{protocol}: all connections of the server are taken")),
        Trouble::Starting => Reason::NOT_READY.error(format!("{protocol}: the server starts, stops or recovers")),
        Trouble::Denied => Reason::HOST_DENIED.error(format!("{protocol}: the server does not let this machine in")),
    });
    if refused.is_none() {
        // What goes wrong in a farewell is no failure of the probe.
        let farewell = async {
            match then {
                Then::Close => {}
                Then::Say(bytes) => say(stream, bytes).await?,
                Then::Ask(bytes, read) => {
                    say(stream, bytes).await?;
                    if let Ok(more) = answer(stream, *read, &mut Vec::with_capacity(4096)).await? {
                        now.version = more.version;
                        now.took = started.elapsed();
                    }
                }
                Then::Login => login(stream).await?,
            }
            stream.shutdown().await.map_err(|e| failed("end the connection", e))
        };
        let _: Result<Result<(), CollectError>, _> = tokio::time::timeout(FAREWELL, farewell).await;
    }
    *found = Some(now);
    refused.map_or(Ok(()), Err)
}

/// Ends MySQL's handshake with the login of a user that there is not. Without it the server counts a handshake that was broken
/// off, and after 100 of them in a row it locks this machine out.
async fn login(stream: &mut Box<dyn Stream>) -> Result<(), CollectError> {
    say(stream, words::MYSQL_LOGIN).await?;
    for _ in 0..2 {
        let head = exact::<4>(stream).await?;
        let [a, b, c, sequence] = head;
        let mut packet = vec![0; usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(0).min(MAX_ANSWER)];
        stream.read_exact(&mut packet).await.map_err(|e| failed("read the answer to the login", e))?;
        match packet.first() {
            // It wants another way of showing a password: the empty one.
            Some(0xfe) => say(stream, &[0, 0, 0, sequence.wrapping_add(1)]).await?,
            // There is such a user after all: a proper farewell.
            Some(0x00) => return say(stream, words::MYSQL_QUIT).await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

async fn exact<const N: usize>(stream: &mut Box<dyn Stream>) -> Result<[u8; N], CollectError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|e| failed("read an answer", e))?;
    Ok(bytes)
}

async fn say(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<(), CollectError> {
    stream.write_all(bytes).await.map_err(|e| failed("send the first bytes", e))?;
    stream.flush().await.map_err(|e| failed("send the first bytes", e))
}

/// Reads until the reader knows. An end of the connection in between is no answer of such a server.
async fn answer(
    stream: &mut Box<dyn Stream>,
    read: fn(&[u8]) -> Read,
    bytes: &mut Vec<u8>,
) -> Result<Result<Greeting, Other>, CollectError> {
    loop {
        if let Some(verdict) = read(bytes) {
            return Ok(verdict);
        }
        let got = stream.read_buf(bytes).await.map_err(|e| failed("read the first answer", e))?;
        if got == 0 || bytes.len() > MAX_ANSWER {
            return Ok(Err(Other));
        }
    }
}

/// The first bytes of an answer for people, printable.
fn begin(bytes: &[u8]) -> String {
    bytes.iter().take(24).map(|b| if matches!(b, b' '..=b'~') { char::from(*b) } else { '.' }).collect()
}
