//! Role, link to the primary, replicas and how far they are behind.
//!
//! From the section Replication of INFO. The addresses are those of servers, and the labels those of the replaced exporter.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::{self, part, part_number};
use crate::session::Redis;

info::info_metrics! {
    /// Replicas connected (connected_slaves).
    "connected_slaves" Plain REPLICAS: Gauge legacy "redis_connected_slaves";
    /// Position in the replication stream, in bytes (master_repl_offset).
    "master_repl_offset" Plain OFFSET: Gauge legacy "redis_master_repl_offset";
    /// Position up to which the former primary's stream is accepted; absent where there was none (second_repl_offset).
    "second_repl_offset" Known SECOND_OFFSET: Gauge legacy "redis_second_repl_offset";
    /// 1 when the replication backlog is kept (repl_backlog_active).
    "repl_backlog_active" Plain BACKLOG: Gauge legacy "redis_repl_backlog_is_active";
    /// Bytes that the replication backlog may have (repl_backlog_size).
    "repl_backlog_size" Plain BACKLOG_SIZE: Gauge legacy "redis_replication_backlog_bytes";
    /// Position of the first byte of the backlog (repl_backlog_first_byte_offset).
    "repl_backlog_first_byte_offset" Plain BACKLOG_FIRST: Gauge legacy "redis_repl_backlog_first_byte_offset";
    /// Bytes in the backlog (repl_backlog_histlen).
    "repl_backlog_histlen" Plain BACKLOG_USED: Gauge legacy "redis_repl_backlog_history_bytes";
    /// Priority of a replica in a failover; 0 means never (slave_priority).
    "slave_priority" Plain PRIORITY: Gauge legacy "redis_slave_priority";
    /// Replicas in step as min-replicas-to-write asks for; only where it is set (min_slaves_good_slaves).
    "min_slaves_good_slaves" Plain GOOD: Gauge "redis_replicas_good";
    more {
        /// 1 for the server's present role, 0 for the other (role).
        ROLE: Gauge "redis_replication_role" [role];
        /// Always 1; the history of writes that the server's data belongs to (current: master_replid), and the one it was promoted
        /// from (former: master_replid2); run_id is the run of the server: two primaries with one history are one too many.
        HISTORY: Gauge "redis_replication_history_info" [history, state, run_id];
        /// Always 1 on a replica (master_host, master_port, slave_read_only).
        SLAVE: Gauge legacy "redis_slave_info" [master_host, master_port, read_only];
        /// 1 while the link of a replica to its primary is up, else 0 (master_link_status).
        LINK_UP: Gauge legacy "redis_master_link_up" [master_host, master_port];
        /// Time since the link went down, in seconds; only meanwhile (master_link_down_since_seconds).
        LINK_DOWN: Gauge "redis_master_link_down_since_seconds" [master_host, master_port];
        /// Time since a replica last heard from its primary, in seconds (master_last_io_seconds_ago).
        LAST_IO: Gauge legacy "redis_master_last_io_seconds_ago" [master_host, master_port];
        /// 1 while a replica copies all data of its primary (master_sync_in_progress).
        SYNC: Gauge legacy "redis_master_sync_in_progress" [master_host, master_port];
        /// Position of a replica in the stream, in bytes (slave_repl_offset).
        SLAVE_OFFSET: Gauge legacy "redis_slave_repl_offset" [master_host, master_port];
        /// Position of a connected replica, in bytes (slaveN, offset).
        REPLICA_OFFSET: Gauge legacy "redis_connected_slave_offset_bytes" [slave_ip, slave_port, slave_state];
        /// Time since a connected replica last acknowledged, in seconds (slaveN, lag).
        REPLICA_LAG: Gauge legacy "redis_connected_slave_lag_seconds" [slave_ip, slave_port, slave_state];
        /// Bytes that a connected replica has not acknowledged yet (master_repl_offset less slaveN, offset).
        REPLICA_BEHIND: Gauge "redis_replication_lag_bytes" [slave_ip, slave_port];
    }
}

/// Replicas with series at most; each further one costs the server far more than a series.
const MOST: usize = 50;

/// See the file.
pub struct Replication;

impl Collector for Replication {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Role, link to the primary, replicas and their lag (INFO replication).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        let Some(role @ ("master" | "slave")) = info.get("role") else { return Ok(()) };
        info::write(FIELDS, &info, out);
        put!(out, ROLE { role: "primary" } = role == "master");
        put!(out, ROLE { role: "replica" } = role == "slave");
        for (state, field) in [("current", "master_replid"), ("former", "master_replid2")] {
            // Zeros where there was no promotion.
            if let Some(history) = info.get(field).filter(|id| id.bytes().any(|b| b != b'0')) {
                put!(out, HISTORY { history, state, run_id: info.get("run_id").unwrap_or_default() } = 1);
            }
        }
        if let (Some(master_host), Some(master_port)) = (info.get("master_host"), info.get("master_port")) {
            put!(out, SLAVE { master_host, master_port, read_only: info.get("slave_read_only").unwrap_or_default() } = 1);
            put!(out, LINK_UP { master_host, master_port } = info.get("master_link_status").map(|status| status == "up"));
            put!(out, LINK_DOWN { master_host, master_port } = info.number("master_link_down_since_seconds").filter(|s| *s >= 0.0));
            // -1 while the link is down: nobody was heard.
            put!(out, LAST_IO { master_host, master_port } = info.number("master_last_io_seconds_ago").filter(|s| *s >= 0.0));
            put!(out, SYNC { master_host, master_port } = info.number("master_sync_in_progress"));
            put!(out, SLAVE_OFFSET { master_host, master_port } = info.number("slave_repl_offset"));
        }
        let own = info.number("master_repl_offset");
        let replicas = info.below("slave").filter(|(number, _)| number.parse::<u32>().is_ok());
        for (at, (_, replica)) in replicas.enumerate() {
            let text = |name| part(replica, name).unwrap_or_default();
            if at >= MOST {
                out.drop_series("redis_connected_slave_lag_seconds", 1);
                continue;
            }
            let (slave_ip, slave_port, slave_state) = (text("ip"), text("port"), text("state"));
            let offset = part_number(replica, "offset");
            put!(out, REPLICA_OFFSET { slave_ip, slave_port, slave_state } = offset);
            put!(out, REPLICA_LAG { slave_ip, slave_port, slave_state } = part_number(replica, "lag").filter(|s| *s >= 0.0));
            put!(out, REPLICA_BEHIND { slave_ip, slave_port } = own.zip(offset).map(|(own, offset)| (own - offset).max(0.0)));
        }
        Ok(())
    }
}
