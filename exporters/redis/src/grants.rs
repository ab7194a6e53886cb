//! The rights that collectors declare, and the ACL rule that gives a user no more than these.
//!
//! A right is a command as ACLs name it. Redis 7 and Valkey know subcommands (`+config|get`); Redis 6 knows them as well,
//! but only as additions to nothing, which is what this rule does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sage_common::collector::{About, Grant};

use crate::keys::checks::Checks;
use crate::write::PREFIX;

/// A right to run one command.
const fn run(what: &'static str, why: &'static str, optional: bool) -> Grant {
    Grant { what, why, before: u32::MAX, optional }
}

/// Most collectors.
pub const INFO: Grant = run("+info", "counters, memory, persistence, replication: what most collectors read", false);
/// See `collectors/config.rs`.
pub const CONFIG: Grant =
    run("+config|get", "limits (maxmemory, maxclients), number of databases; reads settings, and no password by the exporter", false);
/// See `collectors/slowlog.rs`.
pub const SLOWLOG_LEN: Grant = run("+slowlog|len", "number of slow commands kept", false);
/// See `collectors/slowlog.rs`.
pub const SLOWLOG_GET: Grant = run("+slowlog|get", "time and duration of the latest slow command; its arguments are dropped", false);
/// See `collectors/latency.rs`.
pub const LATENCY_LATEST: Grant = run("+latency|latest", "spikes by event", false);
/// See `collectors/latency_histogram.rs`.
pub const LATENCY_HISTOGRAM: Grant = run("+latency|histogram", "times of commands as histograms", false);
/// See `collectors/clients.rs`.
pub const CLIENT_LIST: Grant = run("+client|list", "connections by state and user; addresses and names are dropped", false);
/// See `collectors/cluster.rs`.
pub const CLUSTER_INFO: Grant = run("+cluster|info", "state of the cluster", false);
/// See `collectors/cluster.rs`.
pub const CLUSTER_NODES: Grant = run("+cluster|nodes", "health of each node as the majority sees it", false);

const SEARCH: Grant = run("+scan", "names of keys that match a pattern; all names of the database can be read with it", false);
const SELECT: Grant = run("+select", "other databases than 0", false);
const TYPE: Grant = run("+type", "what kind of value a key has", false);
const IN_CLUSTER: Grant = run("+readonly", "On a replica in a cluster also", true);
/// See `collectors/keys_count.rs`.
pub const SCAN: &[Grant] = &[INFO, SEARCH, SELECT, IN_CLUSTER];
/// See `collectors/keys.rs`.
pub const KEYS: &[Grant] = &[
    INFO,
    SEARCH,
    SELECT,
    TYPE,
    run("+strlen", "size of a string", false),
    run("+llen", "size of a list", false),
    run("+scard", "size of a set", false),
    run("+zcard", "size of a sorted set", false),
    run("+hlen", "size of a hash", false),
    run("+xlen", "size of a stream", false),
    run("+getrange", "a string's first 32 bytes, which are shown where they are a number", false),
    run("+memory|usage", "memory of a key", false),
    IN_CLUSTER,
];
/// See `collectors/streams.rs`.
pub const STREAMS: &[Grant] = &[
    INFO,
    SEARCH,
    SELECT,
    TYPE,
    run("+xinfo|stream", "length of a stream; its first and last entry are dropped", false),
    run("+xinfo|groups", "groups of a stream", false),
    run("+xinfo|consumers", "consumers of a group", false),
    IN_CLUSTER,
];

/// See `collectors/commandlog.rs`.
pub const COMMANDLOG: Grant = run("+commandlog|len", "On Valkey 8.1 and newer also", true);

/// See `collectors/sentinel.rs`.
pub const SENTINEL: &[Grant] = &[
    INFO,
    run("+sentinel|masters", SENTINEL_ALSO, true),
    run("+sentinel|replicas", SENTINEL_ALSO, true),
    run("+sentinel|sentinels", SENTINEL_ALSO, true),
    run("+sentinel|ckquorum", SENTINEL_ALSO, true),
];
const SENTINEL_ALSO: &str = "On a Sentinel also";

/// The trivial request, and the questions which commands there are and which of them this user may run.
const ALWAYS: [&str; 3] = ["+ping", "+command|info", "+acl|dryrun"];

/// A word of a rule as redis-cli reads it.
fn quoted(word: &[u8]) -> String {
    if word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b)) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut out = String::from("\"");
    for byte in word {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out + "\""
}

/// The rule for `user` with what these collectors need, and no keys but those that `checks` name.
pub fn rule(user: &str, collectors: &[&About], checks: &Checks) -> String {
    let collectors: Vec<&&About> = collectors.iter().filter(|about| checks.wants(about.name)).collect();
    let mut rights: Vec<&Grant> = collectors.iter().flat_map(|about| about.grants).collect();
    rights.sort_by_key(|grant| grant.what);
    rights.dedup_by_key(|grant| grant.what);
    let (sometimes, always): (Vec<&Grant>, Vec<&Grant>) = rights.into_iter().partition(|grant| grant.optional);
    let mut words: Vec<&str> = ALWAYS.to_vec();
    words.extend(always.iter().map(|grant| grant.what));
    let keys: BTreeSet<String> = checks.seen().map(|named| quoted(&[b"%R~", named.key.as_slice()].concat())).collect();
    let which = if keys.is_empty() { "No key, no channel" } else { "Reads the keys that are named, no channel" };
    let mut out = format!(
        "# The user that the exporter logs in as. Write its password in the place of PASSWORD and paste the last line into redis-cli\n\
         # (in the place of > and the password, # and its SHA-256 in hexadecimal will do). ACL SAVE or CONFIG REWRITE keeps it,\n\
         # ACL DELUSER {user} takes it away. A right that is left out costs the collector that needs it, which then says so by name.\n\
         # {which}, and of the commands those that the collectors run:\n"
    );
    for grant in &always {
        let _ = writeln!(out, "#   {:20} {}", grant.what, grant.why);
    }
    // A server refuses the whole rule for one command that it does not have.
    let mut also: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    sometimes.iter().for_each(|grant| also.entry(grant.why).or_default().push(grant.what));
    for (when, words) in also {
        let _ = writeln!(out, "# {when}: ACL SETUSER {user} {}", words.join(" "));
    }
    if !keys.is_empty() {
        out.push_str("# Before 7.0 write ~ and not %R~. A replica that is asked in place of its primary needs the same user.\n");
    }
    words.extend(keys.iter().map(String::as_str));
    let _ = writeln!(out, "# With the write probe (write_interval) also: ACL SETUSER {user} ~{PREFIX}* +set +get +del");
    let _ = writeln!(out, "ACL SETUSER {user} reset on >PASSWORD -@all {}", words.join(" "));
    out
}

#[cfg(test)]
mod tests {
    use sage_common::collector::Table as _;

    use super::*;
    use crate::collectors::Collectors;

    #[test]
    fn the_rule_of_all_collectors_is_the_one_that_is_shipped() {
        let all: Vec<&About> =
            Collectors::ABOUT.iter().filter(|about| about.enabled == sage_common::collector::Enabled::ByDefault).collect();
        let kept = include_str!("../grants/monitor.acl");
        let rule = rule("sage", &all, &Checks::default());
        assert!(kept.ends_with(&rule), "the end of grants/monitor.acl should be:\n{rule}");
    }

    #[test]
    fn keys_that_are_named_are_readable_and_no_others() {
        let all: Vec<&About> = Collectors::ABOUT.iter().collect();
        let named = |text: &str| vec![crate::keys::checks::Named::try_from(text.to_owned()).unwrap()];
        let checks = Checks { keys: named("cart:*"), single_streams: named("db2=a+%22%ff"), ..Checks::default() };
        let text = rule("sage", &all, &checks);
        assert!(text.ends_with(" \"%R~a \\\"\\xff\" %R~cart:*\n") && text.contains("+strlen") && text.contains("+xinfo|groups"), "{text}");
        let text = rule("sage", &all, &Checks { count_keys: named("cart:*"), ..Checks::default() });
        assert!(!text.contains("%R") && text.contains("+scan") && !text.contains("+strlen"), "{text}");
    }

    #[test]
    fn nothing_dangerous_is_granted() {
        let all: Vec<&About> = Collectors::ABOUT.iter().collect();
        let rule = rule("sage", &all, &Checks::default());
        let rule = rule.lines().filter(|line| !line.starts_with('#')).collect::<String>();
        for word in [
            "+@all",
            "allkeys",
            "~",
            "+set ",
            "+config ",
            "+config|set",
            "+client ",
            "+acl ",
            "+acl|setuser",
            "+acl|getuser",
            "+acl|list",
            "+eval",
            "+flushall",
            "+keys",
        ] {
            assert!(!format!("{rule} ").contains(word), "{word} in {rule}");
        }
    }
}
