//! The rights that collectors declare, and the ACL rule that gives a user no more than these.
//!
//! A right is a command as ACLs name it. Redis 7 and Valkey know subcommands (`+config|get`); Redis 6 knows them as well,
//! but only as additions to nothing, which is what this rule does.

use std::fmt::Write as _;

use sage_common::collector::{About, Grant};

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

/// See `collectors/sentinel.rs`.
pub const SENTINEL_CKQUORUM: Grant = run("+sentinel|ckquorum", "On a Sentinel also", true);

/// The trivial request, and the question whether the server has a command that it refuses.
const ALWAYS: [&str; 2] = ["+ping", "+command|info"];

/// The rule for `user` with what these collectors need.
pub fn rule(user: &str, collectors: &[&About]) -> String {
    let mut rights: Vec<&Grant> = collectors.iter().flat_map(|about| about.grants).collect();
    rights.sort_by_key(|grant| grant.what);
    rights.dedup_by_key(|grant| grant.what);
    let (sometimes, always): (Vec<&Grant>, Vec<&Grant>) = rights.into_iter().partition(|grant| grant.optional);
    let mut words: Vec<&str> = ALWAYS.to_vec();
    words.extend(always.iter().map(|grant| grant.what));
    let mut out = String::from("# No key, no channel, and of the commands those that the collectors run:\n");
    for grant in &always {
        let _ = writeln!(out, "#   {:20} {}", grant.what, grant.why);
    }
    // A server refuses the whole rule for one command that it does not have.
    for grant in &sometimes {
        let _ = writeln!(out, "# {}: ACL SETUSER {user} {}", grant.why, grant.what);
    }
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
        assert!(kept.ends_with(&rule("sage", &all)), "the end of grants/monitor.acl should be:\n{}", rule("sage", &all));
    }

    #[test]
    fn nothing_dangerous_is_granted() {
        let all: Vec<&About> = Collectors::ABOUT.iter().collect();
        let rule = rule("sage", &all);
        let rule = rule.lines().filter(|line| !line.starts_with('#')).collect::<String>();
        for word in ["+@all", "allkeys", "~", "+set ", "+config ", "+config|set", "+client ", "+acl", "+eval", "+flushall", "+keys"] {
            assert!(!format!("{rule} ").contains(word), "{word} in {rule}");
        }
    }
}
