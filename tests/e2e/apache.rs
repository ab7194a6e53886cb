//! The Apache exporter in front of real servers: what server-status says, scoreboard and balancers, the users' page, processes,
//! virtual hosts, TLS and passwords, ExtendedStatus off, the flags of the exporter that it replaces; and every way to fail.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::fault::{FaultProxy, Mode};
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::said::prints;
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, does_not_grow, errors, keeps_its_secret, scrape, until};
use e2e::watched_web::{APACHE, has_series_of_the_peer, password_line, watch};

const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(2);
/// A balancer with two members, neither of which is there.
const BALANCER: &str = "ProxyStatus On\n<Proxy balancer://shop>\nBalancerMember http://127.0.0.1:1\nBalancerMember http://127.0.0.1:2\n</Proxy>\n\
    ProxyPass /shop balancer://shop\n";
const PROXY: [&str; 5] = ["proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests"];

macro_rules! get {
    ($page:expr, $name:literal $(, $label:literal = $value:expr)*) => {
        $page.value($name, &[$(($label, $value)),*]).unwrap_or_else(|| panic!("{} {:?} is missing", $name, [$(($label, $value)),*] as [(&str, &str); _]))
    };
}

fn server(settings: &str) -> Apache {
    Apache::start(&ApacheOptions { settings: settings.to_owned(), ..ApacheOptions::default() })
}

fn up(page: &Page) -> (f64, f64) {
    (get!(page, "sage_up"), get!(page, "apache_up"))
}

/// The lines that `grants` prints, as they are printed.
#[test]
fn the_printed_lines_open_the_page() {
    let lines = prints(APACHE, &["grants", "--scrape_uri=http://127.0.0.1/made"]);
    let server = server(&lines);
    let page = scrape(&watch(APACHE, &format!("url: {}", server.url("/made"))), Duration::from_secs(5));
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{lines}");
}

#[test]
fn it_says_what_the_server_says() {
    let server = Apache::start(&ApacheOptions { modules: PROXY.to_vec(), settings: BALANCER.to_owned(), ..ApacheOptions::default() });
    let target = format!("url: {}\npid_file: {}\nprobe_path: /shop", server.url("/server-status"), server.pid_file().display());
    let exporter = watch(APACHE, &target);
    // Three requests that are not yet there in full, each held by a worker or waited for.
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
            stream
        })
        .collect();
    let page = until("the requests are read", &exporter, |p| {
        let connections = p.value("apache_connections", &[("state", "total")]);
        p.value("apache_scoreboard", &[("state", "read")]) == Some(3.0) && connections >= Some(3.0)
    });
    assert_eq!((up(&page), errors(&page).len()), ((1.0, 1.0), 0), "{:?}", errors(&page));
    assert_eq!(get!(page, "apache_workers", "state" = "busy"), 4.0, "three, and ours that asks");
    assert_eq!(get!(page, "apache_scoreboard", "state" = "reply"), 1.0);
    let places: f64 = page.series("apache_scoreboard").iter().map(|s| s.value).sum();
    assert_eq!((places, get!(page, "apache_scoreboard_slots")), (10.0, 10.0));
    assert!(get!(page, "apache_processes", "state" = "all") >= 1.0);
    assert_eq!(get!(page, "apache_generation", "type" = "config"), 1.0);
    let version = server.status("ServerVersion");
    assert_eq!(get!(page, "apache_info", "version" = &version, "mpm" = "event"), 1.0);
    assert!((2.04..2.05).contains(&get!(page, "apache_version")));
    assert_eq!((get!(page, "apache_status_extended"), get!(page, "apache_exporter_scrape_failures_total")), (1.0, 0.0));
    let after: f64 = server.status("Total Accesses").parse().unwrap();
    let before = get!(page, "apache_accesses_total");
    assert!(before >= 1.0 && before <= after, "{before} {after}");
    assert_eq!(get!(page, "apache_sent_bytes_total"), get!(page, "apache_sent_kilobytes_total") * 1024.0);
    assert!((get!(page, "apache_request_duration_seconds_total") * 1000.0 - get!(page, "apache_duration_ms_total")).abs() < 0.001);
    assert!(
        (get!(page, "apache_cpu_seconds_total", "mode" = "user") * 1000.0 - get!(page, "apache_cpu_time_ms_total", "type" = "user")).abs()
            < 0.001
    );
    // Behind the balancer nobody answers: users see 503, and the members are told of it.
    let page = until("the members are in error", &exporter, |p| {
        p.series("apache_proxy_balancer_member_up").iter().filter(|s| s.value == 0.0).count() == 2
    });
    assert_eq!((get!(page, "apache_probe_success"), get!(page, "apache_probe_status_code")), (0.0, 503.0));
    assert_eq!(get!(page, "apache_probe_error_info", "reason" = "status"), 1.0);
    let member =
        get!(page, "apache_proxy_balancer_status", "balancer" = "balancer://shop", "worker" = "http://127.0.0.1:1", "status" = "Init Err");
    assert_eq!((member, up(&page)), (1.0, (1.0, 1.0)));
    assert!(get!(page, "apache_proxy_balancer_accesses_total", "balancer" = "balancer://shop", "worker" = "http://127.0.0.1:1") >= 1.0);
    // Processes.
    assert_eq!(get!(page, "apache_server_processes", "kind" = "main"), 1.0);
    let children = f64::from(u32::try_from(server.children().len()).unwrap());
    assert_eq!(get!(page, "apache_server_processes", "kind" = "child"), children);
    assert!(get!(page, "apache_server_threads") >= 6.0 && get!(page, "apache_server_memory_bytes", "kind" = "private") > 1e5);
    // A graceful restart is counted, and an old child stays for those that it serves.
    server.reload();
    let page = until("the restart is seen", &exporter, |p| p.value("apache_generation", &[("type", "config")]) == Some(2.0));
    assert!(get!(page, "apache_scoreboard", "state" = "graceful_stop") >= 1.0, "{:?}", page.series("apache_scoreboard"));
    drop(held);
    // The load is told from the first hundredth of a second of CPU time on, and the restart began to count anew.
    let page = until("it has ended and there is a load", &exporter, |p| {
        p.value("apache_scoreboard", &[("state", "graceful_stop")]) == Some(0.0) && p.has("apache_cpuload")
    });
    assert_eq!(has_series_of_the_peer(&page, "apache-peer.txt"), 21);
    let before = exporter.open_fds();
    does_not_grow(&exporter, before, TIMEOUT);
}

#[test]
fn reached_read_and_probed_are_kept_apart() {
    let folder = TempFolder::new("tls");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "web", &["127.0.0.1"]);
    let settings = "RewriteEngine On\nRewriteRule ^/page$ /index.html [PT]\nRedirect /away https://other.example/x\n\
        <Location /closed>\nSetHandler server-status\nRequire all denied\n</Location>\n\
        <VirtualHost 127.0.0.1:PORT>\nServerName first.example\nRedirect 404 /server-status\n</VirtualHost>\n\
        <VirtualHost 127.0.0.1:PORT>\nServerName status.example\n</VirtualHost>\n";
    let options = ApacheOptions {
        modules: vec!["rewrite", "alias"],
        settings: settings.lines().take(7).collect::<Vec<_>>().join("\n"),
        tls: Some(pair),
        ..ApacheOptions::default()
    };
    let mut server = Apache::start(&options);
    for (path, reason, hint) in [
        ("/page", "decode", "a2enmod status"),
        ("/nothing", "query", "a2enmod status"),
        ("/closed", "permission", "Require local"),
        ("/away", "query", "set url"),
    ] {
        let page = scrape(&watch(APACHE, &format!("url: {}\nprobe_path: /", server.url(path))), TIMEOUT);
        assert_eq!((up(&page), get!(page, "apache_probe_success")), ((1.0, 0.0), 1.0), "{path}");
        assert_eq!(errors(&page), [("status".to_owned(), reason.to_owned())].into(), "{path}");
        assert!(!page.has("apache_workers") && !page.has("apache_scoreboard"), "{path}");
        assert_eq!(get!(page, "apache_exporter_scrape_failures_total"), 1.0);
        let said = run(APACHE, &["check", &format!("--scrape_uri={}", server.url(path))], &[]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.code() == Some(1) && text.contains(hint), "{path}: {text}");
    }
    let (url, ca) = (server.tls_url("/server-status"), authority.file.display());
    assert_eq!(up(&scrape(&watch(APACHE, &format!("url: {url}\ntls_ca_file: {ca}")), TIMEOUT)), (1.0, 1.0));
    let page = scrape(&watch(APACHE, &format!("url: {url}")), TIMEOUT);
    assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "tls"));
    let exporter = Exporter::start(APACHE, &["--insecure", &format!("--scrape_uri={url}")], &[]);
    assert_eq!(up(&exporter.metrics()), (1.0, 1.0), "the peer's switch");

    // A virtual host that has the page, behind one that has not; ExtendedStatus off.
    let port = server.address().port().to_string();
    let options =
        ApacheOptions { settings: settings.replace("PORT", &port), modules: vec!["rewrite", "alias"], extended: false, ..options };
    server.configure(&ApacheOptions { tls: None, ..options });
    server.restart();
    let url = server.url("/server-status");
    let page = scrape(&watch(APACHE, &format!("url: {url}")), TIMEOUT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "query"));
    let exporter = Exporter::start(APACHE, &["--host_override=status.example", &format!("--scrape_uri={url}")], &[]);
    let page = exporter.metrics();
    assert_eq!((up(&page), get!(page, "apache_status_extended")), ((1.0, 1.0), 0.0));
    assert!(!page.has("apache_accesses_total") && page.has("apache_workers"), "what is not counted is absent");
}

#[test]
fn a_server_that_comes_goes_hangs_and_comes_back() {
    let mut server = server("");
    server.stop();
    let exporter = watch(APACHE, &format!("url: {}\npid_file: {}", server.url("/server-status"), server.pid_file().display()));
    for _ in 0..3 {
        let page = scrape(&exporter, SHORT);
        assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "refused"));
        assert!(!page.has("apache_workers") && !page.has("apache_server_processes"));
    }
    server.restart();
    until("it is up", &exporter, |p| up(p) == (1.0, 1.0));
    let before = exporter.open_fds();
    server.freeze();
    for timeout in [TIMEOUT, SHORT, Duration::from_secs(1)] {
        let page = scrape(&exporter, timeout);
        assert_eq!((up(&page), errors(&page)["connect"].as_str()), ((0.0, 0.0), "timeout"));
        assert_eq!(get!(page, "apache_server_processes", "kind" = "main"), 1.0);
    }
    server.thaw();
    until("it is up again", &exporter, |p| up(p) == (1.0, 1.0));
    does_not_grow(&exporter, before, SHORT);

    // What stands between may be hostile.
    let proxy = FaultProxy::start(server.address());
    let exporter = watch(APACHE, &format!("url: http://{}/server-status", proxy.address()));
    for (mode, reasons) in [
        (Mode::Garbage, &["decode"][..]),
        (Mode::ResetMidAnswer(300), &["connect"]),
        (Mode::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nScoreboard: _"), &["timeout", "limit"]),
        (Mode::Endless(b"HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaa\r\n"), &["limit", "decode", "connect"]),
    ] {
        proxy.set(mode);
        let page = scrape(&exporter, SHORT);
        let reason = errors(&page)["connect"].clone();
        assert!(up(&page) == (0.0, 0.0) && reasons.contains(&reason.as_str()), "{mode:?}: {reason}");
        assert!(exporter.rss_bytes() < 64 << 20, "{mode:?}: RSS {}", exporter.rss_bytes());
    }
    proxy.set(Mode::Say(
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nScoreboard: \xff\xfe__W\nIdleWorkers: inf\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    ));
    let page = scrape(&exporter, SHORT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "decode"));
}

#[test]
fn passwords_and_bad_configurations() {
    let folder = TempFolder::new("users");
    let users = folder.write("users", &password_line("sage", CANARY));
    let settings = format!(
        "<Location /locked>\nSetHandler server-status\nAuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile {}\nRequire valid-user\n</Location>",
        users.display()
    );
    let modules = vec!["auth_basic", "authn_file", "authz_user"];
    let server = Apache::start(&ApacheOptions { modules, settings, ..ApacheOptions::default() });
    let secret = folder.write_secret("password", &format!("{CANARY}\n"));
    let exporter = watch(APACHE, &format!("url: {}\nuser: sage\npassword_file: {}", server.url("/locked"), secret.display()));
    assert_eq!(up(&scrape(&exporter, TIMEOUT)), (1.0, 1.0), "{}", exporter.logs());
    keeps_its_secret(&exporter);
    let page = scrape(&watch(APACHE, &format!("url: {}", server.url("/locked"))), TIMEOUT);
    assert_eq!((up(&page), errors(&page)["status"].as_str()), ((1.0, 0.0), "auth"));
    for (args, hint) in [
        (&["--custom_headers=a:b"][..], "headers: {NAME: VALUE}"),
        (&["--telemetry.endpoint=/x"], "--web.telemetry-path"),
        (&["--scrape_uri=http://u:canary@[/"], "http://HOST:PORT/PATH"),
    ] {
        let ended = run(APACHE, &[args, &[&format!("--web.listen-address=127.0.0.1:{}", free_port())]].concat(), &[]);
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && err.contains(hint) && !err.contains("canary"), "{args:?}: {err}");
    }
}
