//! Feeds arbitrary bytes to the readers of PostgreSQL's log, of which the first byte chooses the format; what must hold is
//! said in `check`. Run with `cargo +nightly fuzz run postgres_log`; `cargo test -p sage-postgres-exporter` replays the corpus.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../exporters/postgres/src/log/read/mod.rs"]
mod read;

fuzz_target!(|data: &[u8]| read::check::check(data));
