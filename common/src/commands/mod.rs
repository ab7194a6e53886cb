//! Commands: those that every exporter has (`check`, what Prometheus needs of it, what an operator installs or sends to
//! support, what is found on this machine), and what those of one exporter are made of (`own`, `now`).

pub mod bundle;
pub mod catalogue;
pub mod check;
pub mod completions;
pub mod discover;
pub mod man;
pub mod now;
pub mod own;
pub mod prometheus;
pub mod rules;
pub mod shipped;
pub mod tar;
pub mod terminal;
