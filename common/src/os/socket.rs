//! Unix sockets, to which the tools of a server on the same machine connect.

use std::path::Path;

use crate::error::CollectError;

/// A connected Unix socket.
#[cfg(unix)]
pub type Socket = tokio::net::UnixStream;

/// What can be read and written like one; there is never one.
#[cfg(not(unix))]
pub type Socket = tokio::net::TcpStream;

/// Connects.
///
/// # Errors
/// Nobody listens there, or we may not.
#[cfg(unix)]
pub async fn connect(path: &Path) -> Result<Socket, CollectError> {
    Socket::connect(path).await.map_err(|e| CollectError::io(format!("connect to {}", path.display()), e))
}

/// There are none here.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub async fn connect(path: &Path) -> Result<Socket, CollectError> {
    let refused =
        CollectError::new(crate::error::ErrorKind::Connect, format!("connect to {}: no Unix sockets on this system", path.display()));
    Err(refused.hint("name the server by a host name or an address and its port"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn an_absent_socket_is_named() {
        let error = connect(Path::new("/nowhere/a.sock")).await.unwrap_err();
        assert_eq!(error.kind, if cfg!(unix) { ErrorKind::Refused } else { ErrorKind::Connect });
        assert!(error.to_string().contains("connect to /nowhere/a.sock"), "{error}");
    }
}
