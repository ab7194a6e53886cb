//! Feeds arbitrary JSON to the readers of the API of NGINX Plus; what must hold is said in `check`.
//! Run with `cargo +nightly fuzz run nginx_plus`; `cargo test -p sage-nginx-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/nginx/src/plus.rs"]
mod plus;

fuzz_target!(|data: &[u8]| plus::check::check(data));
