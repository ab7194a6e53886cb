//! Redirects: how far they are followed, and what does not go along.

use std::sync::Arc;

use crate::testing::{Authority, LONG, Server, TempFile, answer, probe};

const PLAIN: &str = "prober: http\nhttp: {preferred_ip_protocol: ip4}\n";

#[tokio::test]
async fn redirects_are_followed_and_counted() {
    let server = Server::http(|request| {
        if request.starts_with("GET /a ") { answer("302 Found", "Location: b?x\r\n", "") } else { answer("200 OK", "", "there") }
    })
    .await;
    let page = probe(PLAIN, &server.url("/a"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value("probe_http_redirects"), page.value("probe_http_uncompressed_body_length")), (Some(1.0), Some(5.0)));
    assert!(server.requests()[1].starts_with("GET /b?x "), "{:?}", server.requests());
    for module in ["prober: http\nhttp: {follow_redirects: false}\n", "prober: http\nhttp: {no_follow_redirects: true}\n"] {
        let page = probe(module, &server.url("/a"), LONG).await;
        assert_eq!((page.reason(), page.value("probe_http_status_code")), ("status", Some(302.0)));
    }
}

#[tokio::test]
async fn a_loop_ends_after_ten() {
    let server = Server::http(|_| answer("301 Moved Permanently", "Location: /again?token=canary\r\n", "")).await;
    let page = probe(PLAIN, &server.url("/"), LONG).await;
    assert_eq!((page.reason(), page.value("probe_http_redirects")), ("redirect", Some(10.0)));
    assert_eq!(server.requests().len(), 11);
    assert_eq!(page.why(), "redirect_loop");
    assert!(page.error().contains("more than 10 redirects") && !page.error().contains("canary"), "{}", page.error());
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_metadata() {
    let server = Server::http(|_| answer("302 Found", "Location: http://169.254.169.254/latest/\r\n", "")).await;
    let page = probe(PLAIN, &server.url("/"), LONG).await;
    assert_eq!((page.reason(), page.value("probe_http_redirects")), ("forbidden", Some(1.0)));
    assert_eq!(page.value("probe_ip_addr_hash"), Some(3_668_918_509.0), "the address is the target's own");
}

#[tokio::test]
async fn credentials_do_not_cross_to_another_host() {
    let other = Arc::new(Server::http(|_| answer("200 OK", "", "")).await);
    let onward = other.url("/landing");
    let server = Server::http(move |request| {
        if request.starts_with("GET /start ") {
            answer("302 Found", "Location: /second\r\n", "")
        } else {
            answer("302 Found", &format!("Location: {onward}\r\n"), "")
        }
    })
    .await;
    let secret = TempFile::new("canary");
    let module = format!(
        "prober: http\nallowed_targets: [127.0.0.1]\nhttp:\n  headers: {{X-Api-Key: canary, Cookie: canary, Host: vhost.example, Accept: text/html}}\n  bearer_token_file: {}\n",
        secret.shown()
    );
    let page = probe(&module, &server.url("/start"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    for request in server.requests() {
        assert_eq!(request.matches("canary").count(), 3, "{request}");
    }
    let foreign = other.requests()[0].to_ascii_lowercase();
    assert!(!foreign.contains("canary") && !foreign.contains("vhost"), "{foreign}");
    assert!(foreign.contains("accept: text/html") && foreign.contains(&format!("host: {}", other.address)), "{foreign}");
}

#[tokio::test]
async fn a_body_does_not_cross_to_another_host() {
    let other = Server::http(|_| answer("200 OK", "", "")).await;
    let onward = other.url("/");
    let server = Server::http(move |_| answer("307 Temporary Redirect", &format!("Location: {onward}\r\n"), "")).await;
    let page = probe("prober: http\nhttp: {method: POST, body: canary}\n", &server.url("/"), LONG).await;
    assert_eq!((page.why(), other.requests().len()), ("redirect_forbidden", 0));
}

#[tokio::test]
async fn the_last_answer_tells_whether_there_was_tls() {
    let authority = Authority::new();
    let secure = Server::https(authority.server("127.0.0.1", 2099), |_| answer("200 OK", "", "")).await;
    let onward = format!("https://{}/", secure.address);
    let server = Server::http(move |_| answer("301 Moved Permanently", &format!("Location: {onward}\r\n"), "")).await;
    let module = format!("prober: http\nhttp: {{fail_if_not_ssl: true, tls_config: {{ca_file: {}}}}}\n", authority.file.shown());
    let page = probe(&module, &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value("probe_http_ssl"), page.value("probe_http_redirects")), (Some(1.0), Some(1.0)));
    assert!(page.value("probe_http_duration_seconds{phase=\"tls\"}").unwrap() > 0.0);
}
