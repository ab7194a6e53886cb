//! A session with the server: login, requests one after the other, and the INFO that the collectors of one scrape share.
//!
//! Redis has no time limit that a client could set for a request, so none of ours is one that can take long. A request
//! that is cut off leaves the session out of step, and it is not used again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sage_common::codes;
use sage_common::collector::Support;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls;
use sage_common::service::Phases;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::capabilities;
use crate::error::{MASTERDOWN, ServerError, refused};
use crate::info::Info;
use crate::options::{CLIENT_NAME, Options};
use crate::resp::{Reader, Value, request};
use crate::state::{Capability, State};
use crate::wire::{self, Stream};

/// Time for the server to take back a closed session.
const ENDING: Duration = Duration::from_millis(500);
/// Bytes read at once.
const READ: usize = 16 * 1024;

/// What the server answered to one request.
pub type Reply = Result<Value, ServerError>;

/// An open, authenticated session.
pub struct Redis {
    line: tokio::sync::Mutex<Line>,
    out_of_step: AtomicBool,
    info: Mutex<Option<Arc<Info>>>,
    user: String,
    /// The database that keys are asked in.
    database: AtomicU32,
    /// What outlives the session.
    pub state: Arc<State>,
}

/// The stream with what was read ahead.
struct Line {
    stream: Box<dyn Stream>,
    reader: Reader,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Line {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, reader: Reader::default(), buffer: Vec::new(), from: 0, to: 0 }
    }

    async fn answer(&mut self, context: &str) -> Result<Value, CollectError> {
        loop {
            let (taken, value) =
                self.reader.feed(self.buffer.get(self.from..self.to).unwrap_or_default()).map_err(|e| refused(context, e))?;
            self.from += taken;
            if let Some(value) = value {
                return Ok(value);
            }
            self.buffer.resize(READ, 0);
            let read = self.stream.read(&mut self.buffer).await.map_err(|e| tls::failed(context, e))?;
            if read == 0 {
                return Err(CollectError::new(ErrorKind::Connect, format!("{context}: the server hung up")).coded(codes::LOST));
            }
            (self.from, self.to) = (0, read);
        }
    }

    /// Sends requests together and reads their answers.
    async fn exchange(&mut self, context: &str, requests: &[Vec<&[u8]>]) -> Result<Vec<Reply>, CollectError> {
        let mut bytes = Vec::new();
        for arguments in requests {
            request(&mut bytes, arguments);
        }
        let written = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        // A server that turns us away at the door has said why before it closed.
        let written = written.await.map_err(|e| tls::failed(context, e));
        let mut replies = Vec::with_capacity(requests.len());
        for _ in requests {
            let value = match self.answer(context).await {
                Err(e) if e.kind == ErrorKind::Connect => return Err(written.err().unwrap_or(e)),
                answer => answer?,
            };
            replies.push(match value {
                Value::Error(text) => Err(ServerError::new(&text)),
                value => Ok(value),
            });
        }
        written.map(|()| replies)
    }

    /// HELLO with user, password and our name; where the server has none, AUTH and CLIENT SETNAME.
    async fn log_in(&mut self, user: &str, password: Option<&str>) -> Result<(), CollectError> {
        let context = format!("log in as {user}");
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = password {
            hello.extend([b"AUTH".as_slice(), user.as_bytes(), password.as_bytes()]);
        }
        hello.extend([b"SETNAME".as_slice(), CLIENT_NAME.as_bytes()]);
        let refusal = match self.exchange(&context, &[hello]).await?.pop() {
            Some(Err(error)) => error,
            Some(Ok(Value::List(_))) => return Ok(()),
            _ => return Err(CollectError::new(ErrorKind::Decode, "the answer to HELLO is not Redis'")),
        };
        if !matches!(refusal.code.as_str(), "ERR" | "NOPROTO") {
            return Err(refusal.into_error(context));
        }
        // Older than 6, or a proxy; before 6 there are no users.
        let auth: Vec<&[u8]> = match password {
            Some(password) if user == DEFAULT_USER => vec![b"AUTH", password.as_bytes()],
            Some(password) => vec![b"AUTH", user.as_bytes(), password.as_bytes()],
            None => vec![b"PING"],
        };
        let name: Vec<&[u8]> = vec![b"CLIENT", b"SETNAME", CLIENT_NAME.as_bytes()];
        match self.exchange(&context, &[auth, name]).await {
            Ok(mut replies) => match replies.drain(..).next() {
                Some(Err(error)) => Err(error.into_error(context)),
                _ => Ok(()),
            },
            // An error without a code, and then the end: it has no room for another client.
            Err(e) if e.kind == ErrorKind::Connect => {
                let mut error = refusal.into_error(context);
                error.kind = ErrorKind::Overloaded;
                Err(error
                    .hint("the server turned the connection away: see maxclients in CONFIG and connected_clients in INFO")
                    .coded(codes::SERVER_FULL))
            }
            Err(e) => Err(e),
        }
    }
}

/// The user of those who name none.
const DEFAULT_USER: &str = "default";

impl Redis {
    /// Connects, logs in and asks the trivial request.
    ///
    /// # Errors
    /// The phase that failed, and why.
    pub async fn connect(options: &Options, state: Arc<State>, phases: &mut Phases) -> Result<Self, CollectError> {
        let user = options.user.clone().unwrap_or_else(|| DEFAULT_USER.to_owned());
        let password = options.read_password()?;
        // A user without a password logs in with any.
        let password = password.or_else(|| options.user.as_ref().map(|_| String::new()));
        let mut line = Line::new(wire::open(options, phases).await?);
        line.log_in(&user, password.as_deref()).await?;
        phases.end("login");
        let session = Self {
            line: line.into(),
            out_of_step: AtomicBool::new(false),
            info: Mutex::default(),
            user,
            database: AtomicU32::new(0),
            state,
        };
        match session.ping().await {
            // While it loads its data, or has lost its primary, a server still says so in INFO, and how far it is.
            Err(error) if matches!(error.kind, ErrorKind::Starting | ErrorKind::Product(MASTERDOWN)) => phases.refuse(error.kind),
            answer => {
                answer?;
                phases.end("request");
                capabilities::probe(&session).await?;
            }
        }
        Ok(session)
    }

    /// Sends requests together and reads their answers.
    ///
    /// # Errors
    /// The line broke; an error of the server is its reply.
    pub async fn exchange(&self, context: &str, requests: &[Vec<&[u8]>]) -> Result<Vec<Reply>, CollectError> {
        let mut line = self.line.lock().await;
        // Whoever drops this future in the middle, or meets an error, leaves the mark.
        self.out_of_step.store(true, Ordering::Relaxed);
        let replies = line.exchange(context, requests).await?;
        self.out_of_step.store(false, Ordering::Relaxed);
        Ok(replies)
    }

    /// The trivial round trip. What was read before it is old now.
    ///
    /// # Errors
    /// The server did not answer, or with an error.
    pub async fn request(&self) -> Result<(), CollectError> {
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.ping().await?;
        capabilities::probe(self).await
    }

    async fn ping(&self) -> Result<(), CollectError> {
        match self.exchange("PING", &[vec![b"PING"]]).await?.pop() {
            Some(Ok(Value::Text(_))) => Ok(()),
            // A server that cannot save says so at PING as well, and serves all who read: the write probe tells of it.
            Some(Err(error)) if error.code == "MISCONF" => Ok(()),
            Some(Err(error)) => Err(error.into_error("PING")),
            _ => Err(CollectError::new(ErrorKind::Decode, "the answer to PING is not Redis'")),
        }
    }

    /// Runs `command`, named as ACLs name it (`config|get`), with these words. `None` where the server does not have it.
    ///
    /// # Errors
    /// `Permission` with what to grant, or as the server or the line says.
    pub async fn command(&self, command: &'static str, words: &[&[u8]]) -> Result<Option<Value>, CollectError> {
        match self.may(command, "") {
            Support::NotHere(_) => return Ok(None),
            Support::Denied(_) => return Err(self.denied(CollectError::new(ErrorKind::Permission, command), command)),
            Support::Yes => {}
        }
        let reply = self.exchange(command, &[words.to_vec()]).await?.pop();
        match reply {
            Some(Ok(value)) => {
                self.state.note(command, Capability::Allowed);
                Ok(Some(value))
            }
            Some(Err(error)) if error.code == "ERR" && !self.has(command).await? => {
                self.state.note(command, Capability::Missing);
                Ok(None)
            }
            Some(Err(error)) => Err(self.refused(command, error)),
            None => Err(CollectError::new(ErrorKind::Internal, command)),
        }
    }

    /// The error of a command that the server did not run, with what to grant where the user may not.
    pub fn refused(&self, command: &'static str, error: ServerError) -> CollectError {
        if error.code != "NOPERM" {
            return error.into_error(command);
        }
        self.state.note(command, Capability::Denied);
        self.denied(error.into_error(command), command)
    }

    fn denied(&self, error: CollectError, command: &str) -> CollectError {
        error.hint(format!("ACL SETUSER {} +{command}", self.user))
    }

    /// The user we are.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Asks for keys in this database from now on.
    ///
    /// # Errors
    /// There is no such database, or as `command`.
    pub async fn select(&self, database: u32) -> Result<(), CollectError> {
        if self.database.load(Ordering::Relaxed) != database {
            self.command("select", &[b"SELECT", database.to_string().as_bytes()]).await?;
            self.database.store(database, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the server has a command of this name. A server that does not say, and has refused it, has not.
    async fn has(&self, command: &str) -> Result<bool, CollectError> {
        let asked = self.exchange("command|info", &[vec![b"COMMAND", b"INFO", command.as_bytes()]]).await?.pop();
        Ok(asked.and_then(Result::ok).is_some_and(|found| found.list().iter().any(|entry| !entry.list().is_empty())))
    }

    /// Whether a collector that lives on `command` can run.
    pub fn may(&self, command: &'static str, grant: &'static str) -> Support {
        self.state.may(command, grant)
    }

    /// INFO with all sections, read once between two trivial requests.
    ///
    /// # Errors
    /// As `command`; `Query` where the server has no INFO.
    pub async fn info(&self) -> Result<Arc<Info>, CollectError> {
        let known = self.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(info) = known {
            return Ok(info);
        }
        let answer = self.command("info", &[b"INFO", b"ALL"]).await?;
        let Some(Value::Text(text)) = answer else {
            return Err(CollectError::new(ErrorKind::Query, "the server has no INFO").hint("it may have been renamed: see rename-command"));
        };
        let text = String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        let info = Arc::new(Info::parse(text));
        self.state.learn(&info);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&info));
        Ok(info)
    }

    /// Gives back what was read for the scrape that has ended: between two scrapes a session is a socket and little else.
    pub async fn rest(&self) {
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut line = self.line.lock().await;
        if line.from == line.to {
            (line.buffer, line.from, line.to) = (Vec::new(), 0, 0);
        }
    }

    /// True while the session can take another request.
    pub fn usable(&self) -> bool {
        !self.out_of_step.load(Ordering::Relaxed)
    }

    /// Ends the session and waits until the server has let go of it.
    pub async fn close(self) {
        let mut line = self.line.into_inner();
        let end = async {
            line.stream.shutdown().await?;
            line.buffer.resize(READ, 0);
            while line.stream.read(&mut line.buffer).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        // Either way the stream's drop is the end of it.
        let _ = tokio::time::timeout(ENDING, end).await;
    }
}
