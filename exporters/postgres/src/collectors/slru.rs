//! The small caches of transaction status, multixacts, subtransactions and notifications.
//!
//! From pg_stat_slru, PostgreSQL 13 on, readable by everybody. PostgreSQL 17 renamed the caches; they have the new names
//! here on all versions, so that a panel survives the upgrade.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Pg;

sage_common::metrics! {
    /// Blocks found in the cache (pg_stat_slru.blks_hit).
    HIT: Counter "pg_stat_slru_blocks_hit_total" [slru];
    /// Blocks read from disk (pg_stat_slru.blks_read).
    READ: Counter "pg_stat_slru_blocks_read_total" [slru];
    /// Blocks written to disk (pg_stat_slru.blks_written).
    WRITTEN: Counter "pg_stat_slru_blocks_written_total" [slru];
    /// Blocks begun anew (pg_stat_slru.blks_zeroed).
    ZEROED: Counter "pg_stat_slru_blocks_zeroed_total" [slru];
}

const SQL: &str = "SELECT name, blks_hit, blks_read, blks_written, blks_zeroed FROM pg_stat_slru";

/// See the file.
pub struct Slru;

impl Collector for Slru {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Caches of transaction status, multixacts and the like (pg_stat_slru).";
    const ALIASES: &'static [&'static str] = &["stat_slru"];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows(SQL).await? {
            let slru = name_of(row.get(0)?);
            put!(out, HIT { slru } = row.get::<i64>(1)?);
            put!(out, READ { slru } = row.get::<i64>(2)?);
            put!(out, WRITTEN { slru } = row.get::<i64>(3)?);
            put!(out, ZEROED { slru } = row.get::<i64>(4)?);
        }
        Ok(())
    }
}

/// The name that the cache has from PostgreSQL 17 on.
fn name_of(name: &str) -> &str {
    match name {
        "CommitTs" => "commit_timestamp",
        "MultiXactMember" => "multixact_member",
        "MultiXactOffset" => "multixact_offset",
        "Notify" => "notify",
        "Serial" => "serializable",
        "Subtrans" => "subtransaction",
        "Xact" => "transaction",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_become_new_ones() {
        assert_eq!(["Xact", "transaction", "other"].map(name_of), ["transaction", "transaction", "other"]);
    }
}
