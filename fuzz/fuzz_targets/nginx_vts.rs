//! Feeds arbitrary JSON to the reader of NGINX' traffic status module; what must hold is said in `check`.
//! Run with `cargo +nightly fuzz run nginx_vts`; `cargo test -p sage-nginx-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/nginx/src/vts.rs"]
mod vts;

fuzz_target!(|data: &[u8]| vts::check::check(data));
