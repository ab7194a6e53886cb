//! Tokens by client credentials, from an endpoint with the answers of RFC 6749.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::testing::{LONG, Server, TempFile, Then, answer, module, probe, probe_by};

fn json(status: &str, body: &str) -> (Vec<u8>, Then) {
    answer(status, "Content-Type: application/json\r\nCache-Control: no-store\r\n", body)
}

/// Hands out token-1, token-2 and so on.
async fn endpoint() -> Server {
    let number = AtomicU32::new(0);
    Server::http(move |_| {
        let number = number.fetch_add(1, Ordering::Relaxed) + 1;
        json("200 OK", &format!(r#"{{"access_token": "token-{number}", "token_type": "bearer", "expires_in": 3600}}"#))
    })
    .await
}

fn text(url: &str, secret: &TempFile, more: &str) -> String {
    format!(
        "prober: http\nallowed_targets: [127.0.0.1]\nhttp:\n  preferred_ip_protocol: ip4\n  oauth2:\n    client_id: 'pro:be'\n    \
         client_secret_file: {}\n    token_url: {url}\n    scopes: [read, write]\n    endpoint_params: {{audience: 'a&b'}}\n    {more}\n",
        secret.shown()
    )
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_to_the_target_alone() {
    let (tokens, secret) = (endpoint().await, TempFile::new("can:ary\n"));
    let other = Arc::new(Server::http(|_| answer("200 OK", "", "")).await);
    let onward = other.url("/");
    let server = Server::http(move |request| {
        if request.starts_with("GET /away ") {
            answer("302 Found", &format!("Location: {onward}\r\n"), "")
        } else {
            answer("200 OK", "", "")
        }
    })
    .await;
    let module = module(&text(&tokens.url("/token"), &secret, ""));
    let (here, away) = (server.url("/"), server.url("/away"));
    let first = join_all((0..5).map(|_| probe_by(&module, &here, LONG))).await;
    for page in &first {
        assert!(page.outcome.success, "{}", page.error());
        assert!(page.value("probe_phase_duration_seconds{phase=\"token\"}").unwrap() > 0.0);
    }
    let page = probe_by(&module, &away, LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_phase_duration_seconds{phase=\"token\"}"), None, "it was there");
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1, "one for all who waited, and for who came later");
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    // pro%3Abe:can%3Aary
    assert!(head.to_ascii_lowercase().contains("authorization: basic chjvjtnbymu6y2fujtnbyxj5"), "{head}");
    assert_eq!(body, "grant_type=client_credentials&scope=read+write&audience=a%26b");
    for request in server.requests() {
        assert!(request.to_ascii_lowercase().contains("authorization: bearer token-1\r\n"), "{request}");
    }
    assert!(!other.requests()[0].contains("token-1"), "{:?}", other.requests());
}

#[tokio::test]
async fn an_endpoint_may_want_the_secret_in_the_form() {
    let secret = TempFile::new("canary");
    let tokens = Server::http(|request| {
        if request.contains("client_id=pro%3Abe&client_secret=canary") {
            json("200 OK", r#"{"access_token": "t", "token_type": "Bearer", "expires_in": 0}"#)
        } else {
            json("401 Unauthorized", r#"{"error": "invalid_client"}"#)
        }
    })
    .await;
    let server = Server::http(|_| answer("200 OK", "", "")).await;
    let module = module(&text(&tokens.url("/"), &secret, ""));
    for _ in 0..2 {
        let page = probe_by(&module, &server.url("/"), LONG).await;
        assert!(page.outcome.success, "{}", page.error());
    }
    assert_eq!(tokens.requests().len(), 3, "two to learn the way, one for a token that ended at once");
}

#[tokio::test]
async fn a_kept_token_that_is_not_taken_is_replaced_once() {
    let (tokens, secret) = (endpoint().await, TempFile::new("canary"));
    let server = Server::http(|request| {
        let fine = request.to_ascii_lowercase().contains("bearer token-2");
        if fine { answer("200 OK", "", "") } else { answer("401 Unauthorized", "", "") }
    })
    .await;
    let module = module(&text(&tokens.url("/"), &secret, ""));
    let page = probe_by(&module, &server.url("/"), LONG).await;
    assert_eq!((page.why(), tokens.requests().len()), ("http_status", 1), "a new token is not replaced");
    let page = probe_by(&module, &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((tokens.requests().len(), server.requests().len()), (2, 3));
    let never = Server::http(|_| answer("401 Unauthorized", "", "")).await;
    let page = probe_by(&module, &never.url("/"), LONG).await;
    assert_eq!((page.why(), never.requests().len(), tokens.requests().len()), ("http_status", 2, 3));
}

#[tokio::test]
async fn there_is_a_reason_where_there_is_no_token() {
    let (secret, server) = (TempFile::new("canary"), Server::http(|_| answer("200 OK", "", "")).await);
    for (status, body, why, says) in [
        ("400 Bad Request", r#"{"error": "invalid_scope", "error_description": "canary"}"#, "token_refused", "invalid_scope"),
        ("401 Unauthorized", r#"{"error": "canary"}"#, "token_refused", "answers 401"),
        ("503 Service Unavailable", "canary", "token_failed", "answers 503"),
        ("200 OK", "canary", "token_failed", "not the JSON"),
        ("200 OK", r#"{"access_token": "canary", "token_type": "mac"}"#, "token_failed", "bearer"),
        ("302 Found", "", "token_failed", "answers 302"),
    ] {
        let tokens = Server::http(move |_| json(status, body)).await;
        let page = probe(&text(&tokens.url("/"), &secret, ""), &server.url("/"), LONG).await;
        assert_eq!(page.why(), why, "{status} {body}: {}", page.error());
        assert!(page.error().contains(says) && !page.error().contains("canary") && !page.text.contains("canary"), "{}", page.error());
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, says) in [(format!("http://{free}/"), "connect to"), ("http://169.254.169.254/token".to_owned(), "never probed")] {
        let page = probe(&text(&url, &secret, ""), &server.url("/"), LONG).await;
        assert!(page.why() == "token_failed" && page.error().contains(says), "{}: {}", page.why(), page.error());
    }
    let hung = Server::tcp(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let page = probe(&text(&hung.url("/"), &secret, ""), &server.url("/"), Duration::from_millis(300)).await;
    assert_eq!((page.why(), page.reason()), ("token_timeout", "timeout"));
    let page = probe(&text(&hung.url("/"), &secret, ""), "http://127.0.0.2/", LONG).await;
    assert_eq!(page.why(), "target_not_allowed", "no token is asked for");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_proxy_leads_to_the_endpoint() {
    let (secret, server) = (TempFile::new("canary"), Server::http(|_| answer("200 OK", "", "")).await);
    let proxy = endpoint().await;
    let more = format!("proxy_url: {}", proxy.url("/"));
    let page = probe(&text("http://192.0.2.7/token", &secret, &more), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert!(proxy.requests()[0].starts_with("POST http://192.0.2.7/token HTTP/1.1\r\n"), "{:?}", proxy.requests());
    assert!(server.requests()[0].to_ascii_lowercase().starts_with("get / "), "the target itself is reached directly");
}
