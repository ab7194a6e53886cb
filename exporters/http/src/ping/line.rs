//! The ICMP socket that the targets of a group and family share: opened when it is wanted, checked, and opened anew.
//!
//! When nothing comes back for a while, the line pings this machine itself. That tells a network that is down from a
//! socket that has gone deaf; either way the socket is opened anew.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sage_common::os::icmp::{self, Echo, Family, Options};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::random::nonce;

/// Shortest silence after which the line is checked, and how long the check may take.
const SILENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(2);
/// So many times that silence is too long, whatever the check says.
const TOO_LONG: u32 = 6;
/// Time between two attempts to open a socket.
const AGAIN: Duration = Duration::from_secs(10);
/// Longest that a ping waits for the socket's first opening.
const OPENING: Duration = Duration::from_secs(1);

/// The socket at present.
#[derive(Clone, Default)]
enum Slot {
    #[default]
    Closed,
    Open(Arc<Echo>),
    Failed(&'static str),
}

/// One socket and how it does.
pub struct Line {
    /// Its family.
    pub family: Family,
    options: Options,
    payload: usize,
    silence: Duration,
    /// Stands for the line in its pings of this machine.
    key: u64,
    ident: u16,
    wanted: Notify,
    slot: watch::Sender<Slot>,
    /// A target has wanted it since it was last asked.
    used: AtomicBool,
    /// How the last one went: 0 not done, 1 answered, 2 not answered.
    check: AtomicU8,
    reopened: AtomicU64,
}

impl Line {
    /// A line whose socket nobody has wanted yet, for targets that are pinged every `interval`.
    pub fn new(family: Family, options: Options, payload: usize, interval: Duration) -> Self {
        let (slot, _) = watch::channel(Slot::Closed);
        Self {
            family,
            options,
            payload,
            silence: SILENCE.max(interval * 3),
            key: nonce(),
            ident: nonce() as u16,
            wanted: Notify::new(),
            slot,
            used: AtomicBool::new(false),
            check: AtomicU8::new(0),
            reopened: AtomicU64::new(0),
        }
    }

    /// The socket; waits for its opening when nobody has wanted it before.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn echo(&self) -> Result<Arc<Echo>, &'static str> {
        self.used.store(true, Ordering::Relaxed);
        let of = |slot: &Slot| match slot {
            Slot::Open(echo) => Some(Ok(Arc::clone(echo))),
            Slot::Failed(reason) => Some(Err(*reason)),
            Slot::Closed => None,
        };
        let now = of(&self.slot.borrow());
        if let Some(known) = now {
            return known;
        }
        self.wanted.notify_one();
        let mut opened = self.slot.subscribe();
        let slot = timeout(OPENING, opened.wait_for(|slot| !matches!(slot, Slot::Closed))).await;
        slot.ok().and_then(|slot| of(&*slot.ok()?)).unwrap_or(Err("overloaded"))
    }

    /// Whether the last ping of this machine itself was answered.
    pub fn check(&self) -> Option<bool> {
        Some(self.check.load(Ordering::Relaxed)).filter(|check| *check > 0).map(|check| check == 1)
    }

    /// Sockets that were opened after the first one.
    pub fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Relaxed)
    }

    /// The payload of a request: whose it is, which one, and filling.
    pub fn payload(&self, key: u64, number: u64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.payload);
        payload.extend(key.to_be_bytes());
        payload.extend(number.to_be_bytes());
        payload.resize(self.payload, 0x5a);
        payload
    }

    /// Opens the socket when it is wanted and hands over what it receives, for ever: key and number, sender and time.
    pub async fn keep(&self, mut reply: impl FnMut(u64, u64, IpAddr, Instant)) {
        // What was there before belongs to an end of ours that was not meant.
        self.slot.send_replace(Slot::Closed);
        self.wanted.notified().await;
        let (mut told, mut again) = (false, false);
        loop {
            match Echo::open(self.family, &self.options, self.ident) {
                Ok(echo) => {
                    self.reopened.fetch_add(u64::from(std::mem::replace(&mut again, true)), Ordering::Relaxed);
                    let echo = Arc::new(echo);
                    self.slot.send_replace(Slot::Open(Arc::clone(&echo)));
                    told = false;
                    let why = self.listen(&echo, &mut reply).await;
                    tracing::warn!(family = ?self.family, why, "the ICMP socket is opened anew");
                }
                Err(error) => {
                    self.slot.send_replace(Slot::Failed(error.kind.as_str()));
                    // Once for each time that it happens, not for each attempt.
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(family = ?self.family, %error, hint = error.advice(), "no ping by ICMP");
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Pings this machine itself.
    fn ask_self(&self, echo: &Echo) {
        let this = match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        if let Err(error) = echo.send(this, 0, &self.payload(self.key, 0)) {
            tracing::debug!(family = ?self.family, %error, "this machine cannot be pinged");
        }
    }

    /// Receives until the socket is broken or there is reason to try another one.
    async fn listen(&self, echo: &Echo, reply: &mut impl FnMut(u64, u64, IpAddr, Instant)) -> &'static str {
        let mut buffer = icmp::buffer(self.payload);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        self.ask_self(echo);
        let (mut asked, mut heard) = (true, Instant::now());
        loop {
            let received = tokio::select! {
                received = echo.receive(&mut buffer) => received,
                _ = ticks.tick() => {
                    let silence = heard.elapsed();
                    if asked {
                        self.check.store(2, Ordering::Relaxed);
                        if silence > self.silence {
                            return "it does not hear this machine itself";
                        }
                        // Until it is heard: what is said of it must not outlive the fault.
                        self.ask_self(echo);
                    } else if silence > self.silence && self.used.swap(false, Ordering::Relaxed) {
                        if silence > self.silence * TOO_LONG {
                            return "no target has answered for a long time";
                        }
                        self.ask_self(echo);
                        asked = true;
                    }
                    continue;
                }
            };
            let Ok(received) = received else { return "it is broken" };
            match parts(received.payload) {
                Some((key, _)) if key == self.key => {
                    self.check.store(1, Ordering::Relaxed);
                    asked = false;
                }
                Some((key, number)) => {
                    heard = Instant::now();
                    reply(key, number, received.from.to_canonical(), received.at);
                }
                None => {}
            }
        }
    }
}

/// Key and number of a payload.
fn parts(payload: &[u8]) -> Option<(u64, u64)> {
    let (key, rest) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*key), u64::from_be_bytes(*rest.first_chunk::<8>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_whose_it_is() {
        let line = Line::new(Family::V4, Options::default(), 56, Duration::ZERO);
        let payload = line.payload(7, 9);
        assert_eq!((payload.len(), parts(&payload)), (56, Some((7, 9))));
        assert_eq!(parts(&payload[..15]), None);
    }
}
