//! Who the server is, its clients, its CPU time and its event loop.
//!
//! From the sections Server, Clients, CPU and Stats of INFO, all versions of Redis and Valkey.

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use crate::grants;
use crate::info;
use crate::session::Redis;
use sage_common::put;

info::info_metrics! {
    /// Time since the server was started, in seconds (uptime_in_seconds).
    "uptime_in_seconds" Plain UPTIME: Gauge legacy "redis_uptime_in_seconds";
    /// Process of the server on its machine (process_id).
    "process_id" Plain PROCESS_ID: Gauge legacy "redis_process_id";
    /// 1 while threads do the input and output of clients (io_threads_active).
    "io_threads_active" Plain IO_THREADS: Gauge legacy "redis_io_threads_active";
    /// Client connections without those of replicas (connected_clients).
    "connected_clients" Plain CONNECTED: Gauge legacy "redis_connected_clients";
    /// Client connections that the server takes at most (maxclients).
    "maxclients" Plain MAX_CLIENTS: Gauge "redis_clients_max";
    /// Sockets of the cluster's bus, an estimate (cluster_connections).
    "cluster_connections" Plain CLUSTER_CONNECTIONS: Gauge legacy "redis_cluster_connections";
    /// Largest input buffer of a client lately, in bytes (client_recent_max_input_buffer).
    "client_recent_max_input_buffer" Plain INPUT_BUFFER: Gauge legacy "redis_client_recent_max_input_buffer_bytes";
    /// Longest output list of a client lately, in bytes (client_recent_max_output_buffer).
    "client_recent_max_output_buffer" Plain OUTPUT_BUFFER: Gauge legacy "redis_client_recent_max_output_buffer_bytes";
    /// Clients that wait in a blocking command such as BLPOP (blocked_clients).
    "blocked_clients" Plain BLOCKED: Gauge legacy "redis_blocked_clients";
    /// Clients with client-side caching (tracking_clients).
    "tracking_clients" Plain TRACKING: Gauge legacy "redis_tracking_clients";
    /// Clients that have subscribed to channels (pubsub_clients).
    "pubsub_clients" Plain PUBSUB: Gauge legacy "redis_pubsub_clients";
    /// Clients that watch keys (watching_clients).
    "watching_clients" Plain WATCHING: Gauge legacy "redis_watching_clients";
    /// Blocked clients with a time limit (clients_in_timeout_table).
    "clients_in_timeout_table" Plain TIMEOUT_TABLE: Gauge legacy "redis_clients_in_timeout_table";
    /// Keys that clients watch (total_watched_keys; 7.4).
    "total_watched_keys" Plain WATCHED_KEYS: Gauge legacy "redis_total_watched_keys";
    /// Keys that clients wait for (total_blocking_keys; 7.2).
    "total_blocking_keys" Plain BLOCKING_KEYS: Gauge legacy "redis_total_blocking_keys";
    /// Keys whose end clients wait for (total_blocking_keys_on_nokey; 7.2).
    "total_blocking_keys_on_nokey" Plain BLOCKING_NOKEY: Gauge legacy "redis_total_blocking_keys_on_nokey";
    /// System CPU time of the server, in seconds (used_cpu_sys).
    "used_cpu_sys" Plain CPU_SYS: Counter legacy "redis_cpu_sys_seconds_total";
    /// User CPU time of the server, in seconds (used_cpu_user).
    "used_cpu_user" Plain CPU_USER: Counter legacy "redis_cpu_user_seconds_total";
    /// System CPU time of its children, which save, in seconds (used_cpu_sys_children).
    "used_cpu_sys_children" Plain CPU_SYS_CHILDREN: Counter legacy "redis_cpu_sys_children_seconds_total";
    /// User CPU time of its children, which save, in seconds (used_cpu_user_children).
    "used_cpu_user_children" Plain CPU_USER_CHILDREN: Counter legacy "redis_cpu_user_children_seconds_total";
    /// System CPU time of the main thread, in seconds (used_cpu_sys_main_thread).
    "used_cpu_sys_main_thread" Plain CPU_SYS_MAIN: Counter legacy "redis_cpu_sys_main_thread_seconds_total";
    /// User CPU time of the main thread, in seconds (used_cpu_user_main_thread).
    "used_cpu_user_main_thread" Plain CPU_USER_MAIN: Counter legacy "redis_cpu_user_main_thread_seconds_total";
    /// Rounds of the event loop (eventloop_cycles; 7.2).
    "eventloop_cycles" Plain LOOP_CYCLES: Counter legacy "redis_eventloop_cycles_total";
    /// Time spent in the event loop, in microseconds (eventloop_duration_sum; 7.2).
    "eventloop_duration_sum" Plain LOOP_TIME: Counter legacy "redis_eventloop_duration_sum_usec_total";
    /// Time spent on commands in the event loop, in microseconds (eventloop_duration_cmd_sum; 7.2).
    "eventloop_duration_cmd_sum" Plain LOOP_COMMAND_TIME: Counter legacy "redis_eventloop_duration_cmd_sum_usec_total";
    /// Rounds of the event loop in a second, lately (instantaneous_eventloop_cycles_per_sec; 7.2).
    "instantaneous_eventloop_cycles_per_sec" Plain LOOP_RATE: Gauge legacy "redis_instantaneous_eventloop_cycles_per_sec";
    /// Average time of a round of the event loop, lately, in microseconds (instantaneous_eventloop_duration_usec; 7.2).
    "instantaneous_eventloop_duration_usec" Plain LOOP_LATELY: Gauge legacy "redis_instantaneous_eventloop_duration_usec";
    /// 1 when the server is a node of a cluster (cluster_enabled).
    "cluster_enabled" Plain CLUSTER: Gauge legacy "redis_cluster_enabled";
    more {
        /// Always 1; who the server is (INFO server, replication, memory).
        INSTANCE: Gauge legacy "redis_instance_info"
            [role, redis_version, redis_build_id, redis_mode, os, maxmemory_policy, tcp_port, run_id, process_id];
        /// Always 1; the product (redis, valkey) and its own version, which Valkey hides behind redis_version (INFO server).
        SERVER: Gauge "redis_server_info" [server, version];
        /// When the server was started, as a Unix time in whole seconds (uptime_in_seconds and the server's clock).
        STARTED: Gauge legacy "redis_start_time_seconds" [];
    }
}

/// See the file.
pub struct ServerInfo;

impl Collector for ServerInfo {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Who the server is, its clients and CPU time (INFO server, clients, cpu).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        info::write(FIELDS, &info, out);
        let text = |name: &str| info.get(name).unwrap_or_default();
        put!(
            out,
            INSTANCE {
                role: text("role"),
                redis_version: text("redis_version"),
                redis_build_id: text("redis_build_id"),
                redis_mode: text("redis_mode"),
                os: text("os"),
                maxmemory_policy: text("maxmemory_policy"),
                tcp_port: text("tcp_port"),
                run_id: text("run_id"),
                process_id: text("process_id"),
            } = 1
        );
        let server = info.get("server_name").unwrap_or("redis");
        let version = info.get("valkey_version").or_else(|| info.get("redis_version")).unwrap_or_default();
        put!(out, SERVER { server, version } = 1);
        // By the server's own clock; ours may differ.
        let now = info.number("server_time_usec").map(|usec| usec / 1e6);
        put!(out, STARTED {} = now.zip(info.number("uptime_in_seconds")).map(|(now, up)| (now - up).floor()));
        Ok(())
    }
}
