//! Commands that every exporter has beside `check` and `print-config`: what Prometheus needs of it, what an operator installs
//! or sends to support, and what is found on this machine.

pub mod bundle;
pub mod discover;
pub mod prometheus;
pub mod rules;
pub mod tar;
