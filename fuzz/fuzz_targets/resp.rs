//! Feeds arbitrary bytes to the reader of Redis' answers.
//!
//! Beyond not crashing: in pieces the same answers come as in one, and a refusal stays a refusal.
//! Run with `cargo +nightly fuzz run resp`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../exporters/redis/src/resp.rs"]
mod resp;

fn answers(stream: &[u8], size: usize) -> Result<Vec<resp::Value>, resp::Fault> {
    let (mut reader, mut found) = (resp::Reader::default(), Vec::new());
    for piece in stream.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (taken, value) = reader.feed(rest)?;
            assert!(taken > 0 && taken <= rest.len());
            found.extend(value);
            rest = &rest[taken..];
        }
    }
    Ok(found)
}

fuzz_target!(|data: &[u8]| {
    let whole = answers(data, data.len().max(1));
    let pieces = answers(data, data.len() % 29 + 1);
    match (whole, pieces) {
        (Ok(one), Ok(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?} in one, {other:?} in pieces"),
    }
});
