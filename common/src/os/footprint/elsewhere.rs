//! Systems without a /proc like that of Linux: there is no footprint to be had.

use super::{BTreeMap, FootprintError, Process, Stat};

pub(super) fn stat(_pid: u32) -> Result<Stat, FootprintError> {
    Err(FootprintError::Unsupported)
}

pub(super) fn descendants(_root: u32) -> Result<Vec<Process>, FootprintError> {
    Err(FootprintError::Unsupported)
}

pub(super) fn pss(_pid: u32) -> Option<u64> {
    None
}

pub(super) fn tcp_states(_folder: &str, _port: u16) -> Result<BTreeMap<&'static str, u64>, FootprintError> {
    Err(FootprintError::Unsupported)
}
