//! The table of collectors: one line each, sorted by name.

pub mod balancers;
pub mod footprint;
pub mod probe;
pub mod scoreboard;
pub mod status;

use crate::service::ApacheService;

sage_common::collectors! {
    ApacheService;
    balancers: balancers::Balancers,
    footprint: footprint::Footprint,
    probe: probe::Probe,
    scoreboard: scoreboard::Scoreboard,
    status: status::Status,
}
