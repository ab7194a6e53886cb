//! Transfers with real servers on loopback, and the schedule in paused time.

use std::time::Duration;

use sage_common::config;
use sage_common::expo::{self, Format};
use sage_common::sink::{NO_LIMIT, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::*;
use crate::testing::{Server, Then};

fn made(yaml: &str, before: Option<&Throughput>) -> Throughput {
    Throughput::make(&config::parse(yaml, "test.yml").unwrap(), before).unwrap()
}

fn page(throughput: &Throughput) -> String {
    let mut out = Sink::new(NO_LIMIT);
    throughput.write(&mut out);
    out.settle();
    let text = String::from_utf8(expo::write(&out, Format::Text)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn target(url: &str, more: &str) -> String {
    format!("daily_budget: 3MB\ntargets: [{{name: t, direction: east-west, interval: 1m, {more} {url}}}]")
}

async fn test(throughput: &Throughput) {
    let target = &throughput.targets[0];
    for (down, url) in [(true, &target.config.download), (false, &target.config.upload)] {
        if let Some(url) = url {
            target.test(down, url, &throughput.allowance).await;
        }
    }
}

const DOWN: &str = r#"{target="t",direction="east-west",way="down"}"#;

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn big() -> (Vec<u8>, Then) {
    let body = vec![b'x'; 2 << 20];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    ([head.into_bytes(), body].concat(), Then::Close)
}

#[tokio::test]
async fn a_download_stops_at_its_cap_and_at_the_budget() {
    let server = Server::http(|_| big()).await;
    let throughput = made(&target(&format!("download: {}", server.url("/f?x=1")), "max_bytes: 1MB,"), None);
    assert_eq!(page(&throughput), "throughput_budget_bytes_remaining 3145728");
    test(&throughput).await;
    let first = page(&throughput);
    let bytes = value(&first, &format!("throughput_transfer_bytes{DOWN}")).unwrap();
    assert!((1_048_576.0..1_048_576.0 + 600_000.0).contains(&bytes), "{first}");
    assert_eq!(value(&first, &format!("throughput_success{DOWN}")), Some(1.0), "{first}");
    assert!(value(&first, &format!("throughput_bytes_per_second{DOWN}")).unwrap() > 1e6, "{first}");
    assert_eq!(value(&first, "throughput_budget_bytes_remaining"), Some(3_145_728.0 - bytes));
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /f?x=1 http/1.1\r\n") && request.contains("accept-encoding: identity\r\n"), "{request}");
    // A reload keeps what is the same, and what was spent.
    let throughput = made(&target(&format!("download: {}", server.url("/f?x=1")), "max_bytes: 1MB,"), Some(&throughput));
    assert_eq!(page(&throughput), first);
    while throughput.allowance.left(SystemTime::now()) >= FEWEST {
        test(&throughput).await;
    }
    test(&throughput).await;
    let last = page(&throughput);
    assert_eq!(value(&last, &format!("throughput_success{DOWN}")), Some(0.0), "{last}");
    assert!(last.contains(r#"way="down",reason="budget"} 1"#), "{last}");
    assert!(value(&last, &format!("throughput_bytes_per_second{DOWN}")).is_some(), "the last good rate stays\n{last}");
}

#[tokio::test]
async fn a_proxy_is_asked_in_the_place_of_the_target() {
    let proxy =
        Server::http(
            |request| if request.contains("proxy-authorization") { big() } else { (b"HTTP/1.1 407 No\r\n\r\n".to_vec(), Then::Close) },
        )
        .await;
    let password = crate::testing::TempFile::new("secret");
    let way = format!("proxy_url: 'http://{}', skip_resolve_phase_with_proxy: true", proxy.address);
    let user = format!("{way}, proxy_basic_auth: {{username: u, password_file: {}}}", password.shown());
    for (way, success) in [(way, 0.0), (user, 1.0)] {
        let throughput = made(&target("download: 'http://far.example:8080/f?x=1'", &format!("{way},")), None);
        test(&throughput).await;
        let page = page(&throughput);
        assert_eq!(value(&page, &format!("throughput_success{DOWN}")), Some(success), "{page}");
        assert_eq!(page.contains("reason=\"proxy_auth\""), success == 0.0, "{page}");
    }
    let asked = proxy.requests();
    assert!(asked.iter().all(|r| r.starts_with("GET http://far.example:8080/f?x=1 HTTP/1.1\r\n")), "{asked:?}");
}

#[tokio::test]
async fn failures_have_their_reasons() {
    let reason = async |answer: (Vec<u8>, Then)| {
        let server = Server::http(move |_| answer.clone()).await;
        let throughput = made(&target(&format!("download: {}", server.url("/")), ""), None);
        test(&throughput).await;
        let page = page(&throughput);
        let start = page.find("reason=\"").unwrap_or_else(|| panic!("{page}")) + 8;
        page[start..].split('"').next().unwrap().to_owned()
    };
    let answer = |head: &str| (format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\nok").into_bytes(), Then::Close);
    assert_eq!(reason(answer("200 OK")).await, "too_short");
    assert_eq!(reason(answer("401 Unauthorized")).await, "auth");
    assert_eq!(reason(answer("429 Too Many")).await, "http_status");
    assert_eq!(reason(answer("302 Found\r\nLocation: /x")).await, "http_status");
    assert_eq!(reason((b"SSH-2.0-x\r\n".to_vec(), Then::Close)).await, "protocol");
}

#[tokio::test]
async fn an_upload_is_counted_until_the_far_end_has_it_all() {
    let server = Server::tcp(|mut stream| async move {
        let mut got = Vec::new();
        // The last chunk is empty.
        while !got.ends_with(b"\r\n0\r\n\r\n") {
            if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    })
    .await;
    let throughput = made(&target(&format!("upload: 'http://{}/'", server.address), "max_bytes: 1MB,"), None);
    test(&throughput).await;
    let page = page(&throughput);
    let up = r#"{target="t",direction="east-west",way="up"}"#;
    assert_eq!(value(&page, &format!("throughput_transfer_bytes{up}")), Some(1_048_576.0), "{page}");
    assert_eq!(value(&page, "throughput_budget_bytes_remaining"), Some(2_097_152.0), "{page}");
}

#[tokio::test]
async fn a_slow_far_end_is_cut_at_its_time_and_has_a_rate() {
    let server = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n").await;
        while stream.write_all(&[b'x'; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let throughput = made(&target(&format!("download: 'http://{}/'", server.address), "max_time: 1s,"), None);
    test(&throughput).await;
    let page = page(&throughput);
    let (rate, seconds) = ("throughput_bytes_per_second", "throughput_transfer_seconds");
    let value = |name| value(&page, &format!("{name}{DOWN}")).unwrap_or_else(|| panic!("{page}"));
    assert!(value(rate) > 5e3 && value(rate) < 6e4 && (value(seconds) - 1.0).abs() < 0.3, "{page}");
}

#[tokio::test(start_paused = true)]
async fn tests_are_rare_and_spread_by_chance() {
    let throughput = made("targets: [{name: t, direction: north-south, download: 'http://127.0.0.1:1/'}]", None);
    let (target, start) = (&throughput.targets[0], Instant::now());
    let first = target.due();
    assert!(first < start + Duration::from_secs(360), "within a tenth of the hour");
    assert_eq!(target.due(), first, "asked twice");
    let mut waits = Vec::new();
    for _ in 0..50 {
        let now = Instant::now();
        target.tested();
        waits.push((target.due() - now).as_secs_f64());
        sleep_until(target.due()).await;
    }
    assert!(waits.iter().all(|wait| (3240.0..3960.1).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < 3500.0) && waits.iter().any(|wait| *wait > 3700.0), "{waits:?}");
}

#[tokio::test]
async fn what_was_spent_and_the_last_rates_outlive_a_restart() {
    let server = Server::http(|_| big()).await;
    let folder = std::env::temp_dir().join(format!("sage-throughput-kept-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("kept.json");
    let yaml = |path: &str| {
        let more = format!("{}\nstate_file: {}", target(&format!("download: {}", server.url(path)), "max_bytes: 1MB,"), file.display());
        more.replace("daily_budget: 3MB", "daily_budget: 30MB")
    };
    let (best, rate) = (format!("throughput_best_of_two_bytes_per_second{DOWN}"), format!("throughput_bytes_per_second{DOWN}"));
    let throughput = made(&yaml("/f"), None);
    throughput.recall().await;
    test(&throughput).await;
    assert_eq!(value(&page(&throughput), &best), None, "one rate is not two");
    let first = value(&page(&throughput), &rate).unwrap();
    test(&throughput).await;
    throughput.keep().await;
    let told = page(&throughput);
    assert_eq!(value(&told, &best), Some(first.max(value(&told, &rate).unwrap())), "{told}");

    let again = made(&yaml("/f"), None);
    again.recall().await;
    let known = page(&again);
    let success = format!("throughput_success{DOWN}");
    assert_eq!((value(&known, &success), value(&told, &success)), (None, Some(1.0)), "no test was made yet\n{known}");
    for name in [&best, &rate, "throughput_budget_bytes_remaining"] {
        // JSON keeps some 16 digits of a number, not always the last bit.
        let (known, told) = (value(&known, name).unwrap(), value(&told, name).unwrap());
        assert!((known - told).abs() <= told * 1e-9, "{name}: {known} {told}");
    }
    // Another URL is another line, but the same budget.
    let other = made(&yaml("/g"), None);
    other.recall().await;
    let known = page(&other);
    assert_eq!((value(&known, &rate), value(&known, "throughput_budget_bytes_remaining").is_some_and(|left| left < 3e7)), (None, true));
    // What cannot be read is left alone.
    std::fs::write(&file, "{").unwrap();
    let broken = made(&yaml("/f"), None);
    broken.recall().await;
    assert_eq!(page(&broken), "throughput_budget_bytes_remaining 31457280");
    std::fs::remove_dir_all(&folder).unwrap();
    broken.keep().await;
}
