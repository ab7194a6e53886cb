//! Which commands the server has, and which of them our user may run, without trying them: a refused command is an entry in the
//! server's ACL LOG and in its statistics of errors.
//!
//! Asked once, again when the server was started anew, and every ten minutes: COMMAND INFO tells which commands exist and how many words
//! they take, ACL DRYRUN (7.0 and newer) whether the user may run them. What is refused is asked again every half minute, so that a
//! grant is seen. Where the user may do neither, a command is tried and its refusal remembered. Commands that take a key are tried: the
//! answer depends on the key.

use sage_common::collector::Table as _;
use sage_common::error::CollectError;

use crate::collectors::Collectors;
use crate::resp::Value;
use crate::session::Redis;
use crate::state::{Capability, Probe};

/// The command without which the others have to be tried.
const DRY_RUN: &str = "acl|dryrun";
/// Elements of an entry of COMMAND INFO from 7.0 on, where subcommands have entries of their own.
const WITH_SUBCOMMANDS: usize = 10;

/// All commands that the collectors run at this target.
fn commands(session: &Redis) -> Vec<&'static str> {
    let checks = &session.state.options.checks;
    let about = Collectors::ABOUT.iter().filter(|about| checks.wants(about.name));
    let mut all: Vec<&str> = about.flat_map(|about| about.grants).filter_map(|grant| grant.what.strip_prefix('+')).collect();
    all.push(DRY_RUN);
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a command exists, and the words of a request without keys.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Missing,
    /// Before 7.0 only the first word of a command is known.
    Perhaps,
    Takes(usize),
    TakesKeys,
}

fn known(entry: &Value, container: &Value) -> Known {
    let number = |at: usize| entry.list().get(at).and_then(Value::number).unwrap_or(0.0);
    match entry.list() {
        [] if container.list().is_empty() || container.list().len() >= WITH_SUBCOMMANDS => Known::Missing,
        [] => Known::Perhaps,
        _ if number(3) != 0.0 => Known::TakesKeys,
        _ => Known::Takes(number(1).abs().min(16.0) as usize),
    }
}

/// Asks what has to be asked now.
///
/// # Errors
/// The line broke.
pub async fn probe(session: &Redis) -> Result<(), CollectError> {
    match session.state.probe_due() {
        None => return Ok(()),
        Some(Probe::Whole) => exists(session).await?,
        Some(Probe::Denied) => {}
    }
    session.state.probed();
    let words = session.state.dry_runs();
    let (Some(first), rest) = (words.first(), words.get(1..).unwrap_or_default()) else { return Ok(()) };
    // One by itself: where it is refused, the others are not tried.
    if dry_run(session, std::slice::from_ref(first)).await? {
        dry_run(session, rest).await?;
    }
    Ok(())
}

/// Which commands exist.
async fn exists(session: &Redis) -> Result<(), CollectError> {
    let all = commands(session);
    let mut words: Vec<&[u8]> = vec![b"COMMAND", b"INFO"];
    for command in &all {
        words.extend([command.as_bytes(), command.split('|').next().unwrap_or_default().as_bytes()]);
    }
    let Some(Ok(answer)) = session.exchange("command|info", &[words]).await?.pop() else { return Ok(()) };
    for (command, entries) in all.into_iter().zip(answer.list().chunks_exact(2)) {
        let [entry, container] = entries else { continue };
        match known(entry, container) {
            Known::Missing => session.state.note(command, Capability::Missing),
            Known::Takes(words) => session.state.takes(command, words),
            Known::Perhaps | Known::TakesKeys => {}
        }
    }
    Ok(())
}

/// Whether the user may run these. False when that is not for us to know.
async fn dry_run(session: &Redis, of: &[(&'static str, usize)]) -> Result<bool, CollectError> {
    let request = |(command, words): &(&'static str, usize)| {
        let mut request: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", session.user().as_bytes()];
        request.extend(command.split('|').map(str::as_bytes));
        request.resize(request.len().max(3 + words), b"x");
        request
    };
    let requests: Vec<Vec<&[u8]>> = of.iter().map(request).collect();
    for ((command, _), reply) in of.iter().zip(session.exchange(DRY_RUN, &requests).await?) {
        match reply {
            Ok(Value::Text(said)) if said == b"OK" => session.state.note(command, Capability::Allowed),
            Ok(_) => session.state.note(command, Capability::Denied),
            // Before 7.0 there is none.
            Err(error) => {
                match error.code.as_str() {
                    "NOPERM" => session.state.note(DRY_RUN, Capability::Denied),
                    "ERR" => session.state.note(DRY_RUN, Capability::Missing),
                    _ => {}
                }
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_command_info() {
        let entry = |arity: i64, key: i64, length: usize| {
            let mut entry = vec![Value::Text(b"x".to_vec()), Value::Integer(arity), Value::List(Vec::new()), Value::Integer(key)];
            entry.resize(length, Value::Integer(0));
            Value::List(entry)
        };
        assert_eq!(known(&entry(-3, 0, 10), &entry(-2, 0, 10)), Known::Takes(3));
        assert_eq!(known(&entry(2, 1, 10), &entry(2, 1, 10)), Known::TakesKeys);
        // Renamed or older; and Redis 6, which knows no subcommands.
        assert_eq!(known(&Value::Nil, &Value::Nil), Known::Missing);
        assert_eq!(known(&Value::Nil, &entry(-2, 0, 10)), Known::Missing);
        assert_eq!(known(&Value::Nil, &entry(-2, 0, 7)), Known::Perhaps);
        assert_eq!(known(&entry(-1_000_000, 0, 10), &Value::Nil), Known::Takes(16));
    }
}
