//! Counters of connections, commands, keys and traffic.
//!
//! From the section Stats of INFO. What the server only ever adds to is a counter here, also where the replaced exporter
//! calls it a gauge.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use crate::grants;
use crate::info;
use crate::session::Redis;

info::info_metrics! {
    /// Connections accepted (total_connections_received).
    "total_connections_received" Plain CONNECTIONS: Counter legacy "redis_connections_received_total";
    /// Connections turned away because maxclients was reached (rejected_connections).
    "rejected_connections" Plain REJECTED: Counter legacy "redis_rejected_connections_total";
    /// Commands run (total_commands_processed).
    "total_commands_processed" Plain COMMANDS: Counter legacy "redis_commands_processed_total";
    /// Bytes received (total_net_input_bytes).
    "total_net_input_bytes" Plain NET_IN: Counter legacy "redis_net_input_bytes_total";
    /// Bytes sent (total_net_output_bytes).
    "total_net_output_bytes" Plain NET_OUT: Counter legacy "redis_net_output_bytes_total";
    /// Bytes received for replication (total_net_repl_input_bytes).
    "total_net_repl_input_bytes" Plain REPL_IN: Counter legacy "redis_net_repl_input_bytes_total";
    /// Bytes sent for replication (total_net_repl_output_bytes).
    "total_net_repl_output_bytes" Plain REPL_OUT: Counter legacy "redis_net_repl_output_bytes_total";
    /// Full resynchronisations with replicas (sync_full).
    "sync_full" Plain SYNC_FULL: Counter legacy "redis_replica_resyncs_full";
    /// Partial resynchronisations accepted (sync_partial_ok).
    "sync_partial_ok" Plain SYNC_OK: Counter legacy "redis_replica_partial_resync_accepted";
    /// Partial resynchronisations denied (sync_partial_err).
    "sync_partial_err" Plain SYNC_ERR: Counter legacy "redis_replica_partial_resync_denied";
    /// Keys that expired (expired_keys).
    "expired_keys" Plain EXPIRED: Counter legacy "redis_expired_keys_total";
    /// Share of keys that are expired and still there, in percent, an estimate (expired_stale_perc).
    "expired_stale_perc" Plain STALE: Gauge legacy "redis_expired_stale_percentage";
    /// Times that expiring keys stopped because its time was used up (expired_time_cap_reached_count).
    "expired_time_cap_reached_count" Plain TIME_CAP: Counter legacy "redis_expired_time_cap_reached_total";
    /// CPU time spent on expiring keys, in seconds (expire_cycle_cpu_milliseconds).
    "expire_cycle_cpu_milliseconds" Millis EXPIRE_CPU: Counter "redis_expire_cycle_cpu_seconds_total";
    /// Keys evicted because maxmemory was reached (evicted_keys).
    "evicted_keys" Plain EVICTED: Counter legacy "redis_evicted_keys_total";
    /// Clients evicted because maxmemory-clients was reached (evicted_clients).
    "evicted_clients" Plain EVICTED_CLIENTS: Counter "redis_evicted_clients_total";
    /// Time with more memory in use than maxmemory, in seconds (total_eviction_exceeded_time).
    "total_eviction_exceeded_time" Millis EXCEEDED: Counter "redis_eviction_exceeded_seconds_total";
    /// Reads that found their key (keyspace_hits).
    "keyspace_hits" Plain HITS: Counter legacy "redis_keyspace_hits_total";
    /// Reads that did not (keyspace_misses).
    "keyspace_misses" Plain MISSES: Counter legacy "redis_keyspace_misses_total";
    /// Channels with subscribers (pubsub_channels).
    "pubsub_channels" Plain CHANNELS: Gauge legacy "redis_pubsub_channels";
    /// Patterns with subscribers (pubsub_patterns).
    "pubsub_patterns" Plain PATTERNS: Gauge legacy "redis_pubsub_patterns";
    /// Time of the latest fork, in which nobody is served, in seconds (latest_fork_usec).
    "latest_fork_usec" Micros FORK: Gauge legacy "redis_latest_fork_seconds";
    /// Forks (total_forks).
    "total_forks" Plain FORKS: Counter "redis_forks_total";
    /// Sockets kept open for MIGRATE (migrate_cached_sockets).
    "migrate_cached_sockets" Plain MIGRATE: Gauge legacy "redis_migrate_cached_sockets_total";
    /// Keys with an expiry of a writable replica's own (slave_expires_tracked_keys).
    "slave_expires_tracked_keys" Plain TRACKED_EXPIRES: Gauge legacy "redis_slave_expires_tracked_keys";
    /// Values moved by defragmentation (active_defrag_hits).
    "active_defrag_hits" Plain DEFRAG_HITS: Counter legacy "redis_defrag_hits";
    /// Values looked at and left by defragmentation (active_defrag_misses).
    "active_defrag_misses" Plain DEFRAG_MISSES: Counter legacy "redis_defrag_misses";
    /// Keys moved by defragmentation (active_defrag_key_hits).
    "active_defrag_key_hits" Plain DEFRAG_KEY_HITS: Counter legacy "redis_defrag_key_hits";
    /// Keys looked at and left by defragmentation (active_defrag_key_misses).
    "active_defrag_key_misses" Plain DEFRAG_KEY_MISSES: Counter legacy "redis_defrag_key_misses";
    /// Keys that clients cache (tracking_total_keys).
    "tracking_total_keys" Plain TRACKED_KEYS: Gauge legacy "redis_tracking_total_keys";
    /// Keys times clients that cache them (tracking_total_items).
    "tracking_total_items" Plain TRACKED_ITEMS: Gauge legacy "redis_tracking_total_items";
    /// Prefixes that clients cache in broadcast mode (tracking_total_prefixes).
    "tracking_total_prefixes" Plain TRACKED_PREFIXES: Gauge legacy "redis_tracking_total_prefixes";
    /// Errors in loading an AOF or in replication (unexpected_error_replies).
    "unexpected_error_replies" Plain UNEXPECTED: Counter legacy "redis_unexpected_error_replies";
    /// Errors sent, of refused and failed commands (total_error_replies).
    "total_error_replies" Plain ERRORS: Counter legacy "redis_total_error_replies";
    /// Deep checks of a dump's content (dump_payload_sanitizations).
    "dump_payload_sanitizations" Plain SANITIZED: Counter legacy "redis_dump_payload_sanitizations";
    /// Reads from sockets (total_reads_processed).
    "total_reads_processed" Plain READS: Counter legacy "redis_total_reads_processed";
    /// Writes to sockets (total_writes_processed).
    "total_writes_processed" Plain WRITES: Counter legacy "redis_total_writes_processed";
    /// Reads from sockets by threads (io_threaded_reads_processed).
    "io_threaded_reads_processed" Plain THREAD_READS: Counter legacy "redis_io_threaded_reads_processed";
    /// Writes to sockets by threads (io_threaded_writes_processed).
    "io_threaded_writes_processed" Plain THREAD_WRITES: Counter legacy "redis_io_threaded_writes_processed";
    /// Logins refused (acl_access_denied_auth).
    "acl_access_denied_auth" Plain ACL_AUTH: Counter legacy "redis_acl_access_denied_auth_total";
    /// Commands refused to users (acl_access_denied_cmd).
    "acl_access_denied_cmd" Plain ACL_COMMAND: Counter legacy "redis_acl_access_denied_cmd_total";
    /// Commands refused because of a key (acl_access_denied_key).
    "acl_access_denied_key" Plain ACL_KEY: Counter legacy "redis_acl_access_denied_key_total";
    /// Commands refused because of a channel (acl_access_denied_channel).
    "acl_access_denied_channel" Plain ACL_CHANNEL: Counter legacy "redis_acl_access_denied_channel_total";
    /// Fields of hashes that expired (expired_subkeys; 7.4).
    "expired_subkeys" Plain EXPIRED_SUBKEYS: Counter legacy "redis_expired_subkeys_total";
    /// Scripts evicted from the cache (evicted_scripts; 7.4).
    "evicted_scripts" Plain EVICTED_SCRIPTS: Counter legacy "redis_evicted_scripts_total";
    /// Time that memory has been above maxmemory this time, in milliseconds (current_eviction_exceeded_time).
    "current_eviction_exceeded_time" Plain EXCEEDED_NOW: Gauge legacy "redis_current_eviction_exceeded_time_ms";
    /// Time with more memory in use than maxmemory, in milliseconds (total_eviction_exceeded_time).
    "total_eviction_exceeded_time" Plain EXCEEDED_MS: Counter legacy "redis_eviction_exceeded_time_ms_total";
    /// CPU time spent on expiring keys, in milliseconds (expire_cycle_cpu_milliseconds).
    "expire_cycle_cpu_milliseconds" Plain EXPIRE_CPU_MS: Counter legacy "redis_expire_cycle_cpu_time_ms_total";
    /// Channels of shards with subscribers (pubsubshard_channels; 7.0.3).
    "pubsubshard_channels" Plain SHARD_CHANNELS: Gauge legacy "redis_pubsubshard_channels";
    /// Clients cut off for too much input (client_query_buffer_limit_disconnections; 7.2).
    "client_query_buffer_limit_disconnections" Plain CUT_INPUT: Counter legacy "redis_client_query_buffer_limit_disconnections_total";
    /// Clients cut off because they did not read (client_output_buffer_limit_disconnections; 7.2).
    "client_output_buffer_limit_disconnections" Plain CUT_OUTPUT: Counter legacy "redis_client_output_buffer_limit_disconnections_total";
    /// Times that a client's reply buffer was made smaller (reply_buffer_shrinks; 7.0).
    "reply_buffer_shrinks" Plain SHRINKS: Counter legacy "redis_reply_buffer_shrinks_total";
    /// Times that a client's reply buffer was made larger (reply_buffer_expands; 7.0).
    "reply_buffer_expands" Plain EXPANDS: Counter legacy "redis_reply_buffer_expands_total";
    more {}
}

/// See the file.
pub struct Stats;

impl Collector for Stats {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Connections, commands, keys and traffic counted (INFO stats).";
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
