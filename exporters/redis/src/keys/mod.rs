//! Keys and streams that a target's configuration names: which ones, where they are asked for, and how gently.
//!
//! Nothing here runs unless somebody names a key. All of it runs on the timer, never in a scrape.

pub mod ask;
pub mod checks;
pub mod label;
pub mod place;
pub mod run;
pub mod scan;
pub mod xinfo;
