//! Connections to targets.

pub mod dial;
pub mod tls;
