//! Many Redis servers behind one exporter: by name and by address, with shared logins and modules, found by Prometheus over
//! http_sd, on time beside others that hang, and small.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use e2e::exporter::Exporter;
use e2e::http::{self, encode};
use e2e::poll;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::TempFolder;
use e2e::watched::{BUDGET, CANARY, LIMIT, TIMEOUT_HEADER, errors, keeps_its_secret, scrape_at};
use e2e::watched_redis::{BINARY, MONITOR, server};
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(10);

fn start(folder: &TempFolder, config: &str) -> Exporter {
    let file = folder.write("redis.yml", config);
    Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &[])
}

/// Two servers with different logins, one process; what is not written down is never connected to.
#[test]
fn targets_share_logins_and_are_asked_by_name_or_address() {
    let (first, second) = (server(RedisOptions::default()), Redis::start());
    second.run(&["acl", "setuser", "other", "on", ">second", "-@all", "+info", "+ping", "+command|info"]);
    second.run(&["acl", "setuser", "default", "off"]);
    let folder = TempFolder::new("targets");
    let (one, two) = (folder.write_secret("one", CANARY), folder.write_secret("two", "second"));
    let (a, b) = (first.port(), second.port());
    let config = format!(
        "credentials:\n  first: {{user: {MONITOR}, password_file: {}}}\n  second: {{user: other, password_file: {}}}\n\
         targets:\n  a: {{host: 127.0.0.1, port: {a}, credentials: first}}\n  b: {{host: 127.0.0.1, port: {b}, credentials: second}}\n  \
         wrong: {{host: 127.0.0.1, port: {b}, credentials: first}}\n\
         modules:\n  info: {{collectors: {{config: {{enabled: false}}, latency: {{enabled: false}}, slowlog: {{enabled: false}}, \
         clients: {{enabled: false}}}}}}\n",
        one.display(),
        two.display(),
    );
    let exporter = start(&folder, &config);
    let ask = |query: &str| scrape_at(&exporter, &format!("/scrape?{query}"), TIMEOUT);
    for (target, port) in [("a", a), ("b", b)] {
        for name in [target.to_owned(), format!("127.0.0.1:{port}"), encode(&format!("redis://127.0.0.1:{port}"))] {
            let page = ask(&format!("target={name}&module=info"));
            assert_eq!((page.value("redis_up", &[]), errors(&page).len()), (Some(1.0), 0), "{name}: {:?}", errors(&page));
            assert_eq!(page.series("redis_instance_info")[0].labels["tcp_port"], port.to_string(), "{name}");
            assert!(!page.has("redis_slowlog_length"), "the module leaves it out");
        }
    }
    // Each login is what its server knows, and no other is tried.
    let denied: BTreeSet<String> = poll::until("the refusals are told", LIMIT, || {
        let denied: BTreeSet<String> = errors(&ask("target=b")).into_keys().collect();
        denied.contains("clients").then_some(denied)
    });
    assert_eq!(denied.iter().map(String::as_str).collect::<Vec<_>>(), ["clients", "config", "latency", "slowlog"]);
    let page = ask("target=wrong");
    assert_eq!((page.value("redis_up", &[]), errors(&page)["connect"].as_str()), (Some(0.0), "auth"));
    // By name and address it is the same target: one warm session, and the timer's.
    assert!(first.connections() <= BUDGET, "{}", first.connections());

    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let elsewhere = trap.local_addr().unwrap().port();
    for target in [
        "none".to_owned(),
        format!("127.0.0.1:{elsewhere}"),
        format!("redis://127.0.0.1:{elsewhere}"),
        format!("redis://{MONITOR}:x@127.0.0.1:{a}"),
        format!("redis://127.0.0.1:{a}@127.0.0.1:{elsewhere}"),
        format!("rediss://127.0.0.1:{a}"),
        format!("redis://127.0.0.1:{a}?host=127.0.0.1:{elsewhere}"),
        "unix:///etc/passwd".to_owned(),
        String::new(),
    ] {
        assert_eq!(exporter.get(&format!("/scrape?target={}", encode(&target))).status, 403, "{target}");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    assert_eq!(exporter.get("/scrape?target=a&module=none").status, 400);
    keeps_its_secret(&exporter);
    let shown = e2e::exporter::run(BINARY, &["print-config", &format!("--config.file={}", folder.join("redis.yml").display())], &[]);
    let (text, again) = (String::from_utf8(shown.stdout).unwrap(), TempFolder::new("again"));
    assert!(text.contains("credentials: first") && text.contains("user: other") && !text.contains("w0rd"), "{text}");
    // What is in force is a configuration as well.
    let valid =
        e2e::exporter::run(BINARY, &["config", "validate", &format!("--config.file={}", again.write("r.yml", &text).display())], &[]);
    assert_eq!(valid.status.code(), Some(0), "{}", String::from_utf8_lossy(&valid.stderr));
}

/// One list of targets, that of the exporter: Prometheus reads it and needs no relabeling.
#[test]
fn prometheus_finds_the_targets_by_http_sd() {
    let (first, second) = (Redis::start(), Redis::start());
    second.run(&["set", "only", "here"]);
    let folder = TempFolder::new("discovery");
    let config = format!(
        "targets:\n  \"a \\\"b\": {{host: 127.0.0.1, port: {}}}\n  c: {{host: 127.0.0.1, port: {}}}\n",
        first.port(),
        second.port()
    );
    let exporter = start(&folder, &config);
    let answer = exporter.get("/targets");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let discovery = json!({"http_sd_configs": [{"url": exporter.url("/targets"), "refresh_interval": "1s"}]});
    let own = Job { name: "redis".into(), address: exporter.address().to_string(), access: discovery, ..Job::default() };
    let prometheus = Prometheus::start(&PrometheusOptions { jobs: vec![own], ..PrometheusOptions::default() });
    let keys = |instance: &str| {
        let found = prometheus.query("redis_keys");
        found.into_iter().find(|(labels, _)| labels["instance"] == instance).map(|(_, value)| value)
    };
    poll::until("both are scraped", LIMIT, || (keys("c") == Some(1.0) && keys("a \"b") == Some(0.0)).then_some(()));
    // Who asks by another name is told by that name; who says none is refused.
    let answer = exporter.get_with("/targets", &[("Host", "metrics.example:443")]).text();
    assert!(answer.contains(r#""targets":["metrics.example:443"]"#), "{answer}");
}

/// Targets that hang take a scrape's time each, and none of the others'.
#[test]
fn hung_targets_keep_nobody_waiting_and_a_target_is_small() {
    const FINE: usize = 120;
    const HUNG: usize = 40;
    let server = Redis::start();
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = String::from("modules: {default: {collectors: {clients: {enabled: false}}}}\ntargets:\n");
    for n in 0..FINE {
        // A user each, so that each has its own connections.
        server.run(&["acl", "setuser", &format!("u{n}"), "on", "nopass", "+@all"]);
        writeln!(config, "  fine{n}: {{host: 127.0.0.1, port: {}, user: u{n}}}", server.port()).unwrap();
    }
    for n in 0..HUNG {
        writeln!(config, "  hung{n}: {{host: 127.0.0.1, port: {}, user: u{n}}}", hole.local_addr().unwrap().port()).unwrap();
    }
    let folder = TempFolder::new("many");
    let exporter = start(&folder, &config);
    let ask = |target: String| {
        let started = Instant::now();
        let answer = http::get(exporter.address(), &format!("/scrape?target={target}"), &[(TIMEOUT_HEADER, "4")], TIMEOUT).unwrap();
        assert_eq!(answer.status, 200, "{target}");
        (started.elapsed(), e2e::page::Page::parse(&answer.text()).unwrap())
    };
    let before = exporter.private_bytes();
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        let ask = &ask;
        let hung: Vec<_> = (0..HUNG).map(|n| scope.spawn(move || ask(format!("hung{n}")))).collect();
        poll::until("all of them hang", LIMIT, || (established(&hole) >= HUNG).then_some(()));
        for n in 0..FINE {
            let (time, page) = ask(format!("fine{n}"));
            assert_eq!((page.value("redis_up", &[]), errors(&page).len()), (Some(1.0), 0));
            slowest = slowest.max(time);
        }
        for answer in hung {
            let (time, page) = answer.join().unwrap();
            assert!(time < Duration::from_secs(4), "{time:?}");
            assert_eq!((page.value("redis_up", &[]), errors(&page)["connect"].as_str()), (Some(0.0), "timeout"));
        }
    });
    assert!(slowest < Duration::from_secs(2), "a healthy target took {slowest:?} beside {HUNG} that hang");
    assert_eq!(server.connections(), FINE, "one warm session a target");
    // Between scrapes a target is a socket and its state, not the page and the buffers of the last one.
    let each = exporter.private_bytes().saturating_sub(before) / (FINE + HUNG) as u64;
    println!("slowest {slowest:?}, {each} bytes a target");
    assert!(each < 40_000, "{each} bytes a target");
}

/// Connections that wait in the listener's queue, which nobody accepts.
fn established(listener: &TcpListener) -> usize {
    let port = format!(":{:04X}", listener.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ours = |line: &&str| line.split_whitespace().nth(2).is_some_and(|remote| remote.ends_with(&port));
    table.lines().filter(ours).filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
}

/// Clients that send half a request, or read nothing of the answer, keep neither the server nor other scrapers.
#[test]
fn many_scrapers_and_half_open_clients_cost_the_server_two_connections() {
    use std::io::Write as _;
    let server = Redis::start();
    let folder = TempFolder::new("clients");
    let exporter = start(&folder, &format!("targets: {{main: {{host: 127.0.0.1, port: {}}}}}\n", server.port()));
    poll::until("up", LIMIT, || (exporter.metrics().value("redis_up", &[]) == Some(1.0)).then_some(()));
    let before = exporter.open_fds();
    let half: Vec<TcpStream> = (0..60)
        .map(|n| {
            let mut stream = TcpStream::connect(exporter.address()).unwrap();
            let text: &[u8] = if n % 2 == 0 { b"GET /metrics HTTP/1.1\r\nHo" } else { b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" };
            stream.write_all(text).unwrap();
            stream
        })
        .collect();
    std::thread::scope(|scope| {
        let scrapers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..20).map(|_| exporter.metrics().value("redis_up", &[])).collect::<Vec<_>>())).collect();
        for scraper in scrapers {
            assert!(scraper.join().unwrap().iter().all(|up| *up == Some(1.0)));
        }
    });
    assert!(server.connections() <= BUDGET);
    drop(half);
    poll::until("all are let go", LIMIT, || (exporter.open_fds() <= before + 1).then_some(()));
}
