//! Questions to a server that stay open: psql in the background, sessions fed statement by statement, and the watch over
//! the connections of a role.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Postgres, literal};
use crate::poll;
use crate::process::{self, Process};

impl Postgres {
    /// Client connections of `user` now, as pg_stat_activity shows them.
    ///
    /// # Panics
    /// When the server does not answer.
    #[track_caller]
    pub fn count_connections(&self, user: &str) -> usize {
        let mut counter = self.counter.lock().unwrap();
        let sql = count_sql(user);
        if let Some(count) = counter.as_mut().and_then(|s| s.number(&sql).ok()) {
            return count;
        }
        // None yet, or its server was restarted.
        counter.insert(self.session("postgres")).number(&sql).unwrap_or_else(|e| panic!("count connections: {e}"))
    }

    /// Counts `user`'s connections as often as the server answers, until stopped.
    pub fn watch_connections(self: &Arc<Self>, user: &str) -> Watcher {
        let shared = Arc::new(Watched::default());
        let (server, sql) = (Arc::clone(self), count_sql(user));
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !seen.stop.load(Ordering::Relaxed) {
                // A killed server ends the session: a new one is opened until the server is back.
                let mut session = server.session("postgres");
                *seen.psql.lock().unwrap() = Some(session.child.id());
                while !seen.stop.load(Ordering::Relaxed) {
                    let Ok(count) = session.number(&sql) else { break };
                    seen.maximum.fetch_max(count, Ordering::Relaxed);
                    seen.samples.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Watcher { shared, thread: Some(thread) }
    }
}

/// A psql in the background; cancelled and closed when dropped.
#[derive(Debug)]
pub struct Background {
    pub(super) process: Process,
}

impl Background {
    /// True once it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// What it has written.
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // SIGINT makes psql cancel its statement on the server; a killed one would leave a backend with its locks.
        self.process.stop_with("INT", Duration::from_secs(2));
    }
}

/// A psql session fed statement by statement; closed when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    const END: &'static str = "--end-of-answer--";

    pub(super) fn start(mut command: Command) -> Self {
        command.args(PSQL_FLAGS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("psql starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout }
    }

    /// Runs statements and waits for their rows. A failing statement ends the session.
    ///
    /// # Errors
    /// `UnexpectedEof` when the session has ended.
    pub fn query(&mut self, sql: &str) -> io::Result<Vec<String>> {
        writeln!(self.stdin, "{sql};\n\\echo {}", Self::END)?;
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end_matches('\n');
            if line == Self::END {
                return Ok(rows);
            }
            rows.push(line.to_owned());
        }
    }

    /// The first row as a number.
    fn number(&mut self, sql: &str) -> io::Result<usize> {
        let rows = self.query(sql)?;
        rows.first().and_then(|r| r.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An idle session's backend sees the closed socket at once and ends, so SIGKILL is clean here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, Default)]
struct Watched {
    stop: AtomicBool,
    maximum: AtomicUsize,
    samples: AtomicUsize,
    /// psql of the present session: killed to end a question that a frozen server will never answer.
    psql: Mutex<Option<u32>>,
}

/// Counts connections in a thread; see [`Postgres::watch_connections`].
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// How often the server has been asked: a test can see that the watcher really watched.
    pub fn samples(&self) -> usize {
        self.shared.samples.load(Ordering::Relaxed)
    }

    /// Ends the counting and returns the most connections ever seen at one moment.
    pub fn stop(mut self) -> usize {
        self.finish();
        self.shared.maximum.load(Ordering::Relaxed)
    }

    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = || thread.is_finished().then_some(());
        while poll::within(Duration::from_millis(500), ended).is_none() {
            if let Some(pid) = *self.shared.psql.lock().unwrap() {
                process::signal("KILL", &[pid]);
            }
        }
        let _ = thread.join();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Unaligned, rows only, no start file, quiet; the first error ends it.
pub(super) const PSQL_FLAGS: [&str; 3] = ["-AtXq", "-v", "ON_ERROR_STOP=1"];

/// From the function below pg_stat_activity: the view reads pg_database, too, which a test may have locked.
fn count_sql(user: &str) -> String {
    let user = literal(user);
    format!(
        "select count(*) from pg_stat_get_activity(null) where backend_type = 'client backend' \
         and usesysid = (select oid from pg_authid where rolname = {user})"
    )
}
