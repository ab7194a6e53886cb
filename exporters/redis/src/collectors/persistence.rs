//! Snapshots and the append-only file: states, times, sizes.
//!
//! From the section Persistence of INFO. A time that the server gives as -1 has never been taken and is absent here.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use crate::grants;
use crate::info;
use crate::session::Redis;

info::info_metrics! {
    /// 1 while the server reads its data from disk (loading).
    "loading" Plain LOADING: Gauge legacy "redis_loading_dump_file";
    /// 1 while it reads new data and serves the old (async_loading).
    "async_loading" Plain ASYNC_LOADING: Gauge legacy "redis_async_loading";
    /// Time that reading the data will take yet, in seconds; only meanwhile (loading_eta_seconds).
    "loading_eta_seconds" Known LOADING_ETA: Gauge "redis_loading_eta_seconds";
    /// Writes since the last snapshot (rdb_changes_since_last_save).
    "rdb_changes_since_last_save" Plain CHANGES: Gauge legacy "redis_rdb_changes_since_last_save";
    /// 1 while a snapshot is written (rdb_bgsave_in_progress).
    "rdb_bgsave_in_progress" Plain SAVING: Gauge legacy "redis_rdb_bgsave_in_progress";
    /// When the last good snapshot was written, or the server started, as a Unix time (rdb_last_save_time).
    "rdb_last_save_time" Known LAST_SAVE: Gauge legacy "redis_rdb_last_save_timestamp_seconds";
    /// 1 when the last snapshot was written well (rdb_last_bgsave_status).
    "rdb_last_bgsave_status" Ok SAVE_STATUS: Gauge legacy "redis_rdb_last_bgsave_status";
    /// Time that the last snapshot took, in seconds; absent when there was none (rdb_last_bgsave_time_sec).
    "rdb_last_bgsave_time_sec" Known SAVE_TIME: Gauge legacy "redis_rdb_last_bgsave_duration_sec";
    /// Time that the present snapshot has taken, in seconds; absent when there is none (rdb_current_bgsave_time_sec).
    "rdb_current_bgsave_time_sec" Known SAVE_SO_FAR: Gauge legacy "redis_rdb_current_bgsave_duration_sec";
    /// Memory copied during the last snapshot, in bytes (rdb_last_cow_size).
    "rdb_last_cow_size" Plain SAVE_COW: Gauge legacy "redis_rdb_last_cow_size_bytes";
    /// Keys that had expired in the snapshot read at the start (rdb_last_load_keys_expired; 7.0).
    "rdb_last_load_keys_expired" Plain LOAD_EXPIRED: Gauge legacy "redis_rdb_last_load_expired_keys";
    /// Keys read from the snapshot at the start (rdb_last_load_keys_loaded; 7.0).
    "rdb_last_load_keys_loaded" Plain LOAD_LOADED: Gauge legacy "redis_rdb_last_load_loaded_keys";
    /// Snapshots written (rdb_saves).
    "rdb_saves" Plain SAVES: Counter "redis_rdb_saves_total";
    /// 1 when the append-only file is written (aof_enabled).
    "aof_enabled" Plain AOF: Gauge legacy "redis_aof_enabled";
    /// 1 while the AOF is rewritten (aof_rewrite_in_progress).
    "aof_rewrite_in_progress" Plain REWRITING: Gauge legacy "redis_aof_rewrite_in_progress";
    /// 1 when a rewrite waits for a snapshot to end (aof_rewrite_scheduled).
    "aof_rewrite_scheduled" Plain SCHEDULED: Gauge legacy "redis_aof_rewrite_scheduled";
    /// Time that the last rewrite took, in seconds; absent when there was none (aof_last_rewrite_time_sec).
    "aof_last_rewrite_time_sec" Known REWRITE_TIME: Gauge legacy "redis_aof_last_rewrite_duration_sec";
    /// Time that the present rewrite has taken, in seconds; absent when there is none (aof_current_rewrite_time_sec).
    "aof_current_rewrite_time_sec" Known REWRITE_SO_FAR: Gauge legacy "redis_aof_current_rewrite_duration_sec";
    /// 1 when the last rewrite ended well (aof_last_bgrewrite_status).
    "aof_last_bgrewrite_status" Ok REWRITE_STATUS: Gauge legacy "redis_aof_last_bgrewrite_status";
    /// 1 when the last write to the AOF ended well (aof_last_write_status).
    "aof_last_write_status" Ok WRITE_STATUS: Gauge legacy "redis_aof_last_write_status";
    /// Memory copied during the last rewrite, in bytes (aof_last_cow_size).
    "aof_last_cow_size" Plain REWRITE_COW: Gauge legacy "redis_aof_last_cow_size_bytes";
    /// Rewrites of the AOF (aof_rewrites).
    "aof_rewrites" Plain REWRITES: Counter "redis_aof_rewrites_total";
    /// Bytes of the AOF (aof_current_size).
    "aof_current_size" Plain AOF_SIZE: Gauge legacy "redis_aof_current_size_bytes";
    /// Bytes of the AOF after its last rewrite (aof_base_size).
    "aof_base_size" Plain AOF_BASE: Gauge legacy "redis_aof_base_size_bytes";
    /// 1 when a rewrite waits (aof_pending_rewrite).
    "aof_pending_rewrite" Plain PENDING_REWRITE: Gauge legacy "redis_aof_pending_rewrite";
    /// Bytes of the AOF's buffer (aof_buffer_length).
    "aof_buffer_length" Plain AOF_BUFFER: Gauge legacy "redis_aof_buffer_length";
    /// Bytes of the rewrite's buffer (aof_rewrite_buffer_length).
    "aof_rewrite_buffer_length" Plain REWRITE_BUFFER: Gauge legacy "redis_aof_rewrite_buffer_length";
    /// Flushes of the AOF that wait (aof_pending_bio_fsync).
    "aof_pending_bio_fsync" Plain PENDING_FSYNC: Gauge legacy "redis_aof_pending_bio_fsync";
    /// Writes that waited for a flush of the AOF (aof_delayed_fsync).
    "aof_delayed_fsync" Plain DELAYED_FSYNC: Counter legacy "redis_aof_delayed_fsync";
    /// 1 while a module has forked (module_fork_in_progress).
    "module_fork_in_progress" Plain MODULE_FORK: Gauge legacy "redis_module_fork_in_progress";
    /// Memory copied during the last fork of a module, in bytes (module_fork_last_cow_size).
    "module_fork_last_cow_size" Plain MODULE_COW: Gauge legacy "redis_module_fork_last_cow_size";
    more {}
}

/// See the file.
pub struct Persistence;

impl Collector for Persistence {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Snapshots and the append-only file (INFO persistence).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        info::write(FIELDS, &info, out);
        Ok(())
    }
}
