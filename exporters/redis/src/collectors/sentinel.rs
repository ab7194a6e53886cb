//! What a Sentinel watches: its primaries, their replicas and the other Sentinels.
//!
//! From the section Sentinel of INFO and SENTINEL CKQUORUM, on Sentinels only.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::{self, part, part_number};
use crate::session::Redis;

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
        /// 1 when enough Sentinels can be reached to fail over (SENTINEL CKQUORUM).
        QUORUM: Gauge "redis_sentinel_quorum_ok" [master_name];
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
    const HELP: &'static str = "Primaries that a Sentinel watches (INFO sentinel, SENTINEL CKQUORUM).";
    const GRANTS: &'static [Grant] = &[grants::INFO, grants::SENTINEL_CKQUORUM];
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
        let masters: Vec<&str> = info.below("master").filter(|(n, _)| n.parse::<u32>().is_ok()).map(|(_, value)| value).collect();
        out.drop_series("redis_sentinel_master_status", masters.len().saturating_sub(MOST) as u64);
        for master in masters.iter().take(MOST) {
            let Some((master_name, facts)) = split(master) else {
                out.drop_series("redis_sentinel_master_status", 1);
                continue;
            };
            let text = |name| part(facts, name).unwrap_or_default();
            let (master_address, master_status) = (text("address"), text("status"));
            put!(out, STATUS { master_name, master_address, master_status } = master_status == "ok");
            put!(out, SLAVES { master_name, master_address } = part_number(facts, "slaves"));
            put!(out, SENTINELS { master_name, master_address } = part_number(facts, "sentinels"));
            let words: Vec<&[u8]> = vec![b"SENTINEL", b"CKQUORUM", master_name.as_bytes()];
            match session.exchange("sentinel|ckquorum", &[words]).await?.pop() {
                Some(Ok(_)) => put!(out, QUORUM { master_name } = 1),
                Some(Err(error)) if error.code == "NOQUORUM" => put!(out, QUORUM { master_name } = 0),
                Some(Err(error)) if error.code == "NOPERM" => out.lacks("ACL SETUSER the monitoring user +sentinel|ckquorum"),
                _ => {}
            }
        }
        Ok(())
    }
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
}
