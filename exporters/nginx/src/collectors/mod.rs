//! The table of collectors: one line each, sorted by name.

pub mod footprint;
pub mod plus;
pub mod plus_upstreams;
pub mod probe;
pub mod status;
pub mod traffic;

use crate::service::NginxService;

sage_common::collectors! {
    NginxService;
    footprint: footprint::Footprint,
    plus: plus::Plus,
    plus_upstreams: plus_upstreams::PlusUpstreams,
    probe: probe::Probe,
    status: status::Status,
    traffic: traffic::Traffic,
}
