//! Each reason for which a Redis refuses work, brought about at a real server and told by its name; and what odd names that its
//! users choose do to the page.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fmt::Write as _;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::free_port;
use e2e::watched::{LIMIT, errors, scrape, until};
use e2e::watched_redis::{BINARY, BRISK, watch_as};

const TIMEOUT: Duration = Duration::from_secs(5);
const WRITING: &str = "modules: {default: {write_interval: 1s, probe_interval: 1s}}\n";

fn with(settings: &[&str]) -> RedisOptions {
    RedisOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..RedisOptions::default() }
}

fn watch(server: &Redis, config: &str) -> Exporter {
    watch_as(server.port(), config, None, "")
}

fn reason(part: &'static str, reason: &'static str) -> impl Fn(&Page) -> bool {
    move |page| errors(page).get(part).map(String::as_str) == Some(reason)
}

fn writes(page: &Page) -> bool {
    page.value("sage_write_success", &[]) == Some(1.0)
}

/// Protocol bytes of one command.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).into_bytes());
        out.extend(*word);
        out.extend(b"\r\n");
    }
    out
}

/// What stops writes while all else works, each told apart and forgotten when it is mended.
#[test]
fn why_a_server_takes_no_writes() {
    let server = Redis::start_with(with(&["enable-protected-configs yes"]));
    let exporter = watch(&server, WRITING);
    until("it writes", &exporter, writes);

    server.run(&["config", "set", "min-replicas-to-write", "1"]);
    let page = until("too few replicas", &exporter, reason("write", "noreplicas"));
    assert_eq!((page.value("redis_up", &[]), page.value("redis_replicas_good", &[])), (Some(1.0), Some(0.0)));
    server.run(&["config", "set", "min-replicas-to-write", "0"]);
    until("it writes again", &exporter, writes);

    // The folder of the snapshots goes away, as a disk does.
    let gone = server.folder().join("gone");
    std::fs::create_dir(&gone).unwrap();
    server.run(&["config", "set", "dir", gone.to_str().unwrap()]);
    std::fs::remove_dir(&gone).unwrap();
    server.run(&["config", "set", "save", "3600 1000000"]);
    server.cli(&["bgsave"]).unwrap();
    let page = until("the save has failed", &exporter, |p| {
        reason("write", "misconf")(p) && p.value("redis_rdb_last_bgsave_status", &[]) == Some(0.0)
    });
    assert_eq!(page.value("redis_up", &[]), Some(1.0));
    server.run(&["config", "set", "dir", server.folder().to_str().unwrap()]);
    server.cli(&["bgsave"]).unwrap();
    until("it saves and writes again", &exporter, |p| writes(p) && p.value("redis_rdb_last_bgsave_status", &[]) == Some(1.0));

    // It becomes a replica after it has said that it is a primary: our SET waits meanwhile.
    let primary = Redis::start();
    let page = poll::until("a write meets the replica", LIMIT, || {
        server.run(&["replicaof", "no", "one"]);
        server.run(&["client", "pause", "60000", "write"]);
        let waits = poll::within(Duration::from_secs(5), || {
            scrape(&exporter, TIMEOUT);
            (server.info("blocked_clients") == "1").then_some(())
        });
        server.run(&["replicaof", "127.0.0.1", &primary.port().to_string()]);
        server.run(&["client", "unpause"]);
        waits?;
        let page = scrape(&exporter, TIMEOUT);
        reason("write", "readonly")(&page).then_some(page)
    });
    assert_eq!(page.value("redis_up", &[]), Some(1.0));
    until("a replica is left alone", &exporter, |p| !p.has("sage_write_success") && !errors(p).contains_key("write"));
}

#[test]
fn a_server_that_loads_its_data_and_one_that_has_lost_its_primary() {
    // Each key takes a while, so that loading lasts.
    let mut server = Redis::start_with(with(&["key-load-delay 250", "loading-process-events-interval-bytes 1024"]));
    server.run(&["debug", "populate", "20000"]);
    server.run(&["save"]);
    let exporter = watch(&server, BRISK);
    until("up", &exporter, |p| p.value("redis_up", &[]) == Some(1.0));
    server.restart();
    // A login fails as users' do; the server still answers INFO, and that tells how long it will take.
    let page = until("loading is told", &exporter, |p| reason("login", "starting")(p) && p.has("redis_loading_eta_seconds"));
    assert_eq!((page.value("redis_up", &[]), page.value("sage_login_success", &[])), (Some(1.0), Some(0.0)));
    assert_eq!(page.value("redis_loading_dump_file", &[]), Some(1.0));
    let page = until("it has loaded", &exporter, |p| p.value("redis_up", &[]) == Some(1.0) && errors(p).is_empty());
    assert_eq!(page.value("redis_keys", &[]), Some(20000.0));
    drop(exporter);

    let mut primary = Redis::start();
    let replica = Redis::start_replica(&primary, with(&["replica-serve-stale-data no"]));
    let exporter = watch(&replica, BRISK);
    until("up", &exporter, |p| p.value("redis_up", &[]) == Some(1.0));
    primary.kill();
    let page = until("the loss is told", &exporter, reason("connect", "masterdown"));
    assert!(!errors(&page).contains_key("replication"), "the link is told all the same");
    // So it is by an exporter that comes later.
    let later = watch(&replica, BRISK);
    let page = until("the loss is told anew", &later, reason("login", "masterdown"));
    let link: Vec<f64> = page.series("redis_master_link_up").iter().map(|s| s.value).collect();
    assert_eq!((page.value("redis_up", &[]), link), (Some(1.0), vec![0.0]));
    replica.run(&["replicaof", "no", "one"]);
    until("it serves again", &exporter, |p| p.value("redis_up", &[]) == Some(1.0) && errors(p).is_empty());
}

#[test]
fn a_cluster_without_all_slots_takes_no_writes() {
    let server = Redis::start_with(with(&["cluster-enabled yes", &format!("cluster-port {}", free_port())]));
    server.run(&["cluster", "addslotsrange", "0", "8000"]);
    let exporter = watch(&server, WRITING);
    let page = until("it is told", &exporter, reason("write", "clusterdown"));
    assert_eq!((page.value("redis_up", &[]), page.value("redis_cluster_state", &[])), (Some(1.0), Some(0.0)));
    assert_eq!(page.value("redis_cluster_slots_assigned", &[]), Some(8001.0));
    server.run(&["cluster", "addslotsrange", "8001", "16383"]);
    until("it writes", &exporter, |p| writes(p) && p.value("redis_cluster_state", &[]) == Some(1.0));
}

/// Users, clients, codes of errors and primaries of a Sentinel have names that people choose. None breaks the page, none passes
/// for another, and invalid UTF-8 becomes U+FFFD.
#[test]
fn odd_names_stay_names() {
    let server = Redis::start_with(with(&["slowlog-log-slower-than 0", "latency-monitor-threshold 1"]));
    let users: [&[u8]; 4] = [b"quo\"te\\", b"\xff\xfe", b"a=b,flags=S", "größe{}#".as_bytes()];
    let mut setup = Vec::new();
    for user in users {
        setup.extend(command(&[b"ACL", b"SETUSER", user, b"on", b">x", b"allkeys", b"allchannels", b"+@all"]));
    }
    // A code of an error that a script makes, and a slow command with a line end, quotes and bytes that are no text.
    setup.extend(command(&[b"EVAL", b"return redis.error_reply('O\"DD\\\\:=,\\n\\255 text')", b"0"]));
    setup.extend(command(&[b"SET", b"k\n\"\xff{}=,", b"v\r\n*3\r\n"]));
    setup.extend(command(&[b"DEBUG", b"SLEEP", b"0.01"]));
    let said = server.pipe(&setup);
    assert!(said.contains("errors: 1, replies: 7"), "{said}");
    let mut open = Vec::new();
    for user in users {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let login = command(&[b"AUTH", user, b"x"]);
        let name = command(&[b"CLIENT", b"SETNAME", b"id=1,name=sage-redis-exporter,flags=O"]);
        std::io::Write::write_all(&mut stream, &[login, name].concat()).unwrap();
        open.push(stream);
    }
    let exporter = watch(&server, BRISK);
    let page = until("all are listed", &exporter, |p| p.series("redis_user_connections").len() >= 4);
    let of = |user: &str| page.value("redis_user_connections", &[("user", user)]);
    for user in ["quo\"te\\", "\u{fffd}\u{fffd}", "a=b,flags=S", "größe{}#"] {
        assert_eq!(of(user), Some(1.0), "{user}: {:?}", page.series("redis_user_connections"));
    }
    // A client whose name looks like fields is what its flags say.
    let state = |state| page.value("redis_connections", &[("state", state)]);
    assert_eq!((state("monitor"), state("replication")), (Some(0.0), Some(0.0)));
    assert!(state("exporter") <= Some(2.0), "{:?}", page.series("redis_connections"));
    assert!(errors(&page).is_empty(), "{:?}", errors(&page));
    let codes: Vec<String> = page.series("redis_errors_total").iter().map(|s| s.labels["err"].clone()).collect();
    assert!(codes.iter().any(|code| code.starts_with("O\"DD")), "{codes:?}");
    assert!(page.value("redis_slowlog_length", &[]) >= Some(3.0) && page.has("redis_last_slow_execution_duration_seconds"));
    assert!(page.series("redis_latency_spike_last").iter().any(|s| s.labels["event_name"] == "command"));
    let text = exporter.get("/metrics").text();
    assert!(!text.contains("k\\n") && !text.contains("*3"), "a key or an argument is on the page");

    let sentinel = Redis::start_with(RedisOptions { sentinel: true, ..with(&[]) });
    let mut watched = Vec::new();
    for name in [b"a,status=ok".as_slice(), b"q\"b\\", b"\xff", b"line\nend"] {
        watched.extend(command(&[b"SENTINEL", b"MONITOR", name, b"127.0.0.1", server.port().to_string().as_bytes(), b"1"]));
    }
    let mut stream = std::net::TcpStream::connect(sentinel.address()).unwrap();
    std::io::Write::write_all(&mut stream, &watched).unwrap();
    let exporter = Exporter::start(BINARY, &[], &[("REDIS_ADDR", &format!("127.0.0.1:{}", sentinel.port()))]);
    let page = until("they are watched", &exporter, |p| p.value("redis_sentinel_masters", &[]) == Some(4.0));
    let mut shown = String::new();
    for series in page.series("redis_sentinel_master_status") {
        writeln!(shown, "{:?} {}", series.labels, series.value).unwrap();
    }
    for name in ["a,status=ok", "q\"b\\", "\u{fffd}"] {
        let address = server.address().to_string();
        let labels = [("master_name", name), ("master_address", address.as_str()), ("master_status", "ok")];
        assert_eq!(page.value("redis_sentinel_master_status", &labels), Some(1.0), "{name}: {shown}");
        assert_eq!(page.value("redis_sentinel_master_sentinels", &labels[..2]), Some(1.0), "{name}");
    }
    // The one that breaks the server's own lines cannot be read, and is counted.
    assert_eq!(page.series("redis_sentinel_master_status").len(), 3, "{shown}");
    assert_eq!(page.value("sage_series_dropped", &[("family", "redis_sentinel_master_status")]), Some(1.0));
}
