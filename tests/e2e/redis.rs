//! The Redis exporter in front of real servers: every collector against what the server itself says, the grants that just
//! suffice, the names of the exporter that it replaces, the commands.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::page::Page;
use e2e::poll;
use e2e::servers::redis::RedisOptions;
use e2e::watched::{CANARY, LIMIT, does_not_grow, errors, keeps_its_secret, scrape, scrape_at};
use e2e::watched_redis::{BINARY, BRISK, MONITOR, server, wait_fine, watch, watch_as};

const TIMEOUT: Duration = Duration::from_secs(10);

macro_rules! get {
    ($page:expr, $name:literal $(, $label:literal = $value:expr)*) => {
        $page.value($name, &[$(($label, $value)),*]).unwrap_or_else(|| panic!("{} {:?} is missing", $name, [$(($label, $value)),*] as [(&str, &str); _]))
    };
}

fn seen<T>(what: &str, exporter: &Exporter, check: impl Fn(&Page) -> Option<T>) -> T {
    poll::until(what, LIMIT, || check(&scrape(exporter, TIMEOUT)))
}

fn with(settings: &[&str]) -> RedisOptions {
    RedisOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..RedisOptions::default() }
}

#[test]
fn each_collector_says_what_the_server_says() {
    let server =
        server(with(&["slowlog-log-slower-than 5000", "latency-monitor-threshold 5", "maxmemory 50mb", "maxclients 123", "databases 4"]));
    for n in 0..20 {
        server.run(&["set", &format!("key:{n}"), "value"]);
    }
    server.run(&["expire", "key:1", "1000"]);
    server.run(&["-n", "3", "set", "other", "1"]);
    server.run(&["debug", "sleep", "0.02"]);
    server.cli(&["eval", "return redis.error_reply('SHOPERR no')", "0"]).unwrap();
    server.run(&["acl", "setuser", "shop", "on", "nopass", "~*", "+@all"]);
    let blocked = server.spawn(&["--user", "shop", "--pass", "x", "--no-auth-warning", "blpop", "queue", "0"]);
    let _subscribed = server.spawn(&["subscribe", "news"]);
    poll::until("one is blocked", LIMIT, || (server.info("blocked_clients") == "1").then_some(()));

    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    let page = seen("the subscriber is seen", &exporter, |p| {
        (p.value("redis_connections", &[("state", "pubsub")]) == Some(1.0)).then(|| p.clone())
    });
    assert_eq!((get!(page, "redis_up"), get!(page, "redis_exporter_last_scrape_error", "err" = "")), (1.0, 0.0));
    for phase in ["resolve", "connect", "login", "request"] {
        assert!(get!(page, "sage_login_duration_seconds", "phase" = phase) < 3.0, "{phase}");
    }
    let info = page.series("redis_instance_info")[0].labels.clone();
    assert_eq!(
        (info["role"].as_str(), info["redis_mode"].as_str(), info["tcp_port"].clone()),
        ("master", "standalone", server.port().to_string())
    );
    assert_eq!(info["redis_version"], server.info("redis_version"));
    assert_eq!(get!(page, "redis_process_id"), f64::from(server.pid()));

    // keys
    assert_eq!(get!(page, "redis_db_keys", "db" = "db0"), 20.0);
    assert_eq!(get!(page, "redis_db_keys_expiring", "db" = "db0"), 1.0);
    assert!((900.0..1001.0).contains(&get!(page, "redis_db_avg_ttl_seconds", "db" = "db0")));
    assert_eq!(get!(page, "redis_db_keys", "db" = "db3"), 1.0);
    assert_eq!(get!(page, "redis_db_keys", "db" = "db2"), 0.0, "known from the settings to be empty");
    assert_eq!(page.series("redis_db_keys").len(), 4);
    assert_eq!(page.value("redis_db_avg_ttl_seconds", &[("db", "db3")]), None);
    assert_eq!(get!(page, "redis_keys"), 21.0);

    // memory, settings, persistence
    assert_eq!(get!(page, "redis_memory_max_bytes"), 50.0 * 1024.0 * 1024.0);
    assert_eq!(
        (get!(page, "redis_config_maxmemory"), get!(page, "redis_config_maxclients"), get!(page, "redis_clients_max")),
        (52_428_800.0, 123.0, 123.0)
    );
    let used: f64 = server.info("used_memory").parse().unwrap();
    assert!((get!(page, "redis_memory_used_bytes") / used - 1.0).abs() < 0.3);
    assert_eq!(
        (get!(page, "redis_config_save_enabled"), get!(page, "redis_aof_enabled"), get!(page, "redis_rdb_last_bgsave_status")),
        (0.0, 0.0, 1.0)
    );
    assert!(!page.has("redis_rdb_last_bgsave_duration_sec"), "never saved, and -1 is no time");

    // commands, errors, slow ones, spikes
    assert_eq!(get!(page, "redis_commands_total", "cmd" = "set"), 21.0);
    assert_eq!(get!(page, "redis_commands_failed_calls_total", "cmd" = "eval"), 1.0);
    assert!(get!(page, "redis_commands_duration_seconds_total", "cmd" = "debug") >= 0.02);
    assert_eq!(get!(page, "redis_latency_percentiles_usec_count", "cmd" = "set"), 21.0);
    assert!(page.value("redis_latency_percentiles_usec", &[("cmd", "set"), ("quantile", "0.999")]).is_some_and(|t| t > 0.0));
    assert_eq!(get!(page, "redis_errors_total", "err" = "SHOPERR"), 1.0);
    assert_eq!(get!(page, "redis_slowlog_length"), 1.0);
    assert!((0.02..1.0).contains(&get!(page, "redis_last_slow_execution_duration_seconds")));
    assert!(get!(page, "redis_latency_spike_last", "event_name" = "command") > 1.7e9);
    assert!(get!(page, "redis_latency_spike_max_seconds", "event_name" = "command") >= 0.02);

    // clients
    assert_eq!(get!(page, "redis_blocked_clients"), 1.0);
    assert_eq!(get!(page, "redis_connections", "state" = "blocked"), 1.0);
    assert!((1.0..=2.0).contains(&get!(page, "redis_connections", "state" = "exporter")));
    assert_eq!(get!(page, "redis_user_connections", "user" = "shop"), 1.0);
    assert_eq!(get!(page, "redis_client_list_skipped"), 0.0);
    assert!(page.samples.iter().all(|s| s.labels.values().all(|v| !v.contains("127.0.0.1:"))), "an address of a client is on the page");

    // what a server on this machine uses
    assert_eq!(get!(page, "redis_server_processes", "kind" = "main"), 1.0);
    assert!(get!(page, "redis_server_threads") >= 4.0 && get!(page, "redis_server_memory_bytes", "kind" = "private") > 1e6);
    assert_eq!((get!(page, "redis_replication_role", "role" = "primary"), get!(page, "redis_connected_slaves")), (1.0, 0.0));

    drop(blocked);
    seen("nobody is blocked", &exporter, |p| (p.value("redis_blocked_clients", &[]) == Some(0.0)).then_some(()));
    let before = exporter.open_fds();
    does_not_grow(&exporter, before, TIMEOUT);
    assert!(server.connections() <= 2);
    keeps_its_secret(&exporter);

    // On request, and the limit of clients.
    let config = "modules: {default: {collectors: {clients: {interval: 1s, max_clients: 1}}}}";
    let exporter = watch(server.port(), config);
    let page = seen("the list is skipped", &exporter, |p| (p.value("redis_client_list_skipped", &[]) == Some(1.0)).then(|| p.clone()));
    assert!(!page.has("redis_connections"));
    // The monitoring user has no right to it until that is granted.
    let histogram = || scrape_at(&exporter, "/metrics?collect[]=latency_histogram", TIMEOUT);
    assert_eq!(errors(&histogram())["latency_histogram"], "permission");
    server.run(&["acl", "setuser", MONITOR, "+latency|histogram"]);
    let page = poll::until("the grant is seen without a restart", LIMIT, || Some(histogram()).filter(|p| errors(p).is_empty()));
    assert_eq!(get!(page, "redis_commands_latencies_usec_bucket", "cmd" = "set", "le" = "+Inf"), 21.0);
    assert_eq!(get!(page, "redis_commands_latencies_usec_count", "cmd" = "set"), 21.0);
}

/// Each right of the shipped rule is needed by the collectors that declare it, and by no other.
#[test]
fn each_missing_right_is_named_and_costs_its_collector_only() {
    let server = server(RedisOptions::default());
    for (right, collectors) in [
        ("config|get", vec!["config"]),
        ("slowlog|len", vec!["slowlog"]),
        ("slowlog|get", vec!["slowlog"]),
        ("latency|latest", vec!["latency"]),
        ("client|list", vec!["clients"]),
        (
            "info",
            vec![
                "clients",
                "commandstats",
                "errorstats",
                "info",
                "keyspace",
                "latencystats",
                "memory",
                "modules",
                "persistence",
                "replication",
                "stats",
            ],
        ),
    ] {
        server.run(&["acl", "setuser", MONITOR, &format!("-{right}")]);
        server.run(&["acl", "log", "reset"]);
        let exporter = watch(server.port(), BRISK);
        let failing = || -> BTreeSet<String> {
            errors(&scrape(&exporter, TIMEOUT)).into_keys().filter(|c| c != "cluster" && c != "sentinel").collect()
        };
        let wanted: BTreeSet<String> = collectors.iter().map(|c| (*c).to_owned()).collect();
        let told = poll::within(LIMIT, || (failing() == wanted).then_some(()));
        assert!(told.is_some(), "without {right}: {:?} and not {wanted:?}", failing());
        let page = scrape(&exporter, TIMEOUT);
        assert_eq!(get!(page, "sage_up"), 1.0);
        assert_eq!(page.value("redis_exporter_capability", &[("command", right)]), Some(0.0), "{right}");
        assert!(errors(&page).values().all(|reason| reason == "permission"), "{:?}", errors(&page));
        // Nothing was tried to find that out: refusals fill the server's ACL LOG.
        for _ in 0..5 {
            scrape(&exporter, TIMEOUT);
        }
        assert_eq!(server.cli(&["acl", "log"]).unwrap(), "", "{right}");
        let said = run(
            BINARY,
            &["check"],
            &[("REDIS_ADDR", &format!("127.0.0.1:{}", server.port())), ("REDIS_USER", MONITOR), ("REDIS_PASSWORD", CANARY)],
        );
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.code() == Some(1) && text.contains(&format!("+{right}")), "{right}: {text}");
        server.run(&["acl", "setuser", MONITOR, &format!("+{right}")]);
    }
    wait_fine(&watch(server.port(), BRISK));
}

/// Where the user may not even ask what it may do, a command is tried, and its refusal remembered.
#[test]
fn without_dry_runs_a_refusal_is_remembered() {
    let server = server(RedisOptions::default());
    server.run(&["acl", "setuser", MONITOR, "-acl|dryrun", "-command|info", "-slowlog|len"]);
    let exporter = watch(server.port(), BRISK);
    seen("the refusal is told", &exporter, |p| (errors(p).get("slowlog").map(String::as_str) == Some("permission")).then_some(()));
    let refused = |p: &Page| get!(p, "redis_errors_total", "err" = "NOPERM");
    let before = refused(&scrape(&exporter, TIMEOUT));
    for _ in 0..10 {
        scrape(&exporter, TIMEOUT);
    }
    assert!(refused(&scrape(&exporter, TIMEOUT)) <= before + 2.0);
}

/// All settings on request, and no password among them.
#[test]
fn settings_are_shown_without_passwords() {
    let server = server(with(&["masterauth m-canary", "masteruser u-canary", "tls-key-file-pass k-canary", "maxclients 77"]));
    server.run(&["config", "set", "requirepass", "r-canary"]);
    let exporter = watch(server.port(), "modules: {default: {collectors: {config_values: {enabled: true, interval: 1s, hide: [dir]}}}}");
    let page = seen("the settings are there", &exporter, |p| p.has("redis_config_key_value").then(|| p.clone()));
    assert_eq!(get!(page, "redis_config_key_value", "key" = "maxclients", "value" = "77"), 1.0);
    assert_eq!((get!(page, "redis_config_value", "key" = "maxclients"), get!(page, "redis_config_hidden")), (77.0, 6.0));
    assert!(page.series("redis_config_key_value").len() > 150);
    let all = page.samples.iter().flat_map(|s| s.labels.values());
    assert!(!all.clone().any(|value| value.contains("canary") || value == "requirepass"), "a password is on the page");
    assert!(!exporter.logs().contains("canary"));
}

/// What the monitoring user may not do is what monitoring does not need.
#[test]
fn the_grants_open_no_data_and_change_nothing() {
    let server = server(RedisOptions::default());
    server.run(&["set", "secret", "1"]);
    for words in [
        vec!["get", "secret"],
        vec!["set", "secret", "2"],
        vec!["keys", "*"],
        vec!["scan", "0"],
        vec!["config", "set", "maxmemory", "1"],
        vec!["client", "kill", "id", "1"],
        vec!["acl", "list"],
        vec!["acl", "getuser", "default"],
        vec!["acl", "setuser", MONITOR, "+@all"],
        vec!["flushall"],
        vec!["monitor"],
        vec!["debug", "sleep", "0"],
        vec!["shutdown", "nosave"],
    ] {
        let mut all = vec!["--user", MONITOR, "--pass", CANARY, "--no-auth-warning"];
        all.extend(&words);
        let answer = server.cli(&all).unwrap_or_else(|e| e);
        assert!(answer.contains("NOPERM"), "{words:?}: {answer}");
    }
}

/// `grants` prints what the enabled collectors need; a switched-off one needs nothing.
#[test]
fn the_grants_command_follows_the_collectors() {
    let said = |args: &[&str]| String::from_utf8(run(BINARY, args, &[]).stdout).unwrap();
    let rule = said(&["grants"]);
    assert!(rule.contains("ACL SETUSER sage reset on >PASSWORD -@all +ping"));
    // What is to be pasted is the last line, and the server takes it as it stands.
    let lines: Vec<&str> = rule.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, rule.lines().last().into_iter().collect::<Vec<_>>());
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(server(RedisOptions::default()).cli(&words).unwrap().trim(), "OK");
    assert!(!said(&["grants", "--no-collector.config", "--user", "m"]).contains("config|get"));
    assert!(said(&["grants", "--collector.latency_histogram"]).contains("+latency|histogram"));
    assert_eq!(run(BINARY, &["grants", "--user", "a b"], &[]).status.code(), Some(2));
}

/// The families of redis_exporter 1.45 (Debian) at such a server, from `golden/redis-peer.txt`: ours has each with the same
/// labels and type, or the file says why not.
#[test]
fn dashboards_made_for_the_replaced_exporter_find_their_series() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/redis-peer.txt");
    let server = server(RedisOptions::default());
    server.run(&["set", "a", "1", "ex", "100"]);
    let exporter = watch_as(server.port(), BRISK, Some(MONITOR), CANARY);
    let page = wait_fine(&exporter);
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sample in &page.samples {
        let family = ["_sum", "_count"]
            .iter()
            .find_map(|end| sample.name.strip_suffix(end))
            .filter(|f| page.types.contains_key(*f))
            .unwrap_or(&sample.name);
        labels.entry(family).or_default().extend(sample.labels.keys().map(String::as_str).filter(|l| *l != "quantile"));
    }
    let (mut same, mut different) = (0, 0);
    for line in std::fs::read_to_string(kept).unwrap().lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        // name type label,label | why it differs
        let (family, why) = line.split_once(" | ").map_or((line, None), |(f, why)| (f, Some(why)));
        let words: Vec<&str> = family.split(' ').collect();
        let (name, kind) = (words[0], words[1]);
        let wanted: BTreeSet<&str> = words.get(2).map(|l| l.split(',').collect()).unwrap_or_default();
        let ours = page.types.get(name).map(String::as_str);
        let equal = ours == Some(kind) && labels.get(name) == Some(&wanted);
        assert_eq!(equal, why.is_none(), "{line}: ours is {ours:?} {:?}", labels.get(name));
        if equal { same += 1 } else { different += 1 }
    }
    assert!(same > 100 && different < 40, "{same} the same, {different} different");
}

/// The write probe, on request: its three phases, what it needs, what it leaves, and why it fails.
#[test]
fn the_write_probe_writes_one_key_of_its_own_and_takes_it_away() {
    let server = server(with(&["maxmemory 3mb"]));
    let config = "modules: {default: {write_interval: 1s}}";
    let exporter = watch(server.port(), config);
    let reason = |p: &Page| errors(p).get("write").cloned();
    seen("the missing right is told", &exporter, |p| (reason(p).as_deref() == Some("permission")).then_some(()));
    server.run(&["acl", "setuser", MONITOR, "~exporter:probe:*", "+set", "+get", "+del"]);
    let page = seen("the write works", &exporter, |p| (p.value("sage_write_success", &[]) == Some(1.0)).then(|| p.clone()));
    for phase in ["set", "get", "del"] {
        assert!(get!(page, "sage_write_duration_seconds", "phase" = phase) < 1.0, "{phase}");
    }
    assert_eq!(reason(&page), None);
    server.run(&["set", "others", "1"]);
    assert_eq!(poll::until("the key is gone", LIMIT, || server.cli(&["keys", "*"]).ok().filter(|k| !k.contains("probe"))), "others");

    // A script goes on past the limit, so that there is no room for the smallest write.
    server.cli(&["eval", r#"for i=1,40 do redis.call("set","k"..i,string.rep("x",100000)) end"#, "0"]).unwrap();
    seen("memory is full", &exporter, |p| (reason(p).as_deref() == Some("oom")).then_some(()));
    server.run(&["flushall"]);
    seen("there is room again", &exporter, |p| (p.value("sage_write_success", &[]) == Some(1.0)).then_some(()));

    // A replica is not written to: no result, and no failure either.
    let other = e2e::servers::redis::Redis::start();
    server.run(&["replicaof", "127.0.0.1", &other.port().to_string()]);
    seen("a replica is left alone", &exporter, |p| (!p.has("sage_write_success")).then_some(()));
}
