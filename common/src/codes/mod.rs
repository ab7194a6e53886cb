//! Numbers of errors, one for each cause: what a person looks up and a runbook names. A number keeps its meaning for ever;
//! the words beside it may change. Table: `table.rs`, from which the page `docs/errors.md` is made.

mod table;

use std::error::Error;
use std::ops::Deref;
use std::{fmt, io};

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};

use crate::error::{ErrorKind, Invalid};
pub use table::*;

/// One number.
#[derive(Clone, Copy)]
pub struct Code(&'static Row);

/// What the table has of it.
pub struct Row {
    /// `SG-` and four digits.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What to run or write, where nobody knows better.
    pub hint: &'static str,
    /// What is usually behind it.
    pub help: &'static str,
    /// The products' own reasons that have this number.
    pub reasons: &'static [&'static str],
}

impl Deref for Code {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.0
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl ErrorKind {
    /// The number of this reason, where nothing closer is known.
    pub fn code(self) -> Code {
        match self {
            Self::Resolve => RESOLVE,
            Self::Refused => REFUSED,
            Self::Connect => CONNECT,
            Self::Tls => TLS,
            Self::Auth => AUTH,
            Self::Permission => PERMISSION,
            Self::Starting => STARTING,
            Self::Overloaded => OVERLOADED,
            Self::Timeout => TIMEOUT,
            Self::Query => QUERY,
            Self::Decode => DECODE,
            Self::Limit => LIMIT,
            Self::Internal => INTERNAL,
            Self::Product(reason) => of_reason(reason).unwrap_or(PRODUCT),
        }
    }
}

/// The number of a product's own reason.
pub fn of_reason(reason: &str) -> Option<Code> {
    ALL.iter().copied().find(|code| code.reasons.contains(&reason))
}

/// The number of this name.
pub fn find(id: &str) -> Option<Code> {
    ALL.iter().copied().find(|code| code.id == id)
}

/// The number of a file that cannot be read.
pub fn of_file(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::NotFound => FILE_MISSING,
        io::ErrorKind::PermissionDenied => FILE_DENIED,
        _ => FILE,
    }
}

/// The number that the causes of an error tell, by their type and code and never by their text: the one place that does, so
/// that hints and the finer reasons of an exporter follow from the number.
pub fn of_causes(first: Option<&(dyn Error + 'static)>) -> Option<Code> {
    std::iter::successors(first, |cause| next(*cause)).find_map(of_cause)
}

fn next<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // What an io::Error carries is not its source but the thing itself.
    let carried = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    carried.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source())
}

fn of_cause(cause: &(dyn Error + 'static)) -> Option<Code> {
    use io::ErrorKind as Io;
    if let Some(tls) = cause.downcast_ref::<Tls>() {
        return of_tls(tls);
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        Io::ConnectionRefused => Some(REFUSED),
        Io::NetworkUnreachable | Io::HostUnreachable | Io::NetworkDown => Some(UNREACHABLE),
        Io::AddrNotAvailable => Some(NOT_OURS),
        Io::TimedOut => Some(CONNECT_TIMEOUT),
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => Some(LOST),
        _ => None,
    }
}

fn of_tls(error: &Tls) -> Option<Code> {
    Some(match error {
        Tls::InvalidCertificate(why) => match why {
            Certificate::Expired | Certificate::ExpiredContext { .. } => TLS_EXPIRED,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => TLS_NOT_YET,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => TLS_NAME,
            _ => TLS_UNTRUSTED,
        },
        Tls::PeerIncompatible(_) => TLS_LEGACY,
        Tls::AlertReceived(alert) => match alert {
            Alert::ProtocolVersion | Alert::InsufficientSecurity | Alert::HandshakeFailure => TLS_LEGACY,
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => TLS_CLIENT,
            _ => return None,
        },
        Tls::InvalidMessage(_) => TLS_NOT_SPOKEN,
        _ => return None,
    })
}

fn part(code: &Code) -> String {
    let reasons: Vec<String> = code.reasons.iter().map(|reason| format!("`{reason}`")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!("\n\nReason in labels: {}.", reasons.join(", ")) };
    let end = if code.hint.ends_with('?') { "" } else { "." };
    format!("## {}\n\n**{}.** {}\n\nWhat to do: {}{end}{reasons}\n\n", code.id, code.title, code.help, code.hint)
}

/// The page of all numbers, or the part of one.
///
/// # Errors
/// There is no such number.
pub fn page(id: Option<&str>) -> Result<String, Invalid> {
    let Some(id) = id else { return Ok(ALL.iter().map(part).collect()) };
    let digits = id.trim_start_matches(|c: char| !c.is_ascii_digit());
    let found = find(&format!("SG-{digits}")).as_ref().map(part);
    found.ok_or_else(|| Invalid::new(format!("no error has the number {id:?}")).code(UNKNOWN_NAME).hint("explain shows all of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_sorted_and_explained() {
        let ids: Vec<&str> = ALL.iter().map(|code| code.id).collect();
        assert!(ids.iter().all(|id| id.len() == 7 && id.starts_with("SG-") && id[3..].bytes().all(|b| b.is_ascii_digit())), "{ids:?}");
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let mut reasons: Vec<_> = ALL.iter().flat_map(|code| code.reasons).collect();
        reasons.sort_unstable();
        assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "a reason has two numbers: {reasons:?}");
        for code in ALL {
            assert!(code.help.len() > 15 && code.help.ends_with('.') && !code.title.ends_with('.'), "{code}");
            assert!(!code.hint.is_empty() && !code.hint.ends_with('.') && !code.hint.contains('\n'), "{code}");
            assert_eq!(page(Some(code.id)).unwrap(), part(code));
        }
        assert!(page(Some("0103")).unwrap().contains("SG-0103") && page(Some("SG-9999")).is_err());
    }

    #[test]
    fn causes_tell_the_number() {
        let io = |kind: io::ErrorKind| of_causes(Some(&io::Error::from(kind)));
        assert_eq!(io(io::ErrorKind::HostUnreachable), Some(UNREACHABLE));
        assert_eq!(io(io::ErrorKind::ConnectionRefused), Some(REFUSED));
        assert_eq!(io(io::ErrorKind::ConnectionReset), Some(LOST));
        assert_eq!(io(io::ErrorKind::Other), None);
        let tls = |error: Tls| of_causes(Some(&io::Error::other(error)));
        assert_eq!(tls(Tls::InvalidCertificate(Certificate::NotValidForName)), Some(TLS_NAME));
        assert_eq!(tls(Tls::AlertReceived(Alert::CertificateRequired)), Some(TLS_CLIENT));
        assert_eq!(tls(Tls::DecryptError), None);
        assert_eq!(ErrorKind::Product("no_database").code(), NO_DATABASE);
        assert_eq!(ErrorKind::Product("new").code(), PRODUCT);
    }
}
