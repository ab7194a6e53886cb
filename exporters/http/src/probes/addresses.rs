//! `addresses: any` and `all`: a name that has several addresses is probed at each of them, one after the other until one is
//! well, or all at once.
//!
//! The series of the page are those of the address that decided; beside them each address has its own few. At most sixteen
//! are asked, so that a name does not make a page, or the exporter's connections, as long as it likes.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sage_common::app::BoxFuture;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;
use sage_common::net::dial;
use sage_common::prober::Outcome;
use sage_common::prober::log::Log;
use sage_common::put;
use sage_common::sink::Sink;
use tokio::time::Instant;
use url::Host;

use crate::address;
use crate::config::types::Addresses;
use crate::connection::{Phase, Route, Seen, bare};
use crate::metrics::{ADDRESS_DURATION, ADDRESS_ERROR_INFO, ADDRESS_SUCCESS, ADDRESSES};
use crate::reason::Reason;

/// Most addresses that are asked.
const MOST: usize = 16;

/// What a probe knows when it has ended.
pub trait Facts {
    /// Whether the target answered at all.
    fn answered(&self) -> bool;
    /// Writes its series.
    fn write(&self, ended: &Result<(), CollectError>, out: &mut Sink);
}

/// What a probe begins with: what is seen already, and the error where it cannot begin.
pub struct Start {
    /// With the time that the resolver took, and the address that it shall ask.
    pub seen: Seen,
    /// Why there is nothing to ask.
    pub ready: Result<(), CollectError>,
}

/// How a probe ended.
pub type Ended<F> = (F, Result<(), CollectError>);

/// Which addresses of which host are asked.
pub struct Many<'a> {
    /// How many of them.
    pub which: Addresses,
    /// The families, and who may be asked.
    pub route: Route<'a>,
    /// Host and port of the target.
    pub place: Option<(Host, u16)>,
    /// What the target is called in the question.
    pub hostname: Option<Host>,
    /// What is told to people who want to know.
    pub log: Log,
}

struct Tried<F> {
    ip: IpAddr,
    took: Duration,
    ended: Ended<F>,
}

/// Probes by `run` at as many addresses as wanted, and writes what was seen.
pub async fn probe<'a, F: Facts>(
    many: Many<'a>,
    deadline: Deadline,
    out: &mut Sink,
    run: impl Fn(Start, Deadline) -> BoxFuture<'a, Ended<F>>,
) -> Outcome {
    let log = many.log.clone();
    if let (Some(hostname), Some((_, port))) = (&many.hostname, &many.place)
        && let Err(refused) = many.route.fence.is_named(hostname, *port)
    {
        return tell(run(Start { seen: Seen::telling(log), ready: Err(refused) }, deadline).await, out);
    }
    let name = many.place.filter(|(host, _)| many.which != Addresses::First && matches!(host, Host::Domain(_)));
    let Some((host, port)) = name else {
        let ended = run(Start { seen: Seen::telling(log), ready: Ok(()) }, deadline).await;
        return tell(ended, out);
    };
    let mut seen = Seen::telling(log.clone());
    let found = deadline.run(look_up(&host, port, many.route, many.which, &mut seen)).await;
    let found = found.unwrap_or_else(|_| Err(seen.clock.timeout()));
    seen.clock.stop();
    let (found, resolve) = match found {
        Ok(found) => (found, seen.clock.spent(Phase::Resolve)),
        Err(error) => return tell(run(Start { seen, ready: Err(error) }, deadline).await, out),
    };
    let asked = found.get(..MOST).unwrap_or(&found);
    let begin = |ip| Start { seen: Seen::pinned(host.clone(), ip, resolve, log.clone()), ready: Ok(()) };
    let tried = if many.which == Addresses::All {
        join_all(asked.iter().map(|ip| timed(*ip, run(begin(*ip), deadline)))).await
    } else {
        let mut tried = Vec::new();
        for (i, ip) in asked.iter().enumerate() {
            // Each has its share of what is left, so that one that hangs leaves time for the others.
            let share = deadline.remaining() / u32::try_from(asked.len() - i).unwrap_or(1);
            tried.push(timed(*ip, run(begin(*ip), Deadline::after(share))).await);
            if tried.last().is_some_and(|last| last.ended.1.is_ok()) {
                break;
            }
        }
        tried
    };
    let left = found.len().saturating_sub(tried.len());
    log.say(|| format!("{} addresses were asked, {left} were not", tried.len()));
    put!(out, ADDRESSES { state: "asked" } = tried.len());
    put!(out, ADDRESSES { state: "not_asked" } = found.len().saturating_sub(tried.len()));
    for one in &tried {
        let (address, ended) = (one.ip, &one.ended.1);
        put!(out, ADDRESS_SUCCESS { address } = ended.is_ok());
        put!(out, ADDRESS_DURATION { address } = one.took);
        if let Err(error) = ended {
            put!(out, ADDRESS_ERROR_INFO { address, reason: Reason::of(error).name } = 1);
        }
    }
    let answered = tried.iter().any(|one| one.ended.0.answered());
    let Some(decided) = decide(tried, many.which) else { return Outcome::default() };
    let outcome = tell(decided.ended, out);
    Outcome { answered, ..outcome }
}

async fn look_up(host: &Host, port: u16, route: Route<'_>, which: Addresses, seen: &mut Seen) -> Result<Vec<IpAddr>, CollectError> {
    route.fence.may_be(host, port)?;
    seen.clock.enter(Phase::Resolve);
    let name = bare(host);
    let found = dial::resolve(&name, port).await?;
    let several = address::several(&name, &found, route.preferred, route.fallback, which == Addresses::Any)?;
    several.iter().try_for_each(|ip| route.fence.is(host, port, *ip))?;
    Ok(several)
}

async fn timed<F>(ip: IpAddr, work: BoxFuture<'_, Ended<F>>) -> Tried<F> {
    let started = Instant::now();
    let ended = work.await;
    Tried { ip, took: started.elapsed(), ended }
}

/// The one that tells whether all is well: the one that was, or else the first that failed; where all must be well the first
/// that failed, or else the slowest.
fn decide<F>(mut tried: Vec<Tried<F>>, which: Addresses) -> Option<Tried<F>> {
    let failed = tried.iter().position(|one| one.ended.1.is_err());
    let place = match which {
        Addresses::All => failed.or_else(|| (0..tried.len()).max_by_key(|i| tried.get(*i).map(|one| one.took))),
        _ => tried.iter().position(|one| one.ended.1.is_ok()).or(failed),
    };
    place.map(|i| tried.swap_remove(i))
}

fn tell<F: Facts>((facts, ended): Ended<F>, out: &mut Sink) -> Outcome {
    facts.write(&ended, out);
    Outcome { answered: facts.answered(), success: ended.is_ok(), error: ended.err() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_or_was_slow_decides() {
        let tried = |ends: &[(bool, u64)]| {
            let one = |(i, (fine, seconds)): (usize, &(bool, u64))| Tried {
                ip: IpAddr::from([192, 0, 2, i as u8]),
                took: Duration::from_secs(*seconds),
                ended: ((), if *fine { Ok(()) } else { Err(CollectError::timeout("x")) }),
            };
            ends.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let last = |ends: &[(bool, u64)], which| decide(tried(ends), which).map(|one| one.ip.to_string());
        assert_eq!(last(&[(false, 1), (true, 1)], Addresses::Any).unwrap(), "192.0.2.1");
        assert_eq!(last(&[(false, 1), (false, 9)], Addresses::Any).unwrap(), "192.0.2.0");
        assert_eq!(last(&[(true, 9), (false, 1), (false, 1)], Addresses::All).unwrap(), "192.0.2.1");
        assert_eq!(last(&[(true, 1), (true, 9), (true, 2)], Addresses::All).unwrap(), "192.0.2.1");
        assert_eq!(last(&[], Addresses::All), None);
    }
}
