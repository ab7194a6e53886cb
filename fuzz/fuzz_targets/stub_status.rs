//! Feeds arbitrary text to the reader of NGINX' stub_status; what must hold is said in `check`.
//! Run with `cargo +nightly fuzz run stub_status`; `cargo test -p sage-nginx-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/nginx/src/stub.rs"]
mod stub;

fuzz_target!(|data: &[u8]| stub::check::check(data));
