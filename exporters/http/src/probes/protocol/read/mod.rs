//! The first answers of database servers, read from the bytes that have come so far, without a byte of trust.
//!
//! Each reader says: it is not mine, I need more, or what it is. Stands alone, so that the fuzzer can build it by itself.
//! Sources: the protocols' own pages (PostgreSQL "Message Formats", MySQL "Connection Phase", MS-TDS, RESP, MongoDB "Wire
//! Protocol", Kafka protocol, RFC 4511, AMQP 0-9-1).

mod bytes;

use bytes::{Bytes, ber_element, bson_value};

/// Longest version that is told.
pub const MAX_VERSION: usize = 64;
/// Longest answer that any of these servers gives here; more is no answer of theirs.
pub const MAX_ANSWER: usize = 64 << 10;

/// Why a server that was recognised takes no clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// All its connections are taken.
    TooMany,
    /// It starts, stops or recovers.
    Starting,
    /// It does not let this machine in.
    Denied,
}

/// What a server said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// Its version, printable and bounded; empty where it does not say.
    pub version: String,
    /// Why it takes no clients.
    pub trouble: Option<Trouble>,
}

/// The bytes are no answer of such a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other;

/// None: more bytes are needed.
pub type Read = Option<Result<Greeting, Other>>;

const fn known() -> Read {
    Some(Ok(Greeting { version: String::new(), trouble: None }))
}

const fn other() -> Read {
    Some(Err(Other))
}

const fn trouble(trouble: Option<Trouble>) -> Read {
    Some(Ok(Greeting { version: String::new(), trouble }))
}

fn version(bytes: &[u8]) -> Read {
    Some(Ok(Greeting { version: clean(bytes), trouble: None }))
}

/// What of a version may stand in a label.
fn clean(bytes: &[u8]) -> String {
    let printable = bytes.iter().copied().filter(|b| matches!(b, b' '..=b'~')).take(MAX_VERSION);
    printable.map(char::from).collect::<String>().trim().to_owned()
}

/// The answer to a StartupMessage: authentication is asked for, or an error says why not.
pub fn postgresql(bytes: &[u8]) -> Read {
    let mut b = Bytes(bytes);
    let kind = b.number(1)?;
    if !matches!(u8::try_from(kind), Ok(b'R' | b'E' | b'v')) {
        return other();
    }
    let length = b.number(4)?;
    if !(8..MAX_ANSWER).contains(&length) {
        return other();
    }
    let mut body = Bytes(b.take(length - 4)?);
    if kind != usize::from(b'E') {
        return known();
    }
    // Fields: a letter and a text each, then a zero. C is the SQLSTATE.
    while let Some(field) = body.number(1).filter(|field| *field != 0) {
        let Some(text) = body.text() else { return other() };
        if field == usize::from(b'C') {
            return match text {
                b"53300" => trouble(Some(Trouble::TooMany)),
                b"57P03" | b"57P01" | b"57P02" => trouble(Some(Trouble::Starting)),
                [_, _, _, _, _] => known(),
                _ => other(),
            };
        }
    }
    other()
}

/// MySQL and MariaDB greet first, with their version or an error.
pub fn mysql(bytes: &[u8]) -> Read {
    let mut b = Bytes(bytes);
    let (length, sequence) = (b.little(3)?, b.number(1)?);
    if !(3..4096).contains(&length) || sequence > 1 {
        return other();
    }
    let mut packet = Bytes(b.take(length)?);
    match packet.number(1)? {
        // Protocol version 10; MariaDB puts a version that old clients understand before its own.
        0x0a => match packet.text() {
            Some(text) if text.iter().all(|b| matches!(b, b' '..=b'~')) && !packet.0.is_empty() => {
                version(text.strip_prefix(b"5.5.5-").unwrap_or(text))
            }
            _ => other(),
        },
        0xff => match packet.little(2) {
            Some(1040 | 1203) => trouble(Some(Trouble::TooMany)),
            Some(1053 | 1077 | 1079) => trouble(Some(Trouble::Starting)),
            Some(1129 | 1130) => trouble(Some(Trouble::Denied)),
            Some(1000..=4999) => known(),
            _ => other(),
        },
        _ => other(),
    }
}

/// Whether a greeting of MySQL says that it speaks TLS.
pub fn mysql_has_tls(bytes: &[u8]) -> bool {
    let read = || {
        let mut b = Bytes(bytes);
        b.take(5)?;
        b.text()?;
        b.take(4 + 8 + 1)?;
        b.little(2)
    };
    read().is_some_and(|capabilities| capabilities & 0x0800 != 0)
}

/// The answer to a PRELOGIN packet: options with offsets, of which the first is the version.
pub fn mssql(bytes: &[u8]) -> Read {
    let mut b = Bytes(bytes);
    if b.number(1)? != 0x04 || b.number(1)? > 1 {
        return other();
    }
    let length = b.number(2)?;
    if !(8 + 6 + 6..4096).contains(&length) {
        return other();
    }
    b.take(4)?;
    let body = b.take(length - 8)?;
    let mut options = Bytes(body);
    while let (Some(token), Some(offset), Some(size)) = (options.number(1), options.number(2), options.number(2)) {
        if token == 0 && size == 6 {
            let Some(data) = body.get(offset..) else { return other() };
            let mut data = Bytes(data);
            let parts = (data.number(1), data.number(1), data.number(2));
            let (Some(major), Some(minor), Some(build)) = parts else { return other() };
            return version(format!("{major}.{minor}.{build}").as_bytes());
        }
    }
    other()
}

/// Longest line, and where in the answer to HELLO the version stands at the latest.
const MAX_LINE: usize = 1024;

/// The answer to PING.
pub fn redis(bytes: &[u8]) -> Read {
    match bytes.first()? {
        b'+' | b'-' => {}
        _ => return other(),
    }
    let Some(end) = bytes.iter().take(MAX_LINE).position(|b| *b == b'\n') else {
        return if bytes.len() >= MAX_LINE { other() } else { None };
    };
    let line = bytes.get(..end)?.trim_ascii_end();
    let starts = |words: &[&[u8]]| words.iter().any(|word| line.starts_with(word));
    if line == b"+PONG" || starts(&[b"-NOAUTH", b"-NOPERM", b"-MASTERDOWN", b"-BUSY ", b"-MISCONF"]) {
        known()
    } else if starts(&[b"-LOADING"]) {
        trouble(Some(Trouble::Starting))
    } else if starts(&[b"-ERR max number of clients"]) {
        trouble(Some(Trouble::TooMany))
    } else if starts(&[b"-DENIED"]) {
        trouble(Some(Trouble::Denied))
    } else {
        other()
    }
}

/// The answer to HELLO, after PONG: a list of names and values; an old server knows no HELLO.
pub fn redis_hello(bytes: &[u8]) -> Read {
    let mark = b"\r\n$7\r\nversion\r\n$";
    match bytes.first()? {
        b'*' | b'%' => {}
        _ => return known(),
    }
    let head = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(at) = head.windows(mark.len()).position(|w| w == mark) else {
        return if bytes.len() >= MAX_LINE { known() } else { None };
    };
    let mut lines = bytes.get(at + mark.len()..)?.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.next()?;
    version(lines.next()?)
}

/// The answer to `hello`: a message with one document. It does not tell the version, but that of the wire.
pub fn mongodb(bytes: &[u8]) -> Read {
    let mut b = Bytes(bytes);
    let length = b.little(4)?;
    if !(16 + 4 + 1 + 5..MAX_ANSWER).contains(&length) {
        return other();
    }
    let (_, answers, code) = (b.little(4)?, b.little(4)?, b.little(4)?);
    if (answers, code) != (7, 2013) {
        return other();
    }
    let mut body = Bytes(b.take(length - 16)?);
    let (_, section, _) = (body.little(4)?, body.number(1)?, body.little(4)?);
    if section != 0 {
        return other();
    }
    while let Some(kind) = body.number(1).filter(|kind| *kind != 0) {
        let Some(name) = body.text() else { return other() };
        if name == b"maxWireVersion" && kind == 0x10 {
            return body.little(4).map_or_else(other, |wire| version(format!("wire {wire}").as_bytes()));
        }
        if bson_value(&mut body, kind).is_none() {
            return other();
        }
    }
    // An old server that knows no `hello` says so in a document, too.
    known()
}

/// The number that our requests to Kafka have.
pub const KAFKA_NUMBER: usize = 0x5361_6765;

/// The answer to ApiVersions of version 0.
pub fn kafka(bytes: &[u8]) -> Read {
    let mut b = Bytes(bytes);
    let length = b.number(4)?;
    if !(4 + 2 + 4..MAX_ANSWER).contains(&length) {
        return other();
    }
    if b.number(4)? != KAFKA_NUMBER {
        return other();
    }
    let (error, count) = (b.number(2)?, b.number(4)?);
    if length != 4 + 2 + 4 + count.saturating_mul(6) || !matches!(error, 0 | 35) {
        return other();
    }
    b.take(count * 6)?;
    known()
}

/// The answers to a search of the root entry: entries, then the result.
pub fn ldap(bytes: &[u8]) -> Read {
    let (mut b, mut found) = (Bytes(bytes), Greeting::default());
    loop {
        // Told at once, so that other servers' bytes are not waited for.
        if b.0.first().is_some_and(|tag| *tag != 0x30) {
            return other();
        }
        let Ok((_, mut message)) = ber_element(&mut b)? else { return other() };
        let (Some(Ok((0x02, _))), Some(Ok((operation, mut content)))) = (ber_element(&mut message), ber_element(&mut message)) else {
            return other();
        };
        match operation {
            0x64 => {
                if let Some(version) = vendor_version(content) {
                    found.version = clean(version);
                }
            }
            0x73 => {}
            0x65 => {
                let Some(Ok((0x0a, mut code))) = ber_element(&mut content) else { return other() };
                // 51 busy, 52 unavailable; any other refusal is one of a server that answers.
                found.trouble = code.number(1).filter(|code| matches!(code, 51 | 52)).map(|_| Trouble::Starting);
                return Some(Ok(found));
            }
            // A notice of disconnection.
            0x78 => return trouble(Some(Trouble::Starting)),
            _ => return other(),
        }
    }
}

/// The result code of an answer without its outer tag: a number, then the operation, which begins with the code.
pub fn ldap_result(message: &[u8]) -> Option<usize> {
    let mut b = Bytes(message);
    ber_element(&mut b)?.ok()?;
    let (_, mut operation) = ber_element(&mut b)?.ok()?;
    let (tag, mut code) = ber_element(&mut operation)?.ok()?;
    code.number(1).filter(|_| tag == 0x0a)
}

fn vendor_version(mut entry: Bytes<'_>) -> Option<&[u8]> {
    // The name of the entry, then its attributes.
    ber_element(&mut entry)?.ok()?;
    let (_, mut attributes) = ber_element(&mut entry)?.ok()?;
    loop {
        let (_, mut attribute) = ber_element(&mut attributes)?.ok()?;
        let (_, name) = ber_element(&mut attribute)?.ok()?;
        if name.0.eq_ignore_ascii_case(b"vendorVersion") {
            let (_, mut values) = ber_element(&mut attribute)?.ok()?;
            return ber_element(&mut values)?.ok().map(|(_, value)| value.0);
        }
    }
}

/// The answer to the header of AMQP 0-9-1: Connection.Start, or the header that the server wants instead.
pub fn amqp(bytes: &[u8]) -> Read {
    if bytes.first()? == &b'A' {
        let mut b = Bytes(bytes);
        let name = b.take(b.0.len().min(4))?;
        return match (b"AMQP".starts_with(name), b.take(4)) {
            (false, _) => other(),
            (true, Some([_, major, minor, revision])) if *major == 0 => version(format!("0-{minor}-{revision}").as_bytes()),
            (true, Some([_, major, minor, _])) => version(format!("{major}.{minor}").as_bytes()),
            (true, _) => None,
        };
    }
    let mut b = Bytes(bytes);
    if b.number(1)? != 1 || b.number(2)? != 0 {
        return other();
    }
    let size = b.number(4)?;
    if !(4 + 2 + 4..MAX_ANSWER).contains(&size) {
        return other();
    }
    let mut frame = Bytes(b.take(size)?);
    if (frame.number(2)?, frame.number(2)?) != (10, 10) {
        return other();
    }
    frame.take(2)?;
    let Some(table) = frame.number(4).and_then(|size| frame.take(size)) else { return other() };
    // Names and values of the server's properties: the value of `version` is a long string.
    let mark = b"\x07versionS";
    let told = table.windows(mark.len()).position(|w| w == mark).and_then(|at| {
        let mut value = Bytes(table.get(at + mark.len()..)?);
        let size = value.number(4)?;
        value.take(size)
    });
    told.map_or_else(known, version)
}

/// Reads the bytes that have come so far.
pub type Reader = fn(&[u8]) -> Read;

/// All readers of a first answer.
pub const READERS: [(&str, Reader); 8] = [
    ("postgresql", postgresql),
    ("mysql", mysql),
    ("mssql", mssql),
    ("redis", redis),
    ("mongodb", mongodb),
    ("kafka", kafka),
    ("ldap", ldap),
    ("amqp", amqp),
];

/// What must hold for any bytes: asked by the fuzzer and, of its corpus, by a test. A verdict does not change with what comes
/// later, and a version is short and printable.
///
/// # Panics
/// When it does not hold.
#[cfg(any(test, fuzzing))]
pub fn check(bytes: &[u8]) {
    let hello: (&str, Reader) = ("redis_hello", redis_hello);
    for (name, read) in READERS.into_iter().chain([hello]) {
        let whole = read(bytes);
        for end in (0..bytes.len()).rev().take(64) {
            let part = read(bytes.get(..end).unwrap_or_default());
            assert!(part.is_none() || part == whole, "{name}: {part:?} of {end} bytes, then {whole:?}");
        }
        if let Some(Ok(greeting)) = whole {
            assert!(greeting.version.len() <= MAX_VERSION && greeting.version.bytes().all(|b| matches!(b, b' '..=b'~')), "{name}");
        }
    }
    let _ = (mysql_has_tls(bytes), ldap_result(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(read: fn(&[u8]) -> Read, bytes: &[u8], version: &str, trouble: Option<Trouble>) {
        check(bytes);
        assert_eq!(read(bytes), Some(Ok(Greeting { version: version.to_owned(), trouble })), "{:?}", String::from_utf8_lossy(bytes));
    }

    fn error(state: &str) -> Vec<u8> {
        let body = format!("SFATAL\0VFATAL\0C{state}\0Msorry\0\0");
        [b"E".as_slice(), &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body.as_bytes()].concat()
    }

    #[test]
    fn postgresql_asks_for_a_password_or_says_why_not() {
        is(postgresql, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", "", None);
        is(postgresql, b"R\0\0\0\x08\0\0\0\0", "", None);
        is(postgresql, &error("53300"), "", Some(Trouble::TooMany));
        is(postgresql, &error("57P03"), "", Some(Trouble::Starting));
        is(postgresql, &error("28000"), "", None);
        for bad in [b"HTTP/1.1 400".as_slice(), b"R\0\0\0\x03", b"R\xff\xff\xff\xff", b"E\0\0\0\x08SFAT", b"N"] {
            assert_eq!(postgresql(bad), other(), "{bad:?}");
        }
        assert_eq!(postgresql(b"R\0\0\0\x17\0"), None);
    }

    #[test]
    fn mysql_greets() {
        let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0caching_sha2_password\0";
        is(mysql, greeting, "8.0.36", None);
        assert!(mysql_has_tls(greeting));
        let maria = b"\x1d\0\0\0\x0a5.5.5-10.11.6-MariaDB-0\0\x01\0\0\0";
        is(mysql, maria, "10.11.6-MariaDB-0", None);
        assert!(!mysql_has_tls(maria));
        is(mysql, b"\x17\0\0\0\xff\x10\x04Too many connections", "", Some(Trouble::TooMany));
        is(mysql, b"\x08\0\0\x01\xff\x69\x04block", "", Some(Trouble::Denied));
        for bad in [b"SSH-2.0-OpenSSH".as_slice(), b"220 mail\r\n", b"\x03\0\0\0\x09ab", b"\x03\0\0\0\x0aab", b"+OK\r\n"] {
            assert!(mysql(bad).is_some_and(|read| read.is_err()), "{bad:?}");
        }
    }

    #[test]
    fn the_others_answer() {
        let tds = b"\x04\x01\0\x1a\0\0\x01\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\x10\x27\0\0\x02";
        is(mssql, tds, "16.0.4135", None);
        is(redis, b"+PONG\r\n", "", None);
        is(redis, b"-NOAUTH Authentication required.\r\n", "", None);
        is(redis, b"-LOADING Redis is loading the dataset in memory\r\n", "", Some(Trouble::Starting));
        is(redis, b"-ERR max number of clients reached\r\n", "", Some(Trouble::TooMany));
        is(redis, b"-DENIED Redis is running in protected mode\r\n", "", Some(Trouble::Denied));
        assert_eq!((redis(b"+OK POP3 ready\r\n"), redis(b"-ERR unknown\r\n"), redis(b"+PON")), (other(), other(), None));
        is(redis_hello, b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n", "7.0.15", None);
        is(redis_hello, b"-ERR unknown command\r\n", "", None);
        let document = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f\x08primary\0\x01\x10maxWireVersion\0\x15\0\0\0\0";
        let size = u8::try_from(document.len() + 4).unwrap();
        let head = [size + 21, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0, size, 0, 0, 0];
        is(mongodb, &[&head, document.as_slice()].concat(), "wire 21", None);
        is(kafka, b"\0\0\0\x10Sage\0\0\0\0\0\x01\0\x12\0\0\0\x03", "", None);
        assert_eq!(kafka(b"\0\0\0\x10Saga\0\0"), other());
        let entry = b"\x30\x27\x02\x01\x01\x64\x22\x04\0\x30\x1e\x30\x1c\x04\x0dvendorVersion\x31\x0b\x04\x09389ds 2.4";
        let done = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\0\x04\0\x04\0";
        is(ldap, &[entry.as_slice(), done].concat(), "389ds 2.4", None);
        assert_eq!(ldap(entry), None);
        is(ldap, b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x34\x04\0\x04\0", "", Some(Trouble::Starting));
        is(amqp, b"AMQP\0\0\x09\x01", "0-9-1", None);
        is(amqp, b"AMQP\x03\x01\0\0", "1.0", None);
        let table = b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.12.1";
        let start = [
            &[1, 0, 0, 0, 0, 0, 10 + u8::try_from(table.len()).unwrap(), 0, 10, 0, 10, 0, 9, 0, 0, 0, u8::try_from(table.len()).unwrap()],
            table.as_slice(),
            b"\xce",
        ]
        .concat();
        is(amqp, &start, "3.12.1", None);
        assert_eq!((amqp(b"AM"), amqp(b"AMX"), amqp(b"HTTP")), (None, other(), other()));
    }

    #[test]
    fn a_version_is_short_and_printable() {
        let bytes = [b"\xff\0\0\0\x0a".as_slice(), &[b'9'; 200], b"\0\x01\0\0\0", &[b'x'; 60]].concat();
        let Some(Ok(greeting)) = mysql(&bytes) else { panic!("{:?}", mysql(&bytes)) };
        assert_eq!(greeting.version.len(), MAX_VERSION);
        assert_eq!(mysql(b"\x06\0\0\0\x0a8\n\0\0\0"), other());
    }

    /// Each file of the fuzzer's corpus, and each beginning of it.
    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/greeting");
        let mut known = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            check(&bytes);
            known += usize::from(READERS.iter().any(|(_, read)| matches!(read(&bytes), Some(Ok(_)))));
        }
        assert!(known >= READERS.len(), "{known}");
    }
}
