//! The NGINX exporter in front of real servers: what stub_status says, the users' page, processes, Unix socket, TLS and
//! passwords, the pages of VTS and NGINX Plus, the flags of the exporter that it replaces; and every way to fail.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::net::TcpStream;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::fault::{FaultProxy, Mode};
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::poll;
use e2e::said::prints;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, does_not_grow, errors, keeps_its_secret, scrape, until};
use e2e::watched_web::{NGINX, has_series_of_the_peer, pages_of_vts_and_plus, password_line, watch, watch_with};

const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(2);

macro_rules! get {
    ($page:expr, $name:literal $(, $label:literal = $value:expr)*) => {
        $page.value($name, &[$(($label, $value)),*]).unwrap_or_else(|| panic!("{} {:?} is missing", $name, [$(($label, $value)),*] as [(&str, &str); _]))
    };
}

fn server(block: &str) -> Nginx {
    Nginx::start(&NginxOptions { server: block.to_owned(), ..NginxOptions::default() })
}

fn up(page: &Page) -> (f64, f64) {
    (get!(page, "sage_up"), get!(page, "nginx_up"))
}

/// The lines that `grants` prints, as they are printed.
#[test]
fn the_printed_lines_open_the_page() {
    let lines = prints(NGINX, &["grants", "--nginx.scrape-uri=http://127.0.0.1:8080/made"]);
    let server = server(&lines);
    let page = scrape(&watch(NGINX, &format!("url: {}", server.url("/made"))), TIMEOUT);
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{lines}");
}

#[test]
fn it_says_what_the_server_says() {
    let options = NginxOptions { server: "location = /shop { return 302 /; }".to_owned(), workers: 2, ..NginxOptions::default() };
    let server = Nginx::start(&options);
    // Two connections without a request.
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    poll::until("the server has them", LIMIT, || (server.status("active") == 3.0).then_some(()));
    let target = format!("url: {}\npid_file: {}\nprobe_path: /shop", server.url("/stub_status"), server.pid_file().display());
    let exporter = watch(NGINX, &target);
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{:?}", errors(&page));
    assert_eq!(get!(page, "nginx_connections_active"), 3.0);
    assert_eq!(get!(page, "nginx_connections_accepted") + 1.0, server.status("accepts"), "one is ours that asks");
    assert_eq!(get!(page, "nginx_connections_accepted"), get!(page, "nginx_connections_handled"));
    assert_eq!(get!(page, "nginx_connections_dropped_total"), 0.0);
    assert_eq!((get!(page, "nginx_connections_reading"), get!(page, "nginx_connections_writing")), (0.0, 1.0));
    assert_eq!(get!(page, "nginx_connections_waiting"), 2.0);
    assert_eq!(get!(page, "nginx_status_page_info", "kind" = "stub_status", "version" = ""), 1.0);
    // The users' page redirects, which is an answer.
    assert_eq!((get!(page, "nginx_probe_success"), get!(page, "nginx_probe_status_code")), (1.0, 302.0));
    assert!(get!(page, "nginx_probe_duration_seconds") < 1.0 && !page.has("nginx_probe_error_info"));
    for phase in ["resolve", "connect", "request"] {
        assert!(get!(page, "sage_login_duration_seconds", "phase" = phase) < 1.0, "{phase}");
    }
    assert_eq!((get!(page, "sage_login_success"), get!(page, "sage_connections", "state" = "warm")), (1.0, 0.0));
    // Processes, and a reload with a connection that an old worker keeps.
    assert_eq!(
        (get!(page, "nginx_server_processes", "kind" = "master"), get!(page, "nginx_server_processes", "kind" = "worker")),
        (1.0, 2.0)
    );
    assert!(get!(page, "nginx_server_threads") >= 3.0 && get!(page, "nginx_server_memory_bytes", "kind" = "private") > 1e5);
    let begun = get!(page, "nginx_server_youngest_worker_start_time_seconds");
    assert!(begun >= get!(page, "nginx_server_start_time_seconds"));
    let mut held = TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut held, b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    poll::until("the server reads the request", LIMIT, || (server.status("active") == 4.0).then_some(()));
    server.reload();
    let page = until("the old worker ends", &exporter, |p| p.value("nginx_server_processes", &[("kind", "stopping")]) >= Some(1.0));
    assert!(get!(page, "nginx_server_youngest_worker_start_time_seconds") > begun);
    drop((idle, held));
    until("it has ended", &exporter, |p| p.value("nginx_server_processes", &[("kind", "stopping")]) == Some(0.0));

    // One connection a scrape, which is not kept, and two requests: the page and the users' page. Two of each are the test's own.
    let (accepts, requests) = (server.status("accepts"), server.status("requests"));
    for _ in 0..5 {
        scrape(&exporter, TIMEOUT);
    }
    assert_eq!((server.status("accepts") - accepts, server.status("requests") - requests), (7.0, 12.0));
    assert!(server.log().iter().any(|line| line.contains("\"GET /stub_status HTTP/1.1\" 200") && line.contains("sage-nginx-exporter/")));
    assert_eq!(server.status("active"), 1.0, "nothing of ours is left open");
    let before = exporter.open_fds();
    does_not_grow(&exporter, before, TIMEOUT);
    assert_eq!(has_series_of_the_peer(&scrape(&exporter, TIMEOUT), "nginx-peer.txt"), 8);
}

#[test]
fn reached_read_and_probed_are_kept_apart() {
    let block = "location = /page { default_type text/html; return 200 '<!DOCTYPE html><p>Active connections: 1'; }
        location = /closed { deny all; } location = /moved { return 301 /stub_status; } location = /away { return 301 https://other.example/x?token=canary; }
        location = /loop { return 302 /loop; } location = /broken { return 500; } location = /full { return 503; } location = /empty { return 204; }
        location = /json { return 200 '{\"a\": 1}'; } location = /shop { return 502; }";
    let server = server(block);
    for (path, reason, hint) in [
        ("/page", "decode", "location = /stub_status"),
        ("/nothing", "query", "location = /stub_status"),
        ("/closed", "permission", "allow ADDRESS"),
        ("/away", "query", "set url"),
        ("/loop", "query", "set url"),
        ("/broken", "query", "error log"),
        ("/full", "overloaded", "error log"),
        ("/empty", "query", "access log"),
        ("/json", "decode", "location = /stub_status"),
    ] {
        let target = format!("url: {}\nprobe_path: /", server.url(path));
        let exporter = watch(NGINX, &target);
        let page = scrape(&exporter, TIMEOUT);
        assert_eq!(up(&page), (1.0, 0.0), "{path}: reached and not read");
        assert_eq!(errors(&page), [("status".to_owned(), reason.to_owned())].into(), "{path}");
        assert_eq!((get!(page, "sage_login_success"), get!(page, "nginx_probe_success")), (1.0, 1.0), "{path}: probed");
        assert!(!page.has("nginx_connections_active") && !page.has("nginxplus_up"), "{path}");
        let args = [format!("--nginx.scrape-uri={}", server.url(path))];
        let said = run(NGINX, &["check", &args[0]], &[]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.code() == Some(1) && text.contains(hint) && !text.contains("canary"), "{path}: {text}");
    }
    // Moved on the same server: read, and said.
    let url = server.url("/moved");
    let page = scrape(&watch(NGINX, &format!("url: {url}\nprobe_path: /shop")), TIMEOUT);
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0));
    let reason = get!(page, "nginx_probe_error_info", "reason" = "status");
    assert_eq!((reason, get!(page, "nginx_probe_success"), get!(page, "nginx_probe_status_code")), (1.0, 0.0, 502.0));
    let said = run(NGINX, &["check", &format!("--nginx.scrape-uri={url}")], &[]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.code() == Some(0) && text.contains("warning") && text.contains("sends us on"), "{text}");
}

#[test]
fn a_server_that_comes_goes_hangs_and_comes_back() {
    let mut server = server("");
    server.stop();
    let exporter = watch(NGINX, &format!("url: {}\npid_file: {}\nprobe_path: /", server.url("/stub_status"), server.pid_file().display()));
    for _ in 0..3 {
        let page = scrape(&exporter, SHORT);
        assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "refused"));
        assert!(!page.has("nginx_connections_active") && !page.has("nginx_probe_success") && !page.has("nginx_server_processes"));
    }
    server.restart();
    until("it is up", &exporter, |p| up(p) == (1.0, 1.0));
    let before = exporter.open_fds();
    server.freeze();
    for timeout in [TIMEOUT, SHORT, Duration::from_secs(1)] {
        let page = scrape(&exporter, timeout);
        assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "timeout"));
        assert_eq!(get!(page, "nginx_server_processes", "kind" = "worker"), 1.0, "its processes are there");
    }
    server.thaw();
    let page = until("it is up again", &exporter, |p| up(p) == (1.0, 1.0));
    assert_eq!(get!(page, "sage_login_success"), 1.0);
    does_not_grow(&exporter, before, SHORT);
}

#[test]
fn a_hostile_or_broken_server_costs_a_reason_and_no_memory() {
    let server = server("");
    let proxy = FaultProxy::start(server.address());
    let exporter = watch(NGINX, &format!("url: http://{}/stub_status", proxy.address()));
    until("it is up", &exporter, |p| up(p) == (1.0, 1.0));
    let before = exporter.open_fds();
    let modes: [(Mode, &[&str]); 13] = [
        (Mode::Refuse, &["refused"]),
        (Mode::BlackHole, &["timeout"]),
        (Mode::Garbage, &["decode"]),
        (Mode::Drip, &["timeout"]),
        (Mode::Reset, &["connect"]),
        (Mode::ResetMidAnswer(30), &["connect"]),
        (Mode::CloseAtOnce, &["connect"]),
        (Mode::Say(b"SSH-2.0-OpenSSH_9.2\r\n"), &["decode"]),
        (Mode::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nActive"), &["timeout", "limit"]),
        (Mode::Say(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), &["decode"]),
        (Mode::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), &["decode", "connect"]),
        (Mode::Endless(b"HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaa\r\n"), &["limit", "decode", "connect"]),
        (Mode::Endless(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &["limit", "decode", "connect"]),
    ];
    for (mode, reasons) in modes {
        proxy.set(mode);
        let page = scrape(&exporter, SHORT);
        let reason = errors(&page).get("connect").cloned().unwrap_or_default();
        assert_eq!(up(&page), (0.0, 0.0), "{mode:?}");
        assert!(reasons.contains(&reason.as_str()), "{mode:?}: {reason} is none of {reasons:?}\n{}", exporter.logs());
        assert!(exporter.rss_bytes() < 64 << 20, "{mode:?}: RSS {}", exporter.rss_bytes());
        proxy.set(Mode::Pass);
        until(&format!("recovery from {mode:?}"), &exporter, |p| up(p) == (1.0, 1.0));
    }
    // A body that does not end, and one with odd bytes, from a server that speaks HTTP.
    proxy.set(Mode::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\nActive connections: 1\xff\xfe\nserver x\n\x00\x01ab"));
    let page = scrape(&exporter, SHORT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "decode"));
    proxy.set(Mode::Pass);
    until("recovery", &exporter, |p| up(p) == (1.0, 1.0));
    does_not_grow(&exporter, before, SHORT);
}

#[test]
fn sockets_passwords_and_certificates() {
    let folder = TempFolder::new("tls");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "web", &["localhost", "127.0.0.1"]);
    let users = folder.write("users", &password_line("sage", CANARY));
    let block = format!("location = /locked {{ stub_status; auth_basic x; auth_basic_user_file {}; }}", users.display());
    let server = Nginx::start(&NginxOptions { server: block, tls: Some(pair), ..NginxOptions::default() });

    let socket = server.socket();
    let exporter = Exporter::start(NGINX, &[&format!("--nginx.scrape-uri=unix:{}:/stub_status", socket.display())], &[]);
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!(up(&page), (1.0, 1.0), "{:?}", errors(&page));
    assert_eq!(page.value("sage_login_duration_seconds", &[("phase", "resolve")]), None);
    let page = scrape(&watch(NGINX, "url: http://localhost/stub_status\nsocket: /nowhere/s"), SHORT);
    assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "refused"));

    let secret = folder.write_secret("password", &format!("{CANARY}\n"));
    let target = format!("url: {}\nuser: sage\npassword_file: {}", server.url("/locked"), secret.display());
    let exporter = watch(NGINX, &target);
    assert_eq!(up(&scrape(&exporter, TIMEOUT)), (1.0, 1.0), "{}", exporter.logs());
    // Rotated without a restart, here to a wrong one.
    folder.write("password", "another\n");
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "auth"));
    keeps_its_secret(&exporter);
    let exporter = watch_with(NGINX, &format!("url: {}\nuser: sage", server.url("/locked")), &[("NGINX_PASSWORD", CANARY)]);
    assert_eq!(up(&scrape(&exporter, TIMEOUT)), (1.0, 1.0));
    keeps_its_secret(&exporter);

    let url = server.tls_url("/stub_status");
    let ca = authority.file.display();
    let page = scrape(&watch(NGINX, &format!("url: {url}\ntls_ca_file: {ca}")), TIMEOUT);
    assert_eq!(up(&page), (1.0, 1.0), "{:?}", errors(&page));
    assert!(get!(page, "sage_login_duration_seconds", "phase" = "tls") > 0.0);
    for wrong in [format!("url: {url}"), format!("url: {url}\ntls_ca_file: {ca}\ntls_server_name: other.example")] {
        let page = scrape(&watch(NGINX, &wrong), TIMEOUT);
        assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "tls"), "{wrong}");
    }
    assert_eq!(up(&scrape(&watch(NGINX, &format!("url: {url}\ntls: insecure")), TIMEOUT)), (1.0, 1.0));
    // TLS to a port that does not speak it, and the other way round.
    let page = scrape(&watch(NGINX, &format!("url: {}", server.url("/stub_status").replace("http:", "https:"))), TIMEOUT);
    assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "tls"));
    let page = scrape(&watch(NGINX, &format!("url: {}", url.replace("https:", "http:"))), TIMEOUT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "query"), "the server says 400");
}

#[test]
fn traffic_status_and_plus_are_told_by_their_answer() {
    let server = server(&pages_of_vts_and_plus());

    let page = scrape(&watch(NGINX, &format!("url: {}", server.url("/status/format/json"))), TIMEOUT);
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{:?}", errors(&page));
    assert_eq!(get!(page, "nginx_status_page_info", "kind" = "vts", "version" = "1.25.3"), 1.0);
    assert_eq!((get!(page, "nginx_connections_active"), get!(page, "nginx_connections_dropped_total")), (3.0, 2.0));
    assert_eq!(get!(page, "nginx_http_requests_total"), 99.0);
    assert_eq!(get!(page, "nginx_vts_server_requests_total", "host" = "shop.example", "code" = "5xx"), 2.0);
    assert_eq!(get!(page, "nginx_vts_server_bytes_total", "host" = "shop.example", "direction" = "out"), 2000.0);
    assert_eq!(get!(page, "nginx_vts_server_request_seconds_total", "host" = "shop.example"), 1.5);
    assert_eq!(page.series("nginx_vts_server_request_seconds_total").len(), 1, "the sum of all hosts is left out");
    assert_eq!(get!(page, "nginx_vts_upstream_requests_total", "upstream" = "app", "backend" = "10.0.0.1:80", "code" = "5xx"), 1.0);
    assert_eq!(get!(page, "nginx_vts_upstream_response_seconds_total", "upstream" = "app", "backend" = "10.0.0.1:80"), 0.25);
    assert_eq!(get!(page, "nginx_vts_upstream_marked_down", "upstream" = "app", "backend" = "10.0.0.2:80"), 1.0);

    // `--nginx.plus` is understood and not needed; the path of the API redirects, as that of the real one.
    let exporter = Exporter::start(NGINX, &["--nginx.plus", &format!("--nginx.scrape-uri={}", server.url("/api"))], &[]);
    let page = scrape(&exporter, TIMEOUT);
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{:?}", errors(&page));
    assert_eq!((get!(page, "nginxplus_up"), get!(page, "nginx_status_page_info", "kind" = "plus", "version" = "1.25.5")), (1.0, 1.0));
    assert_eq!((get!(page, "nginxplus_connections_accepted"), get!(page, "nginxplus_connections_dropped")), (4_968_119.0, 19.0));
    assert_eq!((get!(page, "nginx_connections_active"), get!(page, "nginx_connections_handled")), (122.0, 4_968_100.0));
    assert_eq!((get!(page, "nginxplus_http_requests_total"), get!(page, "nginxplus_http_requests_current")), (10_624_511.0, 4.0));
    assert_eq!(get!(page, "nginxplus_ssl_handshakes_failed"), 21_025.0);
    assert_eq!(get!(page, "nginxplus_server_zone_responses", "server_zone" = "shop", "code" = "4xx"), 907.0);
    assert_eq!(get!(page, "nginxplus_server_zone_sent", "server_zone" = "shop"), 19_415_530_115.0);
    assert_eq!(get!(page, "nginxplus_upstream_server_state", "upstream" = "app", "server" = "10.0.0.1:8088"), 1.0);
    assert_eq!(get!(page, "nginxplus_upstream_server_state", "upstream" = "app", "server" = "10.0.0.2:8088"), 6.0);
    assert_eq!(page.value("nginxplus_upstream_server_limit", &[("upstream", "app"), ("server", "10.0.0.2:8088")]), None);
    assert_eq!(
        (get!(page, "nginxplus_upstream_keepalive", "upstream" = "app"), get!(page, "nginxplus_upstream_zombies", "upstream" = "app")),
        (3.0, 1.0)
    );
    // All of it over one connection; two are the test's own.
    let (accepts, requests) = (server.status("accepts"), server.status("requests"));
    scrape(&exporter, TIMEOUT);
    assert_eq!((server.status("accepts") - accepts, server.status("requests") - requests), (3.0, 12.0));
}

#[test]
fn flags_of_the_peer() {
    let server = server("");
    // A unit of the peer: flags, then variables.
    let env = [("SCRAPE_URI", server.url("/stub_status")), ("TELEMETRY_PATH", "/m".to_owned()), ("NGINX_PLUS", "false".to_owned())];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let exporter = Exporter::start(NGINX, &["--web.nginx-metrics-only", "--nginx.timeout=5s"], &env);
    assert_eq!(up(&exporter.page("/m")), (1.0, 1.0));
    for (args, hint) in [
        (&["--prometheus.const-label=a=b"][..], "static_configs"),
        (&["--nginx.proxy-protocol"], "listen 127.0.0.1:8080"),
        (&["--nginx.timeout=9s"], "timeout: 5s"),
        (&["--nginx.scrape-uri=http://a/", "--nginx.scrape-uri=http://b/"], "targets: {web1"),
        (&["--nginx.scrape-uri=ftp://u:canary@h/"], "http://HOST:PORT/PATH"),
    ] {
        let ended = run(NGINX, &[args, &[&format!("--web.listen-address=127.0.0.1:{}", free_port())]].concat(), &[]);
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && err.contains(hint) && !err.contains("canary"), "{args:?}: {err}");
    }
}
