//! The exporter's HTTP side with a real server behind it: routes, formats, bad requests, clients that say half a
//! header and nothing more, and the end by SIGTERM in the middle of a scrape.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use e2e::fault::{FaultProxy, Mode};
use e2e::http::Connection;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::watched::{BRISK, TIMEOUT_HEADER, errors, scrape, scrape_at, server, wait_fine, watch};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const ACCEPT_OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

fn shared() -> &'static Arc<Postgres> {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| server(PostgresOptions::default()))
}

#[test]
fn routes_and_bad_requests() {
    let exporter = watch(shared().port(), "");
    for (path, status, says) in [
        ("/", 200, "<h1>PostgreSQL</h1>"),
        ("/metrics", 200, "sage_up 1\n"),
        ("/metrics?collect[]=locks", 200, "pg_blocked_sessions 0\n"),
        ("/metrics?collect%5B%5D=stat_activity", 200, "pg_connections_max"),
        ("/probe?target=default", 200, "sage_up 1\n"),
        ("/scrape?target=default", 200, "sage_up 1\n"),
        ("/-/healthy", 200, "healthy"),
        ("/-/ready", 200, "ready"),
        ("/metrics/", 404, "metrics are at /metrics"),
        ("/debug/pprof/", 404, "nothing is served here"),
        ("/../etc/passwd", 404, "nothing is served here"),
        ("/metrics?collect[]=nothing", 400, "unknown collector \"nothing\""),
        ("/metrics?module=nothing", 400, "unknown module"),
        ("/probe", 400, "target is missing"),
        ("/probe?target=default&target=default", 400, "more than once"),
        ("/probe?target=127.0.0.1:5432", 403, "not in the configuration"),
    ] {
        let answer = exporter.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    for bad in ["", "soon", "0", "-1", "NaN"] {
        let answer = exporter.get_with("/metrics", &[(TIMEOUT_HEADER, bad)]);
        assert_eq!(answer.status, 400, "{bad:?}: {}", answer.text());
    }
    // Only what was asked for, and our own series on /metrics alone.
    let page = exporter.page("/metrics?collect[]=locks&collect[]=settings");
    let ran: Vec<&str> = page.series("sage_collector_success").iter().map(|s| s.labels["collector"].as_str()).collect();
    assert_eq!(ran, ["locks", "settings"]);
    assert!(page.has("process_open_fds"));
    let page = exporter.page("/probe?target=default");
    assert!(!page.has("process_open_fds") && !page.has("sage_build_info") && page.has("pg_connections"));

    let mut connection = Connection::open(exporter.address(), Duration::from_secs(5)).unwrap();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = connection.send(method, "/metrics", &[("Content-Length", "0")], Duration::from_secs(5)).unwrap();
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let counted = exporter.metrics().value("sage_http_requests_total", &[("code", "405")]);
    assert_eq!(counted, Some(4.0));
}

#[test]
fn formats_are_what_was_asked_for() {
    let exporter = watch(shared().port(), "");
    wait_fine(&exporter);
    let plain = exporter.get("/metrics");
    assert_eq!(plain.header("Content-Type"), Some(TEXT));
    assert_eq!(plain.header("Content-Encoding"), None);
    let open = exporter.get_with("/metrics", &[("Accept", ACCEPT_OPENMETRICS)]);
    assert_eq!(open.header("Content-Type"), Some(OPENMETRICS));
    assert!(open.text().ends_with("\n# EOF\n"));
    let older = exporter.get_with("/metrics", &[("Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")]);
    assert_eq!(older.header("Content-Type"), Some(TEXT));

    let packed = exporter.get_with("/metrics", &[("Accept-Encoding", "gzip")]);
    assert_eq!((packed.header("Content-Encoding"), packed.header("Content-Type")), (Some("gzip"), Some(TEXT)));
    assert!(packed.header("Vary").is_some_and(|v| v.contains("Accept-Encoding") && v.contains("Accept,")));
    assert!(packed.body.len() * 3 < plain.body.len(), "{} of {} bytes", packed.body.len(), plain.body.len());
    let unpacked = unpack(&packed.body);
    let names = |text: &str| Page::parse(text).unwrap().types.into_keys().collect::<Vec<_>>();
    // The first walk may end between the two; its families are on the later page only. Locks come and go with the server's own work.
    let (earlier, later) = (names(&plain.text()), names(&unpacked));
    let gone: Vec<&String> = earlier.iter().filter(|name| *name != "pg_locks_count" && !later.contains(name)).collect();
    assert!(earlier.len() > 100 && gone.is_empty(), "{gone:?} of {}", earlier.len());
    let refused = exporter.get_with("/metrics", &[("Accept-Encoding", "gzip;q=0, identity")]);
    assert_eq!(refused.header("Content-Encoding"), None);

    // HEAD: the same header, no body; the connection then takes the next request.
    let mut connection = Connection::open(exporter.address(), Duration::from_secs(5)).unwrap();
    let head = connection.send("HEAD", "/metrics", &[], Duration::from_secs(5)).unwrap();
    assert_eq!((head.status, head.header("Content-Type"), head.body.len()), (200, Some(TEXT), 0));
    assert!(head.header("Content-Length").is_some_and(|n| n.parse::<usize>().unwrap() > 10_000));
    let next = connection.send("GET", "/-/healthy", &[], Duration::from_secs(5)).unwrap();
    assert_eq!((next.status, next.text().as_str()), (200, "healthy\n"));
}

fn unpack(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn clients_that_say_half_a_header_keep_nobody_out() {
    let exporter = watch(shared().port(), BRISK);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    let begun = Instant::now();
    let mut silent: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(exporter.address()).unwrap();
            // One that was turned away at once may refuse these bytes already.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: exp");
            stream
        })
        .collect();
    let page = scrape(&exporter, Duration::from_secs(2));
    assert_eq!((page.value("sage_up", &[]), errors(&page).len()), (Some(1.0), 0));
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // Closed, perhaps with a word why.
            Ok(_) => assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer)),
            Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(12), "closed after {:?}", begun.elapsed());
    drop(silent);
    e2e::watched::does_not_grow(&exporter, before, Duration::from_secs(2));
}

#[test]
fn sigterm_ends_a_running_scrape() {
    let proxy = FaultProxy::start(shared().address());
    let mut exporter = watch(proxy.port(), "");
    wait_fine(&exporter);
    proxy.set(Mode::BlackHole);
    let before = proxy.accepted();
    let address = exporter.address();
    let scraping = thread::spawn(move || e2e::http::get(address, "/metrics", &[(TIMEOUT_HEADER, "60")], Duration::from_secs(60)));
    // The warm session is silent, so that the running scrape connects anew, and will wait for that as well.
    poll::until("the scrape runs", Duration::from_secs(10), || (proxy.accepted() > before).then_some(()));
    let begun = Instant::now();
    let status = exporter.stop();
    assert_eq!(status.code(), Some(0), "{status}\n{}", exporter.logs());
    assert!(begun.elapsed() < Duration::from_secs(6), "stopped after {:?}", begun.elapsed());
    // Its scraper got an answer or a closed connection, and not a minute of silence.
    if let Ok(answer) = scraping.join().unwrap() {
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("sage_up 0\n"), "{}", answer.text());
    }
    poll::until("its connections are closed", Duration::from_secs(5), || (proxy.open() == 0).then_some(()));
    assert!(exporter.logs().contains("stopping"), "{}", exporter.logs());
}

#[test]
fn two_targets_have_pages_of_their_own() {
    let (first, second) = (shared(), server(PostgresOptions { settings: vec!["max_connections = 40".to_owned()], ..Default::default() }));
    let config = format!("targets: {{default: {{}}, other: {{host: 127.0.0.1, port: {}, user: nobody}}}}\n", second.port());
    let exporter = watch(first.port(), &config);
    let page = scrape_at(&exporter, "/probe?target=default", Duration::from_secs(5));
    assert_eq!(page.value("pg_settings_max_connections", &[]), Some(100.0));
    let page = scrape_at(&exporter, "/probe?target=other", Duration::from_secs(5));
    assert_eq!((page.value("sage_up", &[]), errors(&page)["connect"].as_str()), (Some(0.0), "auth"));
}
