//! What runs redis_exporter today runs ours: its flags with one dash or two, its variables, and the families that others' dashboards
//! and rules select.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::poll;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::watched::{LIMIT, scrape};
use e2e::watched_redis::BINARY;
use serde_json::Value;

#[test]
fn flags_and_variables_of_redis_exporter_start_ours() {
    let server = Redis::start_with(RedisOptions { settings: vec!["requirepass w0rd".to_owned()], ..RedisOptions::default() });
    let ask = |words: &[&str]| server.cli(&[&["--no-auth-warning", "-a", "w0rd"], words].concat()).unwrap();
    ask(&["set", "jobs", "7"]);
    ask(&["xadd", "s:orders", "*", "a", "1"]);
    let address = format!("-redis.addr=redis://127.0.0.1:{}", server.port());
    let args = [
        address.as_str(),
        "-check-single-keys",
        "db0=jobs",
        "--count-keys=*",
        "-include-system-metrics",
        "-include-config-metrics=true",
        "-is-cluster=false",
        "-namespace=redis",
        "-connection-timeout=15s",
        "-redact-config-metrics=true",
    ];
    let env = [
        ("REDIS_PASSWORD", "w0rd"),
        ("REDIS_EXPORTER_CHECK_STREAMS", "s:*"),
        ("REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS", "true"),
        ("REDIS_EXPORTER_LOG_FORMAT", "json"),
        ("REDIS_EXPORTER_SET_CLIENT_NAME", "true"),
        ("REDIS_EXPORTER_EXPORT_CLIENT_LIST", "false"),
    ];
    let exporter = Exporter::start(BINARY, &args, &env);
    let page = poll::within(LIMIT, || {
        let page = scrape(&exporter, Duration::from_secs(10));
        let names =
            ["redis_key_value", "redis_keys_count", "redis_stream_length", "redis_config_key_value", "redis_total_system_memory_bytes"];
        names.iter().all(|name| page.has(name)).then_some(page)
    });
    let page = page.unwrap_or_else(|| panic!("families are missing: {}", exporter.logs()));
    assert_eq!(page.value("redis_up", &[]), Some(1.0));
    assert_eq!(page.value("redis_key_value", &[("db", "db0"), ("key", "jobs")]), Some(7.0));
    assert_eq!(page.value("redis_keys_count", &[("db", "db0"), ("key", "*")]), Some(2.0));
    assert_eq!(page.value("redis_stream_length", &[("db", "db0"), ("stream", "s:orders")]), Some(1.0));
    assert!(!page.samples.iter().any(|s| s.labels.values().any(|v| v == "w0rd")) && !exporter.logs().contains("w0rd"));
    let line = exporter.logs().lines().next().map(str::to_owned).unwrap_or_default();
    assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
}

#[test]
fn what_cannot_be_had_ends_with_the_line_to_write() {
    for (arg, hint) in [
        ("--redis.password=canary", "REDIS_PASSWORD_FILE"),
        ("-script=/x.lua", "--check-single-keys"),
        ("--check-key-groups=.*", "--count-keys"),
        ("--include-search-indexes-metrics", "redis_commands_total"),
        ("--namespace=other", "metric_relabel_configs"),
        ("--export-client-list", "redis_connections{state}"),
        ("--basic-auth-password=canary", "--web.config.file"),
        ("--tls-server-cert-file=/x", "tls-init"),
        ("--include-metrics-for-empty-databases=false", "empty_databases: false"),
        ("--append-instance-role-label", "redis_replication_role"),
        ("--is-tile38", "another product"),
        ("--redact-config-metrics=false", "never shown"),
        ("--config-command=-", "--no-collector.config"),
        ("--export-client-port=perhaps", ""),
    ] {
        let ended = run(BINARY, &["check", arg], &[]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && said.contains(hint) && !said.contains("canary"), "{arg}: {:?} {said}", ended.status);
    }
    let ended = run(BINARY, &["check"], &[("REDIS_EXPORTER_SCRIPT", "/x.lua")]);
    assert!(String::from_utf8_lossy(&ended.stderr).contains("REDIS_EXPORTER_SCRIPT"), "{ended:?}");
}

/// Selected by the dashboards 763, 11835 and that of redis-mixin, by its rules and by those of awesome-prometheus-alerts: name, type
/// and the labels that they use. Of all names in them only `redis_memory_fragmentation_ratio` is not here: no redis_exporter since
/// 1.0 has it.
const SELECTED: &str = "
redis_up gauge
redis_blocked_clients gauge
redis_cluster_slots_fail gauge
redis_cluster_slots_pfail gauge
redis_cluster_state gauge
redis_commands_duration_seconds_total counter cmd
redis_commands_processed_total counter
redis_commands_total counter cmd
redis_config_maxclients gauge
redis_connected_clients gauge
redis_connected_slaves gauge
redis_db_keys gauge db
redis_db_keys_expiring gauge db
redis_evicted_keys_total counter
redis_expired_keys_total counter
redis_instance_info gauge role
redis_keyspace_hits_total counter
redis_keyspace_misses_total counter
redis_master_link_up gauge master_host,master_port
redis_mem_fragmentation_ratio gauge
redis_memory_max_bytes gauge
redis_memory_used_bytes gauge
redis_memory_used_rss_bytes gauge
redis_net_input_bytes_total counter
redis_net_output_bytes_total counter
redis_rdb_last_save_timestamp_seconds gauge
redis_rejected_connections_total counter
redis_sentinel_master_status gauge master_name,master_status
redis_slave_info gauge master_host,master_port
redis_total_system_memory_bytes gauge
redis_uptime_in_seconds gauge
";

/// Families that redis_exporter has by flag or has got since 1.45, with all their labels.
const SINCE: &str = "
redis_commandlog_large_reply_length gauge
redis_commandlog_large_request_length gauge
redis_commandlog_slow_length gauge
redis_config_key_value gauge key,value
redis_config_value gauge key
redis_key_memory_usage_bytes gauge db,key
redis_key_size gauge db,key
redis_key_value gauge db,key
redis_keys_count gauge db,key
redis_module_info gauge name,ver,api,filters,usedby,using
redis_sentinel_master_config_epoch gauge master_name,master_address
redis_sentinel_master_last_ok_ping_reply_seconds gauge master_name,master_address
redis_sentinel_master_ok_sentinels gauge master_name,master_address
redis_sentinel_master_ok_slaves gauge master_name,master_address
redis_sentinel_master_setting_ckquorum gauge master_name,master_address
redis_sentinel_master_setting_down_after_milliseconds gauge master_name,master_address
redis_sentinel_master_setting_failover_timeout gauge master_name,master_address
redis_sentinel_master_setting_parallel_syncs gauge master_name,master_address
redis_stream_first_entry_id gauge db,stream
redis_stream_group_consumer_idle_seconds gauge db,stream,group,consumer
redis_stream_group_consumer_messages_pending gauge db,stream,group,consumer
redis_stream_group_consumers gauge db,stream,group
redis_stream_group_entries_read gauge db,stream,group
redis_stream_group_lag gauge db,stream,group
redis_stream_group_last_delivered_id gauge db,stream,group
redis_stream_group_messages_pending gauge db,stream,group
redis_stream_groups gauge db,stream
redis_stream_last_entry_id gauge db,stream
redis_stream_last_generated_id gauge db,stream
redis_stream_length gauge db,stream
redis_stream_max_deleted_entry_id gauge db,stream
redis_stream_radix_tree_keys gauge db,stream
redis_stream_radix_tree_nodes gauge db,stream
redis_expired_subkeys_total counter
redis_evicted_scripts_total counter
redis_eventloop_cycles_total counter
redis_eviction_exceeded_time_ms_total counter
redis_current_eviction_exceeded_time_ms gauge
redis_memory_used_vm_functions_bytes gauge
redis_pubsubshard_channels gauge
redis_total_blocking_keys gauge
";

#[test]
fn families_that_dashboards_and_rules_select_are_here() {
    let declared: Vec<Value> = serde_json::from_slice(&run(BINARY, &["metrics", "--json"], &[]).stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |family: &Value| (text(&family["type"]), family["labels"].as_array().unwrap().iter().map(text).collect::<Vec<_>>());
    let ours: BTreeMap<String, (String, Vec<String>)> = declared.iter().map(|family| (text(&family["name"]), of(family))).collect();
    for (list, whole) in [(SELECTED, false), (SINCE, true)] {
        for line in list.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let wanted: Vec<&str> = words.get(2).map(|labels| labels.split(',').collect()).unwrap_or_default();
            let (kind, labels) = ours.get(words[0]).unwrap_or_else(|| panic!("{} is not declared", words[0]));
            let fits = wanted.iter().all(|label| labels.iter().any(|l| l == label)) && (!whole || labels.len() == wanted.len());
            assert!(kind == words[1] && fits, "{line}: ours is {kind} {labels:?}");
        }
    }
    assert!(!ours.contains_key("redis_memory_fragmentation_ratio"));
}
