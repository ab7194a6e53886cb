//! The Redis exporter in front of a server that speaks the protocol and lies: what SCAN and the like answer is odd, endless or far too
//! large. It costs the collector that asked, by name, and nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::temp::TempFolder;
use e2e::watched::{errors, scrape, until};
use e2e::watched_redis::BINARY;

const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\nrole:master\r\nuptime_in_seconds:5\r\n\
    used_memory:1000\r\nconnected_clients:1\r\ndb0:keys=1000,expires=0,avg_ttl=0\r\n\
    module:name=a,ver=1,api=1,filters=0,usedby=[],using=[],options=[]\r\nmodule:\r\nmodule:name=\x1b,,,=,ver\r\n";

/// Answers by the command's first words, in capitals; the rest of what it says.
type Lie = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send>;

/// A server that tells the truth where its lie says nothing.
struct Liar {
    port: u16,
    lie: Arc<Mutex<Lie>>,
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// The next request: an array of bulk strings.
fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let number = |stream: &mut BufReader<TcpStream>| -> Option<usize> {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse().ok()
    };
    (0..number(stream)?)
        .map(|_| {
            let mut word = vec![0; number(stream)? + 2];
            stream.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            Some(String::from_utf8_lossy(&word).to_ascii_uppercase())
        })
        .collect()
}

fn truth(words: &[String]) -> Vec<u8> {
    match words[0].as_str() {
        "HELLO" => b"*2\r\n+server\r\n+redis\r\n".to_vec(),
        "PING" => b"+PONG\r\n".to_vec(),
        "INFO" => bulk(INFO.as_bytes()),
        "COMMAND" => b"-NOPERM no\r\n".to_vec(),
        "TYPE" => b"+string\r\n".to_vec(),
        "STRLEN" | "MEMORY" => b":7\r\n".to_vec(),
        "GETRANGE" => bulk(b"7"),
        "SCAN" => b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n".to_vec(),
        _ => b"*0\r\n".to_vec(),
    }
}

impl Liar {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let lie: Arc<Mutex<Lie>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let shared = Arc::clone(&lie);
        // Both end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let lie = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut out = stream.try_clone().unwrap();
                    let mut stream = BufReader::new(stream);
                    while let Some(words) = request(&mut stream) {
                        let said = lie.lock().unwrap()(&words.join(" "));
                        if out.write_all(&said.unwrap_or_else(|| truth(&words))).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, lie }
    }

    fn lie(&self, to: &'static str, answer: impl Fn() -> Vec<u8> + Send + 'static) {
        *self.lie.lock().unwrap() = Box::new(move |words| words.starts_with(to).then(&answer));
    }
}

fn start(port: u16) -> Exporter {
    let folder = TempFolder::new("hostile");
    let file = folder.write(
        "redis.yml",
        "modules: {default: {probe_interval: 1h, collectors: {clients: {enabled: false}, keys: {interval: 1s, max_keys: 50},\n\
         keys_count: {interval: 1s}, streams: {interval: 1s}, config_values: {enabled: true, interval: 1s}}}}\n",
    );
    let args = [&format!("--config.file={}", file.display()), "--check-keys=a*", "--count-keys=a*", "--check-single-streams=s"];
    Exporter::start(BINARY, &args.map(|arg| arg as &str), &[("REDIS_ADDR", &format!("127.0.0.1:{port}"))])
}

#[test]
fn a_lie_costs_the_collector_that_asked() {
    let liar = Liar::start();
    let exporter = start(liar.port);
    // Each search has a timer of its own: one may have ended while the other has not.
    let fine = |p: &Page| {
        errors(p).is_empty()
            && p.value("redis_key_value", &[("key", "a")]) == Some(7.0)
            && p.value("redis_keys_count", &[("key", "a*")]) == Some(1.0)
    };
    let page = until("the truth is read", &exporter, fine);
    let modules: BTreeSet<&str> = page.series("redis_module_info").iter().map(|s| s.labels["name"].as_str()).collect();
    assert_eq!(modules, BTreeSet::from(["", "a", "\u{fffd}"]), "what a module calls itself is shown without its escapes");
    let both = || vec!["keys", "keys_count"];
    // No two neighbours have the same reason, so that each is told anew.
    for (to, answer, collectors, reason) in [
        ("SCAN", b"*2000000000\r\n".as_slice(), both(), "limit"),
        ("SCAN", b":5\r\n", both(), "decode"),
        ("SCAN", b"*2\r\n$2000000000\r\n", both(), "limit"),
        ("SCAN", b"*2\r\n$1\r\nx\r\n*0\r\n", both(), "decode"),
        ("SCAN", &b"*1\r\n".repeat(50), both(), "limit"),
        ("SCAN", b"*2\r\n$1\r\n0\r\n*1\r\n:5\r\n", both(), "decode"),
        ("TYPE", b"-LOADING wait\r\n", vec!["keys", "streams"], "starting"),
        ("STRLEN", b"-OOM no\r\n", vec!["keys"], "oom"),
        ("STRLEN", b"-ERR what\r\n", vec!["keys"], "query"),
        ("CONFIG GET *", b"*2\r\n:1\r\n:2\r\n", vec!["config_values"], "decode"),
        // A refusal is remembered for half a minute: it comes last.
        ("SCAN", b"-NOPERM no\r\n", both(), "permission"),
    ] {
        let answer = answer.to_vec();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        if reason == "permission" {
            liar.lie("nothing", Vec::new);
            until("the truth is read again", &exporter, fine);
        }
        liar.lie(to, move || answer.clone());
        let page = until(&format!("{to} {shown:?} is told"), &exporter, |p| {
            collectors.iter().all(|c| errors(p).get(*c).map(String::as_str) == Some(reason)) && errors(p).len() == collectors.len()
        });
        assert_eq!((page.value("sage_up", &[]), page.value("redis_memory_used_bytes", &[])), (Some(1.0), Some(1000.0)), "{to} {shown:?}");
    }
    assert!(exporter.rss_bytes() < 64 * 1024 * 1024);
}

#[test]
fn a_search_without_end_and_names_without_measure() {
    let liar = Liar::start();
    // A thousand names, the same ones for ever, of 3 kB that begin alike.
    liar.lie("SCAN", || {
        let names = (0..1000).flat_map(|n| bulk(&[b"a\xff\x1b".repeat(1000), format!("{n}").into_bytes()].concat()));
        [b"*2\r\n$1\r\n5\r\n*1000\r\n".to_vec(), names.collect()].concat()
    });
    let exporter = start(liar.port);
    let page = until("the run has ended", &exporter, |p| p.series("redis_key_size").len() == 50);
    assert!(errors(&page).is_empty(), "{:?}", errors(&page));
    let labels: BTreeSet<&str> = page.series("redis_key_size").iter().map(|s| s.labels["key"].as_str()).collect();
    assert!(labels.len() == 50 && labels.iter().all(|l| l.len() <= 128 && l.starts_with("a\\xff\\x1b")), "{labels:?}");
    assert_eq!(page.value("redis_keys_count", &[("key", "a*")]), None, "a search without end counts nothing");
    assert!(page.value("redis_key_search_ratio", &[("key", "a*")]).is_some_and(|share| share < 1.0));
    let before = exporter.rss_bytes();
    for _ in 0..20 {
        scrape(&exporter, Duration::from_secs(10));
    }
    assert!(before < 64 * 1024 * 1024 && exporter.rss_bytes() < before + 8 * 1024 * 1024, "{before} {}", exporter.rss_bytes());
}
