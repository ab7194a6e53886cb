//! The Redis exporter looking at keys and streams that somebody named: sizes and values as the server itself says, odd names,
//! searches that give way and go on, replicas, the grants that just suffice, and nothing of all that unasked.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeSet;

use e2e::exporter::{Exporter, run};
use e2e::page::Page;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::TempFolder;
use e2e::watched::{CANARY, errors, keeps_its_secret, until};
use e2e::watched_redis::{BINARY, MONITOR, server, wait_fine};

const BRISK: &str = "clients: {interval: 1s}, keys: {interval: 1s}, keys_count: {interval: 1s}, streams: {interval: 1s}";

/// Starts the exporter with flags and options of collectors.
#[track_caller]
fn start(port: u16, flags: &[&str], collectors: &str) -> Exporter {
    let folder = TempFolder::new("keys");
    let file = folder.write("redis.yml", &format!("modules: {{default: {{probe_interval: 1h, collectors: {{{collectors}}}}}}}\n"));
    let file = format!("--config.file={}", file.display());
    let address = format!("127.0.0.1:{port}");
    let env = [("REDIS_ADDR", address.as_str()), ("REDIS_USER", MONITOR), ("REDIS_PASSWORD", CANARY)];
    Exporter::start(BINARY, &[&[file.as_str()], flags].concat(), &env)
}

/// Gives the monitoring user what `grants` prints for these flags, and no more.
#[track_caller]
fn grant(server: &Redis, flags: &[&str]) {
    let said = String::from_utf8(run(BINARY, &[&["grants"], flags].concat(), &[]).stdout).unwrap();
    let password = format!(">{CANARY}");
    let words = said.lines().last().unwrap().split(' ').map(|word| if word == ">PASSWORD" { password.as_str() } else { word });
    server.run(&words.collect::<Vec<_>>());
}

fn key(page: &Page, family: &str, db: &str, key: &str) -> Option<f64> {
    page.value(family, &[("db", db), ("key", key)])
}

fn on_page(page: &Page, text: &str) -> bool {
    page.samples.iter().any(|sample| sample.labels.values().any(|label| label.contains(text)))
}

fn calls(server: &Redis, command: &str) -> u64 {
    let text = server.cli(&["info", "commandstats"]).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
    line.map_or(0, |l| l.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn keys_are_as_large_as_the_server_says() {
    let server = server(RedisOptions::default());
    server.run(&["set", "k:number", "42.5"]);
    server.run(&["set", "k:text", "v4lue"]);
    server.run(&["set", "k:digits", &"1".repeat(40)]);
    server.run(&["rpush", "k:list", "a", "b", "c"]);
    server.run(&["sadd", "k:set", "a", "b"]);
    server.run(&["zadd", "k:zset", "1", "a"]);
    server.run(&["hset", "k:hash", "f", "1", "g", "2"]);
    server.cli(&["xadd", "k:stream", "*", "f", "1"]).unwrap();
    server.run(&["pfadd", "k:hll", "a", "b", "c"]);
    server.run(&["set", "other", "1"]);
    server.run(&["-n", "3", "set", "jobs", "7"]);
    // What others may write: newline, quotes, no UTF-8, a backslash, a name longer than a label, and two that differ in one byte.
    for name in ["k:a\\nb", "k:\\34q\\39", "k:\\255", "k:\\254", "k:\\\\xff", "k:\\0"] {
        assert_eq!(server.cli(&["eval", &format!("return redis.call('set', '{name}', 'x')"), "0"]).unwrap(), "OK", "{name}");
    }
    let long = format!("k:{}", "l".repeat(300));
    server.run(&["set", &format!("{long}1"), "x"]);
    server.run(&["set", &format!("{long}2"), "x"]);

    let flags = ["--check-keys=k:*", "--check-single-keys=db3=jobs,absent", "--count-keys=k:*,db3=*"];
    grant(&server, &flags);
    let exporter = start(server.port(), &flags, BRISK);
    let page = until("the keys are seen", &exporter, |p| p.has("redis_key_size") && p.has("redis_keys_count"));
    wait_fine(&exporter);
    let size = |name: &str| key(&page, "redis_key_size", "db0", name);
    for (name, want) in [
        ("k:number", "strlen"),
        ("k:text", "strlen"),
        ("k:list", "llen"),
        ("k:set", "scard"),
        ("k:zset", "zcard"),
        ("k:hash", "hlen"),
        ("k:stream", "xlen"),
        ("k:hll", "strlen"),
    ] {
        assert_eq!(size(name), server.cli(&[want, name]).unwrap().parse().ok(), "{name}");
        let bytes: f64 = server.cli(&["memory", "usage", name]).unwrap().parse().unwrap();
        assert_eq!(key(&page, "redis_key_memory_usage_bytes", "db0", name), Some(bytes), "{name}");
    }
    assert_eq!((size("absent"), size("other")), (Some(0.0), None));
    assert_eq!(key(&page, "redis_key_size", "db3", "jobs"), Some(1.0));
    assert_eq!(key(&page, "redis_key_value", "db0", "k:number"), Some(42.5));
    assert_eq!(key(&page, "redis_key_value", "db3", "jobs"), Some(7.0));
    assert_eq!(page.series("redis_key_value").len(), 2, "what is no number has no value, nor has what is too long for one");
    for name in ["k:a\nb", "k:\"q'", "k:\\xff", "k:\\xfe", "k:\\\\xff", "k:\\x00"] {
        assert_eq!(size(name), Some(1.0), "{name:?} of {:?}", page.series("redis_key_size"));
    }
    let labels: BTreeSet<String> = page.series("redis_key_size").iter().map(|s| s.labels["key"].clone()).collect();
    let cut = labels.iter().filter(|l| l.starts_with("k:llll") && l.contains("\\~") && l.len() <= 128).count();
    assert_eq!((cut, page.series("redis_key_size").len()), (2, 9 + 6 + 2 + 2), "{labels:?}");
    assert_eq!(key(&page, "redis_keys_count", "db0", "k:*"), Some(17.0));
    assert_eq!(key(&page, "redis_keys_count", "db3", "*"), Some(1.0));
    assert_eq!(key(&page, "redis_key_search_ratio", "db0", "k:*"), Some(1.0));
    assert!(key(&page, "redis_key_search_timestamp_seconds", "db0", "k:*").is_some_and(|at| at > 1.7e9));
    assert!(!on_page(&page, "v4lue"), "a value is on the page");
    // No question that could take the server long, or brings a whole value.
    for command in ["keys", "get", "pfcount", "smembers", "hgetall", "lrange"] {
        assert_eq!(calls(&server, command), 0, "{command}");
    }

    // What goes away goes away here, and what it may not read is told by name.
    server.run(&["del", "k:text"]);
    until("the key is gone", &exporter, |p| key(p, "redis_key_size", "db0", "k:text").is_none() && p.has("redis_key_size"));
    server.run(&["acl", "setuser", MONITOR, "resetkeys", "%R~jobs"]);
    let page = until("the missing right is told", &exporter, |p| errors(p).get("keys").map(String::as_str) == Some("permission"));
    assert!(key(&page, "redis_keys_count", "db0", "k:*").is_some(), "counting reads no key");
    assert!(exporter.logs().contains("+type"), "{}", exporter.logs());
    keeps_its_secret(&exporter);
}

#[test]
fn unasked_nothing_is_looked_at() {
    let server = server(RedisOptions::default());
    server.run(&["set", "a", "1"]);
    let exporter = start(server.port(), &[], BRISK);
    let page = wait_fine(&exporter);
    for command in ["scan", "type", "select", "strlen", "memory|usage"] {
        assert_eq!(calls(&server, command), 0, "{command}");
    }
    let ran: Vec<&str> = page.series("sage_collector_success").iter().map(|s| s.labels["collector"].as_str()).collect();
    assert!(!ran.iter().any(|c| ["keys", "keys_count", "streams"].contains(c)), "{ran:?}");
    // In a step that would keep the server from its work it is refused.
    let refused = run(BINARY, &["check", "--check-keys=a*", "--check-keys-batch-size=1000000"], &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("batch_size must be from 1 to 10000"), "{refused:?}");
    let refused = run(BINARY, &["check", "--count-keys=dbx=a*"], &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--count-keys"), "{refused:?}");
}

#[test]
fn a_search_stops_at_its_budget_and_goes_on_there() {
    let server = server(RedisOptions::default());
    server.run(&["debug", "populate", "60000", "p", "4"]);
    let flags = ["--check-keys=p:*", "--count-keys=p:*,none:*", "--check-keys-batch-size=500"];
    grant(&server, &flags);
    let limits =
        "clients: {interval: 1s}, keys: {interval: 1s, keys_per_run: 40000, max_keys: 10}, keys_count: {interval: 1s, keys_per_run: 40000}";
    let exporter = start(server.port(), &flags, limits);
    let page = until("the first run has stopped", &exporter, |p| p.has("redis_keys_count_search_ratio"));
    let share = key(&page, "redis_keys_count_search_ratio", "db0", "p:*").unwrap();
    assert!((0.5..0.8).contains(&share), "40,000 of 60,000 keys: {share}");
    assert_eq!(key(&page, "redis_keys_count", "db0", "p:*"), None, "half of a count is none");
    let page = until("the search has ended", &exporter, |p| key(p, "redis_keys_count", "db0", "none:*").is_some());
    assert_eq!(key(&page, "redis_keys_count", "db0", "p:*"), Some(60000.0));
    assert_eq!(key(&page, "redis_keys_count", "db0", "none:*"), Some(0.0));
    let page = until("the keys were all found", &exporter, |p| key(p, "redis_key_search_timestamp_seconds", "db0", "p:*").is_some());
    assert_eq!(page.series("redis_key_size").len(), 10);
    let left = page.value("sage_series_dropped", &[("family", "redis_key_size")]);
    assert!(left >= Some(59_990.0), "{left:?}");
    wait_fine(&exporter);
    assert_eq!(calls(&server, "keys"), 0);
    let stats = server.cli(&["info", "commandstats"]).unwrap();
    let scan = stats.lines().find(|l| l.starts_with("cmdstat_scan:")).unwrap();
    let each: f64 = scan.split("usec_per_call=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(each < 5000.0, "a batch keeps the server from its work: {scan}");
}

#[test]
fn a_replica_is_asked_in_the_place_of_its_primary() {
    let primary = server(RedisOptions::default());
    let replica = Redis::start_replica(&primary, RedisOptions::default());
    primary.run(&["set", "k:1", "5"]);
    let flags = ["--check-keys=k:*"];
    let folder = TempFolder::new("replica");
    let config = |checks: &str| {
        folder.write(
            "redis.yml",
            &format!(
                "targets: {{a: {{checks: {{{checks}, keys: ['k:*']}}}}}}\nmodules: {{default: {{probe_interval: 1h, collectors: {{{BRISK}}}}}}}\n"
            ),
        )
    };
    for server in [&primary, &replica] {
        grant(server, &flags);
    }
    let address = format!("127.0.0.1:{}", primary.port());
    let env = [("REDIS_ADDR", address.as_str()), ("REDIS_USER", MONITOR), ("REDIS_PASSWORD", CANARY)];
    let file = format!("--config.file={}", config("find_replica: true, on_primary: false").display());
    let exporter = Exporter::start(BINARY, &[&file], &env);
    until("the key is seen", &exporter, |p| key(p, "redis_key_value", "db0", "k:1") == Some(5.0));
    wait_fine(&exporter);
    assert_eq!((calls(&primary, "scan"), calls(&primary, "type")), (0, 0));
    assert!(calls(&replica, "scan") > 0);
    assert_eq!(replica.connections(), 0, "what was opened is closed");

    // Without a replica nobody is asked, and that is no failure.
    drop(replica);
    let gone = |p: &Page| p.value("sage_collector_success", &[("collector", "keys")]).is_none();
    let page = until("there is nobody to ask", &exporter, |p| gone(p) && errors(p).is_empty());
    assert!(!page.has("redis_key_size"));
    assert_eq!(calls(&primary, "scan"), 0);
    let flag = start(primary.port(), &["--check-keys=k:*", "--skip-checkkeys-for-role-master"], BRISK);
    until("the primary is left alone", &flag, |p| p.value("redis_connections", &[("state", "exporter")]).is_some() && gone(p));
    assert_eq!(calls(&primary, "scan"), 0);
}

#[test]
fn streams_groups_and_consumers() {
    let server = server(RedisOptions::default());
    for n in 1..=5 {
        server.cli(&["xadd", "s:orders", &format!("{n}000-0"), "what", "secret"]).unwrap();
    }
    server.run(&["xgroup", "create", "s:orders", "billing", "0"]);
    server.run(&["xgroup", "create", "s:orders", "idle", "$"]);
    for (consumer, count) in [("one", "2"), ("two", "1"), ("three", "1")] {
        server.cli(&["xreadgroup", "group", "billing", consumer, "count", count, "streams", "s:orders", ">"]).unwrap();
    }
    server.run(&["xdel", "s:orders", "1000-0"]);
    server.run(&["set", "s:nostream", "1"]);
    let flags = ["--check-streams=s:*", "--check-single-streams=absent,s:nostream"];
    grant(&server, &flags);
    let collectors = "clients: {interval: 1s}, streams: {interval: 1s, top_consumers: 2}";
    let exporter = start(server.port(), &flags, collectors);
    let page = until("the stream is seen", &exporter, |p| p.value("redis_stream_length", &[("stream", "s:orders")]).is_some());
    wait_fine(&exporter);
    let of = |family: &str| page.value(family, &[("db", "db0"), ("stream", "s:orders")]);
    for (family, want) in [
        ("redis_stream_length", 4.0),
        ("redis_stream_groups", 2.0),
        ("redis_stream_radix_tree_keys", 1.0),
        ("redis_stream_last_generated_id", 5000.0),
        ("redis_stream_max_deleted_entry_id", 1000.0),
        ("redis_stream_first_entry_id", 2000.0),
        ("redis_stream_last_entry_id", 5000.0),
    ] {
        assert_eq!(of(family), Some(want), "{family}");
    }
    let group = |family: &str, name: &str| page.value(family, &[("stream", "s:orders"), ("group", name)]);
    for (family, billing) in [
        ("redis_stream_group_consumers", 3.0),
        ("redis_stream_group_messages_pending", 4.0),
        ("redis_stream_group_last_delivered_id", 4000.0),
        ("redis_stream_group_entries_read", 4.0),
        ("redis_stream_group_lag", 1.0),
    ] {
        assert_eq!(group(family, "billing"), Some(billing), "{family}");
    }
    assert_eq!(group("redis_stream_group_messages_pending", "idle"), Some(0.0));
    let pending = |name: &str| page.value("redis_stream_group_consumer_messages_pending", &[("group", "billing"), ("consumer", name)]);
    assert_eq!((pending("one"), pending("_other")), (Some(2.0), Some(1.0)));
    assert_eq!(page.series("redis_stream_group_consumer_messages_pending").len(), 3);
    assert_eq!(page.series("redis_stream_group_consumer_idle_seconds").len(), 2, "the rest as one has no idle time");
    assert_eq!(page.value("redis_stream_length", &[("stream", "absent")]), Some(0.0));
    assert_eq!(page.series("redis_stream_length").len(), 2, "what is no stream is passed over");
    assert!(!on_page(&page, "secret"), "an entry is on the page");

    let few = start(server.port(), &[&flags[..], &["--streams-exclude-consumer-metrics"]].concat(), collectors);
    let page = until("the groups are seen", &few, |p| p.has("redis_stream_group_consumers"));
    assert!(!page.has("redis_stream_group_consumer_messages_pending"));
}
