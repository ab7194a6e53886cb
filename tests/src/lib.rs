//! Harness of the end-to-end tests, the demo and the benchmarks: starts real servers and the shipped exporter binaries
//! in temp folders on free loopback ports, puts faults between them, and stops everything it started by pid.
//! A step that cannot be done panics with what it waited for: a test that cannot run fails, it never skips.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test support: a panic is how a failed step is told")]

pub mod bench;
pub mod boards;
pub mod breakage;
pub mod draw;
pub mod drill;
pub mod dropin;
pub mod exporter;
pub mod fault;
pub mod golden;
pub mod http;
pub mod instructions;
pub mod issuer;
pub mod lint;
pub mod netns;
pub mod page;
pub mod poll;
pub mod probed;
pub mod process;
pub mod said;
pub mod servers;
pub mod site;
pub mod soak;
pub mod temp;
pub mod watched;
pub mod watched_redis;
pub mod watched_web;
