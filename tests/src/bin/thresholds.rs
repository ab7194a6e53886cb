//! Writes `alert-rules/generated/thresholds.rules.yml` from `alert-rules/thresholds.yml`; with `--check` it only says
//! whether the file is stale (exit 1), for CI.

use std::path::Path;
use std::process::ExitCode;

#[allow(clippy::print_stderr, reason = "a command line tool reports on stderr")]
fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("thresholds: unknown argument {other}; the only one is --check");
            return ExitCode::from(2);
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match e2e::lint::thresholds::refresh(&root, check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thresholds: {error}");
            ExitCode::FAILURE
        }
    }
}
