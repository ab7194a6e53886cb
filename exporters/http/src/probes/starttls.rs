//! The ways to TLS of mail, file, directory and database servers, up to the byte before the handshake.

use sage_common::error::CollectError;

use super::dialogue::Dialogue;
use super::protocol::{read, words};
use crate::config::dialogue::StartTls;
use crate::reason::Reason;

/// Most lines of one answer.
const MAX_LINES: usize = 100;

/// Asks for TLS.
///
/// # Errors
/// `starttls_refused` when the server has none, `protocol` when it speaks another language.
pub async fn ask(way: StartTls, on: &mut Dialogue) -> Result<(), CollectError> {
    match way {
        StartTls::Smtp => {
            coded(on, "220").await?;
            on.send(b"EHLO sage-probe.invalid\r\n").await?;
            let said = coded(on, "250").await?;
            if !said.iter().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case(b"STARTTLS"))) {
                on.send(b"QUIT\r\n").await?;
                return Err(refused("the server does not offer STARTTLS"));
            }
            on.send(b"STARTTLS\r\n").await?;
            coded(on, "220").await.map(drop)
        }
        StartTls::Ftp => {
            coded(on, "220").await?;
            on.send(b"AUTH TLS\r\n").await?;
            coded(on, "234").await.map(drop)
        }
        StartTls::Imap => {
            starts(on, b"* OK").await?;
            on.send(b"a STARTTLS\r\n").await?;
            for _ in 0..MAX_LINES {
                let line = line(on).await?;
                if line.starts_with(b"a ") {
                    return if line.starts_with(b"a OK") { Ok(()) } else { Err(refused("the server does not take STARTTLS")) };
                }
            }
            Err(foreign())
        }
        StartTls::Pop3 => {
            starts(on, b"+OK").await?;
            on.send(b"STLS\r\n").await?;
            if line(on).await?.starts_with(b"+OK") { Ok(()) } else { Err(refused("the server does not take STLS")) }
        }
        StartTls::Ldap => ldap(on).await,
        StartTls::Postgres => {
            on.send(words::POSTGRESQL_TLS).await?;
            match on.bytes(1).await?.first() {
                Some(b'S') => Ok(()),
                Some(b'N') => Err(refused("the server has no TLS: see its setting ssl")),
                _ => Err(foreign()),
            }
        }
        StartTls::Mysql => mysql(on).await,
    }
}

fn refused(text: &str) -> CollectError {
    Reason::STARTTLS_REFUSED.error(text)
}

fn foreign() -> CollectError {
    Reason::PROTOCOL_MISMATCH.error("the server does not speak the protocol of `starttls`")
}

async fn line(on: &mut Dialogue) -> Result<Vec<u8>, CollectError> {
    on.line().await?.ok_or_else(|| Reason::CONNECTION_LOST.error("the server hung up where TLS was asked for"))
}

async fn starts(on: &mut Dialogue, wanted: &[u8]) -> Result<(), CollectError> {
    if line(on).await?.starts_with(wanted) { Ok(()) } else { Err(foreign()) }
}

/// An answer with a code, of one or more lines: `250-more` and at last `250 end`.
async fn coded(on: &mut Dialogue, code: &str) -> Result<Vec<Vec<u8>>, CollectError> {
    let mut lines = Vec::new();
    while lines.len() < MAX_LINES {
        let line = line(on).await?;
        let (given, last) = (line.get(..3), line.get(3) != Some(&b'-'));
        if given != Some(code.as_bytes()) {
            let digits = given.is_some_and(|g| g.iter().all(u8::is_ascii_digit));
            return Err(if digits { refused("the server refuses: its answer has another code") } else { foreign() });
        }
        lines.push(line);
        if last {
            return Ok(lines);
        }
    }
    Err(foreign())
}

/// An extended response with result code 0.
async fn ldap(on: &mut Dialogue) -> Result<(), CollectError> {
    on.send(words::LDAP_TLS).await?;
    let head = on.bytes(2).await?;
    let [0x30, length @ 0..=0x84] = *head.as_slice() else { return Err(foreign()) };
    let length = if length < 0x80 {
        usize::from(length)
    } else {
        let size = on.bytes(usize::from(length - 0x80)).await?;
        size.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    if length > read::MAX_ANSWER {
        return Err(foreign());
    }
    let message = on.bytes(length).await?;
    match read::ldap_result(&message) {
        Some(0) => Ok(()),
        Some(code) => Err(refused(&format!("the server does not take StartTLS: result code {code}"))),
        None => Err(foreign()),
    }
}

async fn mysql(on: &mut Dialogue) -> Result<(), CollectError> {
    let head = on.bytes(4).await?;
    let [low, high, 0, 0] = *head.as_slice() else { return Err(foreign()) };
    let body = on.bytes(usize::from(u16::from_le_bytes([low, high])).min(4096)).await?;
    let greeting = [head, body].concat();
    match read::mysql(&greeting) {
        Some(Ok(_)) if read::mysql_has_tls(&greeting) => on.send(words::MYSQL_TLS).await,
        Some(Ok(_)) => Err(refused("the server has no TLS")),
        _ => Err(foreign()),
    }
}
