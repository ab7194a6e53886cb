//! Certificates: good, expired, for another name, from nobody; the end of validity is told in each case.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::testing::{Authority, EXPIRED_AT, GOOD_UNTIL, LONG, Page, Server, answer, probe, self_signed};

const EXPIRY: &str = "probe_ssl_earliest_cert_expiry";
const CHAIN: &str = "probe_ssl_last_chain_expiry_timestamp_seconds";

const LEAF: &str = "probe_cert_not_after_timestamp_seconds{position=\"leaf\"}";
const AGE: &str = "probe_cert_age_seconds";

async fn ask(server: &Server, tls: &str) -> Page {
    let module = format!("prober: http\nhttp: {{preferred_ip_protocol: ip4, tls_config: {{{tls}}}}}\n");
    probe(&module, &format!("https://{}/", server.address), LONG).await
}

#[tokio::test]
async fn a_good_certificate() {
    let authority = Authority::new();
    let server = Server::https(authority.server("127.0.0.1", 2099), |_| answer("200 OK", "", "")).await;
    let page = ask(&server, &format!("ca_file: {}", authority.file.shown())).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value(EXPIRY), page.value(CHAIN)), (Some(GOOD_UNTIL), Some(GOOD_UNTIL)));
    assert_eq!((page.value("probe_http_ssl"), page.value("probe_tls_verify_ok")), (Some(1.0), Some(1.0)));
    assert_eq!(page.value("probe_tls_version_info{version=\"TLS 1.3\"}"), Some(1.0), "{}", page.text);
    assert!(page.text.contains("probe_tls_cipher_info{cipher=\"TLS_AES_"), "{}", page.text);
    let info = page.text.lines().find(|l| l.starts_with("probe_ssl_last_chain_info{")).unwrap();
    for label in ["subject=\"CN=127.0.0.1\"", "issuer=\"", "CN=Test CA", "subjectalternative=\"127.0.0.1\""] {
        assert!(info.contains(label), "{label}: {info}");
    }
    let fingerprint = info.split("fingerprint_sha256=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()), "{info}");
    let old = ask(&server, &format!("ca_file: {}, max_version: TLS12", authority.file.shown())).await;
    assert_eq!(old.value("probe_tls_version_info{version=\"TLS 1.2\"}"), Some(1.0), "{}", old.text);
}

#[tokio::test]
async fn bad_certificates_are_refused_and_still_tell_their_end() {
    let authority = Authority::new();
    let trust = format!("ca_file: {}", authority.file.shown());
    for (config, end, why, word) in [
        (authority.server("127.0.0.1", 2020), EXPIRED_AT, "tls_expired", "expired"),
        (authority.server("other.example", 2099), GOOD_UNTIL, "tls_name", "not valid for name"),
        (self_signed("127.0.0.1"), GOOD_UNTIL, "tls_untrusted", "UnknownIssuer"),
    ] {
        let server = Server::https(config, |_| answer("200 OK", "", "")).await;
        let page = ask(&server, &trust).await;
        assert_eq!((page.reason(), page.outcome.success, page.outcome.answered), ("tls", false, true), "{word}");
        assert!(page.error().contains(word), "{word}: {}", page.error());
        assert_eq!((page.value(EXPIRY), page.value(CHAIN)), (Some(end), None), "{word}: {}", page.text);
        assert_eq!((page.why(), page.value("probe_tls_verify_ok")), (why, Some(0.0)), "{word}");
        assert_eq!((page.value(LEAF), page.value(AGE)), (Some(end), Some(0.0)), "{word}");
        assert_eq!(page.value("probe_http_ssl"), None);
        assert!(server.requests().is_empty(), "nothing is sent to whom we do not trust");
    }
}

#[tokio::test]
async fn an_unchecked_certificate_tells_its_end_but_no_chain() {
    let server = Server::https(self_signed("other.example"), |_| answer("200 OK", "", "")).await;
    let page = ask(&server, "insecure_skip_verify: true").await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value(EXPIRY), page.value(CHAIN)), (Some(GOOD_UNTIL), None));
    assert_eq!((page.value(LEAF), page.value("probe_tls_verify_ok")), (Some(GOOD_UNTIL), None));
}

#[tokio::test]
async fn the_last_certificate_is_known_while_the_target_is_down() {
    let server = Server::https(self_signed("127.0.0.1"), |_| answer("200 OK", "", "")).await;
    let (url, module) = (format!("https://{}/", server.address), "prober: http\nhttp: {tls_config: {insecure_skip_verify: true}}\n");
    assert!(probe(module, &url, LONG).await.outcome.success);
    drop(server);
    let page = poll_down(module, &url).await;
    assert_eq!((page.why(), page.value(LEAF), page.value(EXPIRY)), ("refused", Some(GOOD_UNTIL), None), "{}", page.text);
    assert!(page.value(AGE).unwrap() > 0.0, "{}", page.text);
    let other = probe(module, &url.replace("https:", "http:"), LONG).await;
    assert_eq!(other.value(LEAF), None, "another target");
}

/// The port is closed once the server's task has ended, which takes a moment.
async fn poll_down(module: &str, url: &str) -> Page {
    loop {
        let page = probe(module, url, LONG).await;
        if page.why() == "refused" {
            return page;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_name_can_be_given() {
    let authority = Authority::new();
    let server = Server::https(authority.server("other.example", 2099), |_| answer("200 OK", "", "")).await;
    let page = ask(&server, &format!("ca_file: {}, server_name: other.example", authority.file.shown())).await;
    assert!(page.outcome.success, "{}", page.error());
    let by_header =
        format!("prober: http\nhttp: {{headers: {{Host: 'other.example:443'}}, tls_config: {{ca_file: {}}}}}\n", authority.file.shown());
    let page = probe(&by_header, &format!("https://{}/", server.address), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
}

#[tokio::test]
async fn a_server_without_tls_and_a_missing_ca_file() {
    let server = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"220 hello, who are you?\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let page = ask(&server, "insecure_skip_verify: true").await;
    assert_eq!((page.why(), page.outcome.answered), ("tls_not_spoken", false), "{}", page.error());
    let page = ask(&server, "ca_file: /nonexistent/ca.pem").await;
    assert_eq!(page.reason(), "tls");
    assert!(page.error().contains("/nonexistent/ca.pem"), "{}", page.error());
}
