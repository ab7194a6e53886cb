//! Feeds arbitrary text to what is read of a request: a line each for the query, the scraper's timeout, Accept and
//! Accept-Encoding.
//!
//! Beyond not crashing: a refusal is a 400 of one line; a timeout is one hour at most; a query means the same when it is
//! written anew; a format that is not asked for is not sent. Run with `cargo +nightly fuzz run request`.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sage_common::app::Ask;
use sage_common::expo::{self, Format};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(4, '\n');
    let query = lines.next().unwrap_or_default();
    let (timeout, accept, encoding) = (lines.next(), lines.next(), lines.next());
    match Ask::parse(query, timeout) {
        Ok(ask) => {
            assert_eq!(ask.timeout.is_some(), timeout.is_some());
            assert!(ask.timeout.is_none_or(|limit| limit <= Duration::from_secs(3600)));
            ask.deadline(Duration::from_millis(500), Duration::from_secs(60));
            for (name, value) in &ask.query {
                let all: Vec<&str> = ask.all(name).collect();
                assert!(all.contains(&value.as_str()));
                match ask.one(name) {
                    Ok(one) => assert_eq!((one, all.len()), (Some(value.as_str()), 1)),
                    Err(error) => assert!(error.status == 400 && all.len() > 1),
                }
            }
            let written: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&ask.query).finish();
            assert_eq!(Ask::parse(&written, None).unwrap().query, ask.query);
        }
        Err(error) => assert!(error.status == 400 && !error.error.message.contains('\n'), "{}", error.error.message),
    }
    if expo::negotiate(accept) == Format::OpenMetrics {
        assert!(accept.is_some_and(|accept| accept.contains("application/openmetrics-text")));
    }
    if expo::accepts_gzip(encoding) {
        assert!(encoding.is_some_and(|encoding| encoding.contains("gzip") || encoding.contains('*')));
    }
});
