//! What must hold for any log: asked by the fuzzer and, of its corpus, by a test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "it is a test")]

use sage_common::tail::Part;

use super::stderr::Lines;
use super::{Found, MOST, Reader, Records};

/// Prefixes as they are in use, and some that nobody would have. Each is compiled once, since that takes a thousand times as
/// long as reading.
const PREFIXES: [&str; 8] = [
    "%m [%p] %q%u@%d/%a ",
    "%t:%r:%u@%d:[%p]: ",
    "%n %c %l %e %v %x %Q%%",
    "<%-6p|%6p|%20a> ",
    "",
    "%a%u%d",
    "user=%u,db=%d,app=%a,client=%h ",
    "%t %s %b %i %P %z (",
];

thread_local! {
    static READERS: Vec<Lines> = PREFIXES.iter().map(|prefix| Lines::new(Some(prefix))).chain([Lines::new(None)]).collect();
}

/// All that is asked of the readers for any bytes: they come to an end, hold little, read the same in pieces of any size,
/// and what serde_json reads in a line of jsonlog is what we read. The first byte chooses the format.
///
/// # Panics
/// When something of that is not so.
pub fn check(data: &[u8]) {
    let (kind, data) = data.split_first().unwrap_or((&0, data));
    let log = &*String::from_utf8_lossy(data);
    let whole_lines = kind % 3 == 2;
    let records = || match kind % 3 {
        0 => Records::Csv(super::csv::Records::default()),
        1 => Records::Json(super::json::Objects::default()),
        _ => READERS.with(|readers| Records::Stderr(readers[usize::from(kind / 3) % readers.len()].clone())),
    };
    let read = |size: usize| {
        let mut reader = Reader { records: records(), zone: Some(3600) };
        let mut found = Vec::new();
        for (number, line) in log.split('\n').enumerate() {
            let mut rest = line;
            loop {
                // Whole characters, as the tail gives them; stderr has all that matters in a line's first part.
                let end = (size..rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
                let (text, after) = rest.split_at(if whole_lines { rest.len() } else { end });
                let part = Part {
                    text,
                    begins: rest.len() == line.len(),
                    ends: after.is_empty(),
                    new_file: number == 0 && rest.len() == line.len(),
                };
                found.extend(reader.part(part));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
        found
    };
    let whole = read(usize::MAX);
    assert_eq!(whole, read(64 + data.len() % 7), "{kind}");
    assert!(whole.len() <= log.split('\n').count());
    for found in &whole {
        if let Found::Statement(statement) = found {
            assert!(statement.ms.is_finite() && statement.ms >= 0.0);
            assert!(statement.application.as_ref().is_none_or(|name| name.len() <= MOST + 4));
        }
    }
    if kind % 3 == 1 {
        log.split('\n').for_each(json);
    }
}

/// Whatever serde_json takes as a flat object is one to us, with the same message.
pub fn json(line: &str) {
    let read = super::json::Objects::default().part(Part { text: line, begins: true, ends: true, new_file: false });
    let Ok(serde_json::Value::Object(known)) = serde_json::from_str(line) else { return };
    if known.values().any(|value| value.is_array() || value.is_object()) {
        return;
    }
    let record = read.expect("an object is a record").unwrap_or_else(|()| panic!("not read: {line}"));
    if let Some(serde_json::Value::String(message)) = known.get("message") {
        let cut = message.char_indices().map(|(at, _)| at).find(|at| *at >= MOST).unwrap_or(message.len());
        assert_eq!(Some(record.message.as_str()), message.get(..cut), "{line}");
    }
}
