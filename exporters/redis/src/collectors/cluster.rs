//! State of the cluster, and the health of its nodes as the majority of primaries sees it.
//!
//! From CLUSTER INFO and CLUSTER NODES, on nodes of a cluster only. A node that the majority takes for dead has the flag
//! `fail`; `fail?` is this node's own suspicion and counts as up, but apart.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info as Declared;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::{self, Info};
use crate::session::Redis;

info::info_metrics! {
    /// 1 when the cluster serves all slots, as this node sees it (cluster_state).
    "cluster_state" Ok STATE: Gauge legacy "redis_cluster_state";
    /// Slots with a primary; 16384 when all have one (cluster_slots_assigned).
    "cluster_slots_assigned" Plain ASSIGNED: Gauge legacy "redis_cluster_slots_assigned";
    /// Slots whose primary is neither failing nor suspected (cluster_slots_ok).
    "cluster_slots_ok" Plain OK: Gauge legacy "redis_cluster_slots_ok";
    /// Slots whose primary is suspected by this node (cluster_slots_pfail).
    "cluster_slots_pfail" Plain PFAIL: Gauge legacy "redis_cluster_slots_pfail";
    /// Slots whose primary has failed as the majority sees it (cluster_slots_fail).
    "cluster_slots_fail" Plain FAIL: Gauge legacy "redis_cluster_slots_fail";
    /// Nodes that this node knows (cluster_known_nodes).
    "cluster_known_nodes" Plain KNOWN: Gauge legacy "redis_cluster_known_nodes";
    /// Primaries with slots (cluster_size).
    "cluster_size" Plain SIZE: Gauge legacy "redis_cluster_size";
    /// Epoch of the cluster (cluster_current_epoch).
    "cluster_current_epoch" Plain EPOCH: Gauge legacy "redis_cluster_current_epoch";
    /// Epoch of this node (cluster_my_epoch).
    "cluster_my_epoch" Plain MY_EPOCH: Gauge legacy "redis_cluster_my_epoch";
    /// Messages sent over the cluster's bus (cluster_stats_messages_sent).
    "cluster_stats_messages_sent" Plain SENT: Counter legacy "redis_cluster_messages_sent_total";
    /// Messages received over the cluster's bus (cluster_stats_messages_received).
    "cluster_stats_messages_received" Plain RECEIVED: Counter legacy "redis_cluster_messages_received_total";
    more {
        /// 1 while the majority takes the node for alive, 0 when it has failed (CLUSTER NODES, flag fail).
        NODE_UP: Gauge "redis_cluster_node_up" [node, role];
        /// Nodes by role and state: up, suspected (by this node), failed (by the majority) (CLUSTER NODES).
        NODES: Gauge "redis_cluster_nodes" [role, state];
    }
}

/// Nodes with series of their own; the counts are of all.
const MOST: usize = 100;

/// See the file.
pub struct Cluster;

/// Address, role and state of a node's line.
pub fn node(line: &str) -> Option<(&str, &'static str, &'static str)> {
    let mut words = line.split(' ');
    let (address, flags) = (words.nth(1)?, words.next()?);
    let has = |flag: &str| flags.split(',').any(|f| f == flag);
    if has("noaddr") || has("handshake") {
        return None;
    }
    let role = if has("master") { "primary" } else { "replica" };
    let state = if has("fail") {
        "failed"
    } else if has("fail?") {
        "suspected"
    } else {
        "up"
    };
    // ip:port@bus-port,hostname
    Some((address.split('@').next()?, role, state))
}

impl Collector for Cluster {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "State of the cluster and health of its nodes (CLUSTER INFO, CLUSTER NODES).";
    const GRANTS: &'static [Grant] = &[grants::CLUSTER_INFO, grants::CLUSTER_NODES, grants::INFO];
    const METRICS: &'static [Declared] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        match session.state.is_cluster() {
            Some(false) => Support::NotHere("the server is no node of a cluster"),
            _ => session.may("cluster|info", "ACL SETUSER the monitoring user +cluster|info +cluster|nodes"),
        }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        if session.info().await?.get("cluster_enabled") != Some("1") {
            return Ok(());
        }
        let Some(answer) = session.command("cluster|info", &[b"CLUSTER", b"INFO"]).await? else { return Ok(()) };
        info::write(FIELDS, &Info::parse(answer.text().unwrap_or_default().into_owned()), out);
        if session.may("cluster|nodes", "") != Support::Yes {
            out.lacks("ACL SETUSER the monitoring user +cluster|nodes");
            return Ok(());
        }
        let Some(answer) = session.command("cluster|nodes", &[b"CLUSTER", b"NODES"]).await? else { return Ok(()) };
        let text = answer.text().unwrap_or_default();
        let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for role in ["primary", "replica"] {
            counts.extend(["up", "suspected", "failed"].map(|state| ((role, state), 0)));
        }
        for (at, (node, role, state)) in text.lines().filter_map(node).enumerate() {
            *counts.entry((role, state)).or_default() += 1;
            if at < MOST {
                put!(out, NODE_UP { node, role } = state != "failed");
            } else {
                out.drop_series("redis_cluster_node_up", 1);
            }
        }
        for ((role, state), count) in counts {
            put!(out, NODES { role, state } = count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_decides_who_is_down() {
        for (line, want) in [
            ("07c37 127.0.0.1:30004@31004,host myself,slave e7d1 0 1426238317239 4 connected", Some(("127.0.0.1:30004", "replica", "up"))),
            ("67ed2 127.0.0.1:30002@31002 master,fail? - 1 2 3 connected 0-5460", Some(("127.0.0.1:30002", "primary", "suspected"))),
            ("67ed2 127.0.0.1:30002@31002 master,fail - 1 2 3 disconnected", Some(("127.0.0.1:30002", "primary", "failed"))),
            ("67ed2 :0@0 master,noaddr - 1 2 3 disconnected", None),
            ("x", None),
        ] {
            assert_eq!(node(line), want, "{line}");
        }
    }
}
