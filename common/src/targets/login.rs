//! The fresh login: connect, log in and ask one trivial thing as a user would, with the time of each phase.
//!
//! A warm session keeps working while new logins fail (no slots, changed password, pg_hba), which is what users feel. So
//! a fresh login is tried at most every `probe_interval`, over slot 2; a scrape that has to connect anyway counts as one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::error::CollectError;
use crate::scrape::report::Login;
use crate::service::{Phases, Service, Target};

/// Longest fresh connect; a server that needs longer is not serving users either.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The last fresh login of a target.
#[derive(Default)]
pub struct LastLogin {
    last: Mutex<Option<Login>>,
}

impl LastLogin {
    /// The last result, if there is one.
    pub fn get(&self) -> Option<Login> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True when the next probe may run.
    pub fn due(&self, interval: Duration) -> bool {
        self.get().is_none_or(|login| login.at.elapsed() >= interval)
    }

    fn record(&self, login: Login) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(login);
    }
}

/// Opens a session within the deadline, and records how it went where a record is given. `member` names another database
/// than the target's own.
///
/// # Errors
/// Why no session could be had; `Timeout` when the time ran out.
pub async fn fresh<S: Service>(
    target: &Target<S>,
    member: Option<&str>,
    deadline: Deadline,
    record: Option<&LastLogin>,
) -> Result<S::Session, CollectError> {
    let mut phases = Phases::default();
    let result = match deadline.slice(CONNECT_LIMIT).run(S::connect(target, member, &mut phases)).await {
        Ok(result) => result,
        Err(_) => {
            let phase = phases.done().last().map_or("the first phase", |(phase, _)| *phase);
            Err(CollectError::timeout(format!("connect to {}: no answer in time after {phase}", target.options_text()))
                .hint("the server accepts connections but does not answer; look at its load, its log and the network between"))
        }
    };
    if let Some(last) = record {
        let error = result.as_ref().err().map(|e| (e.kind, e.code())).or(phases.refused().map(|kind| (kind, kind.code())));
        last.record(Login { at: Instant::now(), phases: phases.done().to_vec(), error });
    }
    result
}

impl<S: Service> Target<S> {
    /// What people call the target.
    pub fn options_text(&self) -> String {
        use crate::service::TargetOptions as _;
        self.options.describe()
    }
}
