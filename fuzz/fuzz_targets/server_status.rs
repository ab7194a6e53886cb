//! Feeds arbitrary text to the reader of Apache's server-status; what must hold is said in `check`.
//! Run with `cargo +nightly fuzz run server_status`; `cargo test -p sage-apache-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/apache/src/status.rs"]
mod status;

fuzz_target!(|data: &[u8]| status::check::check(data));
