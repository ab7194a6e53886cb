//! Products that are read over a status page of their own HTTP server (NGINX, Apache).
//!
//! Three things are kept apart: the server is reached when it answers with HTTP, whatever the status; the page is read when
//! the answer is the status page; and the users' page is probed for itself. A session lives for one scrape: a connection
//! kept open between scrapes would hold a worker of the server for nobody.

mod find;
pub mod options;
pub mod probe;
pub mod process;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use url::Url;

pub use find::find;
pub use options::{Given, PageOptions};
pub use session::PageSession;

use crate::codes;
use crate::error::{CollectError, ErrorKind};
use crate::net::http::Answer;

/// Largest status page that is read, in bytes: some thousand zones or balancers.
pub const MAX_PAGE: usize = 8 << 20;

/// What sets one product with a status page apart from another.
pub trait Product: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The exporter, as the server's access log shows it.
    const AGENT: &'static str;
    /// Where the status page is unless said otherwise.
    const URL: &'static str;
    /// The systemd credential with the password.
    const CREDENTIAL: &'static str;
    /// Where a server on this machine usually keeps the number of its main process.
    const PID_FILES: &'static [&'static str];
    /// Names of its program.
    const PROGRAMS: &'static [&'static str];
    /// What to do when the server does not let us see the page.
    const FORBIDDEN: &'static str;
    /// What to do when there is no page, or another one.
    const MISSING: &'static str;

    /// Adds to the address what the page needs to be readable.
    fn complete(url: &mut Url) {
        let _ = url;
    }
}

/// What outlives the sessions of one target.
#[derive(Debug)]
pub struct PageState<P: Product> {
    /// The target.
    pub options: PageOptions<P>,
    failures: AtomicU64,
}

impl<P: Product> PageState<P> {
    /// The state of a target that nobody has asked yet.
    pub fn new(options: &PageOptions<P>) -> Arc<Self> {
        Arc::new(Self { options: options.clone(), failures: AtomicU64::new(0) })
    }

    /// How many scrapes have not read the page, with this one.
    pub fn count_failure(&self, failed: bool) -> u64 {
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed) + u64::from(failed)
    }
}

/// The text of an answer that should be the status page.
///
/// # Errors
/// The reason by the status code, with what to write into the server's configuration.
pub fn text<P: Product>(answer: &Answer, at: &str) -> Result<String, CollectError> {
    let (kind, code, hint) = match answer.status {
        200 => return Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        401 => {
            let hint = "the page wants a user: set user and password_file, and compare them with the server's password file";
            (ErrorKind::Auth, codes::WRONG_PASSWORD, hint)
        }
        403 => (ErrorKind::Permission, codes::CLIENT_REFUSED, P::FORBIDDEN),
        404 => (ErrorKind::Query, codes::PAGE_MISSING, P::MISSING),
        503 => (ErrorKind::Overloaded, codes::OVERLOADED, "the server's error log says why it turns requests away"),
        500.. => (ErrorKind::Query, codes::STATUS, "the server's error log says what fails"),
        300..=399 => {
            let to = answer.location().map(shown).unwrap_or_default();
            return Err(CollectError::new(ErrorKind::Query, format!("GET {at}: {} to {to}", answer.status_text()))
                .hint("set url to where the page really is; redirects to another host, port or scheme are not followed")
                .coded(codes::REDIRECT));
        }
        _ => (ErrorKind::Query, codes::STATUS, "the server's access log shows the request"),
    };
    Err(CollectError::new(kind, format!("GET {at}: {}", answer.status_text())).hint(hint).coded(code))
}

/// The error of a page that is something else.
pub fn no_status_page<P: Product>(body: &str, at: &str) -> CollectError {
    let start = body.trim_start().get(..9).unwrap_or_default().to_ascii_lowercase();
    let html = start.starts_with("<!doctype") || start.starts_with("<html");
    let what = if html { "an HTML page" } else { "something that is no status page" };
    CollectError::new(ErrorKind::Decode, format!("GET {at}: {what} came")).hint(P::MISSING).coded(codes::PAGE_MISSING)
}

/// Text of the server's, fit for a log: short, one line, without its query.
fn shown(text: &str) -> String {
    text.split('?').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product for tests.
    #[derive(Clone, Debug)]
    pub struct Plain;

    impl Product for Plain {
        const AGENT: &'static str = "sage-test/0";
        const URL: &'static str = "http://localhost/plain";
        const CREDENTIAL: &'static str = "plain.password";
        const PID_FILES: &'static [&'static str] = &["/nowhere/plain.pid"];
        const PROGRAMS: &'static [&'static str] = &["plain"];
        const FORBIDDEN: &'static str = "allow us";
        const MISSING: &'static str = "switch it on";
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (status, kind, hint) in [
            (401, ErrorKind::Auth, "password_file"),
            (403, ErrorKind::Permission, "allow us"),
            (404, ErrorKind::Query, "switch it on"),
            (500, ErrorKind::Query, "error log"),
            (503, ErrorKind::Overloaded, "error log"),
            (302, ErrorKind::Query, "set url"),
            (204, ErrorKind::Query, "access log"),
        ] {
            let error = text::<Plain>(&Answer { status, ..Answer::default() }, "http://h/plain").unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.context.starts_with(&format!("GET http://h/plain: {status}")) && error.hint.unwrap().contains(hint), "{status}");
        }
        assert_eq!(text::<Plain>(&Answer { status: 200, body: b"a\xffb".to_vec(), ..Answer::default() }, "x").unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn a_page_for_people_is_named() {
        for (body, want) in [("\n<!DOCTYPE html>", "an HTML page"), ("<html>", "something"), ("<html lang=\"a\">", "an HTML"), ("", "some")]
        {
            let error = no_status_page::<Plain>(body, "x");
            assert!(error.context.contains(want), "{body}: {error}");
        }
        assert_eq!(shown("/a\r\nb?token=canary"), "/ab");
    }
}
