//! For whom a module may be used: nothing is sent to others, and no connection is made to them.

use std::sync::Arc;

use crate::testing::{LONG, Server, TempFile, answer, probe};

fn module(list: &str, token: &TempFile) -> String {
    format!("prober: http\nallowed_targets: {list}\nhttp: {{preferred_ip_protocol: ip4, bearer_token_file: {}}}\n", token.shown())
}

#[tokio::test]
async fn others_are_refused_before_a_connection() {
    let server = Server::http(|_| answer("200 OK", "", "")).await;
    let (port, token) = (server.address.port(), TempFile::new("canary"));
    let list = format!("[192.0.2.0/24, '127.0.0.1:{}', example.com, 'https://127.0.0.1:{port}']", port ^ 1);
    for target in [server.url("/"), format!("http://127.1:{port}/"), format!("localhost:{port}"), format!("http://2130706433:{port}")] {
        let page = probe(&module(&list, &token), &target, LONG).await;
        assert_eq!((page.why(), page.reason(), page.outcome.answered), ("target_not_allowed", "forbidden", false), "{target}");
        assert_eq!(page.value("probe_http_duration_seconds{phase=\"connect\"}"), Some(0.0), "{target}");
        assert!(page.error().contains("`allowed_targets`") && !page.error().contains("canary"), "{}", page.error());
    }
    assert_eq!(server.requests(), [""; 0]);
    let page = probe(&module(&list, &token), "http://no-such-host.invalid/", LONG).await;
    assert_eq!(page.why(), "dns_nxdomain", "a name may be in a network, which its address tells");
    let page = probe(&module("[example.com]", &token), "http://no-such-host.invalid/", LONG).await;
    assert_eq!(page.why(), "target_not_allowed", "the resolver is not asked");
}

#[tokio::test]
async fn those_in_the_list_are_asked_by_name_and_by_network() {
    let server = Server::http(|_| answer("200 OK", "", "")).await;
    let (port, token) = (server.address.port(), TempFile::new("canary"));
    for list in ["[127.0.0.1]".to_owned(), "[127.0.0.0/8]".to_owned(), format!("['LOCALHOST.:{port}', '127.0.0.1:{port}']")] {
        for target in [server.url("/"), format!("http://localhost:{port}/")] {
            let page = probe(&module(&list, &token), &target, LONG).await;
            assert!(page.outcome.success, "{list} {target}: {}", page.error());
        }
    }
    assert_eq!(server.requests().iter().filter(|request| request.contains("canary")).count(), 6);
}

#[tokio::test]
async fn a_redirect_takes_nothing_along_to_others() {
    let other = Arc::new(Server::http(|_| answer("200 OK", "", "")).await);
    let onward = other.url("/x");
    let server = Server::http(move |_| answer("302 Found", &format!("Location: {onward}\r\n"), "")).await;
    let token = TempFile::new("canary");
    let page = probe(&module(&format!("['{}']", server.address), &token), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert!(server.requests()[0].contains("canary") && !other.requests()[0].contains("canary"), "{:?}", other.requests());
}

#[tokio::test]
async fn the_other_probers_have_the_list_too() {
    let server = Server::tcp(|_| async {}).await;
    for (prober, target) in [
        ("tcp", server.address.to_string()),
        ("grpc", server.address.to_string()),
        ("dns", server.address.to_string()),
        ("icmp", "127.0.0.1".to_owned()),
        ("unix", "/run/other.sock".to_owned()),
    ] {
        let section = if prober == "dns" { "dns: {query_name: example.com}" } else { "" };
        let page = probe(&format!("prober: {prober}\nallowed_targets: [192.0.2.1, /run/a.sock]\n{section}\n"), &target, LONG).await;
        assert_eq!((page.why(), page.outcome.answered), ("target_not_allowed", false), "{prober}");
    }
}
