//! Connections to targets.

pub mod dial;
pub mod http;
pub mod place;
pub mod tls;
mod trust;
