//! Proxies: the whole URL for plain targets, CONNECT for TLS, who we are to it, and what goes wrong on the way.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::testing::{Authority, LONG, Server, TempFile, Then, answer, probe};

fn with(proxy: &str, settings: &str) -> String {
    format!("prober: http\nhttp:\n  preferred_ip_protocol: ip4\n  proxy_url: {proxy}\n  {settings}\n")
}

/// A proxy that connects to whatever CONNECT names, and answers 407 to those without `user`.
async fn connecting(user: Option<&'static str>) -> Server {
    Server::tcp(move |stream| async move {
        let mut stream = BufReader::new(stream);
        let (mut place, mut let_in) = (String::new(), user.is_none());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(rest) = line.strip_prefix("CONNECT ") {
                place = rest.split(' ').next().unwrap().replace("named.example", "127.0.0.1");
            }
            let_in |= user.is_some_and(|user| line.to_ascii_lowercase().trim_end() == format!("proxy-authorization: basic {user}"));
            if line == "\r\n" {
                break;
            }
        }
        if !let_in {
            let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        let Ok(mut target) = TcpStream::connect(&place).await else {
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
            return;
        };
        let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
    })
    .await
}

#[tokio::test]
async fn plain_targets_are_asked_for_by_their_whole_url() {
    let proxy = Server::http(|_| answer("200 OK", "", "from afar")).await;
    let page = probe(&with(&proxy.url(""), ""), "http://127.0.0.9:81/a?b=c", LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    let request = &proxy.requests()[0];
    assert!(request.starts_with("GET http://127.0.0.9:81/a?b=c HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("host: 127.0.0.9:81\r\n"), "{request}");
    assert_eq!(page.value("probe_proxy_info{source=\"config\",scheme=\"http\"}"), Some(1.0), "{}", page.text);
    // Names are looked up here unless told otherwise.
    let page = probe(&with(&proxy.url(""), ""), "http://no-such-host.invalid/", LONG).await;
    assert_eq!((page.reason(), proxy.requests().len()), ("resolve", 1));
    let page = probe(&with(&proxy.url(""), "skip_resolve_phase_with_proxy: true"), "http://no-such-host.invalid/", LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert!(proxy.requests()[1].starts_with("GET http://no-such-host.invalid/ "), "{:?}", proxy.requests());
    assert_eq!(page.value("probe_ip_protocol"), None);
    let page = probe(&with(&proxy.url(""), "skip_resolve_phase_with_proxy: true"), "http://169.254.169.254/", LONG).await;
    assert_eq!((page.why(), proxy.requests().len()), ("forbidden", 2));
}

#[tokio::test]
async fn exceptions_are_asked_directly() {
    let proxy = Server::http(|_| answer("502 Bad Gateway", "", "")).await;
    let target = Server::http(|_| answer("200 OK", "", "")).await;
    let page = probe(&with(&proxy.url(""), "no_proxy: 127.0.0.0/8"), &target.url("/"), LONG).await;
    assert!(page.outcome.success && proxy.requests().is_empty(), "{}", page.error());
    assert_eq!(page.value("probe_proxy_info{source=\"direct\",scheme=\"none\"}"), Some(1.0), "{}", page.text);
}

#[tokio::test]
async fn tls_targets_are_reached_by_connect_and_checked_as_ever() {
    let authority = Authority::new();
    let target = Server::https(authority.server("named.example", 2099), |_| answer("200 OK", "", "inside")).await;
    let proxy = connecting(None).await;
    let trust = format!("tls_config: {{ca_file: {}}}", authority.file.shown());
    let url = format!("https://named.example:{}/", target.address.port());
    let page = probe(&with(&proxy.url(""), &format!("skip_resolve_phase_with_proxy: true\n  {trust}")), &url, LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    for series in ["probe_phase_duration_seconds{phase=\"proxy_connect\"}", "probe_phase_duration_seconds{phase=\"tls\"}"] {
        assert!(page.value(series).unwrap() > 0.0, "{series}");
    }
    assert_eq!(page.value("probe_tls_verify_ok"), Some(1.0));
    assert!(target.requests()[0].starts_with("GET / HTTP/1.1"), "the target sees a plain request");
    let wrong = probe(&with(&proxy.url(""), &trust), &format!("https://{}/", target.address), LONG).await;
    assert_eq!((wrong.why(), wrong.value("probe_tls_verify_ok")), ("tls_name", Some(0.0)), "{}", wrong.error());
}

#[tokio::test]
async fn a_proxy_by_tls_has_a_certificate_of_its_own() {
    let authority = Authority::new();
    let proxy = Server::https(authority.server("127.0.0.1", 2099), |_| answer("200 OK", "", "")).await;
    let url = format!("https://{}", proxy.address);
    let trust = format!("tls_config: {{ca_file: {}, server_name: other.example}}", authority.file.shown());
    let page = probe(&with(&url, &trust), "http://127.0.0.9:81/", LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_proxy_info{source=\"config\",scheme=\"https\"}"), Some(1.0), "{}", page.text);
    assert!(page.value("probe_phase_duration_seconds{phase=\"proxy_tls\"}").unwrap() > 0.0);
    assert_eq!(page.value("probe_ssl_earliest_cert_expiry"), None, "the proxy's certificate is not the target's");
    let page = probe(&with(&url, ""), "http://127.0.0.9:81/", LONG).await;
    assert_eq!(page.why(), "proxy_tls", "{}", page.error());
}

#[tokio::test]
async fn what_goes_wrong_at_the_proxy_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = probe(&with(&format!("http://{free}"), ""), "http://127.0.0.9/", LONG).await;
    assert_eq!((page.reason(), page.why()), ("proxy", "proxy_refused"), "{}", page.error());
    let proxy = connecting(None).await;
    let page = probe(&with(&proxy.url(""), ""), &format!("https://{free}/"), LONG).await;
    assert_eq!((page.why(), page.error().as_str()), ("proxy_failed", "the proxy answers 502 Bad Gateway to CONNECT"));
    let silent = Server::http(|_| (Vec::new(), Then::Hang)).await;
    let page = probe(&with(&silent.url(""), ""), "https://127.0.0.9/", Duration::from_millis(200)).await;
    assert_eq!((page.reason(), page.why()), ("timeout", "proxy_timeout"), "{}", page.error());
}

#[tokio::test]
async fn the_proxy_learns_who_we_are_and_the_target_does_not() {
    let authority = Authority::new();
    let target = Server::https(authority.server("127.0.0.1", 2099), |_| answer("200 OK", "", "")).await;
    // prober:canary
    let proxy = connecting(Some("chjvymvyomnhbmfyeq==")).await;
    let secret = TempFile::new("canary\n");
    let trust = format!("tls_config: {{ca_file: {}}}", authority.file.shown());
    let url = format!("https://{}/", target.address);
    let user = format!("proxy_basic_auth: {{username: prober, password_file: {}}}", secret.shown());
    let page = probe(&with(&proxy.url(""), &format!("{trust}\n  {user}")), &url, LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert!(!target.requests()[0].to_ascii_lowercase().contains("proxy-"), "{:?}", target.requests());
    let page = probe(&with(&proxy.url(""), &trust), &url, LONG).await;
    assert_eq!(page.why(), "proxy_auth", "{}", page.error());
    let plain = Server::http(|_| answer("407 Proxy Authentication Required", "", "")).await;
    let page = probe(&with(&plain.url(""), &user), "http://127.0.0.9/", LONG).await;
    assert_eq!((page.why(), page.value("probe_http_status_code")), ("proxy_auth", Some(407.0)));
    assert!(plain.requests()[0].to_ascii_lowercase().contains("proxy-authorization: basic chjvymvyomnhbmfyeq=="));
    assert!(!page.error().contains("canary") && !page.text.contains("canary"));
}
