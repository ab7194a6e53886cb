//! Targets take the readers of exporters' programs by their path, of which some parts are there for tests and fuzzing
//! alone. cargo-fuzz says `fuzzing` itself; said here as well, a plain `cargo check` sees what it builds.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rustc-cfg=fuzzing");
}
