//! redis_exporter's flags and variables, versions 1.0 to 1.82, and what becomes of each.
//!
//! Names from its help text and documentation. `REDIS_ADDR` and the other variables of the login are read in `options.rs`.

use sage_common::peer::Fate::{Becomes, Done, Named, Refused, Same};
use sage_common::peer::{Flag, Peer, never, switch, value};

/// See the file.
pub const PEER: Peer = Peer { name: "redis_exporter", flags: FLAGS, keys: &[] };

const WEB: &str = "put TLS and passwords of the own port into a file for --web.config.file; the command tls-init makes one";
const PASSWORD: &str = "set REDIS_PASSWORD, or REDIS_PASSWORD_FILE or --redis.password-file: every user of the machine sees the arguments";
const SCRIPT: &str = "leave it out: a script keeps the server from its work for as long as it runs. \
    --check-single-keys and --count-keys read values and counts; a program of your own can write what a script tells into a key";
const GROUPS: &str = "leave it out: it runs a script over all keys. --count-keys counts the keys of a pattern";
const SEARCH: &str = "leave it out: FT.INFO of each index takes the server long, and its fields change with the module's version; \
    redis_commands_total{cmd=~\"ft.*\"} counts searches";
const NAMESPACE: &str = "leave it out; names are fixed, so that rules and dashboards fit. \
    A rule with `action: replace` on `__name__` below `metric_relabel_configs` in prometheus.yml renames them";
const TIME: &str = "leave it out, or write `modules: {default: {timeout: 30s}}` in the file of --config.file; \
    `scrape_timeout` of Prometheus counts anyway";
const CONFIG: &str = "leave it out; --no-collector.config where CONFIG must not be asked, and a renamed CONFIG is told by COMMAND INFO";
const CLIENTS: &str =
    "leave it out: redis_connections{state} and redis_user_connections{user} are there, and addresses of clients are no labels";
const ROLE: &str = "leave it out and join with redis_replication_role{role}: \
    `redis_keys * on (job, instance) group_left (role) (redis_replication_role == 1)`";
const NODES: &str = "leave it out: each node is a target of the configuration";
const EMPTY: &str = "write `modules: {default: {collectors: {keyspace: {empty_databases: false}}}}` in the file of --config.file";
const RDB: &str = "leave it out: redis_rdb_last_save_timestamp_seconds and redis_rdb_last_bgsave_status tell whether snapshots are written";
const SENTINELS: &str = "leave it out: redis_sentinel_master_ok_sentinels counts them, and ids of peers are no labels";

const LISTEN: &str = "the default is 127.0.0.1:9121; an address that other machines reach needs TLS and a password \
    (`--web.config.file`) or `--web.insecure`";

const FLAGS: &[Flag] = &[
    value("redis.addr", Same("also `REDIS_ADDR`")),
    value("redis.user", Same("also `REDIS_USER`")),
    value("redis.password", never(PASSWORD)),
    value("redis.password-file", Same("also `REDIS_PASSWORD_FILE`; a map of addresses and passwords, or the password alone")),
    value("check-keys", Same("on a timer")).or("REDIS_EXPORTER_CHECK_KEYS"),
    value("check-single-keys", Same("on a timer")).or("REDIS_EXPORTER_CHECK_SINGLE_KEYS"),
    value("check-streams", Same("on a timer")).or("REDIS_EXPORTER_CHECK_STREAMS"),
    value("check-single-streams", Same("on a timer")).or("REDIS_EXPORTER_CHECK_SINGLE_STREAMS"),
    value("count-keys", Same("on a timer")).or("REDIS_EXPORTER_COUNT_KEYS"),
    value("check-keys-batch-size", Same("10000 at most")).or("REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE"),
    switch("streams-exclude-consumer-metrics", Same("")).or("REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS"),
    switch("skip-checkkeys-for-role-master", Same("for streams and counts as well")).or("REDIS_EXPORTER_SKIP_CHECKKEYS_FOR_ROLE_MASTER"),
    switch("disable-exporting-key-values", Done("a value is a label never, a sample where it is a number", ""))
        .or("REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES"),
    value("check-key-groups", never(GROUPS)).or("REDIS_EXPORTER_CHECK_KEY_GROUPS"),
    value("max-distinct-key-groups", Refused { unless: "100", instead: GROUPS }).or("REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS"),
    value("script", never(SCRIPT)).or("REDIS_EXPORTER_SCRIPT"),
    switch("lua-script-read-only", never(SCRIPT)).or("REDIS_EXPORTER_LUA_SCRIPT_READ_ONLY"),
    switch("include-search-indexes-metrics", never(SEARCH)).or("REDIS_EXPORTER_INCL_SEARCH_INDEXES_METRICS"),
    value("check-search-indexes", Refused { unless: ".*", instead: SEARCH }).or("REDIS_EXPORTER_CHECK_SEARCH_INDEXES"),
    switch("include-config-metrics", Becomes(&["--collector.config_values"])).or("REDIS_EXPORTER_INCL_CONFIG_METRICS"),
    switch("redact-config-metrics", Done("settings that can be passwords are not shown", "leave it out: passwords are never shown"))
        .or("REDIS_EXPORTER_REDACT_CONFIG_METRICS"),
    value("config-command", Refused { unless: "CONFIG", instead: CONFIG }).or("REDIS_EXPORTER_CONFIG_COMMAND"),
    switch("include-modules-metrics", Done("`redis_module_info`", "")).or("REDIS_EXPORTER_INCL_MODULES_METRICS"),
    switch("include-system-metrics", Done("`redis_total_system_memory_bytes`", "")).or("REDIS_EXPORTER_INCL_SYSTEM_METRICS"),
    switch("include-metrics-for-empty-databases", Done("option `empty_databases`", EMPTY))
        .or("REDIS_EXPORTER_INCL_METRICS_FOR_EMPTY_DATABASES"),
    switch("include-rdb-file-size-metric", never(RDB)).or("REDIS_EXPORTER_INCL_RDB_FILE_SIZE_METRIC"),
    switch("include-sentinel-peer-info", never(SENTINELS)).or("REDIS_EXPORTER_INCL_SENTINEL_PEER_INFO"),
    switch("exclude-latency-histogram-metrics", Done("on request only, `--collector.latency_histogram`", ""))
        .or("REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS"),
    switch("export-client-list", never(CLIENTS)).or("REDIS_EXPORTER_EXPORT_CLIENT_LIST"),
    switch("export-client-port", never(CLIENTS)).or("REDIS_EXPORTER_EXPORT_CLIENT_PORT"),
    switch("append-instance-role-label", never(ROLE)).or("REDIS_EXPORTER_APPEND_INSTANCE_ROLE_LABEL"),
    switch("is-cluster", Done("told by INFO; each node is a target", "")).or("REDIS_EXPORTER_IS_CLUSTER"),
    switch("cluster-discover-hostnames", never(NODES)).or("REDIS_EXPORTER_CLUSTER_DISCOVER_HOSTNAMES"),
    switch("is-tile38", never("leave it out: Tile38 is another product, and tells its metrics itself (--metrics-addr)"))
        .or("REDIS_EXPORTER_IS_TILE38"),
    switch("ping-on-connect", Done("`sage_login_duration_seconds{phase=\"request\"}`", "")).or("REDIS_EXPORTER_PING_ON_CONNECT"),
    switch("set-client-name", Done("`sage-redis-exporter` in CLIENT LIST", "")).or("REDIS_EXPORTER_SET_CLIENT_NAME"),
    value("namespace", Refused { unless: "redis", instead: NAMESPACE }).or("REDIS_EXPORTER_NAMESPACE"),
    value("connection-timeout", Refused { unless: "15s", instead: TIME }).or("REDIS_EXPORTER_CONNECTION_TIMEOUT"),
    switch("redis-only-metrics", Done("there is no Go runtime", "")).or("REDIS_EXPORTER_REDIS_ONLY_METRICS"),
    switch("include-go-runtime-metrics", never("leave it out: there is no Go runtime")).or("REDIS_EXPORTER_INCLUDE_GO_RUNTIME_METRICS"),
    switch("disable-scrape-endpoint", Done("`/scrape` knows the targets of the configuration only", ""))
        .or("REDIS_EXPORTER_DISABLE_SCRAPE_ENDPOINT"),
    value("tls-client-key-file", Named("redis.tls-key-file")),
    value("tls-client-cert-file", Named("redis.tls-cert-file")),
    value("tls-ca-cert-file", Named("redis.tls-ca-file")),
    switch("skip-tls-verification", Same("where there is TLS")).or("REDIS_EXPORTER_SKIP_TLS_VERIFICATION"),
    value("tls-server-key-file", never(WEB)).or("REDIS_EXPORTER_TLS_SERVER_KEY_FILE"),
    value("tls-server-cert-file", never(WEB)).or("REDIS_EXPORTER_TLS_SERVER_CERT_FILE"),
    value("tls-server-ca-cert-file", never(WEB)).or("REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE"),
    value("tls-server-min-version", Refused { unless: "TLS1.2", instead: WEB }).or("REDIS_EXPORTER_TLS_SERVER_MIN_VERSION"),
    value("basic-auth-username", never(WEB)).or("REDIS_EXPORTER_BASIC_AUTH_USERNAME"),
    value("basic-auth-password", never(WEB)).or("REDIS_EXPORTER_BASIC_AUTH_PASSWORD"),
    value("basic-auth-hash-password", never(WEB)).or("REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD"),
    value("web.listen-address", Same(LISTEN)).or("REDIS_EXPORTER_WEB_LISTEN_ADDRESS"),
    value("web.telemetry-path", Same("")).or("REDIS_EXPORTER_WEB_TELEMETRY_PATH"),
    value("log-level", Named("log.level")).or("REDIS_EXPORTER_LOG_LEVEL"),
    value("log-format", Named("log.format")).or("REDIS_EXPORTER_LOG_FORMAT"),
    switch("debug", Becomes(&["--log.level=debug"])).or("REDIS_EXPORTER_DEBUG"),
    switch("version", Same("")),
];

#[cfg(test)]
mod tests {
    use clap::Command;
    use sage_common::collector::Table as _;
    use sage_common::service::Service;

    use super::*;
    use crate::collectors::Collectors;
    use crate::service::RedisService;

    fn ours() -> Command {
        let about: Vec<_> = Collectors::ABOUT.iter().collect();
        sage_common::cli::command::<<RedisService as Service>::Flags, crate::commands::Command>(&RedisService::META, &about)
    }

    #[test]
    fn what_flags_become_exists_here() {
        let (ours, mut names) = (ours(), Vec::new());
        for flag in FLAGS {
            match flag.fate {
                Same(_) => names.push(flag.name),
                Named(name) => names.push(name),
                Becomes(args) => names.extend(args.iter().map(|arg| arg.trim_start_matches("--").split('=').next().unwrap())),
                _ => {}
            }
        }
        for name in names {
            assert!(name == "version" || ours.get_arguments().any(|arg| arg.get_long() == Some(name)), "--{name}");
        }
    }

    #[test]
    fn no_flag_of_ours_is_taken_away_and_all_have_the_form_of_the_peer_s() {
        let ours = ours();
        let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FLAGS.len());
        for flag in FLAGS.iter().filter(|flag| !matches!(flag.fate, Same(_))) {
            assert!(!ours.get_arguments().any(|arg| arg.get_long() == Some(flag.name)), "--{}", flag.name);
        }
        assert!(FLAGS.iter().all(|flag| flag.variable.is_none_or(|v| v.starts_with("REDIS_EXPORTER_"))));
    }
}
