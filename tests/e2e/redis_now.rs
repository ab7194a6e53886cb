//! `now` of the Redis exporter against real servers: clients and who waits, slow commands without an argument, memory,
//! replication, cluster and Sentinel; with the shipped rule alone, without a right, in time at a server that hangs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::time::{Duration, Instant};

use e2e::exporter::run;
use e2e::poll;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::free_port;
use e2e::watched::{CANARY, LIMIT};
use e2e::watched_redis::{BINARY, MONITOR, server};
use serde_json::Value;

/// What `now` may take at most: its own five seconds and the start of a process on a busy machine.
const IN_TIME: Duration = Duration::from_secs(7);
/// Stands in every command of these tests as a key or value.
const SECRET: &str = "Geheim7351";

fn with(settings: &[String]) -> RedisOptions {
    RedisOptions { settings: settings.to_vec(), ..RedisOptions::default() }
}

#[track_caller]
fn now_as(server: &Redis, args: &[&str], user: Option<&str>) -> (i32, String, String) {
    let address = server.address().to_string();
    let mut env = vec![("REDIS_ADDR", address.as_str())];
    if let Some(user) = user {
        env.extend([("REDIS_USER", user), ("REDIS_PASSWORD", CANARY)]);
    }
    let begun = Instant::now();
    let output = run(BINARY, &[&["now"], args].concat(), &env);
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(![&out, &err].iter().any(|t| t.contains(SECRET) || t.contains(CANARY)), "shows a value:\n{out}{err}");
    (output.status.code().unwrap(), out, err)
}

#[track_caller]
fn json(server: &Redis, user: Option<&str>) -> Value {
    let (code, out, err) = now_as(server, &["--json"], user);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

#[test]
fn clients_slow_commands_memory_and_replicas_are_told_with_the_shipped_rule() {
    let settings = ["maxmemory 50mb", "slowlog-log-slower-than 25000", "appendonly yes"].map(str::to_owned);
    let primary = server(with(&settings));
    let replica = Redis::start_replica(&primary, RedisOptions::default());
    let calm = json(&primary, Some(MONITOR));
    assert_eq!((&calm["server"]["product"], &calm["replication"]["role"]), (&Value::from("redis"), &Value::from("primary")), "{calm}");
    assert_eq!(calm["slow"]["commands"].as_array().map(Vec::len), Some(0), "{calm}");

    let _waiter = primary.spawn(&["blpop", &format!("queue:{SECRET}"), "0"]);
    primary.run(&["set", SECRET, SECRET]);
    // A slow command, an error, and one that is slow with a secret as its argument.
    primary.run(&["debug", "sleep", "0.05"]);
    let slow = format!(
        "local t = redis.call('time') local e = t[1] * 1000000 + t[2] + 30000 repeat t = redis.call('time') until t[1] * 1000000 + t[2] > e return '{SECRET}'"
    );
    primary.cli(&["eval", &slow, "1", SECRET]).unwrap();
    primary.cli(&["lpush", SECRET, "x"]).unwrap();
    let found = poll::until("the client waits", LIMIT, || {
        let found = json(&primary, Some(MONITOR));
        (found["clients"]["waiting"][0]["command"] == "blpop").then_some(found)
    });
    assert_eq!(found["clients"]["states"]["blocked"], 1, "{found}");
    assert_eq!(found["clients"]["by_owner"][0]["address"], "127.0.0.1", "{found}");
    let commands = found["slow"]["commands"].as_array().unwrap();
    // Without the calls of the script, any of which may have waited for a processor.
    let asked = commands.iter().filter(|c| c["command"] != "TIME");
    let named: Vec<(&str, i64)> = asked.map(|c| (c["command"].as_str().unwrap(), c["arguments"].as_i64().unwrap())).collect();
    assert_eq!(named, [("DEBUG", 2), ("EVAL", 3)], "the slowest first: {found}");
    assert!(commands[0]["seconds"].as_f64().unwrap() >= 0.05 && commands[0]["at"].as_str().unwrap().ends_with('Z'), "{found}");
    assert_eq!((found["memory"]["limit_bytes"].as_f64(), &found["memory"]["policy"]), (Some(52_428_800.0), &Value::from("noeviction")));
    assert_eq!((&found["persistence"]["aof_enabled"], &found["persistence"]["aof_last_write"]), (&Value::from(true), &Value::from("ok")));
    assert_eq!(found["replication"]["replicas"][0]["address"], format!("127.0.0.1:{}", replica.port()), "{found}");
    assert_eq!((&found["errors"][0]["code"], &found["errors"][0]["count"]), (&Value::from("WRONGTYPE"), &Value::from(1.0)), "{found}");
    assert_eq!((found["server"]["keys"].as_f64(), found["problems"].as_array().map(Vec::len)), (Some(1.0), Some(0)), "{found}");
    let of = json(&replica, None);
    assert_eq!((&of["replication"]["role"], &of["replication"]["link"]), (&Value::from("replica"), &Value::from("up")), "{of}");
    assert_eq!(of["replication"]["primary"], format!("127.0.0.1:{}", primary.port()), "{of}");

    let (code, text, _) = now_as(&primary, &["--limit", "1"], Some(MONITOR));
    assert_eq!(code, 0, "{text}");
    for words in ["primary, 1 replica: 127.0.0.1:", "of 50 MB (", "AOF write ok", "errors since the start: WRONGTYPE 1", "blpop", "DEBUG"] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert!(!text.contains("EVAL"), "one of each list:\n{text}");
}

#[test]
fn what_may_not_be_asked_is_named_and_costs_nothing_else() {
    let server = server(RedisOptions::default());
    server.run(&["acl", "setuser", MONITOR, "-slowlog|get", "-client|list"]);
    let (code, out, _) = now_as(&server, &["--json"], Some(MONITOR));
    let found: Value = serde_json::from_str(&out).unwrap();
    let problems: Vec<&str> = found["problems"].as_array().unwrap().iter().filter_map(|p| p["part"].as_str()).collect();
    assert_eq!((code, problems), (1, vec!["clients", "slow commands"]), "{found}");
    let hint = found["problems"][1]["detail"].as_str().unwrap();
    assert!(hint.contains("ACL SETUSER sage +slowlog|get"), "{hint}");
    assert!(found["memory"]["used_bytes"].as_f64() > Some(0.0) && found["clients"]["limit"].as_f64() > Some(0.0), "{found}");
}

#[test]
fn a_server_that_hangs_costs_no_more_than_the_time_given() {
    let server = Redis::start();
    server.freeze();
    let begun = Instant::now();
    let (code, out, err) = now_as(&server, &["--timeout", "1s"], None);
    server.thaw();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(code == 1 && out.is_empty() && err.contains("no answer in time"), "{code} {out}{err}");
}

#[test]
fn a_cluster_tells_its_slots_and_a_sentinel_its_primaries() {
    let settings = ["cluster-enabled yes".to_owned(), format!("cluster-port {}", free_port())];
    let node = Redis::start_with(with(&settings));
    let found = json(&node, None);
    assert_eq!((&found["cluster"]["state"], found["cluster"]["slots_assigned"].as_f64()), (&Value::from("fail"), Some(0.0)), "{found}");
    node.run(&["cluster", "addslotsrange", "0", "16383"]);
    let well = poll::within(LIMIT, || (json(&node, None)["cluster"]["state"] == "ok").then_some(()));
    assert!(well.is_some(), "{}", json(&node, None));

    let primary = Redis::start();
    let settings = [format!("sentinel monitor shop 127.0.0.1 {} 2", primary.port())];
    let sentinel = Redis::start_with(RedisOptions { sentinel: true, ..with(&settings) });
    let found = json(&sentinel, None);
    assert_eq!((&found["sentinel"][0]["name"], &found["sentinel"][0]["status"]), (&Value::from("shop"), &Value::from("ok")), "{found}");
    assert_eq!(found["server"]["mode"], "sentinel", "{found}");
    let (_, text, _) = now_as(&sentinel, &[], None);
    assert!(text.contains("watched primaries") && !text.contains("memory:"), "{text}");
}
