//! The closed set of reasons why a scrape, a collector or a configuration fails.
//!
//! Client libraries' errors are mapped once per exporter, by code, never by message text. The reason is a label value
//! (`sage_error{reason}`); the text goes to the log and to `check`, never into a label.

use std::error::Error;
use std::path::Path;
use std::{fmt, io};

use crate::codes::{self, Code};
use crate::config;

/// Why something failed. The set is closed, so that rules and dashboards can name each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The name has no address.
    Resolve,
    /// Nobody listens there.
    Refused,
    /// The connection could not be made, or broke.
    Connect,
    /// The TLS handshake or the certificate check failed.
    Tls,
    /// The server does not accept our user, password or client address.
    Auth,
    /// The server knows us but does not let us read this.
    Permission,
    /// The server is starting or stopping.
    Starting,
    /// The server has no room for us (connection slots, memory), or our own budget is taken.
    Overloaded,
    /// No answer in time.
    Timeout,
    /// The server refused the request.
    Query,
    /// The answer is not what the protocol or the view promises.
    Decode,
    /// The answer is larger than we take.
    Limit,
    /// A bug of ours.
    Internal,
    /// A reason that only this product has; listed in `Service::REASONS`.
    Product(&'static str),
}

impl ErrorKind {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Starting => "starting",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Query => "query",
            Self::Decode => "decode",
            Self::Limit => "limit",
            Self::Internal => "internal",
            Self::Product(reason) => reason,
        }
    }

    /// True when the connection can no longer be trusted to be in step with the server.
    pub const fn breaks_session(self) -> bool {
        matches!(self, Self::Connect | Self::Refused | Self::Tls | Self::Timeout | Self::Decode | Self::Limit | Self::Internal)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connect or a collector failed: what we were doing, the chain of causes, and what to run.
#[derive(Debug)]
pub struct CollectError {
    /// The reason, as exposed.
    pub kind: ErrorKind,
    /// What we were doing when it failed. Never holds a secret.
    pub context: String,
    /// What the operator can run or change.
    pub hint: Option<String>,
    /// A finer reason of a closed set, where somebody knows it.
    pub detail: Option<&'static str>,
    code: Option<Code>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CollectError {
    /// An error with a reason and what we were doing.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), hint: None, detail: None, code: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to run.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a finer reason.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Gives it the number of its cause, where neither its reason nor what caused it tells.
    #[must_use]
    pub const fn coded(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// The number of its cause.
    pub fn code(&self) -> Code {
        let told = || self.detail.and_then(codes::of_reason).or_else(|| codes::of_causes(self.source()));
        self.code.or_else(told).unwrap_or_else(|| self.kind.code())
    }

    /// What to run: its own hint, or that of its number.
    pub fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or_else(|| self.code().hint)
    }

    /// The same error once more, for another one whom it meets; of its causes the text and the number stay.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { hint: self.hint.clone(), detail: self.detail, code: Some(self.code()), ..Self::new(self.kind, self.to_string()) }
    }

    /// No answer within the time that was left.
    pub fn timeout(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, context)
    }

    /// An input/output error of a connection, with its reason told from the system's error code.
    pub fn io(context: impl Into<String>, error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::ConnectionRefused | Io::NotFound => ErrorKind::Refused,
            Io::TimedOut => ErrorKind::Timeout,
            Io::PermissionDenied => ErrorKind::Permission,
            Io::InvalidData => ErrorKind::Decode,
            _ => ErrorKind::Connect,
        };
        Self::new(kind, context).caused_by(error)
    }
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.context)?;
        let mut cause = self.source.as_deref().map(|e| e as &dyn Error);
        let mut said = self.context.clone();
        while let Some(e) = cause {
            let text = e.to_string();
            // Libraries often repeat their cause in their own text; say each thing once.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = e.source();
        }
        Ok(())
    }
}

impl Error for CollectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

/// A configuration that is refused: where, why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, beginning with file:line:column where that is known.
    pub message: String,
    /// The line to write or to run, where it is known better than by the number.
    pub hint: Option<String>,
    /// Its number.
    pub code: Code,
}

impl Invalid {
    /// A refusal without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: codes::CONFIG }
    }

    /// A file that cannot be read; `what` names it.
    pub fn unreadable(what: impl fmt::Display, file: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::InvalidData => format!("save it as UTF-8: iconv -f LATIN1 -t UTF-8 {}", file.display()),
            _ => format!("the service user must be able to read it: ls -l {}", file.display()),
        };
        Self::new(format!("{what}: {error}")).hint(hint).code(codes::of_file(error))
    }

    /// What to do: its own hint, or that of its number.
    pub fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.code.hint)
    }

    /// Gives it its number.
    #[must_use]
    pub const fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same, with the place in front: `module x`, a file.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.message, self.advice())
    }
}

impl Error for Invalid {}

/// A request that is answered with a status other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// HTTP status code.
    pub status: u16,
    /// What is wrong, for the person who reads it.
    pub error: Invalid,
}

impl HttpError {
    /// 400: the request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Invalid::new(message).code(codes::REQUEST))
    }

    /// 400: the request names a module that is not there.
    pub fn no_module<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known: Vec<&str> = known.map(String::as_str).collect();
        Self::new(400, config::unknown_name(&format!("unknown module {name:?}"), name, &known))
    }

    /// Any other status.
    pub const fn new(status: u16, error: Invalid) -> Self {
        Self { status, error }
    }

    /// The text of the answer.
    pub fn text(&self) -> String {
        match &self.error.hint {
            Some(hint) => format!("{}\nhint: {hint}\n", self.error.message),
            None => format!("{}\n", self.error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_says_each_thing_once() {
        let e = CollectError::io("connect to db:5432", std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(e.kind, ErrorKind::Refused);
        assert_eq!(e.to_string(), "connect to db:5432: connection refused");
        let outer = CollectError::new(ErrorKind::Query, "read x").caused_by(e);
        assert_eq!(outer.to_string(), "read x: connect to db:5432: connection refused");
    }
}
