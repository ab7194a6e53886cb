//! Sockets that the service manager has opened for us (systemd.socket(5), `LISTEN_FDS`): ports below 1024 without the right
//! to take them, and no refused connection while the exporter is restarted.

use std::net::TcpListener;

use crate::codes;
use crate::error::Invalid;

/// The listening sockets that were handed over. To be asked once: who asks owns them.
///
/// # Errors
/// There is none, or one is not a listening TCP socket.
#[cfg(unix)]
pub fn listeners() -> Result<Vec<TcpListener>, Invalid> {
    use std::os::fd::{FromRawFd as _, OwnedFd};
    let fds = sd_notify::listen_fds().map_err(|e| Invalid::new(format!("--web.systemd-socket: {e}")).code(codes::NO_SOCKETS))?;
    let mut listeners = Vec::new();
    for fd in fds {
        // SAFETY: the service manager opened it for this process (LISTEN_PID is ours) and nobody else here knows of it.
        #[allow(unsafe_code, reason = "a descriptor has no other way in")]
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        let listener = TcpListener::from(owned);
        listener.local_addr().and_then(|_| listener.set_nonblocking(true)).map_err(|e| {
            Invalid::new(format!("--web.systemd-socket: descriptor {fd} is not a listening TCP socket: {e}"))
                .hint("ListenStream= of the socket unit is to be a port or an address with a port")
                .code(codes::NO_SOCKETS)
        })?;
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(none()) } else { Ok(listeners) }
}

/// Only on Unix.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn listeners() -> Result<Vec<TcpListener>, Invalid> {
    Err(none())
}

fn none() -> Invalid {
    Invalid::new("--web.systemd-socket: the service manager has handed over no socket")
        .hint("start the socket unit: systemctl start NAME.socket; without one use --web.listen-address")
        .code(codes::NO_SOCKETS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_sockets_it_is_told_what_to_start() {
        let refused = super::listeners().unwrap_err();
        assert!(refused.message.contains("handed over no socket") && refused.hint.is_some_and(|hint| hint.contains(".socket")));
    }
}
