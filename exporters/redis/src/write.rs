//! The write probe: SET, GET and DEL of one key of the exporter's own, as users' work is.
//!
//! The key is new for each probe, is set only where there is none of its name, and ends by itself after ten seconds. A replica
//! and a Sentinel are not written to. In a cluster the key is one of a slot that this node serves. Beside the key itself the
//! probe leaves three calls in the statistics, their bytes in the append-only file, and keyspace notifications.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::service::Phases;

use crate::resp::Value;
use crate::session::Redis;

/// What all keys of the probe begin with; the grant is `~exporter:probe:*`.
pub const PREFIX: &str = "exporter:probe:";
/// Life of the key in milliseconds, where DEL does not come through.
const LIFE: &[u8] = b"10000";
/// Slots of a cluster.
const SLOTS: u16 = 16384;
/// Names tried for a slot of this node; a node with one slot in a hundred has one among them almost surely.
const TRIES: u64 = 2000;

/// CRC16 as clusters use it (XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 })
    })
}

/// The ranges of slots that the node with the flag `myself` serves.
fn own_slots(nodes: &str) -> Vec<(u16, u16)> {
    let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|f| f == "myself")));
    let range = |word: &str| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    // Slots that move stand in brackets and are no number.
    own.map(|line| line.split(' ').skip(8).filter_map(range).collect()).unwrap_or_default()
}

/// A key that nobody else has; `number` makes it differ from the one before.
fn key(number: u64) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |at| at.as_micros());
    format!("{PREFIX}{:x}-{now:x}-{:x}-{number:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Writes once. False where this server must not be written to.
///
/// # Errors
/// As the server says: out of memory, read-only, no right, and so on; `Decode` when it does not give back what was set.
pub async fn write(session: &Redis, phases: &mut Phases) -> Result<bool, CollectError> {
    let info = session.info().await?;
    if info.get("role") != Some("master") {
        return Ok(false);
    }
    let key = if info.get("cluster_enabled") == Some("1") {
        let nodes = session.command("cluster|nodes", &[b"CLUSTER", b"NODES"]).await?;
        let slots = own_slots(&nodes.as_ref().and_then(Value::text).unwrap_or_default());
        let mine = |key: &String| {
            let slot = crc16(key.as_bytes()) % SLOTS;
            slots.iter().any(|(from, to)| (*from..=*to).contains(&slot))
        };
        match (0..TRIES).map(key).find(mine) {
            Some(key) => key,
            None => return Ok(false),
        }
    } else {
        key(0)
    };
    let (key, value) = (key.as_bytes(), b"written by the monitoring".as_slice());
    phases.restart();
    let set: Vec<&[u8]> = vec![b"SET", key, value, b"NX", b"PX", LIFE];
    let done = ask(session, "SET", set).await?;
    phases.end("set");
    if done == Value::Nil {
        return Err(CollectError::new(ErrorKind::Internal, "a key of the probe's name is there already"));
    }
    let found = ask(session, "GET", vec![b"GET", key]).await?;
    phases.end("get");
    if !matches!(&found, Value::Text(text) if text == value) {
        return Err(CollectError::new(ErrorKind::Decode, "the server does not give back what was set"));
    }
    ask(session, "DEL", vec![b"DEL", key]).await?;
    phases.end("del");
    Ok(true)
}

async fn ask(session: &Redis, what: &str, words: Vec<&[u8]>) -> Result<Value, CollectError> {
    let context = format!("{what} of the write probe");
    match session.exchange(&context, &[words]).await?.pop() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.code == "NOPERM" => {
            Err(error.into_error(context).hint(format!("ACL SETUSER the monitoring user ~{PREFIX}* +set +get +del")))
        }
        Some(Err(error)) => Err(error.into_error(context)),
        None => Err(CollectError::new(ErrorKind::Internal, context)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // The check value of CRC16/XMODEM, and a slot from the documentation of CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b"somekey") % SLOTS, 11058);
        assert_eq!(crc16(b"") % SLOTS, 0);
    }

    #[test]
    fn own_slots_are_those_of_myself() {
        let nodes = "a 127.0.0.1:1@2 master - 0 1 1 connected 0-5460\n\
            b 127.0.0.1:2@3,host myself,master - 0 1 2 connected 5461-10922 16000 [93-<-c]\n";
        assert_eq!(own_slots(nodes), [(5461, 10922), (16000, 16000)]);
        assert_eq!(own_slots("x"), []);
    }

    #[test]
    fn no_two_keys_are_the_same() {
        assert!(key(0) != key(0) && key(1).starts_with("exporter:probe:"));
    }
}
