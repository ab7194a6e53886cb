//! Targets that a request names: what stands in no configuration is never connected to, however oddly it is written, and no
//! spelling leads a prober to the metadata service of a cloud. Ten thousand of each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use e2e::exporter::{self, Exporter};
use e2e::http::{Connection, Response, encode};
use e2e::page::Page;
use e2e::said::{Aimed, aimed};
use e2e::temp::TempFolder;
use e2e::watched::LIMIT;

const TARGETS: u64 = 10_000;

/// Picks by a fixed sequence (xorshift), so that every run tries the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[(self.roll() % from.len() as u64) as usize]
    }
}

/// Asks over one kept connection; an exporter that closes it is asked over a new one.
fn ask(exporter: &Exporter, connection: &mut Option<Connection>, target: &str) -> Response {
    let path = format!("/probe?target={}", encode(target));
    let open = || Connection::open(exporter.address(), LIMIT).unwrap();
    let kept = connection.get_or_insert_with(open);
    let answer = kept.send("GET", &path, &[], LIMIT).or_else(|_| {
        *kept = open();
        kept.send("GET", &path, &[], LIMIT)
    });
    let answer = answer.unwrap_or_else(|e| panic!("{target:?}: {e}"));
    if answer.header("Connection").is_some_and(|v| v.eq_ignore_ascii_case("close")) {
        *connection = None;
    }
    answer
}

/// A target that leads to `trap` for one reader or another of URLs, addresses and connection strings.
fn odd(dice: &mut Dice, home: u16, trap: u16) -> String {
    let scheme = dice.pick(&[
        "",
        "http://",
        "https://",
        "HTTP://",
        "postgresql://",
        "redis://",
        "rediss://",
        "tcp://",
        "//",
        "\\\\",
        "file://",
        "gopher://",
        "jdbc:postgresql://",
    ]);
    let user = dice.pick(&["", "", "", "user:pass@", "@", "127.0.0.1:HOME@", "127.0.0.1:HOME#@", "127.0.0.1:HOME%20@", "home@"]);
    let host = dice.pick(&[
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0",
        "0.0.0.0",
        "127.0.0.2",
        "127.255.255.254",
        "[::1]",
        "::1",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "127.0.0.1.",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "127.0.0.1%00",
        "127.0.0.1\0",
        "127.0.0.1\t",
        " 127.0.0.1",
        "127。0。0。1",
        "home",
        "default.local",
        "host=127.0.0.1 port=TRAP dbname=x",
    ]);
    let port = dice.pick(&[
        ":TRAP",
        ":TRAP",
        ":TRAP",
        ":0TRAP",
        ":+TRAP",
        ": TRAP",
        ":TRAP:HOME",
        ":HOME:TRAP",
        ":TRAP,127.0.0.1:HOME",
        ":HOME,127.0.0.1:TRAP",
        "",
    ]);
    let tail = dice.pick(&[
        "",
        "",
        "",
        "/",
        "/postgres",
        "/0",
        "?host=127.0.0.1&port=TRAP",
        "?target=127.0.0.1:HOME",
        "#127.0.0.1:HOME",
        "#@127.0.0.1:HOME/",
        "\n",
        "\r\nHost: x",
        "%0d%0aSLAVEOF%20127.0.0.1%20TRAP",
        "/../../etc/passwd",
        ";DATABASE=x",
        " ",
        "/?sslmode=disable",
    ]);
    format!("{scheme}{user}{host}{port}{tail}").replace("TRAP", &trap.to_string()).replace("HOME", &home.to_string())
}

#[test]
fn what_stands_in_no_configuration_is_never_connected_to() {
    for binary in &exporter::all() {
        let (home, trap, other) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("0.0.0.0:0").unwrap(),
            TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap(),
        );
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let Aimed { config, free, .. } = aimed(binary, home.local_addr().unwrap(), None);
        if free {
            continue;
        }
        let folder = TempFolder::new("ssrf");
        let exporter = Exporter::start(binary, &[&format!("--config.file={}", folder.write("c.yml", &config).display())], &[]);
        let (mut dice, mut kept, mut answers) = (Dice(0x5a6e), None, BTreeMap::<u16, u64>::new());
        for n in 0..TARGETS {
            let target = odd(&mut dice, port(&home), port(if n % 4 == 3 { &other } else { &trap }));
            let answer = ask(&exporter, &mut kept, &target);
            assert!(matches!(answer.status, 400 | 403), "{binary} takes {target:?}: {}", answer.text());
            *answers.entry(answer.status).or_default() += 1;
        }
        assert!(answers[&403] > TARGETS / 2, "{binary}: {answers:?}");
        for listener in [&trap, &other] {
            listener.set_nonblocking(true).unwrap();
            let came = listener.accept().map_err(|e| e.kind());
            assert!(matches!(came, Err(ErrorKind::WouldBlock)), "{binary} connected: {came:?}");
        }
    }
}

/// A spelling of a metadata or link-local address.
fn metadata(dice: &mut Dice) -> String {
    let low = dice.roll().to_be_bytes();
    let ip = match dice.roll() % 5 {
        0 => Ipv4Addr::new(169, 254, 169, 254),
        1 => Ipv4Addr::new(100, 100, 100, 200),
        2 => Ipv4Addr::new(168, 63, 129, 16),
        _ => Ipv4Addr::new(169, 254, low[0], low[1]),
    };
    let ([a, b, c, d], whole) = (ip.octets(), u32::from(ip));
    let host = match dice.roll() % 14 {
        0 => ip.to_string(),
        1 => whole.to_string(),
        2 => format!("{whole:#x}"),
        3 => format!("0{whole:o}"),
        4 => format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        5 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        6 => format!("{a}.{}", whole & 0x00ff_ffff),
        7 => format!("{a}.{b}.{}", whole & 0xffff),
        8 => format!("[::ffff:{ip}]"),
        9 => format!("[::ffff:{:x}:{:x}]", whole >> 16, whole & 0xffff),
        10 => format!("[64:ff9b::{ip}]"),
        11 => format!("[2002:{:x}:{:x}::{:x}]", whole >> 16, whole & 0xffff, low[2]),
        12 => format!("[fe80::{:x}:{:x}]", u16::from(low[3]) << 8 | u16::from(low[4]), low[5]),
        _ => "[fd00:ec2::254]".to_owned(),
    };
    let port = dice.pick(&["", ":80", ":443", ":8080", ":1"]);
    let scheme = dice.pick(&["http://", "https://", "", "HTTP://"]);
    let path = dice.pick(&["", "/", "/latest/meta-data/", "/?x=1", "/computeMetadata/v1/", "#x"]);
    format!("{scheme}{host}{port}{path}")
}

#[test]
fn no_spelling_leads_a_prober_to_a_metadata_service() {
    let probers = exporter::all().into_iter().filter(|binary| aimed(binary, "127.0.0.1:9".parse().unwrap(), None).free);
    let mut tried = 0;
    for binary in probers {
        let exporter = Exporter::start(&binary, &[], &[]);
        let (mut dice, mut kept) = (Dice(0xc10d), None);
        for _ in 0..TARGETS {
            let target = metadata(&mut dice);
            let answer = ask(&exporter, &mut kept, &target);
            // Not every spelling is a URL; what is one is understood and refused, before a connection is made.
            if answer.status == 400 {
                continue;
            }
            let page = Page::parse(&answer.text()).unwrap();
            assert_eq!(
                page.value("sage_error", &[("collector", "probe"), ("reason", "forbidden")]),
                Some(1.0),
                "{target}: {}",
                answer.text()
            );
            tried += 1;
        }
    }
    assert!(tried > TARGETS * 9 / 10, "{tried}");
}
