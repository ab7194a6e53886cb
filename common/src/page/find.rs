//! How a status page on this machine is found: its usual paths are asked for, one after the other. No login, nothing is changed.

use tokio::time::timeout;

use super::{PageOptions, PageSession, Product};
use crate::commands::discover::GREETING;
use crate::os::listening::Place;
use crate::service::Phases;

/// The target behind `place`, if one of `paths` leads to what `is` takes for the product's page. Servers that speak TLS alone
/// are passed over: their certificate is for a name that is not known here.
pub async fn find<P: Product>(place: &Place, paths: &[&str], is: impl Fn(PageSession<P>) -> bool) -> Option<PageOptions<P>> {
    let Place::Tcp(at) = place else { return None };
    for path in paths {
        let options = PageOptions { url: format!("http://{at}{path}"), ..PageOptions::default() };
        let mut phases = Phases::default();
        let session = timeout(GREETING, PageSession::connect(&options, &mut phases)).await.ok()?.ok()?;
        if is(session) {
            return Some(options);
        }
    }
    None
}
