//! Dialogues of lines, with and without TLS.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::testing::{Authority, GOOD_UNTIL, LONG, Server, probe};

/// Says hello, then answers each line by what stands behind `=` in the script.
async fn scripted(stream: TcpStream, hello: &'static str, script: &'static [(&'static str, &'static str)]) {
    let mut stream = BufReader::new(stream);
    let _ = stream.write_all(hello.as_bytes()).await;
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        match script.iter().find(|(asked, _)| *asked == line.trim_end()) {
            Some((_, said)) => {
                let _ = stream.write_all(said.as_bytes()).await;
            }
            None => return,
        }
        line.clear();
    }
}

const IRC: &str = r#"
prober: tcp
tcp:
  preferred_ip_protocol: ip4
  query_response:
    - send: "NICK prober"
    - send: "USER prober prober prober :prober"
    - expect: "PING :([^ ]+)"
      send: "PONG ${1}"
    - expect: "^:[^ ]+ 001"
"#;

#[tokio::test]
async fn a_dialogue_with_a_group_of_the_match() {
    const SCRIPT: &[(&str, &str)] = &[
        ("NICK prober", ""),
        ("USER prober prober prober :prober", ":irc NOTICE hello\r\nPING :k3y\r\n"),
        ("PONG k3y", ":irc 001 prober :welcome\r\n"),
    ];
    let server = Server::tcp(|stream| scripted(stream, "", SCRIPT)).await;
    let page = probe(IRC, &server.address.to_string(), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value("probe_failed_due_to_regex"), page.value("probe_ip_protocol")), (Some(0.0), Some(4.0)));
    assert_eq!(page.value("probe_http_status_code"), None);
}

#[tokio::test]
async fn a_line_that_does_not_come() {
    let greet = "prober: tcp\ntcp: {query_response: [{expect: '^SSH-2.0-'}]}\n";
    let wrong = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"220 mail\r\n").await;
    })
    .await;
    let page = probe(greet, &wrong.address.to_string(), LONG).await;
    assert_eq!((page.reason(), page.outcome.answered, page.value("probe_failed_due_to_regex")), ("regex", true, Some(1.0)));
    let silent = Server::tcp(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let page = probe(greet, &silent.address.to_string(), Duration::from_millis(200)).await;
    assert_eq!((page.reason(), page.value("probe_failed_due_to_regex")), ("timeout", Some(1.0)));
    let unfinished = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-x").await;
    })
    .await;
    assert!(probe(greet, &unfinished.address.to_string(), LONG).await.outcome.success, "the last line needs no end");
    let endless = Server::tcp(|mut stream| async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} }).await;
    assert_eq!(probe(greet, &endless.address.to_string(), LONG).await.reason(), "limit");
}

#[tokio::test]
async fn a_port_is_open_or_not() {
    let server = Server::tcp(|_| async {}).await;
    let connect = "prober: tcp\n";
    let page = probe(connect, &server.address.to_string(), LONG).await;
    assert!(page.outcome.success && page.outcome.answered, "{}", page.error());
    let from = "prober: tcp\ntcp: {source_ip_address: 127.0.0.8}\n";
    assert!(probe(from, &server.address.to_string(), LONG).await.outcome.success);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = probe(connect, &free.to_string(), LONG).await;
    assert_eq!((page.reason(), page.outcome.answered), ("refused", false));
    assert_eq!(probe(connect, "169.254.169.254:80", LONG).await.reason(), "forbidden");
}

fn starttls(authority: &Authority) -> String {
    let file = authority.file.shown();
    format!(
        "prober: tcp\ntcp:\n  tls_config: {{ca_file: {file}}}\n  query_response:\n    - expect: '^220'\n    - send: STARTTLS\n    - expect: '^220 go'\n    - starttls: true\n    - expect: '^250 safe'\n"
    )
}

/// Greets, is asked for TLS, says `go`, and speaks TLS from there on.
async fn mail(mut stream: TcpStream, tls: TlsAcceptor, go: &'static [u8]) {
    let _ = stream.write_all(b"220 hello\r\n").await;
    let mut asked = [0; 9];
    let _ = stream.read_exact(&mut asked).await;
    let _ = stream.write_all(go).await;
    if let Ok(mut stream) = tls.accept(stream).await {
        let _ = stream.write_all(b"250 safe\r\n").await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn tls_begins_in_the_middle() {
    let authority = Authority::new();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2099));
    let server = Server::tcp(move |stream| mail(stream, tls.clone(), b"220 go\r\n")).await;
    let page = probe(&starttls(&authority), &server.address.to_string(), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_ssl_earliest_cert_expiry"), Some(GOOD_UNTIL));
    assert!(page.text.contains("probe_tls_version_info{version=\"TLS 1.3\"} 1"), "{}", page.text);
}

#[tokio::test]
async fn plain_text_slipped_in_before_tls_is_refused() {
    let authority = Authority::new();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2099));
    let server = Server::tcp(move |stream| mail(stream, tls.clone(), b"220 go\r\n250 safe\r\n")).await;
    let page = probe(&starttls(&authority), &server.address.to_string(), LONG).await;
    assert_eq!(page.reason(), "decode", "{}", page.error());
}

#[tokio::test]
async fn tls_from_the_start() {
    let authority = Authority::new();
    let server = Server::https(authority.server("127.0.0.1", 2099), |_| (b"+OK ready\r\n".to_vec(), crate::testing::Then::Close)).await;
    let module = format!(
        "prober: tcp\ntcp: {{tls: true, tls_config: {{ca_file: {}}}, query_response: [{{send: \"x\\r\\n\\r\"}}, {{expect: '^[+]OK'}}]}}\n",
        authority.file.shown()
    );
    let page = probe(&module, &server.address.to_string(), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(page.value("probe_ssl_last_chain_expiry_timestamp_seconds"), Some(GOOD_UNTIL));
}

#[test]
fn targets_are_host_and_port() {
    let tcp = crate::probes::Kind::find("tcp").unwrap();
    for good in ["localhost:22", "[::1]:443", "192.0.2.1:1"] {
        assert_eq!(tcp.accept(good), Ok(()), "{good}");
    }
    for bad in ["localhost", "localhost:", "localhost:0", "localhost:99999", ":22", "http://x:80", "::1:443", "u:canary@x:1"] {
        let text = tcp.accept(bad).unwrap_err();
        assert!(text.contains("HOST:PORT") && !text.contains("canary"), "{bad}");
    }
}
