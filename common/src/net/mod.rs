//! Connections to targets.

pub mod dial;
pub mod http;
pub mod tls;
mod trust;
