//! What differs between operating systems: the only place with platform code, which a test of the repository holds us to.
//! What a system does not have is an absent value or an error with a hint there, never another program.

pub mod activation;
pub mod files;
pub mod footprint;
pub mod host;
pub mod icmp;
pub mod listening;
pub mod memory;
pub mod names;
pub mod notify;
pub mod own;
pub mod signal;
pub mod socket;
