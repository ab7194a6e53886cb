//! The tcp prober: connects, then leads a dialogue of lines.

use std::sync::Arc;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::Shown;
use sage_common::prober::Outcome;
use sage_common::put;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Host;

use super::{Ask, reason};
use crate::config::tcp::{Step, TcpConfig};
use crate::config::types::Pattern;
use crate::connection::{self, Phase, Route, Secure, Seen, Stream};
use crate::metrics::FAILED_DUE_TO_REGEX;

/// Longest line, in bytes.
const MAX_LINE: usize = 64 << 10;
/// Most bytes read in one probe.
const MAX_READ: usize = 1 << 20;

/// Reads `host:port`.
fn parse(target: &str) -> Result<(Host, u16), String> {
    let wrong = || "the target is not HOST:PORT: write target=example.com:5432".to_owned();
    let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
    let host = Host::parse(host).map_err(|_| wrong())?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    Ok((host, port))
}

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    parse(target).map(drop)
}

#[derive(Debug, Default)]
struct Facts {
    seen: Seen,
    answered: bool,
    failed_by_regex: bool,
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = TcpConfig::default();
    let tcp = ask.module.tcp.as_ref().unwrap_or(&default);
    let mut facts = Facts::default();
    let ended = ask.deadline.run(talk(ask.target, tcp, &mut facts)).await;
    let ended = ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()));
    facts.seen.clock.stop();
    facts.seen.write(ask.out);
    put!(ask.out, FAILED_DUE_TO_REGEX {} = facts.failed_by_regex);
    Outcome { answered: facts.answered, success: ended.is_ok(), error: ended.err() }
}

async fn talk(target: &str, tcp: &TcpConfig, facts: &mut Facts) -> Result<(), CollectError> {
    let (host, port) = parse(target).map_err(|text| CollectError::new(ErrorKind::Internal, text))?;
    let needs_tls = tcp.tls || tcp.query_response.iter().any(|step| step.starttls);
    // Files are read before the clock runs and before the target waits for us.
    let mut secure = needs_tls.then(|| secure(tcp, connection::bare(&host))).transpose()?;
    let route = Route { preferred: tcp.preferred_ip_protocol, fallback: tcp.ip_protocol_fallback, source: tcp.source_ip_address };
    let mut stream: Box<dyn Stream> = Box::new(connection::open(&host, port, route, &mut facts.seen).await?);
    facts.answered = true;
    if tcp.tls
        && let Some(secure) = secure.take()
    {
        stream = secure.start(stream, &mut facts.seen).await?;
    }
    let mut dialogue = Dialogue::new(stream);
    for step in &tcp.query_response {
        facts.seen.clock.enter(Phase::Transfer);
        dialogue.step(step, &mut facts.failed_by_regex).await?;
        if step.starttls
            && let Some(secure) = secure.take()
        {
            dialogue = dialogue.start_tls(secure, &mut facts.seen).await?;
        }
    }
    Ok(())
}

fn secure(tcp: &TcpConfig, host: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Shown::default());
    Ok(Secure {
        config: tcp.tls_config.client(&[], true, &shown)?,
        shown,
        name: tcp.tls_config.server_name.clone().unwrap_or(host),
        checked: !tcp.tls_config.insecure_skip_verify,
    })
}

/// A connection on which lines are read and written.
struct Dialogue {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    total: usize,
}

impl Dialogue {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new(), total: 0 }
    }

    async fn step(&mut self, step: &Step, waiting: &mut bool) -> Result<(), CollectError> {
        let mut send = step.send.as_ref().map(|text| text.clone().into_bytes());
        if let Some(pattern) = &step.expect {
            // If time runs out from here on, it was the expression that nothing matched.
            *waiting = true;
            self.expect(pattern, &mut send).await?;
            *waiting = false;
        }
        if let Some(mut line) = send {
            line.push(b'\n');
            self.stream.write_all(&line).await.map_err(|e| CollectError::io("send a line", e))?;
            self.stream.flush().await.map_err(|e| CollectError::io("send a line", e))?;
        }
        Ok(())
    }

    /// Reads lines until one matches, and puts its groups into what is sent next.
    async fn expect(&mut self, pattern: &Pattern, send: &mut Option<Vec<u8>>) -> Result<(), CollectError> {
        while let Some(line) = self.line().await? {
            let Some(groups) = pattern.0.captures(&line) else { continue };
            if let Some(template) = send {
                let mut filled = Vec::new();
                groups.expand(template, &mut filled);
                *template = filled;
            }
            return Ok(());
        }
        let text = format!("the target hung up before a line matched {:?}", pattern.0.as_str());
        Err(CollectError::new(reason::REGEX, text))
    }

    /// The next line without its end; none when the target hung up.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, CollectError> {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.unread.len() > MAX_LINE || self.total > MAX_READ {
                let text = format!("the target sent a line of more than {MAX_LINE} bytes, or more than {MAX_READ} bytes that do not match");
                return Err(CollectError::new(ErrorKind::Limit, text));
            }
            let got = self.stream.read_buf(&mut self.unread).await.map_err(|e| CollectError::io("read a line", e))?;
            self.total += got;
            if got == 0 {
                let rest = std::mem::take(&mut self.unread);
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
        }
    }

    /// Begins TLS on this connection.
    async fn start_tls(self, secure: Secure, seen: &mut Seen) -> Result<Self, CollectError> {
        if !self.unread.is_empty() {
            // Whoever sits on the line could have put these bytes there, to be taken for the server's own later.
            return Err(CollectError::new(ErrorKind::Decode, "the target went on in plain text where TLS should begin"));
        }
        Ok(Self::new(secure.start(self.stream, seen).await?))
    }
}
