//! What differs between operating systems: the only place with platform code.

pub mod activation;
pub mod files;
pub mod host;
pub mod listening;
pub mod names;
pub mod notify;
pub mod signal;
