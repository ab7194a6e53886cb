//! Answers of one server: fine, bad, slow, odd and too large.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use crate::testing::{LONG, Server, TempFile, Then, answer, probe};

const PLAIN: &str = "prober: http\nhttp: {preferred_ip_protocol: ip4}\n";

/// A module of the http prober with one more line of settings.
/// The same for a module that shows credentials.
fn own(settings: &str) -> String {
    format!("allowed_targets: [127.0.0.1]\n{}", with(settings))
}

fn with(settings: &str) -> String {
    format!("prober: http\nhttp:\n  preferred_ip_protocol: ip4\n  {settings}\n")
}

#[tokio::test]
async fn a_plain_answer_gives_every_family() {
    let server = Server::http(|_| answer("200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "hey")).await;
    let page = probe(PLAIN, &server.url("/a?b=c"), LONG).await;
    assert!(page.outcome.success && page.outcome.answered, "{}", page.error());
    for (series, want) in [
        ("probe_http_status_code", 200.0),
        ("probe_http_version", 1.1),
        ("probe_http_redirects", 0.0),
        ("probe_http_ssl", 0.0),
        ("probe_http_content_length", 3.0),
        ("probe_http_uncompressed_body_length", 3.0),
        ("probe_http_last_modified_timestamp_seconds", 784_111_777.0),
        ("probe_failed_due_to_regex", 0.0),
        ("probe_ip_protocol", 4.0),
        ("probe_ip_addr_hash", 3_668_918_509.0),
        ("probe_http_duration_seconds{phase=\"tls\"}", 0.0),
    ] {
        assert_eq!(page.value(series), Some(want), "{series}\n{}", page.text);
    }
    for phase in ["resolve", "connect", "processing", "transfer"] {
        assert!(page.value(&format!("probe_http_duration_seconds{{phase=\"{phase}\"}}")).unwrap() > 0.0, "{phase}");
    }
    assert_eq!(page.value("probe_ssl_earliest_cert_expiry"), None);
    let request = &server.requests()[0];
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
    let lower = request.to_ascii_lowercase();
    assert!(lower.contains(&format!("host: {}\r\n", server.address)) && lower.contains("accept-encoding: identity"), "{request}");
}

#[tokio::test]
async fn the_module_makes_the_request() {
    let server = Server::http(|_| answer("204 No Content", "", "")).await;
    let module = "prober: http\nhttp:\n  method: POST\n  body: '{\"a\":1}'\n  headers: {Host: vhost.example, X-A: b, User-Agent: me}\n";
    let page = probe(module, &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    let request = server.requests()[0].to_ascii_lowercase();
    for part in ["post / http/1.1", "host: vhost.example", "x-a: b", "user-agent: me", "content-length: 7", "\r\n\r\n{\"a\":1}"] {
        assert!(request.contains(part), "{part}: {request}");
    }
    assert_eq!(request.matches("host:").count(), 1, "{request}");
}

#[tokio::test]
async fn a_bad_status_is_the_reason() {
    let server = Server::http(|_| answer("503 Service Unavailable", "", "no")).await;
    let page = probe(PLAIN, &server.url("/"), LONG).await;
    assert!(!page.outcome.success && page.outcome.answered);
    assert_eq!((page.reason(), page.value("probe_http_status_code")), ("status", Some(503.0)));
    assert_eq!(page.error(), "the status is 503, wanted is 200 to 299");
    assert!(probe(&with("valid_status_codes: [401, 503]"), &server.url("/"), LONG).await.outcome.success);
}

#[tokio::test]
async fn regular_expressions_decide() {
    let server = Server::http(|_| answer("200 OK", "X-A: one\r\nX-A: two\r\n", "caf\u{e9} body")).await;
    for (settings, fine) in [
        ("fail_if_body_matches_regexp: [nothing, bod]", false),
        ("fail_if_body_matches_regexp: [nothing]", true),
        ("fail_if_body_not_matches_regexp: ['^café']", true),
        ("fail_if_body_not_matches_regexp: ['^café', missing]", false),
        ("fail_if_header_matches: [{header: x-a, regexp: '^two$'}]", false),
        ("fail_if_header_matches: [{header: x-a, regexp: three}]", true),
        ("fail_if_header_matches: [{header: X-B, regexp: three}]", false),
        ("fail_if_header_matches: [{header: X-B, regexp: three, allow_missing: true}]", true),
        ("fail_if_header_not_matches: [{header: X-A, regexp: two}]", true),
        ("fail_if_header_not_matches: [{header: X-A, regexp: three}]", false),
    ] {
        let page = probe(&with(settings), &server.url("/"), LONG).await;
        assert_eq!(page.outcome.success, fine, "{settings}: {}", page.error());
        assert_eq!(page.value("probe_failed_due_to_regex"), Some(f64::from(u8::from(!fine))), "{settings}");
        assert_eq!(page.reason(), if fine { "" } else { "regex" }, "{settings}");
    }
}

#[tokio::test]
async fn version_and_tls_can_be_wrong_too() {
    let server = Server::http(|_| (b"HTTP/1.0 200 OK\r\n\r\nold".to_vec(), Then::Close)).await;
    let page = probe(&with("valid_http_versions: [HTTP/1.1]"), &server.url("/"), LONG).await;
    assert_eq!((page.reason(), page.value("probe_http_version")), ("http_version", Some(1.0)));
    assert_eq!(page.value("probe_http_uncompressed_body_length"), Some(3.0));
    assert_eq!(page.value("probe_http_content_length"), None, "what is not declared is absent");
    let page = probe(&with("fail_if_not_ssl: true"), &server.url("/"), LONG).await;
    assert_eq!((page.reason(), page.value("probe_http_ssl")), ("ssl", Some(0.0)));
}

#[tokio::test]
async fn chunks_are_put_together() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let server = Server::http(move |_| (chunked.as_bytes().to_vec(), Then::Hang)).await;
    let page = probe(&with("fail_if_body_not_matches_regexp: ['^abcde$']"), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_http_uncompressed_body_length"), Some(5.0));
}

#[tokio::test]
async fn a_silent_target_is_a_timeout_with_its_phases() {
    let time = Duration::from_millis(300);
    let server = Server::http(|_| (Vec::new(), Then::Hang)).await;
    let started = Instant::now();
    let page = probe(PLAIN, &server.url("/"), time).await;
    assert!(started.elapsed() < time * 5);
    assert_eq!((page.reason(), page.why(), page.error().as_str()), ("timeout", "first_byte_timeout", "no answer in time"));
    assert!(page.value("probe_phase_duration_seconds{phase=\"first_byte\"}").unwrap() > 0.2, "{}", page.text);
    assert_eq!(page.value("probe_phase_duration_seconds{phase=\"transfer\"}"), None, "not reached");
    assert!(!page.outcome.answered);
    assert_eq!(page.value("probe_http_status_code"), Some(0.0));
    assert!(page.value("probe_http_duration_seconds{phase=\"processing\"}").unwrap() > 0.2, "{}", page.text);
}

#[tokio::test]
async fn a_body_that_stalls_is_a_timeout_after_an_answer() {
    let server = Server::http(|_| (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec(), Then::Hang)).await;
    let page = probe(PLAIN, &server.url("/"), Duration::from_millis(300)).await;
    assert_eq!((page.reason(), page.error().as_str()), ("timeout", "the answer did not end in time"));
    assert_eq!(page.why(), "body_timeout");
    assert!(page.outcome.answered && !page.outcome.success);
    assert_eq!(page.value("probe_http_status_code"), Some(200.0));
    assert_eq!(page.value("probe_http_uncompressed_body_length"), None);
}

#[tokio::test]
async fn broken_answers_have_a_reason() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filler: abcdefghijklmnop\r\n".repeat(90));
    let huge = format!("HTTP/1.1 200 OK\r\nX-Huge: {}\r\n\r\n", "h".repeat(200 << 10));
    for (bytes, reason) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "decode"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\nabc", "decode"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", "decode"),
        ("HTTP/1.1 200 OK\r\nX A: b\r\n\r\n", "decode"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "connect"),
        ("", "connect"),
        (huge.as_str(), "limit"),
        (many.as_str(), ""),
    ] {
        let owned = bytes.as_bytes().to_vec();
        let server = Server::http(move |_| (owned.clone(), Then::Close)).await;
        let page = probe(PLAIN, &server.url("/"), LONG).await;
        assert_eq!(page.reason(), reason, "{:?}: {}", &bytes[..bytes.len().min(60)], page.error());
    }
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn gzip_server(body: Vec<u8>) -> Server {
    Server::http(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        ([head.as_bytes(), &body].concat(), Then::Close)
    })
    .await
}

#[tokio::test]
async fn gzip_is_unpacked_where_the_module_says_so() {
    let server = gzip_server(gzipped(b"hello hello hello")).await;
    let settings = "compression: gzip\n  fail_if_body_not_matches_regexp: ['^hello hello hello$']";
    let page = probe(&with(settings), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_http_uncompressed_body_length"), Some(17.0));
    assert!(server.requests()[0].to_ascii_lowercase().contains("accept-encoding: gzip"));
    let plain = Server::http(|_| answer("200 OK", "", "hello")).await;
    let page = probe(&with("compression: gzip"), &plain.url("/"), LONG).await;
    assert_eq!(page.reason(), "decode", "{}", page.error());
}

#[tokio::test]
async fn a_gzip_bomb_is_stopped_at_the_limit() {
    let bomb = gzipped(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let server = gzip_server(bomb).await;
    let page = probe(&with("compression: gzip\n  body_size_limit: 1MB"), &server.url("/"), LONG).await;
    assert_eq!((page.reason(), page.error().as_str()), ("limit", "the body is larger than 1048576 bytes"));
    let seen = probe(&with("compression: gzip\n  fail_if_body_matches_regexp: [x]"), &server.url("/"), LONG).await;
    assert_eq!(seen.error(), "the body is larger than 10485760 bytes");
    let unseen = probe(&with("compression: gzip"), &server.url("/"), LONG).await;
    assert!(unseen.outcome.success, "a large body is no failure where nothing looks at it: {}", unseen.error());
    assert_eq!(unseen.value("probe_http_uncompressed_body_length"), None);
}

#[tokio::test]
async fn secrets_come_from_files_and_stay_out_of_errors() {
    let server = Server::http(|_| answer("200 OK", "", "")).await;
    let secret = TempFile::new("p@ss\n");
    let basic = format!("basic_auth: {{username: u, password_file: {}}}", secret.shown());
    let bearer = format!("bearer_token_file: {}", secret.shown());
    let other = format!("authorization: {{type: Token, credentials_file: {}}}", secret.shown());
    for (settings, want) in
        [(basic, "authorization: basic dtpwqhnz"), (bearer, "authorization: bearer p@ss"), (other, "authorization: token p@ss")]
    {
        assert!(probe(&own(&settings), &server.url("/"), LONG).await.outcome.success);
        let request = server.requests().pop().unwrap().to_ascii_lowercase();
        assert!(request.contains(want), "{request}");
    }
    let odd = TempFile::new("canary\u{1}x");
    let page = probe(&own(&format!("bearer_token_file: {}", odd.shown())), &server.url("/"), LONG).await;
    assert_eq!(page.reason(), "auth");
    assert!(!page.error().contains("canary"), "{}", page.error());
    let page = probe(&own("bearer_token_file: /nonexistent/token"), &server.url("/"), LONG).await;
    assert_eq!(page.reason(), "auth");
    assert!(page.error().contains("/nonexistent/token"), "{}", page.error());
}

#[tokio::test]
async fn nobody_there_and_no_such_name() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = probe(PLAIN, &format!("http://{free}/"), LONG).await;
    assert_eq!((page.reason(), page.why(), page.outcome.answered), ("refused", "refused", false));
    let page = probe(PLAIN, "http://no-such-host.invalid/", LONG).await;
    assert_eq!((page.reason(), page.value("probe_ip_protocol")), ("resolve", None));
}

#[tokio::test]
async fn link_local_targets_are_never_asked() {
    for target in ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/", "http://2852039166/"] {
        let page = probe(PLAIN, target, LONG).await;
        assert_eq!(page.reason(), "forbidden", "{target}");
        assert_eq!(page.value("probe_http_duration_seconds{phase=\"connect\"}"), Some(0.0), "{target}");
    }
}

#[tokio::test]
async fn deflate_is_unpacked_in_both_kinds() {
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(b"hello hello hello").unwrap();
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
    bare.write_all(b"hello hello hello").unwrap();
    for body in [zlib.finish().unwrap(), bare.finish().unwrap()] {
        let server = gzip_server(body).await;
        let settings = "compression: deflate\n  fail_if_body_not_matches_regexp: ['^hello hello hello$']";
        let page = probe(&with(settings), &server.url("/"), LONG).await;
        assert!(page.outcome.success, "{}", page.error());
        assert!(server.requests()[0].to_ascii_lowercase().contains("accept-encoding: deflate"));
    }
    let plain = Server::http(|_| answer("200 OK", "", "")).await;
    let page = probe(&with("compression: deflate"), &plain.url("/"), LONG).await;
    assert_eq!(page.why(), "body_encoding", "{}", page.error());
}

/// "hello hello hello hello hello", and 16 MiB of one letter.
const BROTLI: [u8; 20] = [27, 28, 0, 248, 141, 148, 110, 222, 68, 85, 134, 150, 108, 32, 111, 65, 79, 28, 32, 113];
const BOMB: [u8; 27] = [
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x25, 0xc2, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x2f, 0xff, 0xff, 0xff, 0xf0, 0x4b, 0x00, 0xc4, 0x61,
    0x11, 0x80, 0xee, 0xfd, 0x1f,
];

#[tokio::test]
async fn br_is_unpacked_within_bounds() {
    let server = gzip_server(BROTLI.to_vec()).await;
    let settings = "compression: br\n  fail_if_body_not_matches_regexp: ['^(hello ){4}hello$']";
    let page = probe(&with(settings), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_http_uncompressed_body_length"), Some(29.0));
    assert!(server.requests()[0].to_ascii_lowercase().contains("accept-encoding: br\r\n"));
    for body in [b"plain".to_vec(), BROTLI[..10].to_vec(), Vec::new()] {
        let server = gzip_server(body.clone()).await;
        let page = probe(&with("compression: br"), &server.url("/"), LONG).await;
        assert_eq!(page.why(), "body_encoding", "{body:?}: {}", page.error());
    }
    let bomb = gzip_server(BOMB.to_vec()).await;
    let page = probe(&with("compression: br\n  body_size_limit: 1MB"), &bomb.url("/"), LONG).await;
    assert_eq!(page.why(), "body_size", "{}", page.error());
    let page = probe(&with("compression: br\n  body_size_limit: 16MB"), &bomb.url("/"), LONG).await;
    assert_eq!((page.why(), page.value("probe_http_uncompressed_body_length")), ("", Some(f64::from(16 << 20))), "{}", page.error());
}

#[tokio::test]
async fn json_decides() {
    let server = Server::http(|_| answer("200 OK", "", r#"{"status": {"db": "up", "lag": 3}}"#)).await;
    for (settings, fine) in [
        ("fail_if_body_json_not_matches: [{path: status.db, regexp: '^up$'}, {path: status.lag, regexp: '^[0-9]$'}]", true),
        ("fail_if_body_json_not_matches: [{path: status.db, regexp: '^down$'}]", false),
        ("fail_if_body_json_not_matches: [{path: status.cache, regexp: '.*'}]", false),
        ("fail_if_body_json_matches: [{path: status.lag, regexp: '^3$'}]", false),
        ("fail_if_body_json_matches: [{path: status.cache, regexp: '.*'}]", true),
    ] {
        let page = probe(&with(settings), &server.url("/"), LONG).await;
        assert_eq!((page.outcome.success, page.why()), (fine, if fine { "" } else { "content" }), "{settings}: {}", page.error());
        assert_eq!(page.value("probe_failed_due_to_regex"), Some(f64::from(u8::from(!fine))), "{settings}");
    }
    let plain = Server::http(|_| answer("200 OK", "", "up")).await;
    let page = probe(&with("fail_if_body_json_matches: [{path: a, regexp: x}]"), &plain.url("/"), LONG).await;
    assert_eq!(page.error(), "the body is not JSON");
}

#[tokio::test]
async fn headers_may_have_several_values_and_come_from_files() {
    let server = Server::http(|_| answer("200 OK", "", "")).await;
    let secret = TempFile::new("canary\n");
    let settings = format!("http_headers: {{X-A: {{values: [one, two]}}, X-Key: {{files: [{}]}}}}", secret.shown());
    let page = probe(&own(&settings), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    let request = server.requests()[0].to_ascii_lowercase();
    for line in ["x-a: one\r\n", "x-a: two\r\n", "x-key: canary\r\n"] {
        assert!(request.contains(line), "{line}: {request}");
    }
}
