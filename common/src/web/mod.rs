//! Who may ask on our own port and how: `--web.config.file`, read anew when it changes.
//!
//! The last good configuration stays in force when a new one is refused; log and series say so. Connections that were
//! made under an older one end after their answer.

pub mod file;
#[cfg(test)]
mod handshakes;
pub mod hash;
pub mod headers;
pub mod init;
pub mod limit;
#[cfg(test)]
mod refusals;
pub mod tls;
pub mod users;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::sync::watch;

use self::limit::{Limit, Rate};
use self::tls::{Pem, Tls};
use self::users::{Users, Verdict};
use crate::codes;
use crate::error::Invalid;
use crate::os;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// What is in force.
#[derive(Default)]
pub struct Rules {
    /// TLS; `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    users: Option<Arc<Users>>,
    first_user: Option<String>,
    limit: Option<Limit>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is answered.
    Welcome,
    /// 401.
    Unauthorized,
    /// 429.
    TooMany,
}

impl Rules {
    /// Judges a request. Credentials come first, so that who has none takes nobody's share of the rate.
    pub async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Admission {
        if let Some(users) = &self.users {
            // Two headers would be judged by one of them.
            let mut all = headers.get_all(AUTHORIZATION).iter();
            let only = match (all.next(), all.next()) {
                (one, None) => one,
                _ => None,
            };
            match users.check(only, from).await {
                Verdict::Welcome => {}
                Verdict::Refused => return Admission::Unauthorized,
                Verdict::Later => return Admission::TooMany,
            }
        }
        if self.limit.as_ref().is_none_or(Limit::take) { Admission::Welcome } else { Admission::TooMany }
    }

    /// What is missing for a port that other machines reach.
    fn exposed(&self) -> Option<&'static str> {
        let clients_known = self.users.is_some() || self.tls.as_ref().is_some_and(|tls| tls.clients_known);
        match (self.tls.is_some(), clients_known) {
            (true, true) => None,
            (true, false) => Some("without a password or client certificate"),
            (false, true) => Some("without TLS, so that the password can be read on its way"),
            (false, false) => Some("without TLS and password"),
        }
    }
}

/// What the port asks of clients, for those who write a client's configuration.
#[derive(Clone, Debug, Default)]
pub struct Face {
    /// TLS.
    pub tls: bool,
    /// A user that may log in, where one must.
    pub user: Option<String>,
    /// A client certificate is asked for.
    pub client_certificates: bool,
}

/// How the last load went.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// It succeeded.
    pub success: bool,
    /// When what is in force was loaded.
    pub loaded: SystemTime,
    /// When our certificate ends.
    pub not_after: Option<SystemTime>,
}

/// The web configuration and the file it comes from.
pub struct Web {
    path: Option<PathBuf>,
    rules: watch::Sender<Arc<Rules>>,
    last: Mutex<(bool, SystemTime)>,
    /// The files as they were when they were loaded.
    taken: Mutex<Seen>,
    /// Other machines reach us and may not do so unprotected.
    guarded: AtomicBool,
}

/// The files of a configuration and what they held.
type Seen = Vec<(PathBuf, Option<Vec<u8>>)>;

fn look(files: &[PathBuf]) -> Seen {
    files.iter().map(|file| (file.clone(), std::fs::read(file).ok())).collect()
}

/// These files as they were in `before`; what was not looked at then is looked at now.
fn keep(files: Vec<PathBuf>, before: &Seen) -> Seen {
    let known = |file: &PathBuf| before.iter().find(|(seen, _)| seen == file).cloned();
    files.into_iter().map(|file| known(&file).unwrap_or_else(|| (file.clone(), std::fs::read(&file).ok()))).collect()
}

/// Reads a web configuration file and what it names. Also returns all these files.
fn load(path: &Path) -> Result<(Rules, Vec<PathBuf>), (Invalid, Vec<PathBuf>)> {
    let mut files = vec![path.to_path_buf()];
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => return Err((Invalid::unreadable(format_args!("--web.config.file {shown}"), path, &e), files)),
    };
    let settings = match file::parse(&text, &shown.to_string()) {
        Ok(settings) => settings,
        Err(error) => return Err((error, files)),
    };
    if let Some(tls) = &settings.tls {
        files.extend([Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()].into_iter().flatten().filter_map(Pem::file).cloned());
    }
    if os::files::open_to_all(path) {
        if settings.tls.as_ref().is_some_and(|tls| tls.key.is_inline()) {
            let text = format!("{shown}: every user of this machine can read or change the key in this file");
            return Err((Invalid::new(text).hint(format!("chmod 640 {shown}")).code(codes::SECRET_OPEN), files));
        }
        if !settings.users.is_empty() {
            tracing::warn!(file = %shown, "every user of this machine can read or change the password hashes in this file; run chmod 640");
        }
    }
    match rules(settings) {
        Ok(rules) => Ok((rules, files)),
        Err(error) => Err((error.within(shown), files)),
    }
}

fn rules(settings: file::Settings) -> Result<Rules, Invalid> {
    let first_user = settings.users.first().map(|(name, _)| name.clone());
    let users = if settings.users.is_empty() {
        None
    } else {
        Some(Arc::new(
            Users::new(settings.users)
                .map_err(|_| Invalid::new("basic_auth_users: the system gives no random numbers").code(codes::INTERNAL))?,
        ))
    };
    Ok(Rules {
        tls: settings.tls.map(|tls| tls.load(settings.http2)).transpose()?,
        headers: settings.headers,
        users,
        first_user,
        limit: settings.rate.map(|(interval, burst)| Limit::new(Rate { interval, burst })),
    })
}

impl Web {
    /// Loads the file, where there is one.
    ///
    /// # Errors
    /// What is wrong with it, where, and what to write instead.
    pub fn load(path: Option<&Path>) -> Result<Self, Invalid> {
        let (rules, taken) = match path {
            None => (Rules::default(), Seen::new()),
            Some(path) => {
                let before = look(&[path.to_path_buf()]);
                let (rules, files) = load(path).map_err(|(error, _)| error)?;
                (rules, keep(files, &before))
            }
        };
        Ok(Self {
            path: path.map(Path::to_path_buf),
            rules: watch::Sender::new(Arc::new(rules)),
            last: Mutex::new((true, SystemTime::now())),
            taken: Mutex::new(taken),
            guarded: AtomicBool::new(false),
        })
    }

    /// What is in force now, and a sign when that changes.
    pub fn rules(&self) -> (Arc<Rules>, watch::Receiver<Arc<Rules>>) {
        let mut changes = self.rules.subscribe();
        let rules = Arc::clone(&changes.borrow_and_update());
        (rules, changes)
    }

    /// What is asked of clients at present.
    pub fn face(&self) -> Face {
        let rules = self.rules.borrow();
        Face {
            tls: rules.tls.is_some(),
            user: rules.first_user.clone(),
            client_certificates: rules.tls.as_ref().is_some_and(|tls| tls.clients_known),
        }
    }

    /// How the last load went; `None` without a file.
    pub fn reload(&self) -> Option<Reload> {
        self.path.as_ref()?;
        let (success, loaded) = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Reload { success, loaded, not_after: self.rules.borrow().tls.as_ref().and_then(|tls| tls.not_after) })
    }

    /// Refuses an address that other machines reach while there is no TLS or nobody is asked who he is; where that is
    /// wanted (`insecure`), it is only logged.
    ///
    /// # Errors
    /// What is missing, and both ways out.
    pub fn guard(&self, address: SocketAddr, insecure: bool) -> Result<(), Invalid> {
        self.guarded.store(!insecure, Ordering::Relaxed);
        let missing = self.rules.borrow().exposed();
        match missing {
            None => Ok(()),
            Some(missing) if insecure => {
                tracing::warn!(%address, missing, "--web.insecure: other machines may read the metrics");
                Ok(())
            }
            Some(missing) => Err(Invalid::new(format!("--web.listen-address {address}: other machines reach this address, {missing}"))
                .hint(
                    "`tls-init` makes a certificate, a password and the file for --web.config.file; or let everybody read: --web.insecure",
                )
                .code(codes::EXPOSED)),
        }
    }

    /// Looks at the files for ever and takes what has changed; returns at once where there is no file.
    pub async fn watch(&self) {
        let Some(path) = &self.path else { return };
        let mut before = Seen::new();
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let files: Vec<_> = self.taken().iter().map(|(file, _)| file.clone()).collect();
            let now = look(&files);
            let changed = *self.taken() != now;
            // A certificate is written before its key: what changes is taken when it has stopped changing.
            if changed && now == before {
                // Refused or not, log and series say so.
                let _ = self.take(path, &now);
            }
            before = now;
        }
    }

    /// Takes the files at once, where they have changed or were refused.
    ///
    /// # Errors
    /// What is wrong; the last good configuration stays in force.
    pub fn again(&self) -> Result<(), Invalid> {
        let Some(path) = &self.path else { return Ok(()) };
        let files: Vec<_> = self.taken().iter().map(|(file, _)| file.clone()).collect();
        let now = look(&files);
        let same = *self.taken() == now && self.last.lock().unwrap_or_else(PoisonError::into_inner).0;
        if same { Ok(()) } else { self.take(path, &now) }
    }

    fn taken(&self) -> MutexGuard<'_, Seen> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the file anew, or tells why not; `now` is what the files held before.
    fn take(&self, path: &Path, now: &Seen) -> Result<(), Invalid> {
        let (result, files) = match load(path) {
            Ok((rules, files)) => match rules.exposed().filter(|_| self.guarded.load(Ordering::Relaxed)) {
                Some(missing) => (
                    Err(Invalid::new(format!("{}: other machines reach this port, {missing}", path.display())).code(codes::EXPOSED)),
                    files,
                ),
                None => (Ok(rules), files),
            },
            Err((error, files)) => (Err(error), files),
        };
        *self.taken() = keep(files, now);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(rules) => {
                *last = (true, SystemTime::now());
                self.rules.send_replace(Arc::new(rules));
                tracing::info!(file = %path.display(), "the web configuration has changed and is in force");
                Ok(())
            }
            Err(error) => {
                last.0 = false;
                tracing::warn!(
                    error = error.message,
                    hint = error.advice(),
                    code = error.code.id,
                    "the web configuration has changed and is refused; the last good one stays in force"
                );
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Rules {
        rules(file::parse(text, "web.yml").unwrap()).unwrap()
    }

    #[test]
    fn other_machines_are_refused_without_tls_and_password() {
        let hash = users::Hash::make(b"x", [1; 16]).text();
        let web = |rules: Rules| Web {
            path: None,
            rules: watch::Sender::new(Arc::new(rules)),
            last: Mutex::new((true, SystemTime::UNIX_EPOCH)),
            taken: Mutex::default(),
            guarded: AtomicBool::new(false),
        };
        let at = SocketAddr::from(([192, 0, 2, 1], 9187));
        let refused = web(Rules::default()).guard(at, false).unwrap_err();
        assert!(refused.message.contains("192.0.2.1:9187: other machines reach this address, without TLS and password"), "{refused}");
        assert!(refused.hint.is_some_and(|hint| hint.contains("tls-init") && hint.contains("--web.insecure")));
        let open = web(read(&format!("basic_auth_users: {{a: {hash}}}"))).guard(at, false).unwrap_err();
        assert!(web(Rules::default()).guard(at, true).is_ok());
        assert!(open.message.contains("without TLS, so that the password can be read"), "{open}");
    }

    #[tokio::test]
    async fn the_rate_is_of_those_who_are_let_in() {
        let hash = users::Hash::make(b"x", [1; 16]).text();
        let rules = read(&format!("basic_auth_users: {{a: {hash}}}\nrate_limit: {{interval: 1h, burst: 2}}"));
        let from = IpAddr::from([192, 0, 2, 1]);
        let (mut right, mut twice) = (HeaderMap::new(), HeaderMap::new());
        right.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTp4"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Basic YTp4"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Basic YTp5"));
        for _ in 0..5 {
            assert_eq!(rules.admit(&HeaderMap::new(), from).await, Admission::Unauthorized);
            assert_eq!(rules.admit(&twice, from).await, Admission::Unauthorized);
        }
        assert_eq!(rules.admit(&right, from).await, Admission::Welcome);
        assert_eq!(rules.admit(&right, from).await, Admission::Welcome);
        assert_eq!(rules.admit(&right, from).await, Admission::TooMany);
        assert_eq!(Rules::default().admit(&HeaderMap::new(), from).await, Admission::Welcome);
    }
}
