//! Replication slots and the WAL that they keep.
//!
//! From pg_get_replication_slots(), the function below the view pg_replication_slots: the view reads pg_database for a
//! name that is not needed here and would wait for who has locked it. All versions, readable by everybody; the time of
//! inactivity from PostgreSQL 17 on. At most `max` slots, those that keep the most; the rest is counted as dropped.

use sage_common::collector::Collector;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::{Pg, V17};

sage_common::metrics! {
    /// 1 while a consumer is connected to the slot, else 0 (pg_replication_slots.active).
    ACTIVE: Gauge legacy "pg_replication_slots_active" [slot_name, slot_type];
    /// The same as pg_replication_slots_active, by the peer's other name (pg_replication_slots.active).
    IS_ACTIVE: Gauge legacy "pg_replication_slots_slot_is_active" [slot_name, slot_type];
    /// Bytes of WAL from the slot's oldest needed position to the present one (pg_replication_slots.restart_lsn).
    LSN_DIFF: Gauge legacy "pg_replication_slots_pg_wal_lsn_diff" [slot_name, slot_type];
    /// Bytes of WAL that the server keeps for the slot (pg_replication_slots.restart_lsn).
    RETAINED: Gauge "pg_replication_slots_retained_bytes" [slot_name, slot_type];
    /// Bytes that can be written before the slot is in danger of being lost; absent without max_slot_wal_keep_size
    /// (pg_replication_slots.safe_wal_size).
    SAFE: Gauge legacy "pg_replication_slots_safe_wal_size_bytes" [slot_name, slot_type];
    /// 1 for the present state of the slot's WAL, 0 for the others (pg_replication_slots.wal_status).
    WAL_STATUS: Gauge legacy "pg_replication_slots_wal_status" [slot_name, slot_type, wal_status];
    /// Present position in the WAL, in bytes (pg_current_wal_lsn, pg_last_wal_receive_lsn).
    CURRENT: Gauge legacy "pg_replication_slots_slot_current_wal_lsn" [slot_name, slot_type];
    /// Position up to which the consumer of a logical slot has confirmed, in bytes (pg_replication_slots.confirmed_flush_lsn).
    CONFIRMED: Gauge legacy "pg_replication_slots_slot_confirmed_flush_lsn" [slot_name, slot_type];
    /// Time since a consumer left the slot, in seconds; PostgreSQL 17 and newer (pg_replication_slots.inactive_since).
    INACTIVE: Gauge "pg_replication_slots_inactive_seconds" [slot_name, slot_type];
    /// Slots of the server, by type (pg_replication_slots).
    COUNT: Gauge "pg_replication_slots" [slot_type];
}

macro_rules! slots {
    ($inactive:literal) => {
        concat!(
            "SELECT slot_name::text, slot_type, active, wal_status, safe_wal_size, (here - restart_lsn)::float8,
       (here - '0/0')::float8, (confirmed_flush_lsn - '0/0')::float8, ",
            $inactive,
            "
FROM pg_get_replication_slots(), (SELECT CASE WHEN pg_is_in_recovery()
     THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END) AS w(here)
ORDER BY 6 DESC NULLS FIRST, 1"
        )
    };
}

const SQL_17: &str = slots!("extract(epoch FROM clock_timestamp() - inactive_since)::float8");
const SQL_13: &str = slots!("NULL::float8");

/// What the WAL of a slot can be.
const WAL_STATES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

sage_common::options! {
    /// Options of the `replication_slots` collector.
    pub struct SlotOptions {
        /// How many slots have series of their own; those that keep the most WAL go first.
        pub max: u16 = 100,
    }
}

/// See the file.
pub struct ReplicationSlots {
    max: usize,
}

impl Collector for ReplicationSlots {
    type Session = Pg;
    type Options = SlotOptions;
    const HELP: &'static str = "Replication slots and the WAL that they keep (pg_get_replication_slots).";
    const ALIASES: &'static [&'static str] = &["replication_slot"];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: SlotOptions) -> Self {
        Self { max: usize::from(options.max) }
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        let rows = session.rows(if session.facts.version >= V17 { SQL_17 } else { SQL_13 }).await?;
        let mut counts = [("physical", 0), ("logical", 0)];
        for (i, row) in rows.iter().enumerate() {
            let (slot_name, slot_type): (&str, &str) = (row.get(0)?, row.get(1)?);
            if let Some((_, n)) = counts.iter_mut().find(|(name, _)| *name == slot_type) {
                *n += 1;
            }
            if i >= self.max {
                continue;
            }
            let (active, kept): (bool, Option<f64>) = (row.get(2)?, row.get(5)?);
            put!(out, ACTIVE { slot_name, slot_type } = active);
            put!(out, IS_ACTIVE { slot_name, slot_type } = active);
            put!(out, LSN_DIFF { slot_name, slot_type } = kept);
            put!(out, RETAINED { slot_name, slot_type } = kept.map(|bytes| bytes.max(0.0)));
            put!(out, SAFE { slot_name, slot_type } = row.get::<Option<i64>>(4)?);
            put!(out, CURRENT { slot_name, slot_type } = row.get::<Option<f64>>(6)?);
            put!(out, CONFIRMED { slot_name, slot_type } = row.get::<Option<f64>>(7)?);
            put!(out, INACTIVE { slot_name, slot_type } = row.get::<Option<f64>>(8)?);
            // NULL for a slot that has never kept anything.
            if let Some(present) = row.get::<Option<&str>>(3)? {
                for wal_status in WAL_STATES {
                    put!(out, WAL_STATUS { slot_name, slot_type, wal_status } = wal_status == present);
                }
            }
        }
        out.drop_series("pg_replication_slots_retained_bytes", rows.len().saturating_sub(self.max) as u64);
        for (slot_type, n) in counts {
            put!(out, COUNT { slot_type } = n);
        }
        Ok(())
    }
}
