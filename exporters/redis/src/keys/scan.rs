//! Searches with SCAN that give way: a batch, a pause, and an end when the time or the keys of this run are used up. The next
//! run goes on where this one stopped, so that a large database is searched in many small parts.
//!
//! Names are kept up to a limit and counted beyond it; a count keeps none. SCAN may name a key twice while the server's table
//! grows or shrinks, so that a count may then be a little too high.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sage_common::error::{CollectError, ErrorKind};
use tokio::time::Instant;

use super::checks::Named;
use crate::info::part_number;
use crate::resp::Value;
use crate::session::Redis;

/// Longest part of a run that goes into searching and looking, whatever the collector's timeout.
const LONGEST: Duration = Duration::from_secs(10);
/// The pause after a batch is this many times as long as the batch, so that we have a quarter of the server at most.
const REST: u32 = 3;

/// What one run may take.
#[derive(Debug)]
pub struct Limits {
    search_until: Instant,
    until: Instant,
    keys: u64,
    keep: usize,
    pause: Duration,
}

impl Limits {
    /// Half of the collector's `timeout` is for searching, a quarter for looking at what is found; `keys` are passed in this run at
    /// most, `keep` names of one search are kept.
    pub fn new(timeout: Option<Duration>, keys: u64, keep: usize, pause: Duration) -> Self {
        let (time, now) = (timeout.unwrap_or(sage_common::collector::DEFAULT_TIMEOUT).min(LONGEST), Instant::now());
        Self { search_until: now + time / 2, until: now + time * 3 / 4, keys, keep, pause }
    }

    /// True when this run searches no further.
    pub fn end_search(&self) -> bool {
        self.keys == 0 || Instant::now() >= self.search_until
    }

    /// True when this run is over.
    pub fn end(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Waits after something that took the server `took`; not longer than the run.
    pub async fn rest(&self, took: Duration) {
        tokio::time::sleep_until((Instant::now() + self.pause.max(took * REST)).min(self.until)).await;
    }
}

/// A search over the runs.
#[derive(Debug, Default)]
pub struct Scan {
    pass: Option<Pass>,
    last: Option<Pass>,
    ended: Option<SystemTime>,
    /// The share of the database that the pass under way has looked at; 1 when it ended in this run.
    pub progress: f64,
}

/// One way through a database.
#[derive(Debug, Default)]
struct Pass {
    /// The server's own name: a cursor is of no use at another one.
    server: String,
    cursor: Vec<u8>,
    looked: u64,
    count: u64,
    found: BTreeSet<Vec<u8>>,
}

impl Scan {
    /// When the last whole pass ended, as a Unix time.
    pub fn timestamp(&self) -> Option<Duration> {
        self.ended?.duration_since(UNIX_EPOCH).ok()
    }

    /// Keys that matched in the last whole pass; `None` before there was one.
    pub fn count(&self) -> Option<u64> {
        self.last.as_ref().map(|pass| pass.count)
    }

    /// How many of those that matched are not among the names found.
    pub fn more(&self) -> u64 {
        let more = |pass: &Pass| pass.count.saturating_sub(pass.found.len() as u64);
        self.last.as_ref().or(self.pass.as_ref()).map_or(0, more)
    }

    /// The names found by the last whole pass and the present one.
    pub fn found(&self) -> impl Iterator<Item = &Vec<u8>> {
        let all: BTreeSet<&Vec<u8>> = self.last.iter().chain(&self.pass).flat_map(|pass| &pass.found).collect();
        all.into_iter()
    }

    /// Goes on with the pass, or begins one, until the database is at its end or the run is.
    ///
    /// # Errors
    /// As the server says; the pass begins anew then.
    pub async fn go(&mut self, session: &Redis, named: &Named, kind: Option<&[u8]>, limits: &mut Limits) -> Result<(), CollectError> {
        let info = session.info().await?;
        let server = info.get("run_id").unwrap_or_default();
        let keys = info.get(&named.db_label()).and_then(|db| part_number(db, "keys")).unwrap_or(0.0);
        let batch = session.state.options.checks.batch_size;
        session.select(named.db).await?;
        let fresh = || Pass { server: server.to_owned(), cursor: b"0".to_vec(), ..Pass::default() };
        let mut pass = self.pass.take().filter(|pass| pass.server == server).unwrap_or_else(fresh);
        while !limits.end_search() {
            let count = u64::from(batch).min(limits.keys);
            let count_word = count.to_string();
            let mut words: Vec<&[u8]> = vec![b"SCAN", &pass.cursor, b"MATCH", &named.key, b"COUNT", count_word.as_bytes()];
            words.extend(kind.iter().flat_map(|kind| [b"TYPE".as_slice(), kind]));
            let started = Instant::now();
            let Some(answer) = session.command("scan", &words).await? else {
                return Err(
                    CollectError::new(ErrorKind::Query, "the server has no SCAN").hint("it may have been renamed: see rename-command")
                );
            };
            let took = started.elapsed();
            let [Value::Text(cursor), names @ Value::List(_)] = answer.list() else { return Err(odd()) };
            if cursor.is_empty() || cursor.len() > 20 || !cursor.iter().all(u8::is_ascii_digit) {
                return Err(odd());
            }
            for name in names.list() {
                let Value::Text(name) = name else { return Err(odd()) };
                if pass.found.len() < limits.keep {
                    // Named twice, it is one key.
                    pass.count += u64::from(pass.found.insert(name.clone()));
                } else {
                    pass.count += u64::from(!pass.found.contains(name));
                }
            }
            pass.looked += count;
            limits.keys -= count;
            pass.cursor.clone_from(cursor);
            if cursor == b"0" {
                (self.ended, self.progress, self.last) = (Some(SystemTime::now()), 1.0, Some(pass));
                return Ok(());
            }
            limits.rest(took).await;
        }
        self.progress = if keys > 0.0 { (pass.looked as f64 / keys).min(0.999) } else { 0.0 };
        self.pass = Some(pass);
        Ok(())
    }
}

fn odd() -> CollectError {
    CollectError::new(ErrorKind::Decode, "the answer to SCAN is not Redis'")
}
