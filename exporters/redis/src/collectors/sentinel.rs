//! What a Sentinel watches: its primaries, their replicas and the other Sentinels.
//!
//! From the section Sentinel of INFO, SENTINEL MASTERS, REPLICAS, SENTINELS and CKQUORUM, on Sentinels only.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::{self, part, part_number};
use crate::resp::Value;
use crate::session::{Redis, Reply};

info::info_metrics! {
    /// Primaries that this Sentinel watches (sentinel_masters).
    "sentinel_masters" Plain MASTERS: Gauge legacy "redis_sentinel_masters";
    /// 1 while it does nothing because its clock or its machine is not to be trusted (sentinel_tilt).
    "sentinel_tilt" Plain TILT: Gauge legacy "redis_sentinel_tilt";
    /// Scripts that run (sentinel_running_scripts).
    "sentinel_running_scripts" Plain SCRIPTS: Gauge legacy "redis_sentinel_running_scripts";
    /// Scripts that wait (sentinel_scripts_queue_length).
    "sentinel_scripts_queue_length" Plain QUEUE: Gauge legacy "redis_sentinel_scripts_queue_length";
    /// Failures that it simulates (sentinel_simulate_failure_flags).
    "sentinel_simulate_failure_flags" Plain SIMULATED: Gauge legacy "redis_sentinel_simulate_failure_flags";
    more {
        /// 1 when the primary is well, 0 when it is down as this Sentinel (sdown) or the quorum (odown) sees it (masterN, status).
        STATUS: Gauge legacy "redis_sentinel_master_status" [master_name, master_address, master_status];
        /// Replicas of the primary that this Sentinel knows (masterN, slaves).
        SLAVES: Gauge legacy "redis_sentinel_master_slaves" [master_name, master_address];
        /// Sentinels that watch the primary, this one counted (masterN, sentinels).
        SENTINELS: Gauge legacy "redis_sentinel_master_sentinels" [master_name, master_address];
        /// Replicas of the primary that this Sentinel does not take for down (SENTINEL REPLICAS, flags).
        OK_SLAVES: Gauge legacy "redis_sentinel_master_ok_slaves" [master_name, master_address];
        /// Sentinels that watch the primary and are not taken for down, this one counted (SENTINEL SENTINELS, flags).
        OK_SENTINELS: Gauge legacy "redis_sentinel_master_ok_sentinels" [master_name, master_address];
        /// 1 when enough Sentinels can be reached to fail over (SENTINEL CKQUORUM).
        QUORUM: Gauge "redis_sentinel_quorum_ok" [master_name];
        /// The same under the peer's name, without its label for the answer's text (SENTINEL CKQUORUM).
        CKQUORUM: Gauge legacy "redis_sentinel_master_ckquorum_status" [master_name];
        /// Sentinels that must agree that the primary is down (SENTINEL MASTERS, quorum).
        SET_QUORUM: Gauge legacy "redis_sentinel_master_setting_ckquorum" [master_name, master_address];
        /// Longest failover, in milliseconds (SENTINEL MASTERS, failover-timeout).
        SET_FAILOVER: Gauge legacy "redis_sentinel_master_setting_failover_timeout" [master_name, master_address];
        /// Replicas that copy all data at once after a failover (SENTINEL MASTERS, parallel-syncs).
        SET_SYNCS: Gauge legacy "redis_sentinel_master_setting_parallel_syncs" [master_name, master_address];
        /// Time without an answer after which this Sentinel takes the primary for down, in milliseconds (down-after-milliseconds).
        SET_DOWN: Gauge legacy "redis_sentinel_master_setting_down_after_milliseconds" [master_name, master_address];
        /// Epoch of the primary's configuration; it grows with each failover (SENTINEL MASTERS, config-epoch).
        EPOCH: Gauge legacy "redis_sentinel_master_config_epoch" [master_name, master_address];
        /// Time since the primary last answered PING, in seconds (SENTINEL MASTERS, last-ok-ping-reply).
        LAST_OK: Gauge legacy "redis_sentinel_master_last_ok_ping_reply_seconds" [master_name, master_address];
    }
}

/// Primaries with series at most.
const MOST: usize = 100;

/// See the file.
pub struct Sentinel;

/// The name of a primary and what follows it. A Sentinel takes any bytes for a name: it ends before the last `status`, and one with
/// a line end has none.
fn split(master: &str) -> Option<(&str, &str)> {
    let (name, _) = master.strip_prefix("name=")?.rsplit_once(",status=")?;
    Some((name, master.get("name=,".len() + name.len()..)?))
}

impl Collector for Sentinel {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Primaries that a Sentinel watches (INFO sentinel, SENTINEL MASTERS, REPLICAS, SENTINELS, CKQUORUM).";
    const GRANTS: &'static [Grant] = grants::SENTINEL;
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        match session.state.is_sentinel() {
            Some(false) => Support::NotHere("the server is no Sentinel"),
            _ => Support::Yes,
        }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        if info.get("redis_mode") != Some("sentinel") {
            return Ok(());
        }
        info::write(FIELDS, &info, out);
        let all: Vec<&str> = info.below("master").filter(|(n, _)| n.parse::<u32>().is_ok()).map(|(_, value)| value).collect();
        let masters: Vec<(&str, &str)> = all.iter().filter_map(|master| split(master)).take(MOST).collect();
        out.drop_series("redis_sentinel_master_status", (all.len() - masters.len()) as u64);
        for (master_name, facts) in masters {
            let (master_address, master_status) = (part(facts, "address").unwrap_or_default(), part(facts, "status").unwrap_or_default());
            put!(out, STATUS { master_name, master_address, master_status } = master_status == "ok");
            put!(out, SLAVES { master_name, master_address } = part_number(facts, "slaves"));
            put!(out, SENTINELS { master_name, master_address } = part_number(facts, "sentinels"));
            let ask = |what: &'static str| vec![b"SENTINEL".as_slice(), what.as_bytes(), master_name.as_bytes()];
            let questions = [ask("CKQUORUM"), ask("REPLICAS"), ask("SENTINELS")];
            let mut replies = session.exchange("sentinel", &questions).await?.into_iter();
            let mut next = |lacks| match replies.next() {
                Some(Err(error)) if error.code == "NOPERM" => {
                    out.lacks(lacks);
                    None
                }
                reply => reply,
            };
            let quorum = match next("ACL SETUSER the monitoring user +sentinel|ckquorum") {
                Some(Ok(_)) => Some(true),
                Some(Err(error)) if error.code == "NOQUORUM" => Some(false),
                _ => None,
            };
            let up = |all: Option<Reply>| Some(all?.ok()?.list().iter().filter(|one| is_up(one)).count());
            let replicas = up(next("ACL SETUSER the monitoring user +sentinel|replicas"));
            let sentinels = up(next("ACL SETUSER the monitoring user +sentinel|sentinels"));
            put!(out, QUORUM { master_name } = quorum);
            put!(out, CKQUORUM { master_name } = quorum);
            put!(out, OK_SLAVES { master_name, master_address } = replicas);
            put!(out, OK_SENTINELS { master_name, master_address } = sentinels.map(|others| others + 1));
        }
        if session.may("sentinel|masters", "") != Support::Yes {
            out.lacks("ACL SETUSER the monitoring user +sentinel|masters");
            return Ok(());
        }
        let Some(all) = session.command("sentinel|masters", &[b"SENTINEL", b"MASTERS"]).await? else { return Ok(()) };
        for master in all.list().iter().take(MOST) {
            let text = |name| master.field(name).and_then(Value::text).unwrap_or_default();
            let number = |name| master.field(name).and_then(Value::number);
            let (master_name, master_address) = (text("name"), format!("{}:{}", text("ip"), text("port")));
            put!(out, SET_QUORUM { master_name, master_address } = number("quorum"));
            put!(out, SET_FAILOVER { master_name, master_address } = number("failover-timeout"));
            put!(out, SET_SYNCS { master_name, master_address } = number("parallel-syncs"));
            put!(out, SET_DOWN { master_name, master_address } = number("down-after-milliseconds"));
            put!(out, EPOCH { master_name, master_address } = number("config-epoch"));
            put!(out, LAST_OK { master_name, master_address } = number("last-ok-ping-reply").map(|ms| ms / 1e3));
        }
        Ok(())
    }
}

/// True for a replica or Sentinel that is not taken for down.
fn is_up(one: &Value) -> bool {
    let flags = one.field("flags").and_then(Value::text).unwrap_or_default();
    !flags.is_empty() && !flags.split(',').any(|flag| matches!(flag, "s_down" | "o_down"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let facts = "status=odown,address=10.0.0.1:6379,slaves=1,sentinels=3";
        for name in ["shop", "", "a,status=ok", "q\"b", "name=x,address=y"] {
            assert_eq!(split(&format!("name={name},{facts}")), Some((name, facts)), "{name:?}");
        }
        assert_eq!((split("name=cut"), split(""), split("x")), (None, None, None));
    }

    #[test]
    fn down_is_told_by_flags() {
        let one = |flags: &str| Value::List(vec![Value::Text("flags".into()), Value::Text(flags.into())]);
        assert!(is_up(&one("slave")) && is_up(&one("sentinel,disconnected")));
        assert!(!is_up(&one("s_down,slave")) && !is_up(&one("slave,o_down")) && !is_up(&Value::Nil));
    }
}
