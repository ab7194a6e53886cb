//! Feeds arbitrary bytes to the readers of database servers' first answers; what must hold is said in `check`.
//! Run with `cargo +nightly fuzz run greeting`; `cargo test -p sage-http-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/http/src/probes/protocol/read/mod.rs"]
mod read;

fuzz_target!(|data: &[u8]| read::check(data));
