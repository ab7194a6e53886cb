//! Throughput by the real binary, with its own responder as the far end: TLS and token, budgets of both sides, a wrong
//! token, a slow far end, nobody there. What the responder refuses.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::http;
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::poll;
use e2e::probed::BINARY;
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::responder::Responder;
use e2e::temp::{TempFolder, free_port};

const TOKEN: &str = "correct-horse-battery-staple";
/// Above what any step of these tests takes.
const LIMIT: Duration = Duration::from_secs(40);

fn get(responder: &Responder, path: &str, token: &str) -> http::Response {
    http::get(responder.address, path, &[("Authorization", &format!("Bearer {token}"))], LIMIT).unwrap()
}

fn start(folder: &TempFolder, name: &str, config: &str) -> Exporter {
    let file = folder.write(name, config);
    Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &[])
}

/// The page when the way of the target has been tested.
fn tested(exporter: &Exporter, target: &str, way: &str) -> Page {
    poll::until(&format!("the test of {target} {way}\n{}", exporter.logs()), LIMIT, || {
        let page = exporter.metrics();
        page.value("throughput_success", &[("target", target), ("way", way)]).map(|_| page)
    })
}

fn reason(page: &Page, target: &str, way: &str) -> Option<String> {
    let of = |s: &&&e2e::page::Sample| s.labels["target"] == target && s.labels["way"] == way;
    page.series("throughput_error_info").iter().find(of).map(|s| s.labels["reason"].clone())
}

#[test]
fn both_ways_over_tls_with_token_and_budgets() {
    let folder = TempFolder::new("throughput");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "responder", &["127.0.0.1"]);
    let (token, wrong) = (folder.write_secret("token", TOKEN), folder.write_secret("wrong", "another-horse-battery-staple"));
    let (cert, key) =
        (format!("--responder.cert-file={}", pair.certificate.display()), format!("--responder.key-file={}", pair.key.display()));
    let token_flag = format!("--responder.token-file={}", token.display());
    let responder = Responder::start(&folder, &[&cert, &key, &token_flag]);
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow_at = slow.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = slow.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while stream.write_all(&[b'x'; 2000]).is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let target = |name: &str, token: &std::path::Path, ways: &str| {
        format!(
            "    - {{name: {name}, direction: east-west, interval: 1m, max_bytes: 2MB, bearer_token_file: {}, tls_config: {{ca_file: {}}}, {ways}}}\n",
            token.display(),
            authority.file.display()
        )
    };
    let both = |at: SocketAddr| format!("download: \"https://{at}/download?bytes=3000000\", upload: \"https://{at}/upload\"");
    let short = format!("download: \"https://{}/download?bytes=1000\"", responder.address);
    let config = format!(
        "throughput:\n  daily_budget: 64MB\n  targets:\n{}{}{}{}{}",
        target("good", &token, &both(responder.address)),
        target("wrong", &wrong, &both(responder.address)),
        target("short", &token, &short),
        format_args!("    - {{name: slow, direction: east-west, interval: 1m, max_time: 1s, download: \"http://{slow_at}/\"}}\n"),
        format_args!("    - {{name: nobody, direction: east-west, interval: 1m, download: \"http://127.0.0.1:{}/\"}}\n", free_port()),
    );
    let exporter = start(&folder, "http.yml", &config);
    for way in ["down", "up"] {
        let page = tested(&exporter, "good", way);
        let of = |name: &str| page.value(name, &[("target", "good"), ("direction", "east-west"), ("way", way)]);
        assert_eq!((of("throughput_success"), reason(&page, "good", way)), (Some(1.0), None), "{way}\n{}", exporter.logs());
        let (bytes, seconds, rate) = (
            of("throughput_transfer_bytes").unwrap(),
            of("throughput_transfer_seconds").unwrap(),
            of("throughput_bytes_per_second").unwrap(),
        );
        // A download ends with the piece that reaches the cap.
        assert!((2_097_152.0..3_000_000.0).contains(&bytes), "{way}: {bytes}");
        assert!(seconds > 0.0 && seconds < 10.0 && rate > 1e5 && rate <= bytes / seconds * 1.01, "{way}: {bytes} {seconds} {rate}");
        assert!(of("throughput_last_run_timestamp_seconds").unwrap() > 1.7e9);
    }
    for (target, way, want) in
        [("wrong", "down", "auth"), ("wrong", "up", "auth"), ("short", "down", "too_short"), ("nobody", "down", "refused")]
    {
        let page = tested(&exporter, target, way);
        assert_eq!(reason(&page, target, way).as_deref(), Some(want), "{target} {way}");
        assert_eq!(page.value("throughput_bytes_per_second", &[("target", target), ("way", way)]), None);
    }
    let page = tested(&exporter, "slow", "down");
    let rate = page.value("throughput_bytes_per_second", &[("target", "slow")]).unwrap();
    assert!(rate > 1e4 && rate < 1.2e5, "{rate}");
    let left = page.value("throughput_budget_bytes_remaining", &[]).unwrap();
    assert!(left < (60 << 20) as f64 && left > (50 << 20) as f64, "{left}");
    // The budget goes on over a reload, and so do results.
    exporter.signal("HUP");
    poll::until("the reload", LIMIT, || (exporter.logs().matches("the configuration was read anew").count() == 1).then_some(()));
    let after = exporter.metrics();
    assert!(after.value("throughput_budget_bytes_remaining", &[]).unwrap() <= left);
    assert!(after.value("throughput_bytes_per_second", &[("target", "good"), ("way", "up")]).is_some());
    let logs = format!("{}{}", exporter.logs(), responder.process.logs());
    assert!(!logs.contains(TOKEN) && !exporter.get("/metrics").text().contains(TOKEN), "{logs}");

    // Our own budget: the upload does not fit any more.
    let config = format!("throughput:\n  daily_budget: 1MB\n  targets:\n{}", target("good", &token, &both(responder.address)));
    let exporter = start(&folder, "small.yml", &config);
    let page = tested(&exporter, "good", "up");
    assert_eq!((reason(&page, "good", "down"), reason(&page, "good", "up").as_deref()), (None, Some("budget")));
    assert_eq!(page.value("throughput_budget_bytes_remaining", &[]), Some(0.0));

    // The far end's budget.
    let responder = Responder::start(&folder, &[&cert, &key, &token_flag, "--responder.daily-budget=4MB"]);
    let config = format!("throughput:\n  targets:\n{}", target("good", &token, &both(responder.address)));
    let exporter = start(&folder, "far.yml", &config);
    let page = tested(&exporter, "good", "up");
    assert_eq!((reason(&page, "good", "down"), reason(&page, "good", "up").as_deref()), (None, Some("http_status")), "{}", exporter.logs());
}

#[test]
fn both_ways_through_a_proxy_by_connect() {
    let folder = TempFolder::new("throughput-proxy");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "responder", &["127.0.0.1"]);
    let token = folder.write_secret("token", TOKEN);
    let responder = Responder::start(
        &folder,
        &[
            &format!("--responder.cert-file={}", pair.certificate.display()),
            &format!("--responder.key-file={}", pair.key.display()),
            &format!("--responder.token-file={}", token.display()),
        ],
    );
    let log = folder.join("proxy.log");
    let settings = format!(
        "ProxyRequests On\nAllowCONNECT 1-65535\nLogFormat \"%r %>s\" short\nCustomLog {} short\n<Proxy \"*\">\nRequire all granted\n</Proxy>\n",
        log.display()
    );
    let modules = vec!["proxy", "proxy_http", "proxy_connect"];
    let mut proxy = Apache::start(&ApacheOptions { modules, settings, ..ApacheOptions::default() });
    let at = responder.address;
    let config = format!(
        "throughput:\n  targets:\n    - {{name: far, direction: east-west, interval: 1m, max_bytes: 2MB, bearer_token_file: {}, \
         tls_config: {{ca_file: {}}}, proxy_url: 'http://{}', download: 'https://{at}/download?bytes=2500000', upload: 'https://{at}/upload'}}\n",
        token.display(),
        authority.file.display(),
        proxy.address(),
    );
    let exporter = start(&folder, "http.yml", &config);
    for way in ["down", "up"] {
        let page = tested(&exporter, "far", way);
        let of = |name: &str| page.value(name, &[("target", "far"), ("way", way)]);
        assert_eq!((of("throughput_success"), reason(&page, "far", way)), (Some(1.0), None), "{way}\n{}", exporter.logs());
        let (bytes, rate) = (of("throughput_transfer_bytes").unwrap(), of("throughput_bytes_per_second").unwrap());
        assert!((2_097_152.0..=2_500_000.0).contains(&bytes) && rate > 1e5, "{way}: {bytes} {rate}");
    }
    // Apache writes a line when the tunnel ends.
    let line = format!("CONNECT {at} HTTP/1.1 200");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().filter(|l| *l == line).count();
    poll::until(&format!("{line}: {:?}", std::fs::read_to_string(&log)), LIMIT, || (lines() == 2).then_some(()));

    // Without the proxy there is no way, and the reason says so.
    proxy.stop();
    let exporter = start(&folder, "again.yml", &config);
    let page = tested(&exporter, "far", "up");
    assert_eq!(["down", "up"].map(|way| reason(&page, "far", way)), [(); 2].map(|()| Some("proxy_refused".to_owned())));
}

#[test]
fn the_responder_takes_what_it_should_and_nothing_else() {
    let folder = TempFolder::new("responder");
    let token = folder.write_secret("token", TOKEN);
    let token = format!("--responder.token-file={}", token.display());
    let mut responder = Responder::start(&folder, &[&token, "--responder.daily-budget=300KB", "--responder.max-bytes=200KB"]);
    for (path, token, status) in [
        ("/-/healthy", "", 200),
        ("/download?bytes=100", "", 401),
        ("/download?bytes=100", "correct-horse-battery-stapl", 401),
        ("/download?bytes=100", TOKEN, 200),
        ("/download?bytes=204801", TOKEN, 400),
        ("/download?bytes=0", TOKEN, 400),
        ("/download?bytes=x", TOKEN, 400),
        ("/upload", TOKEN, 405),
        ("/etc/passwd", TOKEN, 404),
    ] {
        assert_eq!(get(&responder, path, token).status, status, "{path}");
    }
    let one = get(&responder, "/download?bytes=200000", TOKEN);
    assert_eq!((one.status, one.body.len()), (200, 200_000));
    // 107100 bytes are left of 307200.
    let two = get(&responder, "/download?bytes=107101", TOKEN);
    assert_eq!((two.status, two.header("Retry-After").is_some()), (429, true));
    assert_eq!(get(&responder, "/download?bytes=107100", TOKEN).status, 200);
    let rest = responder.process.stop();
    assert!(rest.success(), "{rest:?}");

    let (short, open) = (folder.write_secret("short", "12345"), folder.write("open", TOKEN));
    let refused = |args: &[&str], says: &str| {
        let output = run(BINARY, &[&["responder"], args].concat(), &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.contains(says)), (Some(2), true), "{args:?}: {text}");
    };
    let all = format!("--responder.listen-address=0.0.0.0:{}", free_port());
    refused(&[&all], "without TLS and token");
    refused(&[&all, &token], "without TLS");
    refused(&[&format!("--responder.token-file={}", short.display())], "fewer than 16 characters");
    refused(&[&format!("--responder.token-file={}", open.display())], "every user of this machine");
    refused(&["--responder.cert-file=/nowhere"], "--responder.key-file");
}
