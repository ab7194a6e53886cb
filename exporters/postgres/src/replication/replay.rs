//! Judges how a standby does: the state of its replay, one of a closed set, and its lag.
//!
//! One look at a standby cannot tell an idle primary from a cut link: in both, all that was received is replayed and the
//! last transaction grows older. What tells them apart is when the standby last knew of no WAL that it had not replayed.
//! That moment is kept here between scrapes, so that the lag begins at 0 when a link is cut and grows by the clock.

use std::sync::{Mutex, PoisonError};

/// All states, in the order of the page.
pub const STATES: [&str; 13] = [
    "streaming",
    "archive",
    "delayed",
    "paused",
    "pause_requested",
    "conflict",
    "stuck",
    "receiver_gone",
    "receiver_silent",
    "archive_silent",
    "startup_gone",
    "no_source",
    "unknown",
];

/// Received WAL that waits for this long while replay does not move, and waits for nothing that is known, is stuck.
const STUCK: f64 = 60.0;
/// A standby without a receiver that replayed something this recently is fed by the archive.
const MOVING: f64 = 30.0;
/// What wal_receiver_timeout is by default; for servers where it is switched off.
const TIMEOUT: f64 = 60.0;

/// What one look at a standby shows. Times are Unix times of the server's clock, positions are bytes of WAL.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The server's clock.
    pub now: f64,
    /// Commit time of the last replayed transaction.
    pub last_commit: Option<f64>,
    /// WAL received by streaming.
    pub received: Option<f64>,
    /// WAL replayed.
    pub replayed: Option<f64>,
    /// As pg_get_wal_replay_pause_state() says.
    pub pause: String,
    /// The WAL receiver, if there is one.
    pub receiver: Option<Receiver>,
    /// wal_receiver_timeout in seconds.
    pub timeout: f64,
    /// Whether primary_conninfo is set; unknown without the grant.
    pub wants_stream: Option<bool>,
    /// Whether restore_command is set.
    pub wants_archive: bool,
    /// The startup process: what it waits for (type and event). `None` without the grant.
    pub startup: Option<Startup>,
    /// A log-shipping standby replays a transaction at least this often, as the site says; `None`: it does not say.
    pub archive_silence: Option<f64>,
}

/// The WAL receiver; without the grant only its presence is known.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// streaming, starting, waiting and so on.
    pub status: Option<String>,
    /// When the last message came.
    pub heard: Option<f64>,
    /// The primary's end of WAL as of that message.
    pub primary_end: Option<f64>,
}

/// The startup process, which replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// There is none.
    Gone,
    /// It runs.
    Runs,
    /// It waits for this type and event.
    Waits(String, String),
}

/// The verdict of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// One of [`STATES`].
    pub state: &'static str,
    /// Seconds; `None` when nothing can be said.
    pub lag: Option<f64>,
}

impl Verdict {
    /// Whether WAL comes and is applied; `None` when that is not known.
    pub fn ok(self) -> Option<bool> {
        match self.state {
            "unknown" => None,
            state => Some(matches!(state, "streaming" | "archive" | "delayed")),
        }
    }
}

/// What is kept of a standby between two looks.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When nothing was known that was not replayed, and how far replay was then.
    abreast: Option<(f64, f64)>,
    /// How far replay was, and since when; the time of the first look does not count as a move.
    replayed: Option<(f64, f64)>,
    moved: Option<f64>,
}

impl Memory {
    /// Judges a look in the light of those before.
    pub fn judge(&self, look: &Look) -> Verdict {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.note(look);
        let state = known.state(look);
        Verdict { state, lag: known.lag(look, state) }
    }
}

impl Known {
    fn note(&mut self, look: &Look) {
        let Some(replayed) = look.replayed else { return };
        if self.abreast.is_some_and(|(_, lsn)| replayed < lsn) || self.replayed.is_some_and(|(_, lsn)| replayed < lsn) {
            // Another data folder than before, such as a restored one: what was known is of no use.
            *self = Self::default();
        }
        match self.replayed {
            Some((_, lsn)) if lsn == replayed => {}
            before => {
                self.replayed = Some((look.now, replayed));
                self.moved = before.map(|_| look.now);
            }
        }
        if let Some(at) = look.abreast_at() {
            self.abreast = Some((at, replayed));
        }
    }

    fn state(&self, look: &Look) -> &'static str {
        let moving = self.moved.is_some_and(|at| look.now - at < MOVING);
        if look.receiver.is_none() && look.wants_stream == Some(true) && !(look.wants_archive && moving) {
            return "receiver_gone";
        }
        if look.receiver.as_ref().is_some_and(|receiver| look.hears(receiver) == Some(false)) {
            return "receiver_silent";
        }
        match &look.startup {
            Some(Startup::Gone) => return "startup_gone",
            Some(Startup::Waits(kind, event)) if matches!(kind.as_str(), "Lock" | "BufferPin") || event.starts_with("RecoveryConflict") => {
                return "conflict";
            }
            _ => {}
        }
        match look.pause.as_str() {
            "paused" => return "paused",
            "pause requested" => return "pause_requested",
            _ => {}
        }
        if matches!(&look.startup, Some(Startup::Waits(_, event)) if event == "RecoveryApplyDelay") {
            return "delayed";
        }
        let still = self.replayed.is_some_and(|(since, lsn)| look.now - since >= STUCK && look.received.is_some_and(|got| got > lsn));
        match (&look.receiver, look.wants_stream) {
            (Some(_), _) if still => "stuck",
            (Some(receiver), _) if look.hears(receiver) == Some(true) => "streaming",
            (Some(_), _) | (None, None) => "unknown",
            (None, Some(_)) if !look.wants_archive => "no_source",
            (None, Some(_)) if look.is_archive_silent() => "archive_silent",
            (None, Some(_)) => "archive",
        }
    }

    fn lag(&self, look: &Look, state: &str) -> Option<f64> {
        let age = look.last_commit.map(|at| (look.now - at).max(0.0));
        if state == "archive_silent" {
            return age;
        }
        // A look between two attempts at the archive: nothing has come since the last one.
        let waiting = state == "archive" && self.abreast.map(|(_, lsn)| lsn) == look.replayed && look.replayed.is_some();
        if waiting || look.abreast_at().is_some() {
            return Some(0.0);
        }
        let behind = self.abreast.map(|(at, _)| (look.now - at).max(0.0));
        match (age, behind) {
            (Some(age), Some(behind)) => Some(age.min(behind)),
            (age, behind) => age.or(behind),
        }
    }
}

impl Look {
    /// Whether the receiver streams and heard from the primary lately; `None` without the grant.
    fn hears(&self, receiver: &Receiver) -> Option<bool> {
        let timeout = if self.timeout > 0.0 { self.timeout } else { TIMEOUT };
        let streams = receiver.status.as_deref()? == "streaming";
        Some(streams && receiver.heard.is_some_and(|at| self.now - at < timeout))
    }

    /// When it was last known, by this look alone, that nothing is left to replay.
    fn abreast_at(&self) -> Option<f64> {
        let replayed = self.replayed?;
        let Some(receiver) = &self.receiver else {
            // Log shipping: it waits before it asks the archive again, so the archive had nothing more. Whether the
            // archive still gets what the primary writes is not to be seen from here.
            let asks_again = matches!(&self.startup, Some(Startup::Waits(_, event)) if event == "RecoveryRetrieveRetryInterval");
            return (asks_again && self.wants_archive && self.wants_stream == Some(false) && !self.is_archive_silent()).then_some(self.now);
        };
        let all = self.received.is_none_or(|got| got <= replayed) && receiver.primary_end.is_none_or(|end| end <= replayed);
        if all && self.hears(receiver) == Some(true) { receiver.heard } else { None }
    }

    fn is_archive_silent(&self) -> bool {
        match (self.archive_silence, self.last_commit) {
            (Some(limit), Some(at)) => self.now - at > limit,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(heard: f64) -> Option<Receiver> {
        Some(Receiver { status: Some("streaming".to_owned()), heard: Some(heard), primary_end: Some(100.0) })
    }

    /// A streaming standby of an idle primary, whose last transaction is 900 s old.
    fn idle(now: f64) -> Look {
        Look {
            now,
            last_commit: Some(100.0),
            received: Some(100.0),
            replayed: Some(100.0),
            pause: "not paused".to_owned(),
            receiver: receiver(now - 1.0),
            timeout: 60.0,
            wants_stream: Some(true),
            startup: Some(Startup::Waits("Activity".to_owned(), "RecoveryWalStream".to_owned())),
            ..Look::default()
        }
    }

    fn shipped(now: f64) -> Look {
        let startup = Some(Startup::Waits("Timeout".to_owned(), "RecoveryRetrieveRetryInterval".to_owned()));
        Look { received: None, receiver: None, wants_stream: Some(false), wants_archive: true, startup, ..idle(now) }
    }

    fn verdict(memory: &Memory, look: &Look) -> (&'static str, Option<f64>) {
        let Verdict { state, lag } = memory.judge(look);
        assert!(STATES.contains(&state), "{state}");
        (state, lag)
    }

    #[test]
    fn a_cut_link_makes_the_lag_grow_from_zero() {
        let memory = Memory::default();
        assert_eq!(verdict(&memory, &idle(1000.0)), ("streaming", Some(0.0)), "idle primary");
        let cut = |now| Look { receiver: None, ..idle(now) };
        assert_eq!(verdict(&memory, &cut(1005.0)), ("receiver_gone", Some(6.0)), "heard at 999");
        assert_eq!(verdict(&memory, &cut(1105.0)), ("receiver_gone", Some(106.0)));
        assert_eq!(verdict(&memory, &idle(1110.0)), ("streaming", Some(0.0)), "back");
        assert_eq!(verdict(&Memory::default(), &cut(1000.0)), ("receiver_gone", Some(900.0)), "never seen abreast: the upper bound");
        let silent = Look { receiver: receiver(1110.0), ..idle(1180.0) };
        assert_eq!(verdict(&memory, &silent), ("receiver_silent", Some(71.0)), "heard at 1109 while abreast");
    }

    #[test]
    fn what_comes_after_an_idle_night_is_no_lag_of_a_night() {
        let memory = Memory::default();
        verdict(&memory, &idle(1000.0));
        let behind = Look { received: Some(200.0), ..idle(1010.0) };
        assert_eq!(verdict(&memory, &behind), ("streaming", Some(11.0)));
        let told = Receiver { primary_end: Some(300.0), ..receiver(1019.0).unwrap() };
        let on_the_way = Look { receiver: Some(told), ..idle(1020.0) };
        assert_eq!(verdict(&memory, &on_the_way).1, Some(21.0), "the primary has more than was received");
        let fresh = Look { last_commit: Some(1018.0), ..behind };
        assert_eq!(verdict(&memory, &Look { now: 1020.0, receiver: receiver(1019.0), ..fresh }).1, Some(2.0), "the age is the lower one");
        let restored = Look { replayed: Some(50.0), received: Some(100.0), ..idle(1030.0) };
        assert_eq!(verdict(&memory, &restored).1, Some(930.0), "an older data folder is not abreast of what was");
    }

    #[test]
    fn each_way_not_to_apply_has_its_state() {
        let wait = |kind: &str, event: &str| Some(Startup::Waits(kind.to_owned(), event.to_owned()));
        let with = |startup| Look { startup, ..idle(1000.0) };
        let judge = |look: &Look| verdict(&Memory::default(), look).0;
        assert_eq!(judge(&Look { pause: "paused".to_owned(), ..idle(1000.0) }), "paused");
        assert_eq!(judge(&Look { pause: "pause requested".to_owned(), ..idle(1000.0) }), "pause_requested");
        assert_eq!(judge(&with(wait("Lock", "relation"))), "conflict");
        assert_eq!(judge(&with(wait("IPC", "RecoveryConflictSnapshot"))), "conflict");
        assert_eq!(judge(&with(wait("Timeout", "RecoveryApplyDelay"))), "delayed");
        assert_eq!(judge(&with(Some(Startup::Gone))), "startup_gone");
        assert_eq!(judge(&Look { receiver: None, wants_stream: Some(false), ..idle(1000.0) }), "no_source");
        assert_eq!(judge(&Look { receiver: None, wants_stream: None, ..idle(1000.0) }), "unknown");
        assert_eq!(judge(&Look { receiver: Some(Receiver::default()), startup: None, ..idle(1000.0) }), "unknown");
        let memory = Memory::default();
        let stuck = |now| Look { received: Some(200.0), startup: Some(Startup::Runs), ..idle(now) };
        assert_eq!(verdict(&memory, &stuck(1000.0)).0, "streaming");
        assert_eq!(verdict(&memory, &stuck(1061.0)).0, "stuck");
        let ok = |state| Verdict { state, lag: None }.ok();
        assert_eq!((ok("streaming"), ok("conflict"), ok("unknown")), (Some(true), Some(false), None));
    }

    #[test]
    fn log_shipping_is_abreast_of_its_archive() {
        let memory = Memory::default();
        assert_eq!(verdict(&memory, &shipped(1000.0)), ("archive", Some(0.0)), "nothing more in the archive");
        let asking = Look { startup: Some(Startup::Runs), ..shipped(1003.0) };
        assert_eq!(verdict(&memory, &asking), ("archive", Some(0.0)), "asks the archive again");
        let busy = Look { replayed: Some(150.0), startup: Some(Startup::Runs), ..shipped(1010.0) };
        assert_eq!(verdict(&memory, &busy), ("archive", Some(10.0)), "replays a segment");
        let limited = |silence| Look { archive_silence: Some(silence), ..shipped(1000.0) };
        assert_eq!(verdict(&Memory::default(), &limited(1000.0)), ("archive", Some(0.0)));
        assert_eq!(verdict(&Memory::default(), &limited(600.0)), ("archive_silent", Some(900.0)));
        let nothing = Look { wants_archive: false, ..shipped(1000.0) };
        assert_eq!(verdict(&Memory::default(), &nothing), ("no_source", Some(900.0)), "waits for nobody");
        // A streaming standby that catches up from the archive is fed, too.
        let memory = Memory::default();
        let catching = |now, replayed| Look { receiver: None, wants_archive: true, replayed: Some(replayed), ..idle(now) };
        assert_eq!(verdict(&memory, &catching(1000.0, 100.0)).0, "receiver_gone");
        assert_eq!(verdict(&memory, &catching(1010.0, 200.0)).0, "archive");
        assert_eq!(verdict(&memory, &catching(1050.0, 200.0)).0, "receiver_gone");
    }
}
