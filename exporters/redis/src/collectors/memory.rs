//! Memory: used, limit, fragmentation, and what it is used for.
//!
//! From the section Memory of INFO.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use crate::grants;
use crate::info;
use crate::session::Redis;

info::info_metrics! {
    /// Bytes allocated by the server (used_memory).
    "used_memory" Plain USED: Gauge legacy "redis_memory_used_bytes";
    /// Resident bytes as the system sees them (used_memory_rss).
    "used_memory_rss" Plain RSS: Gauge legacy "redis_memory_used_rss_bytes";
    /// Most bytes ever allocated since the start (used_memory_peak).
    "used_memory_peak" Plain PEAK: Gauge legacy "redis_memory_used_peak_bytes";
    /// Bytes for the server's own structures (used_memory_overhead).
    "used_memory_overhead" Plain OVERHEAD: Gauge legacy "redis_memory_used_overhead_bytes";
    /// Bytes in use at the start (used_memory_startup).
    "used_memory_startup" Plain STARTUP: Gauge legacy "redis_memory_used_startup_bytes";
    /// Bytes of the data: used less overhead (used_memory_dataset).
    "used_memory_dataset" Plain DATASET: Gauge legacy "redis_memory_used_dataset_bytes";
    /// Bytes of the Lua engine (used_memory_lua).
    "used_memory_lua" Plain LUA: Gauge legacy "redis_memory_used_lua_bytes";
    /// Bytes of the virtual machine of scripts (used_memory_vm_eval).
    "used_memory_vm_eval" Plain VM_EVAL: Gauge legacy "redis_memory_used_vm_eval_bytes";
    /// Bytes that the server keeps for scripts (used_memory_scripts_eval).
    "used_memory_scripts_eval" Plain SCRIPTS_EVAL: Gauge legacy "redis_memory_used_scripts_eval_bytes";
    /// Bytes of the virtual machine of functions (used_memory_vm_functions).
    "used_memory_vm_functions" Plain VM_FUNCTIONS: Gauge legacy "redis_memory_used_vm_functions_bytes";
    /// Bytes of both virtual machines (used_memory_vm_total).
    "used_memory_vm_total" Plain VM_TOTAL: Gauge legacy "redis_memory_used_vm_total";
    /// Bytes that the server keeps for functions (used_memory_functions).
    "used_memory_functions" Plain FUNCTIONS: Gauge legacy "redis_memory_used_functions_bytes";
    /// Bytes that the server keeps for scripts and functions (used_memory_scripts).
    "used_memory_scripts" Plain SCRIPTS: Gauge legacy "redis_memory_used_scripts_bytes";
    /// Scripts cached (number_of_cached_scripts).
    "number_of_cached_scripts" Plain CACHED_SCRIPTS: Gauge legacy "redis_number_of_cached_scripts";
    /// Functions loaded (number_of_functions).
    "number_of_functions" Plain FUNCTION_COUNT: Gauge legacy "redis_number_of_functions";
    /// Libraries of functions loaded (number_of_libraries).
    "number_of_libraries" Plain LIBRARIES: Gauge legacy "redis_number_of_libraries";
    /// Limit of used memory in bytes; 0 means none (maxmemory).
    "maxmemory" Plain MAX: Gauge legacy "redis_memory_max_bytes";
    /// Memory of the server's machine in bytes (total_system_memory).
    "total_system_memory" Plain SYSTEM: Gauge legacy "redis_total_system_memory_bytes";
    /// Bytes handed out by the allocator (allocator_allocated).
    "allocator_allocated" Plain ALLOCATED: Gauge legacy "redis_allocator_allocated_bytes";
    /// Bytes in pages that the allocator has in use (allocator_active).
    "allocator_active" Plain ACTIVE: Gauge legacy "redis_allocator_active_bytes";
    /// Resident bytes of the allocator (allocator_resident).
    "allocator_resident" Plain RESIDENT: Gauge legacy "redis_allocator_resident_bytes";
    /// Active over allocated bytes (allocator_frag_ratio).
    "allocator_frag_ratio" Plain FRAG_RATIO: Gauge legacy "redis_allocator_frag_ratio";
    /// Active less allocated bytes (allocator_frag_bytes).
    "allocator_frag_bytes" Plain FRAG_BYTES: Gauge legacy "redis_allocator_frag_bytes";
    /// Resident over active bytes (allocator_rss_ratio).
    "allocator_rss_ratio" Plain RSS_RATIO: Gauge legacy "redis_allocator_rss_ratio";
    /// Resident less active bytes (allocator_rss_bytes).
    "allocator_rss_bytes" Plain RSS_BYTES: Gauge legacy "redis_allocator_rss_bytes";
    /// Resident over used bytes; means little on a small server (mem_fragmentation_ratio).
    "mem_fragmentation_ratio" Plain MEM_FRAG_RATIO: Gauge legacy "redis_mem_fragmentation_ratio";
    /// Resident less used bytes (mem_fragmentation_bytes).
    "mem_fragmentation_bytes" Plain MEM_FRAG_BYTES: Gauge legacy "redis_mem_fragmentation_bytes";
    /// Bytes that do not count towards maxmemory (mem_not_counted_for_evict).
    "mem_not_counted_for_evict" Plain NOT_COUNTED: Gauge legacy "redis_mem_not_counted_for_eviction_bytes";
    /// Bytes of the replication backlog (mem_replication_backlog).
    "mem_replication_backlog" Plain BACKLOG: Gauge legacy "redis_mem_replication_backlog_bytes";
    /// Bytes of all replication buffers (mem_total_replication_buffers).
    "mem_total_replication_buffers" Plain REPLICATION: Gauge legacy "redis_mem_total_replication_buffers_bytes";
    /// Bytes of the connections of replicas (mem_clients_slaves).
    "mem_clients_slaves" Plain CLIENTS_REPLICAS: Gauge legacy "redis_mem_clients_slaves";
    /// Bytes of the connections of clients (mem_clients_normal).
    "mem_clients_normal" Plain CLIENTS_NORMAL: Gauge legacy "redis_mem_clients_normal";
    /// Bytes of the links of the cluster's bus (mem_cluster_links).
    "mem_cluster_links" Plain CLUSTER_LINKS: Gauge legacy "redis_mem_cluster_links_bytes";
    /// Bytes that wait to be written to the AOF (mem_aof_buffer).
    "mem_aof_buffer" Plain AOF_BUFFER: Gauge legacy "redis_mem_aof_buffer_bytes";
    /// CPU that defragmentation takes, in percent; 0 when it does not run (active_defrag_running).
    "active_defrag_running" Plain DEFRAG: Gauge legacy "redis_active_defrag_running";
    /// Values that wait to be freed (lazyfree_pending_objects).
    "lazyfree_pending_objects" Plain LAZYFREE: Gauge legacy "redis_lazyfree_pending_objects";
    /// Values freed in the background (lazyfreed_objects).
    "lazyfreed_objects" Plain LAZYFREED: Counter "redis_lazyfreed_objects_total";
    /// Resident bytes that the allocator has marked as free (allocator_muzzy).
    "allocator_muzzy" Plain MUZZY: Gauge legacy "redis_allocator_muzzy_bytes";
    /// Bytes of hash tables that are being enlarged (mem_overhead_db_hashtable_rehashing; 7.4).
    "mem_overhead_db_hashtable_rehashing" Plain REHASHING: Gauge legacy "redis_mem_overhead_db_hashtable_rehashing_bytes";
    more {}
}

/// See the file.
pub struct Memory;

impl Collector for Memory {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Memory in use, its limit and fragmentation (INFO memory).";
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
