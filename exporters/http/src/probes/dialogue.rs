//! Dialogues over a connection, for the tcp and unix probers: TLS, recognition of the server, lines that are expected and
//! sent.

use sage_common::desc::Kind;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::failed;
use sage_common::put;
use sage_common::sink::Sink;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::protocol::{self, Recognised};
use super::{reason, starttls};
use crate::config::dialogue::{Script, Step};
use crate::config::types::Pattern;
use crate::connection::{Phase, Secure, Seen, Stream};
use crate::metrics::{EXPECT_INFO, FAILED_DUE_TO_BYTES, FAILED_DUE_TO_REGEX, TCP_HANDSHAKE, TCP_PROTOCOL};
use crate::reason::Reason;

/// Longest line, in bytes.
const MAX_LINE: usize = 64 << 10;
/// Most bytes read in one probe.
const MAX_READ: usize = 1 << 20;
/// Longest value of a label that is made from an answer, in characters.
const MAX_VALUE: usize = 128;

/// What a dialogue showed; it outlives the probe's time.
#[derive(Debug, Default)]
pub struct Shown {
    failed_by_regex: bool,
    failed_by_bytes: bool,
    labels: Vec<(String, String)>,
    recognised: Option<Recognised>,
}

impl Shown {
    /// Writes it.
    pub fn write(&self, script: &Script<'_>, out: &mut Sink) {
        put!(out, FAILED_DUE_TO_REGEX {} = self.failed_by_regex);
        if script.steps.iter().any(|step| step.expect_bytes.is_some()) {
            put!(out, FAILED_DUE_TO_BYTES {} = self.failed_by_bytes);
        }
        if let Some(server) = &self.recognised {
            put!(out, TCP_PROTOCOL { protocol: server.protocol, version: server.version } = 1);
            put!(out, TCP_HANDSHAKE {} = server.took);
        }
        let names: Vec<&str> = self.labels.iter().map(|(name, _)| name.as_str()).collect();
        if !names.is_empty()
            && let Ok(mut family) = out.labelled(EXPECT_INFO.info().name, Kind::Gauge, EXPECT_INFO.info().help, &names)
        {
            let values: Vec<&dyn std::fmt::Display> = self.labels.iter().map(|(_, value)| value as &dyn std::fmt::Display).collect();
            family.put_with(&values, 1);
        }
    }
}

/// Leads it on a connection to `port`, 0 where there is none.
///
/// # Errors
/// Why it did not come to its end.
pub async fn lead(
    script: &Script<'_>,
    mut stream: Box<dyn Stream>,
    port: u16,
    mut secure: Option<Secure>,
    seen: &mut Seen,
    shown: &mut Shown,
) -> Result<(), CollectError> {
    if let Some(way) = script.starttls {
        seen.clock.enter(Phase::Processing);
        let mut dialogue = Dialogue::new(stream);
        starttls::ask(way, &mut dialogue).await?;
        dialogue.nothing_waits()?;
        stream = dialogue.stream;
    }
    if (script.tls || script.starttls.is_some())
        && let Some(secure) = secure.take()
    {
        stream = secure.start(stream, seen).await?;
    }
    if let Some(protocol) = script.protocol {
        seen.clock.enter(Phase::Processing);
        return protocol::recognise(protocol, port, &mut stream, &mut shown.recognised).await;
    }
    let mut dialogue = Dialogue::new(stream);
    for step in script.steps {
        seen.clock.enter(Phase::Transfer);
        dialogue.step(step, shown).await?;
        if step.starttls
            && let Some(secure) = secure.take()
        {
            dialogue.nothing_waits()?;
            dialogue = Dialogue::new(secure.start(dialogue.stream, seen).await?);
        }
    }
    Ok(())
}

/// A connection on which lines are read and written.
pub struct Dialogue {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    total: usize,
}

impl Dialogue {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new(), total: 0 }
    }

    async fn step(&mut self, step: &Step, shown: &mut Shown) -> Result<(), CollectError> {
        let mut send = step.send.as_ref().map(|text| text.clone().into_bytes());
        if let Some(pattern) = &step.expect {
            // If time runs out from here on, it was the expression that nothing matched.
            shown.failed_by_regex = true;
            self.expect(pattern, step, &mut send, &mut shown.labels).await?;
            shown.failed_by_regex = false;
        }
        if let Some(wanted) = &step.expect_bytes {
            shown.failed_by_bytes = true;
            if self.bytes(wanted.len()).await? != wanted.as_bytes() {
                return Err(CollectError::new(reason::REGEX, "the bytes that came are not those of expect_bytes"));
            }
            shown.failed_by_bytes = false;
        }
        if let Some(mut line) = send {
            line.push(b'\n');
            self.send(&line).await?;
        }
        Ok(())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), CollectError> {
        self.stream.write_all(bytes).await.map_err(|e| failed("send a line", e))?;
        self.stream.flush().await.map_err(|e| failed("send a line", e))
    }

    /// Reads lines until one matches, and puts its groups into what is sent next and into the labels.
    async fn expect(
        &mut self,
        pattern: &Pattern,
        step: &Step,
        send: &mut Option<Vec<u8>>,
        labels: &mut Vec<(String, String)>,
    ) -> Result<(), CollectError> {
        while let Some(line) = self.line().await? {
            let Some(groups) = pattern.0.captures(&line) else { continue };
            let fill = |template: &[u8]| {
                let mut filled = Vec::new();
                groups.expand(template, &mut filled);
                filled
            };
            if let Some(template) = send {
                *template = fill(template);
            }
            labels.extend(step.labels.iter().map(|label| (label.name.clone(), short(&fill(label.value.as_bytes())))));
            return Ok(());
        }
        let text = format!("the target hung up before a line matched {:?}", pattern.0.as_str());
        Err(CollectError::new(reason::REGEX, text))
    }

    /// The next line without its end; none when the target hung up.
    ///
    /// # Errors
    /// The connection's; `Limit` for lines without end.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, CollectError> {
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
            if !self.more().await? {
                let rest = std::mem::take(&mut self.unread);
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
        }
    }

    /// The next bytes, as many as asked for; fewer when the target hung up.
    ///
    /// # Errors
    /// The connection's.
    pub async fn bytes(&mut self, count: usize) -> Result<Vec<u8>, CollectError> {
        while self.unread.len() < count {
            if !self.more().await? {
                break;
            }
        }
        Ok(self.unread.drain(..count.min(self.unread.len())).collect())
    }

    /// Reads what comes; false when the target hung up.
    async fn more(&mut self) -> Result<bool, CollectError> {
        let got = self.stream.read_buf(&mut self.unread).await.map_err(|e| failed("read a line", e))?;
        self.total += got;
        Ok(got > 0)
    }

    /// Refuses bytes that came before TLS begins: whoever sits on the line could have put them there, to be taken for the
    /// server's own later.
    fn nothing_waits(&self) -> Result<(), CollectError> {
        if self.unread.is_empty() {
            return Ok(());
        }
        Err(Reason::PROTOCOL.error("the target went on in plain text where TLS should begin"))
    }
}

/// What of an answer may stand in a label.
fn short(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(MAX_VALUE).collect()
}
