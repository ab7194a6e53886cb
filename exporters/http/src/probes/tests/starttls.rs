//! Ways to TLS, labels and bytes from answers.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::testing::{Authority, GOOD_UNTIL, LONG, Page, Server, probe};

/// Says hello, reads lines and answers each, then begins TLS and says so.
async fn lines(stream: TcpStream, tls: TlsAcceptor, hello: &'static str, answers: &'static [(&'static str, &'static str)]) {
    let mut stream = BufReader::new(stream);
    let _ = stream.write_all(hello.as_bytes()).await;
    for (wanted, answer) in answers {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line.trim_end() != *wanted {
            return;
        }
        let _ = stream.write_all(answer.as_bytes()).await;
    }
    safe(stream.into_inner(), tls).await;
}

async fn safe(stream: TcpStream, tls: TlsAcceptor) {
    if let Ok(mut stream) = tls.accept(stream).await {
        let _ = stream.write_all(b"safe\r\n").await;
        let _ = stream.shutdown().await;
    }
}

/// Reads `asked` bytes, answers, and begins TLS.
async fn bytes(mut stream: TcpStream, tls: TlsAcceptor, first: &'static [u8], asked: usize, answer: &'static [u8]) {
    let _ = stream.write_all(first).await;
    let _ = stream.read_exact(&mut vec![0; asked]).await;
    let _ = stream.write_all(answer).await;
    safe(stream, tls).await;
}

async fn ask(way: &str, authority: &Authority, server: &Server) -> Page {
    let module = format!(
        "prober: tcp\ntcp: {{preferred_ip_protocol: ip4, starttls: {way}, tls_config: {{ca_file: {}}}, query_response: [{{expect: '^safe'}}]}}\n",
        authority.file.shown()
    );
    probe(&module, &server.address.to_string(), LONG).await
}

const SMTP: &[(&str, &str)] = &[("EHLO sage-probe.invalid", "250-mail\r\n250-SIZE 1\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n")];
const IMAP: &[(&str, &str)] = &[("a STARTTLS", "* hm\r\na OK begin\r\n")];
const POP3: &[(&str, &str)] = &[("STLS", "+OK\r\n")];
const FTP: &[(&str, &str)] = &[("AUTH TLS", "234 go\r\n")];
const MYSQL: &[u8] = b"\x1f\0\0\0\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0";

#[tokio::test]
async fn each_way_ends_in_tls() {
    let authority = Authority::new();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2099));
    let spoken =
        [("smtp", "220-a\r\n220 mail\r\n", SMTP), ("imap", "* OK ready\r\n", IMAP), ("pop3", "+OK\r\n", POP3), ("ftp", "220 ftp\r\n", FTP)];
    for (way, hello, answers) in spoken {
        let tls = tls.clone();
        let server = Server::tcp(move |stream| lines(stream, tls.clone(), hello, answers)).await;
        let page = ask(way, &authority, &server).await;
        assert!(page.outcome.success, "{way}: {}", page.error());
        assert_eq!(page.value("probe_ssl_earliest_cert_expiry"), Some(GOOD_UNTIL), "{way}");
    }
    for (way, first, asked, answer) in [
        ("postgres", b"".as_slice(), 8, b"S".as_slice()),
        ("ldap", b"", 31, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"),
        ("mysql", MYSQL, 36, b""),
    ] {
        let tls = tls.clone();
        let server = Server::tcp(move |stream| bytes(stream, tls.clone(), first, asked, answer)).await;
        let page = ask(way, &authority, &server).await;
        assert!(page.outcome.success, "{way}: {}", page.error());
    }
}

#[tokio::test]
async fn a_server_without_tls_or_of_another_kind() {
    let authority = Authority::new();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2099));
    let plain: &'static [(&str, &str)] = &[("EHLO sage-probe.invalid", "250 mail\r\n")];
    for (way, hello, answers, reason) in [
        ("smtp", "220 mail\r\n", plain, "tls"),
        ("smtp", "554 no\r\n", &[], "tls"),
        ("smtp", "SSH-2.0-x\r\n", &[], "decode"),
        ("imap", "220 mail\r\n", &[], "decode"),
        ("imap", "* OK\r\n", &[("a STARTTLS", "a NO\r\n")], "tls"),
        ("mysql", "220 mail\r\n", &[], "decode"),
        ("postgres", "N", &[], "tls"),
        ("ldap", "HTTP/1.1 400\r\n", &[], "decode"),
    ] {
        let tls = tls.clone();
        let server = Server::tcp(move |stream| lines(stream, tls.clone(), hello, answers)).await;
        let page = ask(way, &authority, &server).await;
        assert_eq!(page.reason(), reason, "{way} {hello:?}: {}", page.error());
    }
    let slipped: &'static [(&str, &str)] = &[("STLS", "+OK\r\nsafe\r\n")];
    let server = Server::tcp(move |stream| lines(stream, tls.clone(), "+OK\r\n", slipped)).await;
    let page = ask("pop3", &authority, &server).await;
    assert!(page.error().contains("plain text where TLS should begin"), "{}", page.error());
}

#[tokio::test]
async fn labels_and_bytes_from_answers() {
    const MODULE: &str = r#"
prober: tcp
tcp:
  preferred_ip_protocol: ip4
  query_response:
    - expect: "^SSH-([^-]+)-([^ ]+)"
      labels: [{name: ssh_version, value: "${1}"}, {name: software, value: "${2}!"}]
    - expect_bytes: "abc"
    - expect: "^(.*)$"
      labels: [{name: rest, value: "${1}"}]
"#;
    let ssh = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"banner\r\nSSH-2.0-Open\"SSH_9 x\r\nabcrest\x01\r\n").await;
    })
    .await;
    let page = probe(MODULE, &ssh.address.to_string(), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    let line = page.text.lines().find(|line| line.starts_with("probe_expect_info{")).unwrap();
    assert_eq!(line, r#"probe_expect_info{ssh_version="2.0",software="Open\"SSH_9!",rest="rest"} 1"#);
    assert_eq!(page.value("probe_failed_due_to_bytes"), Some(0.0));
    let other = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-x y\r\nabd").await;
    })
    .await;
    let page = probe(MODULE, &other.address.to_string(), LONG).await;
    assert_eq!(
        (page.reason(), page.value("probe_failed_due_to_bytes"), page.value("probe_failed_due_to_regex")),
        ("regex", Some(1.0), Some(0.0))
    );
}
