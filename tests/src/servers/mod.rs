//! The real servers that the tests and the demo run against, one file each: start in a temp folder on a free port,
//! wait until ready, ask, break, stop.

pub mod alertmanager;
pub mod apache;
pub mod grpc;
pub mod mariadb;
pub mod nginx;
pub mod postgres;
pub mod product;
pub mod prometheus;
pub mod redis;
pub mod responder;
pub mod slapd;
pub mod token;
pub mod unbound;
pub mod web;

/// What to run when a server's programs are missing.
pub const INSTALL_HINT: &str = "run scripts/setup.sh (or make test, which does) to install it";

/// A required program's path, or a panic that says how to get it.
pub(crate) fn require(path: &str) -> &str {
    assert!(std::path::Path::new(path).exists(), "{path} is missing: {INSTALL_HINT}");
    path
}
