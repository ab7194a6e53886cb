//! One run of a collector that looks at keys: where, which, in bundles, until its time is over.

use std::collections::BTreeMap;
use std::future::Future;

use sage_common::collector::Support;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::sink::Sink;
use tokio::time::Instant;

use super::ask::BUNDLE;
use super::checks::Named;
use super::place;
use super::scan::{Limits, Scan};
use crate::session::Redis;

/// A collector of keys.
pub trait Look: Sync {
    /// Its name, under which its searches are kept.
    const COLLECTOR: &'static str;
    /// The family that keys without series are counted in.
    const FAMILY: &'static str;
    /// The type that SCAN is to search for.
    const KIND: Option<&'static [u8]> = None;

    /// Writes how a search did.
    fn told(&self, named: &Named, scan: &Scan, out: &mut Sink);

    /// Looks at keys of one database, at most a bundle; true for those that are named in full.
    fn look(&self, at: &Redis, keys: &[(Named, bool)], out: &mut Sink) -> impl Future<Output = Result<(), CollectError>> + Send;
}

/// `NotHere` where nobody has named a key for a collector.
pub fn supports(session: &Redis, patterns: &[Named], single: &[Named]) -> Support {
    if patterns.is_empty() && single.is_empty() {
        return Support::NotHere("no key is named: see checks of the target");
    }
    let command = if patterns.iter().any(Named::is_pattern) { "scan" } else { "type" };
    session.may(command, "ACL SETUSER the monitoring user as the command grants prints it")
}

/// Runs once.
///
/// # Errors
/// As the server says.
pub async fn run<L: Look>(
    look: &L,
    session: &Redis,
    (patterns, single): (&[Named], &[Named]),
    most: usize,
    mut limits: Limits,
    out: &mut Sink,
) -> Result<(), CollectError> {
    let at = match place::find(session).await? {
        Ok(at) => at,
        Err(why) => {
            out.not_here(why);
            return Ok(());
        }
    };
    let (patterns, plain): (Vec<&Named>, Vec<&Named>) = patterns.iter().partition(|named| named.is_pattern());
    let mut keys: BTreeMap<Named, bool> = single.iter().chain(plain).map(|named| (named.clone(), true)).collect();
    for named in patterns {
        let mut scan = session.state.take_scan(L::COLLECTOR, named);
        scan.go(&at, named, L::KIND, &mut limits).await?;
        look.told(named, &scan, out);
        out.drop_series(L::FAMILY, scan.more());
        for key in scan.found() {
            keys.entry(Named { db: named.db, key: key.clone() }).or_insert(false);
        }
        session.state.keep_scan(L::COLLECTOR, named, scan);
    }
    out.drop_series(L::FAMILY, keys.len().saturating_sub(most) as u64);
    let mut left = keys.len().min(most);
    for bundle in bundles(keys, most) {
        if limits.end() {
            out.flaw(
                ErrorKind::Timeout,
                format!("the time was used up before {left} keys were looked at: raise timeout, or name fewer keys"),
            );
            break;
        }
        let started = Instant::now();
        let Some((first, _)) = bundle.first() else { continue };
        at.select(first.db).await?;
        look.look(&at, &bundle, out).await?;
        left -= bundle.len();
        limits.rest(started.elapsed()).await;
    }
    at.end().await;
    Ok(())
}

/// The keys in bundles that are asked for at once, each of one database; those named in full go first when there are too many.
fn bundles(keys: BTreeMap<Named, bool>, most: usize) -> Vec<Vec<(Named, bool)>> {
    let (mut all, matching): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, whole)| *whole);
    all.extend(matching);
    all.truncate(most);
    all.sort();
    let by_database = all.chunk_by(|(a, _), (b, _)| a.db == b.db);
    by_database.flat_map(|keys| keys.chunks(BUNDLE)).map(<[(Named, bool)]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_of_one_database_and_named_keys_go_first() {
        let named = |db: u32, n: usize| Named { db, key: format!("{n:04}").into_bytes() };
        let keys: BTreeMap<Named, bool> =
            (0..70).map(|n| (named(0, n), false)).chain([(named(1, 0), true), (named(2, 0), false)]).collect();
        let sizes: Vec<(u32, usize)> = bundles(keys, 61).iter().map(|b| (b[0].0.db, b.len())).collect();
        assert_eq!(sizes, [(0, 50), (0, 10), (1, 1)]);
    }
}
