//! Recognition of servers that are scripted from recorded and from documented bytes, and how the connection ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::recorded;
use crate::testing::{LONG, Page, Server, probe};

/// Answers the first bytes with `first`, and each further ones with the next of `then`; keeps what it was told.
async fn serve(greets: bool, answers: &'static [&'static [u8]]) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let told = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&told);
    let server = Server::tcp(move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let mut answers = answers.iter();
            if greets && let Some(answer) = answers.next() {
                let _ = stream.write_all(answer).await;
            }
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = stream.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..size]);
                match answers.next() {
                    Some(answer) => drop(stream.write_all(answer).await),
                    None => continue,
                }
            }
        }
    })
    .await;
    (server, told)
}

async fn ask(protocol: &str, server: &Server) -> Page {
    let module = format!("prober: tcp\ntcp: {{preferred_ip_protocol: ip4, protocol: {protocol}}}\n");
    probe(&module, &server.address.to_string(), LONG).await
}

fn info(page: &Page) -> Option<&str> {
    page.text.lines().find_map(|line| line.strip_prefix("probe_tcp_protocol_info"))
}

/// Waits until the server has read what was said at last.
async fn ends(told: &Mutex<Vec<u8>>, with: &[u8]) -> bool {
    let poll = async {
        while !told.lock().unwrap().ends_with(with) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), poll).await.is_ok()
}

#[tokio::test]
async fn mysql_gets_the_end_of_its_handshake() {
    let (server, told) = serve(true, &[recorded::MYSQL, recorded::MYSQL_SWITCH, recorded::MYSQL_DENIED]).await;
    let page = ask("mysql", &server).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(info(&page), Some(r#"{protocol="mysql",version="9.7.4-2"} 1"#));
    assert!(page.value("probe_tcp_handshake_duration_seconds").is_some_and(|took| took > 0.0));
    assert!(ends(&told, &[0, 0, 0, 3]).await, "{told:?}");
    assert!(told.lock().unwrap().windows(10).any(|w| w == b"sage_probe"), "{told:?}");

    // A user without password is let in: a farewell. The port tells nothing; the server speaks first.
    let (server, told) = serve(true, &[recorded::MYSQL, b"\x07\0\0\x02\0\0\0\x02\0\0\0"]).await;
    let page = ask("auto", &server).await;
    assert!(page.outcome.success, "{}", page.error());
    assert!(ends(&told, &[1, 0, 0, 0, 1]).await, "{told:?}");

    let (server, told) = serve(true, &[recorded::MARIADB, recorded::MARIADB_DENIED]).await;
    let page = ask("mysql", &server).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(info(&page), Some(r#"{protocol="mysql",version="10.11.19-MariaDB-0+deb12u1"} 1"#));
    assert!(ends(&told, b"mysql_native_password\0").await, "nothing follows a refusal: {told:?}");

    let (full, _) = serve(true, &[b"\x17\0\0\0\xff\x10\x04Too many connections"]).await;
    let page = ask("mysql", &full).await;
    assert_eq!((page.reason(), info(&page)), ("overloaded", Some(r#"{protocol="mysql",version=""} 1"#)), "{}", page.error());
    assert!(page.outcome.answered && !page.outcome.success);
}

#[tokio::test]
async fn servers_are_recognised() {
    const TDS: &[u8] = b"\x04\x01\0\x1a\0\0\x01\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\x10\x27\0\0\x02";
    const LDAP: &[u8] = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\0\x04\0\x04\0";
    for (protocol, answers, version) in [
        ("mssql", &[TDS] as &[&[u8]], "16.0.4135"),
        ("kafka", &[recorded::KAFKA], ""),
        ("mongodb", &[recorded::MONGODB], "wire 27"),
        ("ldap", &[recorded::LDAP], ""),
        ("ldap", &[LDAP], ""),
        ("amqp", &[recorded::AMQP], "3.10.8"),
        ("amqp", &[b"AMQP\x03\x01\0\0"], "1.0"),
        ("redis", &[b"+PONG\r\n", b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"], "7.0.15"),
        ("postgresql", &[b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"], ""),
    ] {
        let answers: &'static [&'static [u8]] = Vec::leak(answers.to_vec());
        let (server, told) = serve(false, answers).await;
        let page = ask(protocol, &server).await;
        assert!(page.outcome.success, "{protocol}: {}", page.error());
        assert_eq!(info(&page), Some(format!("{{protocol=\"{protocol}\",version=\"{version}\"}} 1").as_str()), "{protocol}");
        assert!(protocol != "ldap" || ends(&told, b"\x30\x05\x02\x01\x02\x42\0").await, "{told:?}");
    }
}

#[tokio::test]
async fn what_is_something_else_is_said() {
    let (web, _) = serve(false, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"]).await;
    for protocol in ["postgresql", "redis", "mssql", "mongodb", "kafka", "ldap", "amqp"] {
        let page = ask(protocol, &web).await;
        assert_eq!((page.reason(), info(&page)), ("decode", None), "{protocol}");
        assert!(page.error().contains("HTTP/1.1 400 Bad"), "{protocol}: {}", page.error());
    }
    let (mysql, _) = serve(true, &[recorded::MYSQL]).await;
    let page = ask("postgresql", &mysql).await;
    assert!(page.error().contains("the server speaks mysql"), "{}", page.error());
    let (silent, _) = serve(false, &[]).await;
    let module = "prober: tcp\ntcp: {preferred_ip_protocol: ip4, protocol: redis}\n";
    assert_eq!(probe(module, &silent.address.to_string(), Duration::from_millis(200)).await.reason(), "timeout");
    let unknown = ask("auto", &silent).await;
    assert!(unknown.error().contains("does not tell what is spoken there"), "{}", unknown.error());
    let endless = Server::tcp(|mut stream| async move { while stream.write_all(&[b'R'; 4096]).await.is_ok() {} }).await;
    assert_eq!(ask("postgresql", &endless).await.reason(), "decode");
}
