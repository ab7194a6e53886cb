//! What happened in one scrape, and the framework series made from it.
//!
//! These names are the same in all exporters, so that the alert ladder, dashboards and documents are written once.

use std::time::Duration;

use tokio::time::Instant;

use crate::codes::Code;
use crate::error::{CollectError, ErrorKind};
use crate::put;
use crate::sink::Sink;
use crate::targets::write::Written;

crate::metrics! {
    /// 1 when the server answered a request of ours in this scrape, over the warm or a fresh connection, else 0.
    UP: Gauge "sage_up" [];
    /// Time that this scrape took, in seconds.
    SCRAPE_DURATION: Gauge "sage_scrape_duration_seconds" [];
    /// 1 when the collector's last run ended well, else 0. Absent where this server has nothing for it to read.
    COLLECTOR_SUCCESS: Gauge "sage_collector_success" [collector];
    /// Time that the collector's last run took, in seconds.
    COLLECTOR_DURATION: Gauge "sage_collector_duration_seconds" [collector];
    /// Age of the data of a collector on a timer, in seconds; the oldest where it visits several databases.
    COLLECTOR_AGE: Gauge "sage_collector_age_seconds" [collector];
    /// Databases by how the collector's last visit to them ended: ok or failed. Those not visited yet are in neither.
    MEMBERS: Gauge "sage_collector_members" [collector, state];
    /// 0 for a database that the collector's last visit could not read; those that it could have no series.
    MEMBER_SUCCESS: Gauge "sage_member_success" [collector, member];
    /// Age of what is still shown of a database that the collector's last visit could not read, in seconds.
    MEMBER_AGE: Gauge "sage_member_age_seconds" [collector, member];
    /// Time that the last whole walk over the databases took, in seconds.
    WALK_DURATION: Gauge "sage_walk_duration_seconds" [];
    /// Time since the last whole walk over the databases ended, in seconds.
    WALK_AGE: Gauge "sage_walk_age_seconds" [];
    /// Databases that the walk under way has still to visit; 0 while none is under way.
    WALK_LEFT: Gauge "sage_walk_members_left" [];
    /// 1 while something fails, with the reason from a closed set; collector is also connect, login or write.
    ERROR: Gauge "sage_error" [collector, reason];
    /// 1 when the last fresh connect, login and trivial request succeeded, else 0.
    LOGIN_SUCCESS: Gauge "sage_login_success" [];
    /// Time of each phase of the last fresh login, in seconds: resolve, connect, tls, login, request.
    LOGIN_DURATION: Gauge "sage_login_duration_seconds" [phase];
    /// Time since the last fresh login, in seconds.
    LOGIN_AGE: Gauge "sage_login_age_seconds" [];
    /// 1 when the last write of the write probe succeeded, else 0; absent where it is not asked for and on standbys.
    WRITE_SUCCESS: Gauge "sage_write_success" [];
    /// Time of each phase of the last write of the write probe, in seconds: update, commit.
    WRITE_DURATION: Gauge "sage_write_duration_seconds" [phase];
    /// Time since the last write of the write probe ended or was given up, in seconds.
    WRITE_AGE: Gauge "sage_write_age_seconds" [];
    /// Connections of the exporter to this server: warm (kept between scrapes) and spare (login and write probe, databases).
    CONNECTIONS: Gauge "sage_connections" [state];
    /// Series of this family that were left out of this page: over a limit, or sent twice by the server.
    SERIES_DROPPED: Gauge "sage_series_dropped" [family];
}

/// How a collector's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It wrote series.
    Ok,
    /// It ended well and had nothing to write.
    Empty,
    /// This server has nothing for it to read.
    NotHere,
    /// A grant is missing.
    Denied,
    /// It failed.
    Failed(ErrorKind),
    /// It was cut off.
    TimedOut,
    /// It is on a timer and has not run yet.
    Pending,
}

impl Status {
    /// The reason as exposed, for what failed.
    pub const fn reason(self) -> Option<ErrorKind> {
        match self {
            Self::Denied => Some(ErrorKind::Permission),
            Self::Failed(kind) => Some(kind),
            Self::TimedOut => Some(ErrorKind::Timeout),
            Self::Ok | Self::Empty | Self::NotHere | Self::Pending => None,
        }
    }
}

/// How one collector did.
#[derive(Clone, Debug)]
pub struct CollectorReport {
    /// The collector.
    pub name: &'static str,
    /// How its run ended.
    pub status: Status,
    /// How long it took.
    pub duration: Duration,
    /// Series it wrote.
    pub series: usize,
    /// For a collector on a timer: the age of its oldest data.
    pub age: Option<Duration>,
    /// For a collector that visits databases: how many of them its last visits could read.
    pub members_ok: usize,
    /// And those that it could not, with the age of what is still shown of them.
    pub members_failed: Vec<(String, Option<Duration>)>,
    /// The grant without which the collector reads less than it could.
    pub lacks: Option<&'static str>,
    /// What went wrong or is missing, and what to do about it.
    pub note: Option<String>,
    /// The number of what went wrong, where it is closer than that of the status.
    pub code: Option<Code>,
}

impl CollectorReport {
    /// A collector that did not run.
    pub const fn new(name: &'static str, status: Status) -> Self {
        Self {
            name,
            status,
            duration: Duration::ZERO,
            series: 0,
            age: None,
            members_ok: 0,
            members_failed: Vec::new(),
            lacks: None,
            note: None,
            code: None,
        }
    }

    /// Says how it failed.
    #[must_use]
    pub fn failed(mut self, error: &CollectError) -> Self {
        (self.note, self.code) = (Some(note(error)), Some(error.code()));
        self
    }
}

/// The result of one fresh login.
#[derive(Clone, Debug)]
pub struct Login {
    /// When it ended.
    pub at: Instant,
    /// The phases that ended, in order.
    pub phases: Vec<(&'static str, Duration)>,
    /// Why it failed, and the number of that.
    pub error: Option<(ErrorKind, Code)>,
}

/// Why the connection, the login or the write failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `connect`, `login` or `write`.
    pub part: &'static str,
    /// The reason.
    pub kind: ErrorKind,
    /// Its number.
    pub code: Code,
    /// The error in words, with its hint.
    pub note: String,
}

impl Failure {
    /// A failed part of the scrape.
    pub fn new(part: &'static str, error: &CollectError) -> Self {
        Self { part, kind: error.kind, code: error.code(), note: note(error) }
    }
}

/// An error and its hint in one line.
pub fn note(error: &CollectError) -> String {
    format!("{error}; hint: {}", error.advice())
}

/// All that one scrape found out about itself.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether the server answered.
    pub up: bool,
    /// Each selected collector.
    pub collectors: Vec<CollectorReport>,
    /// Failed connects.
    pub failures: Vec<Failure>,
    /// The last fresh login.
    pub login: Option<Login>,
    /// The last write, where the module asks for the write probe.
    pub write: Option<Written>,
    /// How long the scrape took.
    pub duration: Duration,
    /// Whether the warm and the spare slot are in use.
    pub connections: (bool, bool),
    /// The walk over databases, where there is one.
    pub walk: Option<Walk>,
}

/// How the walk over a target's databases does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// When the last whole walk ended, and how long it took.
    pub last: Option<(Instant, Duration)>,
    /// Databases that the walk under way has still to visit.
    pub left: usize,
}

/// Databases that one collector names at most where it could not read them; further ones are only counted.
const MEMBERS_NAMED: usize = 100;

impl Report {
    /// Writes the framework series.
    pub fn write(&self, out: &mut Sink) {
        put!(out, UP {} = self.up);
        put!(out, SCRAPE_DURATION {} = self.duration);
        put!(out, CONNECTIONS { state: "warm" } = self.connections.0);
        put!(out, CONNECTIONS { state: "spare" } = self.connections.1);
        for failure in &self.failures {
            put!(out, ERROR { collector: failure.part, reason: failure.kind } = 1);
        }
        if let Some(login) = &self.login {
            put!(out, LOGIN_SUCCESS {} = login.error.is_none());
            put!(out, LOGIN_AGE {} = login.at.elapsed());
            for (phase, time) in &login.phases {
                put!(out, LOGIN_DURATION { phase } = *time);
            }
            if let Some((reason, _)) = login.error {
                put!(out, ERROR { collector: "login", reason } = 1);
            }
        }
        if let Some(walk) = &self.walk {
            put!(out, WALK_DURATION {} = walk.last.map(|(_, took)| took));
            put!(out, WALK_AGE {} = walk.last.map(|(ended, _)| ended.elapsed()));
            put!(out, WALK_LEFT {} = walk.left);
        }
        if let Some(write) = &self.write {
            put!(out, WRITE_SUCCESS {} = write.error.is_none());
            put!(out, WRITE_AGE {} = write.at.elapsed());
            for (phase, time) in &write.phases {
                put!(out, WRITE_DURATION { phase } = *time);
            }
            if let Some(failure) = &write.error {
                put!(out, ERROR { collector: failure.part, reason: failure.kind } = 1);
            }
        }
        for c in &self.collectors {
            let collector = c.name;
            if matches!(c.status, Status::NotHere | Status::Pending) {
                continue;
            }
            put!(out, COLLECTOR_SUCCESS { collector } = c.status.reason().is_none());
            put!(out, COLLECTOR_DURATION { collector } = c.duration);
            put!(out, COLLECTOR_AGE { collector } = c.age);
            let failed = c.members_failed.len();
            if c.members_ok + failed > 0 {
                put!(out, MEMBERS { collector, state: "ok" } = c.members_ok);
                put!(out, MEMBERS { collector, state: "failed" } = failed);
            }
            for (member, age) in c.members_failed.iter().take(MEMBERS_NAMED) {
                put!(out, MEMBER_SUCCESS { collector, member } = 0);
                put!(out, MEMBER_AGE { collector, member } = *age);
            }
            out.drop_series(MEMBER_SUCCESS.info().name, failed.saturating_sub(MEMBERS_NAMED) as u64);
            // What could be read is there, and the missing grant is named.
            let lacks = c.lacks.map(|_| ErrorKind::Permission);
            if let Some(reason) = c.status.reason().or(lacks) {
                put!(out, ERROR { collector, reason } = 1);
            }
        }
    }
}

/// Writes how many series of each family are missing from the page.
pub fn write_dropped(out: &mut Sink) {
    for (family, count) in out.dropped().clone() {
        put!(out, SERIES_DROPPED { family } = count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::NO_LIMIT;

    fn text(report: &Report) -> String {
        let mut out = Sink::new(NO_LIMIT);
        report.write(&mut out);
        out.settle();
        String::from_utf8(crate::expo::write(&out, crate::expo::Format::Text)).unwrap()
    }

    #[tokio::test]
    async fn a_missing_grant_is_named_beside_what_could_be_read() {
        let part = CollectorReport { lacks: Some("GRANT x"), ..CollectorReport::new("a", Status::Ok) };
        let text = text(&Report { collectors: vec![part], ..Report::default() });
        assert!(text.contains("sage_collector_success{collector=\"a\"} 1\n"), "{text}");
        assert!(text.contains("sage_error{collector=\"a\",reason=\"permission\"} 1\n"), "{text}");
    }

    #[tokio::test]
    async fn each_status_has_its_series() {
        let mut report = Report { up: true, ..Report::default() };
        for (name, status) in [
            ("a", Status::Ok),
            ("b", Status::Empty),
            ("c", Status::NotHere),
            ("d", Status::Denied),
            ("e", Status::Failed(ErrorKind::Query)),
            ("f", Status::TimedOut),
            ("g", Status::Pending),
        ] {
            report.collectors.push(CollectorReport::new(name, status));
        }
        let text = text(&report);
        for line in [
            "sage_up 1",
            "sage_collector_success{collector=\"a\"} 1",
            "sage_collector_success{collector=\"b\"} 1",
            "sage_collector_success{collector=\"d\"} 0",
            "sage_error{collector=\"d\",reason=\"permission\"} 1",
            "sage_error{collector=\"e\",reason=\"query\"} 1",
            "sage_error{collector=\"f\",reason=\"timeout\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
        for absent in ["collector=\"c\"", "collector=\"g\"", "reason=\"query\"} 0"] {
            assert!(!text.contains(absent), "{absent} should be absent from\n{text}");
        }
    }
}
