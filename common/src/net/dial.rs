//! Name resolution and TCP connect, one phase each, with errors told apart by the system's codes.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use crate::error::{CollectError, ErrorKind};
use crate::os::names::{self, Unresolved};

/// Addresses of a host, in the resolver's order.
///
/// # Errors
/// `Resolve` when the name has no address (in detail `dns_nxdomain`) or the resolver does not answer (`dns_failed`).
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, CollectError> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let failed = || {
        CollectError::new(ErrorKind::Resolve, format!("resolve {bare}"))
            .hint(format!("ask the resolver of this machine: getent hosts {bare}"))
    };
    if let Ok(literal) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    let name = bare.to_owned();
    let found = tokio::task::spawn_blocking(move || names::lookup(&name, port)).await;
    match found.map_err(|e| failed().detail("dns_failed").caused_by(e))? {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(failed().detail("dns_nxdomain")),
        Err(Unresolved::NoSuchName(e)) => Err(failed().detail("dns_nxdomain").caused_by(e)),
        Err(Unresolved::Failed(e)) => Err(failed().detail("dns_failed").caused_by(e)),
    }
}

/// Connects to the first of `addresses` that answers.
///
/// # Errors
/// The error of the last address tried.
pub async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, CollectError> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are single small writes: waiting to fill a packet only costs time.
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Err(e) => last = Some(CollectError::io(format!("connect to {address}"), e)),
        }
    }
    Err(last.unwrap_or_else(|| CollectError::new(ErrorKind::Resolve, "there is no address to connect to")))
}

/// Connects to one address, from the address `source` of this machine.
///
/// # Errors
/// As `connect`; also when this machine does not have `source`.
pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Result<TcpStream, CollectError> {
    let failed = |e| CollectError::io(format!("connect to {address} from {source}"), e);
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed)?;
    socket.bind(SocketAddr::new(source, 0)).map_err(failed)?;
    let stream = socket.connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_resolve_and_nobody_listening_is_refused() {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let addresses = resolve("127.0.0.1", port).await.unwrap();
        assert_eq!(addresses, [SocketAddr::from(([127, 0, 0, 1], port))]);
        assert_eq!(resolve("[::1]", 1).await.unwrap()[0].to_string(), "[::1]:1");
        assert_eq!(connect(&addresses).await.unwrap_err().kind, ErrorKind::Refused);
        assert_eq!(connect(&[]).await.unwrap_err().kind, ErrorKind::Resolve);
    }

    #[tokio::test]
    async fn the_source_address_is_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = connect_from("127.0.0.9".parse().unwrap(), address).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.9");
        let e = connect_from("192.0.2.1".parse().unwrap(), address).await.unwrap_err();
        assert!(e.to_string().contains("from 192.0.2.1"), "{e}");
    }

    #[tokio::test]
    async fn a_name_without_address_says_so() {
        let e = resolve("no-such-host.invalid", 1).await.unwrap_err();
        assert_eq!(
            (e.kind, e.hint.as_deref()),
            (ErrorKind::Resolve, Some("ask the resolver of this machine: getent hosts no-such-host.invalid"))
        );
    }
}
