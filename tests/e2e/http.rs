//! The shipped prober in front of a real Prometheus, with broken networks between them: in time, with the reason named,
//! without growing, without keeping other probes waiting, and without its password in any output.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::fault::{FaultProxy, Mode};
use e2e::http::encode;
use e2e::page::Page;
use e2e::poll;
use e2e::probed::{AMPLE, BINARY, ask, path};
use e2e::servers::prometheus::{Prometheus, PrometheusOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, TIMEOUT_HEADER, errors, scrape_at, tells};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn shared() -> &'static Prometheus {
    static SERVER: OnceLock<Prometheus> = OnceLock::new();
    SERVER.get_or_init(|| Prometheus::start(&PrometheusOptions::default()))
}

/// A path of its own for each `number`, so that no two probes are the same; Prometheus answers all of them with 200.
fn ready(address: SocketAddr, number: usize) -> String {
    path("http_2xx", format!("http://{address}/-/ready?{number}"))
}

fn success(page: &Page) -> Option<f64> {
    page.value("probe_success", &[])
}

fn reason(page: &Page) -> Option<String> {
    errors(page).remove("probe")
}

/// Answers one request with `answer` and tells what the request was.
fn serve_once(answer: String) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                n => request.extend_from_slice(&buffer[..n]),
            }
        }
        tell.send(String::from_utf8(request).unwrap()).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (address, told)
}

#[test]
fn requests_and_content_types() {
    let exporter = Exporter::start(BINARY, &[], &[]);
    let good = ready(shared().address(), 0);
    for (path, status, kind, says) in [
        ("/", 200, "text/html; charset=utf-8", "http_2xx"),
        ("/metrics", 200, TEXT, "sage_build_info{"),
        (good.as_str(), 200, TEXT, "\nprobe_success 1\n"),
        ("/-/healthy", 200, "text/plain; charset=utf-8", "healthy"),
        ("/probe", 400, "text/plain; charset=utf-8", "target is missing"),
        ("/probe?target=", 400, "text/plain; charset=utf-8", "target is missing"),
        ("/probe?target=a&target=b", 400, "text/plain; charset=utf-8", "more than once"),
        ("/probe?target=127.0.0.1&module=nothing", 400, "text/plain; charset=utf-8", "unknown module"),
        ("/probe?target=127.0.0.1&module=tcp_connect", 400, "text/plain; charset=utf-8", "HOST:PORT"),
        ("/nothing", 404, "text/plain; charset=utf-8", "nothing is served here"),
    ] {
        let answer = exporter.get(path);
        assert_eq!((answer.status, answer.header("Content-Type")), (status, Some(kind)), "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    for path in ["/metrics", &good] {
        let open = exporter.get_with(path, &[("Accept", "application/openmetrics-text;version=1.0.0")]);
        assert_eq!((open.status, open.header("Content-Type")), (200, Some(OPENMETRICS)));
        assert!(open.text().ends_with("\n# EOF\n"), "{path}");
    }
    let late = exporter.get_with(&good, &[(TIMEOUT_HEADER, "soon")]);
    assert_eq!(late.status, 400, "{}", late.text());
}

#[test]
fn a_closed_port_is_refused() {
    let exporter = Exporter::start(BINARY, &[], &[]);
    let address = format!("127.0.0.1:{}", free_port());
    for module in ["http_2xx", "tcp_connect"] {
        let page = ask(&exporter, module, &address);
        assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some("refused")), "{module}");
        assert_eq!(page.value("sage_up", &[]), Some(0.0), "{module}");
    }
}

#[test]
fn broken_networks_are_named_in_time_and_leave_nothing_behind() {
    let proxy = FaultProxy::start(shared().address());
    let exporter = Exporter::start(BINARY, &[], &[]);
    let target = |number| ready(proxy.address(), number);
    assert_eq!(success(&scrape_at(&exporter, &target(0), AMPLE)), Some(1.0));
    // Closed on both sides before it is counted what an idle exporter has open.
    poll::until("the probe's connection is closed", LIMIT, || (proxy.open() == 0).then_some(()));
    let fds = exporter.open_fds();
    for (mode, why) in [
        (Mode::BlackHole, "timeout"),
        (Mode::Drip, "timeout"),
        (Mode::Garbage, "decode"),
        (Mode::Reset, "connect"),
        (Mode::CloseAtOnce, "connect"),
        (Mode::Refuse, "refused"),
    ] {
        proxy.set(mode);
        let page = scrape_at(&exporter, &target(0), Duration::from_secs(2));
        assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some(why)), "{mode:?}");
        let before = exporter.private_bytes();
        for _ in 0..5 {
            thread::scope(|scope| {
                for number in 0..10 {
                    let (exporter, target) = (&exporter, target(number));
                    scope.spawn(move || {
                        let page = scrape_at(exporter, &target, Duration::from_secs(1));
                        assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some(why)), "{mode:?}");
                    });
                }
            });
        }
        let settled = poll::within(LIMIT, || (exporter.open_fds() <= fds).then_some(()));
        assert!(settled.is_some(), "{mode:?}: {} descriptors, {fds} before", exporter.open_fds());
        let now = exporter.private_bytes();
        assert!(now < before + 4 * 1024 * 1024, "{mode:?}: memory grew from {before} to {now}");
        proxy.set(Mode::Pass);
        let page = scrape_at(&exporter, &target(0), AMPLE);
        assert_eq!((success(&page), reason(&page)), (Some(1.0), None), "after {mode:?}");
    }
    let rss = exporter.rss_bytes();
    assert!(rss < 24 * 1024 * 1024, "{rss} bytes resident");
}

#[test]
fn hung_targets_do_not_delay_a_good_one() {
    let proxy = FaultProxy::start(shared().address());
    proxy.set(Mode::BlackHole);
    let exporter = Exporter::start(BINARY, &[], &[]);
    thread::scope(|scope| {
        let hung: Vec<_> = (0..30)
            .map(|number| {
                let (exporter, target) = (&exporter, ready(proxy.address(), number));
                scope.spawn(move || scrape_at(exporter, &target, Duration::from_secs(4)))
            })
            .collect();
        poll::until("all hang", LIMIT, || (proxy.open() == 30).then_some(()));
        let page = scrape_at(&exporter, &ready(shared().address(), 0), Duration::from_secs(1));
        assert_eq!((success(&page), proxy.open()), (Some(1.0), 30));
        for probe in hung {
            let page = probe.join().unwrap();
            assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some("timeout")));
        }
    });
    poll::until("their connections are closed", LIMIT, || (proxy.open() == 0).then_some(()));
}

#[test]
fn metadata_addresses_are_never_asked() {
    let exporter = Exporter::start(BINARY, &[], &[]);
    let (redirect, asked) =
        serve_once("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n".to_owned());
    for target in ["169.254.169.254", "http://169.254.169.254/latest", "http://2852039166/", "http://[::ffff:169.254.169.254]/"] {
        let page = ask(&exporter, "http_2xx", target);
        assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some("forbidden")), "{target}");
        // The phase has not begun.
        assert_eq!(page.value("probe_http_duration_seconds", &[("phase", "connect")]), Some(0.0), "{target}");
        assert_eq!(page.value("sage_up", &[]), Some(0.0), "{target}");
    }
    let page = ask(&exporter, "tcp_connect", "169.254.169.254:80");
    assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some("forbidden")));
    let page = ask(&exporter, "http_2xx", format!("http://{redirect}/"));
    assert_eq!((success(&page), reason(&page).as_deref()), (Some(0.0), Some("forbidden")));
    assert_eq!(page.value("probe_http_redirects", &[]), Some(1.0));
    assert!(asked.recv_timeout(AMPLE).unwrap().starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn the_password_is_sent_and_never_shown() {
    let folder = TempFolder::new("config");
    let password = folder.write_secret("password", CANARY);
    let config = format!(
        "modules:\n  login:\n    prober: http\n    allowed_targets: [127.0.0.1]\n    http: {{preferred_ip_protocol: ip4, basic_auth: {{username: prober, password_file: {}}}}}\n",
        password.display()
    );
    let file = format!("--config.file={}", folder.write("http.yml", &config).display());
    let exporter = Exporter::start(BINARY, &[&file, "--log.level=debug"], &[]);

    let (address, asked) = serve_once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned());
    let page = ask(&exporter, "login", format!("http://{address}/"));
    assert_eq!(success(&page), Some(1.0), "{page:?}");
    let request = asked.recv_timeout(AMPLE).unwrap();
    let lines = request.lines().filter_map(|l| l.split_once(": "));
    let sent: Vec<&str> =
        lines.filter(|(n, _)| n.eq_ignore_ascii_case("authorization")).filter_map(|(_, v)| v.strip_prefix("Basic ")).collect();
    assert_eq!(sent.len(), 1, "{request}");
    let shows = |text: &str| tells(text) || text.contains(sent[0]);

    let refused = format!("http://127.0.0.1:{}/", free_port());
    let in_target = format!("http://prober:{}@127.0.0.1/", encode(CANARY));
    for path in [path("login", &refused), path("login", shared().url()), path("login", &in_target), "/".to_owned(), "/metrics".to_owned()] {
        let text = exporter.get(&path).text();
        assert!(!text.is_empty() && !shows(&text), "{path}: {text}");
    }
    assert_eq!(exporter.get(&path("login", &in_target)).status, 400);
    let good = format!("--check.target={}/-/ready", shared().url());
    for (args, code, says) in [
        (vec!["print-config"], 0, "password_file"),
        (vec!["config", "validate"], 0, "valid"),
        (vec!["check"], 0, "module login"),
        (vec!["check", "--check.module=login", &good], 0, " ok "),
        (vec!["check", "--json", "--check.module=login", &good, &format!("--check.target={refused}")], 1, "refused"),
    ] {
        let Output { status, stdout, stderr } = run(BINARY, &[&args[..], &[&file, "--log.level=debug"]].concat(), &[]);
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(!shows(&out) && !shows(&err), "{args:?} shows the password:\n{out}\n{err}");
        assert_eq!((status.code(), out.contains(says)), (Some(code), true), "{args:?}:\n{out}\n{err}");
    }
    let logs = exporter.logs();
    assert!(logs.contains("the probe failed") && !shows(&logs), "{logs}");
}
