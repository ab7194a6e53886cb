//! How an Apache on this machine is found: usual ports, its processes, and a status page at one of the usual paths.

use sage_common::commands::discover::Traces;
use sage_common::os::listening::Place;
use sage_common::page::find;

use crate::options::Options;
use crate::session::Session;

/// What it looks like from outside.
pub const TRACES: Traces = Traces { ports: &[80, 8000, 8080], sockets: &[], by_socket: false, processes: &["apache2", "httpd"] };

const PATHS: &[&str] = &["/server-status?auto"];

/// The target behind `place`, if it has a status page.
pub async fn recognise(place: &Place) -> Option<Options> {
    find(place, PATHS, |http| Session::new(http).page().is_ok()).await
}
