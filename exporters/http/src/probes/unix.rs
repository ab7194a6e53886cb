//! The unix prober: the tcp prober's dialogue over a Unix socket of this machine.

use std::path::Path;

use sage_common::error::CollectError;
use sage_common::os::socket;
use sage_common::prober::Outcome;

use super::dialogue::{self, Shown};
use super::{Ask, tcp};
use crate::allowed::Fence;
use crate::config::unix::UnixConfig;
use crate::connection::{Phase, Seen};

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    // A path in the kernel's address has at most 107 bytes.
    if target.starts_with('/') && target.len() <= 107 && !target.contains(char::is_control) {
        return Ok(());
    }
    Err("the target is not the path of a socket: write target=/run/postgresql/.s.PGSQL.5432".to_owned())
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = UnixConfig::default();
    let unix = ask.module.unix.as_ref().unwrap_or(&default);
    let (mut seen, mut shown) = (Seen::telling(ask.log), Shown::default());
    let ended = ask.deadline.run(talk(ask.target, unix, ask.module.fence(), &mut seen, &mut shown)).await;
    let ended = ended.unwrap_or_else(|_| Err(seen.clock.timeout()));
    seen.clock.stop();
    seen.write(ask.out);
    shown.write(&unix.script(), ask.out);
    Outcome { answered: seen.connected, success: ended.is_ok(), error: ended.err() }
}

async fn talk(path: &str, unix: &UnixConfig, fence: Fence<'_>, seen: &mut Seen, shown: &mut Shown) -> Result<(), CollectError> {
    fence.is_socket(path)?;
    let script = unix.script();
    let secure = script.needs_tls().then(|| tcp::secure(&unix.tls_config, "localhost".to_owned())).transpose()?;
    seen.clock.enter(Phase::Connect);
    let stream = socket::connect(Path::new(path)).await?;
    seen.clock.stop();
    seen.connected = true;
    dialogue::lead(&script, Box::new(stream), 0, secure, seen, shown).await
}
