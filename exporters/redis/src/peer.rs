//! redis_exporter's flags and variables, versions 1.0 to 1.82, and what becomes of each.
//!
//! Names from its help text and documentation. `REDIS_ADDR` and the other variables of the login are read in `options.rs`.

use sage_common::peer::Fate::{self, Becomes, Done, Named, Refused, Same};
use sage_common::peer::{Flag, Peer};

/// See the file.
pub const PEER: Peer = Peer { name: "redis_exporter", flags: FLAGS, keys: &[] };

const fn switch(name: &'static str, variable: &'static str, fate: Fate) -> Flag {
    Flag { name, value: false, variable: Some(variable), fate }
}

const fn value(name: &'static str, variable: &'static str, fate: Fate) -> Flag {
    Flag { name, value: true, variable: Some(variable), fate }
}

/// A flag whose variable is read elsewhere.
const fn own(name: &'static str, fate: Fate) -> Flag {
    Flag { name, value: true, variable: None, fate }
}

const fn never(instead: &'static str) -> Fate {
    Refused { unless: "", instead }
}

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

const FLAGS: &[Flag] = &[
    own("redis.addr", Same("also `REDIS_ADDR`")),
    own("redis.user", Same("also `REDIS_USER`")),
    own("redis.password", never(PASSWORD)),
    own("redis.password-file", Same("also `REDIS_PASSWORD_FILE`; a map of addresses and passwords, or the password alone")),
    value("check-keys", "REDIS_EXPORTER_CHECK_KEYS", Same("on a timer")),
    value("check-single-keys", "REDIS_EXPORTER_CHECK_SINGLE_KEYS", Same("on a timer")),
    value("check-streams", "REDIS_EXPORTER_CHECK_STREAMS", Same("on a timer")),
    value("check-single-streams", "REDIS_EXPORTER_CHECK_SINGLE_STREAMS", Same("on a timer")),
    value("count-keys", "REDIS_EXPORTER_COUNT_KEYS", Same("on a timer")),
    value("check-keys-batch-size", "REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE", Same("10000 at most")),
    switch("streams-exclude-consumer-metrics", "REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS", Same("")),
    switch("skip-checkkeys-for-role-master", "REDIS_EXPORTER_SKIP_CHECKKEYS_FOR_ROLE_MASTER", Same("for streams and counts as well")),
    switch(
        "disable-exporting-key-values",
        "REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES",
        Done("a value is a label never, a sample where it is a number", ""),
    ),
    value("check-key-groups", "REDIS_EXPORTER_CHECK_KEY_GROUPS", never(GROUPS)),
    value("max-distinct-key-groups", "REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS", Refused { unless: "100", instead: GROUPS }),
    value("script", "REDIS_EXPORTER_SCRIPT", never(SCRIPT)),
    switch("lua-script-read-only", "REDIS_EXPORTER_LUA_SCRIPT_READ_ONLY", never(SCRIPT)),
    switch("include-search-indexes-metrics", "REDIS_EXPORTER_INCL_SEARCH_INDEXES_METRICS", never(SEARCH)),
    value("check-search-indexes", "REDIS_EXPORTER_CHECK_SEARCH_INDEXES", Refused { unless: ".*", instead: SEARCH }),
    switch("include-config-metrics", "REDIS_EXPORTER_INCL_CONFIG_METRICS", Becomes(&["--collector.config_values"])),
    switch(
        "redact-config-metrics",
        "REDIS_EXPORTER_REDACT_CONFIG_METRICS",
        Done("settings that can be passwords are not shown", "leave it out: passwords are never shown"),
    ),
    value("config-command", "REDIS_EXPORTER_CONFIG_COMMAND", Refused { unless: "CONFIG", instead: CONFIG }),
    switch("include-modules-metrics", "REDIS_EXPORTER_INCL_MODULES_METRICS", Done("`redis_module_info`", "")),
    switch("include-system-metrics", "REDIS_EXPORTER_INCL_SYSTEM_METRICS", Done("`redis_total_system_memory_bytes`", "")),
    switch(
        "include-metrics-for-empty-databases",
        "REDIS_EXPORTER_INCL_METRICS_FOR_EMPTY_DATABASES",
        Done("option `empty_databases`", EMPTY),
    ),
    switch("include-rdb-file-size-metric", "REDIS_EXPORTER_INCL_RDB_FILE_SIZE_METRIC", never(RDB)),
    switch("include-sentinel-peer-info", "REDIS_EXPORTER_INCL_SENTINEL_PEER_INFO", never(SENTINELS)),
    switch(
        "exclude-latency-histogram-metrics",
        "REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS",
        Done("on request only, `--collector.latency_histogram`", ""),
    ),
    switch("export-client-list", "REDIS_EXPORTER_EXPORT_CLIENT_LIST", never(CLIENTS)),
    switch("export-client-port", "REDIS_EXPORTER_EXPORT_CLIENT_PORT", never(CLIENTS)),
    switch("append-instance-role-label", "REDIS_EXPORTER_APPEND_INSTANCE_ROLE_LABEL", never(ROLE)),
    switch("is-cluster", "REDIS_EXPORTER_IS_CLUSTER", Done("told by INFO; each node is a target", "")),
    switch("cluster-discover-hostnames", "REDIS_EXPORTER_CLUSTER_DISCOVER_HOSTNAMES", never(NODES)),
    switch(
        "is-tile38",
        "REDIS_EXPORTER_IS_TILE38",
        never("leave it out: Tile38 is another product, and tells its metrics itself (--metrics-addr)"),
    ),
    switch("ping-on-connect", "REDIS_EXPORTER_PING_ON_CONNECT", Done("`sage_login_duration_seconds{phase=\"request\"}`", "")),
    switch("set-client-name", "REDIS_EXPORTER_SET_CLIENT_NAME", Done("`sage-redis-exporter` in CLIENT LIST", "")),
    value("namespace", "REDIS_EXPORTER_NAMESPACE", Refused { unless: "redis", instead: NAMESPACE }),
    value("connection-timeout", "REDIS_EXPORTER_CONNECTION_TIMEOUT", Refused { unless: "15s", instead: TIME }),
    switch("redis-only-metrics", "REDIS_EXPORTER_REDIS_ONLY_METRICS", Done("there is no Go runtime", "")),
    switch("include-go-runtime-metrics", "REDIS_EXPORTER_INCLUDE_GO_RUNTIME_METRICS", never("leave it out: there is no Go runtime")),
    switch(
        "disable-scrape-endpoint",
        "REDIS_EXPORTER_DISABLE_SCRAPE_ENDPOINT",
        Done("`/scrape` knows the targets of the configuration only", ""),
    ),
    own("tls-client-key-file", Named("redis.tls-key-file")),
    own("tls-client-cert-file", Named("redis.tls-cert-file")),
    own("tls-ca-cert-file", Named("redis.tls-ca-file")),
    switch("skip-tls-verification", "REDIS_EXPORTER_SKIP_TLS_VERIFICATION", Same("where there is TLS")),
    value("tls-server-key-file", "REDIS_EXPORTER_TLS_SERVER_KEY_FILE", never(WEB)),
    value("tls-server-cert-file", "REDIS_EXPORTER_TLS_SERVER_CERT_FILE", never(WEB)),
    value("tls-server-ca-cert-file", "REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE", never(WEB)),
    value("tls-server-min-version", "REDIS_EXPORTER_TLS_SERVER_MIN_VERSION", Refused { unless: "TLS1.2", instead: WEB }),
    value("basic-auth-username", "REDIS_EXPORTER_BASIC_AUTH_USERNAME", never(WEB)),
    value("basic-auth-password", "REDIS_EXPORTER_BASIC_AUTH_PASSWORD", never(WEB)),
    value("basic-auth-hash-password", "REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD", never(WEB)),
    value(
        "web.listen-address",
        "REDIS_EXPORTER_WEB_LISTEN_ADDRESS",
        Same(
            "the default is 127.0.0.1:9121; an address that other machines reach needs TLS and a password (`--web.config.file`) or `--web.insecure`",
        ),
    ),
    value("web.telemetry-path", "REDIS_EXPORTER_WEB_TELEMETRY_PATH", Same("")),
    value("log-level", "REDIS_EXPORTER_LOG_LEVEL", Named("log.level")),
    value("log-format", "REDIS_EXPORTER_LOG_FORMAT", Named("log.format")),
    switch("debug", "REDIS_EXPORTER_DEBUG", Becomes(&["--log.level=debug"])),
    Flag { name: "version", value: false, variable: None, fate: Same("") },
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
