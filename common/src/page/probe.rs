//! The users' page: asked for as a user would, beside the status page, and judged by its status code.

use std::time::Duration;

use tokio::time::Instant;

use super::{PageSession, Product};
use crate::error::ErrorKind;

/// The page came, and its status is 400 or more.
pub const STATUS: &str = "status";
/// Most bytes of the page that are read; what is larger counts as whole.
const LIMIT: usize = 1 << 20;
/// The longest question. The slice of a collector is longer, so that the answer to this one is on the page.
const LONGEST: Duration = Duration::from_millis(1500);

/// How the question ended.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// The status code, where there was an answer.
    pub status: Option<u16>,
    /// Time from the question to the end of the answer, or until it was given up.
    pub duration: Duration,
    /// Why it failed; none when it did not.
    pub reason: Option<ErrorKind>,
}

/// Asks for `probe_path`. A redirect is an answer, and not followed.
pub async fn ask<P: Product>(session: &PageSession<P>, path: &str) -> Probed {
    let start = Instant::now();
    let host = session.options.probe_host.as_deref();
    let asked = tokio::time::timeout(LONGEST, session.ask(path, host, LIMIT)).await;
    let (status, reason) = match asked {
        Ok(Ok(answer)) if answer.status < 400 => (Some(answer.status), None),
        Ok(Ok(answer)) => (Some(answer.status), Some(ErrorKind::Product(STATUS))),
        Ok(Err(error)) => (None, Some(error.kind)),
        Err(_) => (None, Some(ErrorKind::Timeout)),
    };
    Probed { status, duration: start.elapsed(), reason }
}
