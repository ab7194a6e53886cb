//! The WAL receiver of a standby: what it gets from its upstream, and when it last heard from it.
//!
//! From pg_stat_get_wal_receiver(), the function below pg_stat_wal_receiver; all versions, with pg_read_all_stats. The
//! upstream's host changes with each failover and would begin every series anew, so that it stands on the info series
//! alone and not, as with the peer, on all of them.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// 1 while a WAL receiver runs, else 0 (pg_stat_wal_receiver.pid).
    RUNNING: Gauge "pg_wal_receiver_running" [];
    /// 1 for the receiver's present status, 0 for the others (pg_stat_wal_receiver.status).
    STATE: Gauge "pg_wal_receiver_status" [status];
    /// When the last message came from the upstream, as a Unix time (pg_stat_wal_receiver.last_msg_receipt_time).
    LAST_MESSAGE: Gauge "pg_wal_receiver_last_message_timestamp_seconds" [];
    /// Always 1; names the upstream that the receiver is connected to (pg_stat_wal_receiver.sender_host).
    UPSTREAM: Gauge "pg_wal_receiver_upstream_info" [upstream_host, upstream_port];
    /// Status as the peer numbers it: 0 stopped, 1 starting, 2 streaming, 3 waiting, 4 restarting, -1 stopping
    /// (pg_stat_wal_receiver.status).
    STATUS: Gauge legacy "pg_stat_wal_receiver_status" [slot_name];
    /// Position in the WAL at which the receiver was started, in bytes (pg_stat_wal_receiver.receive_start_lsn).
    START_LSN: Gauge legacy "pg_stat_wal_receiver_receive_start_lsn" [slot_name];
    /// Timeline on which the receiver was started (pg_stat_wal_receiver.receive_start_tli).
    START_TLI: Gauge legacy "pg_stat_wal_receiver_receive_start_tli" [slot_name];
    /// Position in the WAL received and flushed to disk, in bytes (pg_stat_wal_receiver.flushed_lsn).
    FLUSHED: Gauge legacy "pg_stat_wal_receiver_flushed_lsn" [slot_name];
    /// Timeline of the last received position (pg_stat_wal_receiver.received_tli).
    RECEIVED_TLI: Gauge legacy "pg_stat_wal_receiver_received_tli" [slot_name];
    /// When the upstream sent its last message, as a Unix time (pg_stat_wal_receiver.last_msg_send_time).
    SENT: Gauge legacy "pg_stat_wal_receiver_last_msg_send_time" [slot_name];
    /// When the last message came, as a Unix time (pg_stat_wal_receiver.last_msg_receipt_time).
    RECEIVED: Gauge legacy "pg_stat_wal_receiver_last_msg_receipt_time" [slot_name];
    /// The upstream's end of WAL as of its last message, in bytes (pg_stat_wal_receiver.latest_end_lsn).
    END_LSN: Gauge legacy "pg_stat_wal_receiver_latest_end_lsn" [slot_name];
    /// When the upstream last told its end of WAL, as a Unix time (pg_stat_wal_receiver.latest_end_time).
    END_TIME: Gauge legacy "pg_stat_wal_receiver_latest_end_time" [slot_name];
    /// Number of the upstream's node where repmgr named the slot, else absent (pg_stat_wal_receiver.slot_name).
    NODE: Gauge legacy "pg_stat_wal_receiver_upstream_node" [slot_name];
}

const SQL: &str = "
SELECT pid IS NOT NULL, status, coalesce(slot_name, ''), coalesce(sender_host, ''), coalesce(sender_port::text, ''),
       receive_start_tli, received_tli, (receive_start_lsn - '0/0')::float8, (flushed_lsn - '0/0')::float8,
       (latest_end_lsn - '0/0')::float8, extract(epoch FROM last_msg_send_time)::float8,
       extract(epoch FROM last_msg_receipt_time)::float8, extract(epoch FROM latest_end_time)::float8
FROM pg_stat_get_wal_receiver()";

/// What the status can be, and the peer's number for it.
const STATES: [(&str, i64); 6] = [("stopped", 0), ("starting", 1), ("streaming", 2), ("waiting", 3), ("restarting", 4), ("stopping", -1)];

/// See the file.
pub struct WalReceiver;

impl Collector for WalReceiver {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "WAL receiver of a standby: status, positions, last message (pg_stat_get_wal_receiver).";
    const ALIASES: &'static [&'static str] = &["stat_wal_receiver"];
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Pg) -> Support {
        if session.is_standby() { Support::Yes } else { Support::NotHere("a primary has no WAL receiver") }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        let row = session.one(SQL).await?;
        let (running, status, slot_name): (bool, Option<&str>, &str) = (row.get(0)?, row.get(1)?, row.get(2)?);
        put!(out, RUNNING {} = running);
        // Without the grant there is a process and nothing about it.
        let Some(present) = status.filter(|_| running) else { return Ok(()) };
        for (status, number) in STATES {
            put!(out, STATE { status } = status == present);
            put!(out, STATUS { slot_name } = (status == present).then_some(number));
        }
        put!(out, UPSTREAM { upstream_host: row.get::<&str>(3)?, upstream_port: row.get::<&str>(4)? } = 1);
        put!(out, START_TLI { slot_name } = row.get::<Option<i32>>(5)?);
        put!(out, RECEIVED_TLI { slot_name } = row.get::<Option<i32>>(6)?);
        put!(out, START_LSN { slot_name } = row.get::<Option<f64>>(7)?);
        put!(out, FLUSHED { slot_name } = row.get::<Option<f64>>(8)?);
        put!(out, END_LSN { slot_name } = row.get::<Option<f64>>(9)?);
        put!(out, SENT { slot_name } = row.get::<Option<f64>>(10)?);
        let heard: Option<f64> = row.get(11)?;
        put!(out, RECEIVED { slot_name } = heard);
        put!(out, LAST_MESSAGE {} = heard);
        put!(out, END_TIME { slot_name } = row.get::<Option<f64>>(12)?);
        put!(out, NODE { slot_name } = slot_name.strip_prefix("repmgr_slot_").and_then(|node| node.parse::<i64>().ok()));
        Ok(())
    }
}
