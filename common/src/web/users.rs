//! Users and passwords (`basic_auth_users`), checked so that a guesser gains nothing and costs little.
//!
//! One password is tried at a time, away from the runtime's threads. What was proven is remembered by a hash whose key
//! this process alone knows, so that a scrape costs no bcrypt. An unknown user costs as much as a known one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use futures_util::FutureExt as _;
use hyper::header::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use super::hash::Hash;
use super::limit::{PerAddress, Rate};
use crate::scrape::flight::Flight;

/// Wrong passwords that an address may try at once, and the time in which it may try one more.
const GUESSES: Rate = Rate { interval: Duration::from_secs(6), burst: 10 };
/// Passwords that wait to be tried; more are told to come later.
const MOST_WAITING: usize = 32;
/// Proofs and refusals that are remembered.
const MOST_REMEMBERED: usize = 128;
/// A wrong password that is sent again and again costs one trial in this time.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// User and password under the process's key.
type Tag = [u8; 32];

/// The answer to a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are right.
    Welcome,
    /// There are none, or they are wrong.
    Refused,
    /// Too many wrong ones came from this address, or too many wait.
    Later,
}

/// The users of one configuration.
pub struct Users {
    key: hmac::Key,
    known: HashMap<Tag, Hash>,
    /// What an unknown user's password is compared with, so that it takes as long as a known one's.
    dummies: Vec<Hash>,
    proven: Recent,
    refused: Recent,
    trials: Flight<Tag, Verdict>,
    guesses: Arc<PerAddress>,
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Users {
    /// Takes the users of a file.
    ///
    /// # Errors
    /// The system gives no random key.
    pub fn new(users: Vec<(String, Hash)>) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let dummies = users.iter().map(|(_, hash)| hash.clone()).collect();
        let known = users.into_iter().map(|(name, hash)| (tag(&key, name.as_bytes(), None), hash)).collect();
        Ok(Self {
            key,
            known,
            dummies,
            proven: Recent::default(),
            refused: Recent::default(),
            trials: Flight::default(),
            guesses: Arc::new(PerAddress::new(GUESSES)),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            working: Arc::new(Semaphore::new(1)),
        })
    }

    /// Checks what a request says in `Authorization`.
    pub async fn check(self: &Arc<Self>, authorization: Option<&HeaderValue>, from: IpAddr) -> Verdict {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Verdict::Refused;
        };
        let tag = tag(&self.key, &user, Some(&password));
        if self.proven.has(&tag, None) {
            return Verdict::Welcome;
        }
        if self.refused.has(&tag, Some(REFUSED_FOR)) {
            return Verdict::Refused;
        }
        // The same credentials at once, as a scraper of many targets sends them, are tried once.
        let (trial, _) = self.trials.join(tag, || Arc::clone(self).attempt(tag, user, password, from).boxed());
        trial.await
    }

    async fn attempt(self: Arc<Self>, tag: Tag, user: Vec<u8>, password: Vec<u8>, from: IpAddr) -> Verdict {
        if !self.guesses.take(from) {
            return Verdict::Later;
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.guesses.give_back(from);
            return Verdict::Later;
        };
        let Ok(turn) = Arc::clone(&self.working).acquire_owned().await else { return Verdict::Later };
        let (hash, is_known) = self.hash(&user);
        let Some(hash) = hash.cloned() else { return Verdict::Refused };
        // The permits go with the work: who hangs up does not make room for one more.
        let fits = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            hash.fits(&password)
        });
        if fits.await.unwrap_or(false) & is_known {
            self.guesses.give_back(from);
            self.proven.add(tag);
            Verdict::Welcome
        } else {
            self.refused.add(tag);
            // As often as an address may guess, and without what was sent: passwords are typed where names belong.
            tracing::warn!(address = %from, "a client sent a wrong user or password");
            Verdict::Refused
        }
    }

    /// The user's hash, or that of another one, always the same, where there is no such user.
    fn hash(&self, user: &[u8]) -> (Option<&Hash>, bool) {
        let name = tag(&self.key, user, None);
        let [first, second, ..] = name;
        let dummy = self.dummies.get(usize::from(u16::from_be_bytes([first, second])) % self.dummies.len().max(1));
        match self.known.get(&name) {
            Some(hash) => (Some(hash), true),
            None => (dummy, false),
        }
    }
}

/// The length of the name stands in front, so that no two pairs make the same text.
fn tag(key: &hmac::Key, user: &[u8], password: Option<&[u8]>) -> Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(&[u8::from(password.is_some())]);
    context.update(&user.len().to_be_bytes());
    context.update(user);
    context.update(password.unwrap_or_default());
    let mut tag = [0; 32];
    tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    tag
}

/// User and password of `Basic ...`; the password may hold colons.
fn credentials(value: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, data) = value.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| base64::prelude::BASE64_STANDARD.decode(data.trim_start()).ok())??;
    let colon = pair.iter().position(|b| *b == b':')?;
    let (user, password) = pair.split_at_checked(colon)?;
    Some((user.to_vec(), password.get(1..)?.to_vec()))
}

/// The last few tags. They are compared in plain view: without the key nobody can aim at one.
#[derive(Default)]
struct Recent(Mutex<VecDeque<(Tag, Instant)>>);

impl Recent {
    fn has(&self, tag: &Tag, within: Option<Duration>) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().any(|(known, at)| known == tag && within.is_none_or(|within| at.elapsed() < within))
    }

    fn add(&self, tag: Tag) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(known, _)| *known != tag);
        if recent.len() >= MOST_REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((tag, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Arc<Users> {
        let hash = |password: &str| Hash::make(password.as_bytes(), [3; 16]);
        Arc::new(Users::new(vec![("prometheus".to_owned(), hash("s:ecret")), ("other".to_owned(), hash("else"))]).unwrap())
    }

    fn basic(pair: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))).unwrap()
    }

    async fn ask(users: &Arc<Users>, pair: &str, from: [u8; 4]) -> Verdict {
        users.check(Some(&basic(pair)), from.into()).await
    }

    const HERE: [u8; 4] = [192, 0, 2, 1];

    #[tokio::test]
    async fn only_the_right_pair_is_welcome() {
        let users = users();
        for (pair, verdict) in [
            ("prometheus:s:ecret", Verdict::Welcome),
            ("other:else", Verdict::Welcome),
            ("prometheus:else", Verdict::Refused),
            ("prometheus:", Verdict::Refused),
            ("prometheus:s:ecre", Verdict::Refused),
            ("prometheus:s:ecret ", Verdict::Refused),
            ("nobody:s:ecret", Verdict::Refused),
            ("nobody:else", Verdict::Refused),
            (":s:ecret", Verdict::Refused),
        ] {
            // Twice: what is remembered says the same.
            for _ in 0..2 {
                assert_eq!(ask(&users, pair, HERE).await, verdict, "{pair}");
            }
        }
        assert_eq!(users.proven.0.lock().unwrap().len(), 2);
        for header in ["", "Basic", "Basic !", "Basic cHJvbWV0aGV1cw==", "Bearer x", "Basic cHJvbWV0aGV1czpzOmVjcmV0=", "cHJv"] {
            let header = HeaderValue::from_str(header).unwrap();
            assert_eq!(users.check(Some(&header), HERE.into()).await, Verdict::Refused);
        }
        assert_eq!(users.check(None, HERE.into()).await, Verdict::Refused);
        let lower = HeaderValue::from_static("basic  cHJvbWV0aGV1czpzOmVjcmV0");
        assert_eq!(users.check(Some(&lower), HERE.into()).await, Verdict::Welcome);
    }

    #[test]
    fn no_two_pairs_have_one_tag_and_no_two_processes_one_key() {
        let (a, b) = (users(), users());
        let of = |users: &Users, user: &str, password: &str| tag(&users.key, user.as_bytes(), Some(password.as_bytes()));
        assert_ne!(of(&a, "ab", "c"), of(&a, "a", "bc"));
        assert_ne!(of(&a, "ab", ""), tag(&a.key, b"ab", None));
        assert_eq!(of(&a, "a", "b"), of(&a, "a", "b"));
        assert_ne!(of(&a, "a", "b"), of(&b, "a", "b"));
    }

    #[tokio::test]
    async fn a_guesser_is_told_to_come_later_and_keeps_nobody_else_out() {
        let users = users();
        let (mut verdicts, begun) = (Vec::new(), std::time::Instant::now());
        for n in 0..20 {
            verdicts.push(ask(&users, &format!("prometheus:guess {n}"), HERE).await);
        }
        // On a busy machine a guess takes so long that the next one is allowed meanwhile.
        let refused = verdicts.iter().filter(|v| **v == Verdict::Refused).count();
        assert!((10..=10 + begun.elapsed().as_secs() as usize / 6).contains(&refused) && refused < 20, "{refused}");
        assert!(verdicts.contains(&Verdict::Later));
        assert_eq!(ask(&users, "prometheus:s:ecret", [192, 0, 2, 2]).await, Verdict::Welcome);
        // What was proven is not tried again, so it passes from the guesser's address, too.
        assert_eq!(ask(&users, "prometheus:s:ecret", HERE).await, Verdict::Welcome);
    }

    #[tokio::test]
    async fn the_same_credentials_at_once_are_tried_once() {
        let users = users();
        let answers = futures_util::future::join_all((0..50).map(|_| ask(&users, "prometheus:s:ecret", HERE))).await;
        assert!(answers.iter().all(|v| *v == Verdict::Welcome));
        let wrong = futures_util::future::join_all((0..50).map(|_| ask(&users, "prometheus:wrong", HERE))).await;
        assert!(wrong.iter().all(|v| *v == Verdict::Refused));
        assert_eq!((users.proven.0.lock().unwrap().len(), users.refused.0.lock().unwrap().len()), (1, 1));
    }

    #[tokio::test]
    async fn unknown_users_are_compared_with_a_hash_of_the_same_cost() {
        let users = users();
        for name in 0..100 {
            let (hash, is_known) = users.hash(format!("nobody {name}").as_bytes());
            assert!(!is_known && hash.is_some_and(|hash| format!("{hash:?}") == "<bcrypt hash of cost 10>"));
        }
        // Also with the password of that very hash nobody is let in under another name.
        assert_eq!(ask(&users, "nobody:else", HERE).await, Verdict::Refused);
        assert_eq!(ask(&users, "nobody:s:ecret", HERE).await, Verdict::Refused);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let recent = Recent::default();
        for n in 0..200_u8 {
            recent.add([n; 32]);
        }
        assert_eq!(recent.0.lock().unwrap().len(), MOST_REMEMBERED);
        assert!(recent.has(&[199; 32], None) && !recent.has(&[0; 32], None));
        assert!(!recent.has(&[199; 32], Some(Duration::ZERO)));
    }
}
