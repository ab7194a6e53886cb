//! postgres_exporter's flags and variables, versions 0.8 to 0.20, and what becomes of each.
//!
//! Names from its help texts and manual pages. Where it changed its words between versions both are here.

use sage_common::peer::Fate::{Becomes, Only, Refused, Same};
use sage_common::peer::{Flag, Peer, never, switch, value};

/// See the file.
pub const PEER: Peer = Peer { name: "postgres_exporter", flags: FLAGS, keys: &[("auth_modules", TARGETS)] };

/// A collector that we have, by its name there.
const fn collector(name: &'static str) -> Flag {
    switch(name, Same(""))
}

/// A collector of Amazon Aurora.
const fn aurora(name: &'static str) -> Flag {
    switch(name, never(AURORA))
}

const AURORA: &str = "leave it out: what Aurora alone has is not read; a view of it can be read with --extend.query-path=FILE";
const SOME_DATABASES: &str = "leave it out: all databases that the role may enter are visited; \
    REVOKE CONNECT ON DATABASE name FROM PUBLIC, and GRANT it to the roles that need it, keeps the role out of one";
const LABELS: &str = "leave it out and write `labels: {key: value}` below `static_configs` of the job in prometheus.yml";
const PREFIX: &str = "leave it out; names are fixed, so that rules and dashboards fit. \
    A rule with `action: replace` on `__name__` below `metric_relabel_configs` in prometheus.yml renames them";
const TIME: &str = "write `modules: {default: {timeout: 30s}}` in the file of --config.file; `scrape_timeout` of Prometheus counts anyway";
const STATEMENTS: &str = "write `modules: {default: {collectors: {statements: {top: 100}}}}` in the file of --config.file";
const FILTER: &str = "leave it out: the heaviest statements of all databases and users together are shown; filter by label in the query";

const TARGETS: &str = "write each server below targets, `targets: {db1: {host: db1, user: sage, password_file: FILE}}`, \
    with logins that several share below credentials; \
    /probe?target=db1:5432 asks it then";

const LISTEN: &str = "the default is 127.0.0.1:9187; an address that other machines reach needs TLS and a password \
    (`--web.config.file`) or `--web.insecure`";

const FLAGS: &[Flag] = &[
    value("web.listen-address", Same(LISTEN)).or("PG_EXPORTER_WEB_LISTEN_ADDRESS"),
    value("web.telemetry-path", Same("")).or("PG_EXPORTER_WEB_TELEMETRY_PATH"),
    value("web.config.file", Same("the format too")),
    switch("web.systemd-socket", Same("")),
    value("log.level", Same("debug, info, warn, error")),
    value("log.format", Same("logfmt or json")),
    switch("version", Same("")),
    switch("help", Same("")),
    switch("help-long", Becomes(&["--help"])),
    switch("help-man", Becomes(&["--help"])),
    value("config.file", Same("our own form: targets instead of auth_modules")),
    value("extend.query-path", Same("")).or("PG_EXPORTER_EXTEND_QUERY_PATH"),
    switch("auto-discover-databases", Same("it is about custom queries alone")).or("PG_EXPORTER_AUTO_DISCOVER_DATABASES"),
    value("include-databases", never(SOME_DATABASES)).or("PG_EXPORTER_INCLUDE_DATABASES"),
    value("exclude-databases", never(SOME_DATABASES)).or("PG_EXPORTER_EXCLUDE_DATABASES"),
    switch("disable-default-metrics", Only(&["custom_queries", "custom_queries_each"])).or("PG_EXPORTER_DISABLE_DEFAULT_METRICS"),
    switch("disable-settings-metrics", Becomes(&["--no-collector.settings"])).or("PG_EXPORTER_DISABLE_SETTINGS_METRICS"),
    value("constantLabels", never(LABELS)).or("PG_EXPORTER_CONSTANT_LABELS"),
    value("metric-prefix", Refused { unless: "pg", instead: PREFIX }).or("PG_EXPORTER_METRIC_PREFIX"),
    value("collection-timeout", Refused { unless: "1m", instead: TIME }).or("PG_EXPORTER_COLLECTION_TIMEOUT"),
    switch("wrap-large-counters", never("leave it out: counters are not wrapped")),
    switch("dumpmaps", never("run sage-postgres-exporter metrics: it prints all metrics with their meaning")),
    collector("collector.bgwriter"),
    collector("collector.buffercache_summary"),
    collector("collector.database"),
    collector("collector.database_wraparound"),
    collector("collector.locks"),
    collector("collector.long_running_transactions"),
    collector("collector.postmaster"),
    collector("collector.process_idle"),
    collector("collector.replication"),
    collector("collector.replication_slot"),
    collector("collector.replication_slots"),
    collector("collector.roles"),
    collector("collector.settings"),
    collector("collector.stat_activity"),
    collector("collector.stat_activity_autovacuum"),
    collector("collector.stat_archiver"),
    collector("collector.stat_bgwriter"),
    collector("collector.stat_checkpointer"),
    collector("collector.stat_database"),
    collector("collector.stat_progress_vacuum"),
    collector("collector.stat_replication"),
    collector("collector.stat_statements"),
    collector("collector.stat_user_tables"),
    collector("collector.stat_wal_receiver"),
    collector("collector.statio_user_indexes"),
    collector("collector.statio_user_tables"),
    collector("collector.wal"),
    collector("collector.xlog_location"),
    value(
        "collector.long_running_transactions.threshold",
        Refused {
            unless: "1m",
            instead: "write `modules: {default: {collectors: {long_running_transactions: {longer_than: 5m}}}}` in the file of --config.file",
        },
    ),
    value("collector.stat_statements.limit", Refused { unless: "50", instead: STATEMENTS }),
    switch(
        "collector.stat_statements.include_query",
        never("leave it out: text of queries is no label. SELECT query FROM pg_stat_statements WHERE queryid = ID tells it"),
    ),
    value("collector.stat_statements.query_length", Refused { unless: "120", instead: "leave it out: text of queries is no label" }),
    value("collector.stat_statements.exclude_databases", never(FILTER)),
    value("collector.stat_statements.exclude_users", never(FILTER)),
    aurora("collector.aurora_global_db_instance_status"),
    aurora("collector.aurora_global_db_status"),
    aurora("collector.aurora_replica_status"),
    aurora("collector.aurora_stat_bgwriter"),
    aurora("collector.aurora_stat_database"),
    aurora("collector.aurora_stat_dml_activity"),
    aurora("collector.aurora_stat_get_db_commit_latency"),
    aurora("collector.aurora_stat_logical_wal_cache"),
    aurora("collector.aurora_stat_optimized_reads_cache"),
];

#[cfg(test)]
mod tests {
    use sage_common::collector::Table as _;
    use sage_common::service::Service as _;

    use super::*;
    use crate::collectors::Collectors;
    use crate::service::Postgres;

    #[test]
    fn flags_that_are_the_same_exist_here() {
        let about: Vec<_> = Collectors::ABOUT.iter().collect();
        let ours = sage_common::cli::command::<<Postgres as sage_common::service::Service>::Flags, crate::commands::Command>(
            &Postgres::META,
            &about,
        );
        for flag in FLAGS.iter().filter(|flag| matches!(flag.fate, Same(_))) {
            // clap adds these two itself.
            let known = ["help", "version"].contains(&flag.name) || ours.get_arguments().any(|arg| arg.get_long() == Some(flag.name));
            assert!(known, "--{}", flag.name);
        }
        for name in FLAGS.iter().filter_map(|flag| if let Becomes(args) = flag.fate { Some(args) } else { None }).flatten() {
            let name = name.strip_prefix("--").unwrap();
            assert!(name == "help" || ours.get_arguments().any(|arg| arg.get_long() == Some(name)), "{name}");
        }
    }

    #[test]
    fn no_flag_of_ours_is_taken_away() {
        let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FLAGS.len());
        let ours =
            sage_common::cli::command::<<Postgres as sage_common::service::Service>::Flags, crate::commands::Command>(&Postgres::META, &[]);
        for flag in FLAGS.iter().filter(|flag| !matches!(flag.fate, Same(_))) {
            assert!(!ours.get_arguments().any(|arg| arg.get_long() == Some(flag.name)), "--{}", flag.name);
        }
    }

    #[test]
    fn only_the_custom_queries_and_what_is_named_stay() {
        let about: Vec<_> = Collectors::ABOUT.iter().collect();
        let args = ["--disable-default-metrics", "--collector.stat_bgwriter"];
        let ours = PEER.translate(args.iter().map(Into::into), |_| None, &about).unwrap();
        assert_eq!(ours.len(), Collectors::ABOUT.len() - 3 + 1);
        let has = |name: &str| ours.iter().any(|arg| arg == name);
        assert!(has("--no-collector.locks") && has("--collector.stat_bgwriter"), "{ours:?}");
        assert!(!has("--no-collector.bgwriter") && !has("--no-collector.custom_queries"), "{ours:?}");
    }
}
