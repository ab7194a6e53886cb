//! Who listens on this machine: addresses, sockets and the processes behind them, from /proc/net and /proc/PID/fd. What
//! belongs to other users is seen without its process, unless we are root.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// An address of this machine, loopback where all are listened on.
    Tcp(SocketAddr),
}

impl Place {
    /// The port of an address; some servers end the names of their sockets with it.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Socket(path) => path.extension()?.to_str()?.parse().ok(),
            Self::Tcp(at) => Some(at.port()),
        }
    }
}

/// One who listens.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where.
    pub place: Place,
    /// Process number and name, where they can be seen.
    pub process: Option<(i32, String)>,
}

/// Whether [`all`] knows all who listen here; elsewhere than on Linux the product's own ports are to be tried.
pub const SEEN: bool = cfg!(target_os = "linux");

/// All who listen.
#[cfg(target_os = "linux")]
pub fn all() -> Vec<Listener> {
    use procfs::net::{TcpState, UnixState};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let mut found: Vec<(Place, u64)> = Vec::new();
    let tcp = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    for entry in tcp.filter(|entry| entry.state == TcpState::Listen) {
        let at = entry.local_address;
        let ip = match at.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        found.push((Place::Tcp(SocketAddr::new(ip, at.port())), entry.inode));
    }
    let unix = procfs::net::unix().into_iter().flatten().filter(|entry| entry.state == UnixState::UNCONNECTED);
    found.extend(unix.filter_map(|entry| Some((Place::Socket(entry.path.filter(|path| path.is_absolute())?), entry.inode))));
    let owners = owners();
    let mut all: Vec<Listener> = found.into_iter().map(|(place, inode)| Listener { place, process: owners.get(&inode).cloned() }).collect();
    all.sort_by(|a, b| a.place.cmp(&b.place));
    all.dedup_by(|a, b| a.place == b.place);
    all
}

/// The processes of the sockets that we may see.
#[cfg(target_os = "linux")]
fn owners() -> std::collections::HashMap<u64, (i32, String)> {
    use procfs::process::FDTarget;
    let mut owners = std::collections::HashMap::new();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        let Ok(fds) = process.fd() else { continue };
        let mut name = None;
        for fd in fds.flatten() {
            let FDTarget::Socket(inode) = fd.target else { continue };
            let name = name.get_or_insert_with(|| process.stat().map(|stat| stat.comm).unwrap_or_default());
            // The first process is the one that the others descend from.
            owners.entry(inode).or_insert_with(|| (process.pid, name.clone()));
        }
    }
    owners
}

/// Elsewhere they cannot be seen.
#[cfg(not(target_os = "linux"))]
pub fn all() -> Vec<Listener> {
    Vec::new()
}

/// The process that listens on this port, where it can be seen.
pub fn on_port(port: u16) -> Option<(i32, String)> {
    all().into_iter().find(|listener| matches!(&listener.place, Place::Tcp(at) if at.port() == port)).and_then(|listener| listener.process)
}

/// Connects, says `hello` and returns the first bytes of the answer, at most 64; nothing when there is none in `limit`.
pub async fn greet(place: &Place, hello: &[u8], limit: Duration) -> Option<Vec<u8>> {
    let talk = async {
        match place {
            Place::Tcp(at) => answer(tokio::net::TcpStream::connect(at).await.ok()?, hello).await,
            Place::Socket(path) => answer(super::socket::connect(path).await.ok()?, hello).await,
        }
    };
    tokio::time::timeout(limit, talk).await.ok()?
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, hello: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(hello).await.ok()?;
    let mut bytes = vec![0; 64];
    let read = stream.read(&mut bytes).await.ok()?;
    bytes.truncate(read);
    (read > 0).then_some(bytes)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_listener_is_seen_and_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let found = all().into_iter().find(|listener| listener.place == Place::Tcp(at)).unwrap();
        assert_eq!(found.process.map(|(pid, _)| pid), Some(std::process::id() as i32));
        assert_eq!(on_port(at.port()).map(|(pid, _)| pid), Some(std::process::id() as i32));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(&hello).await.unwrap();
        });
        assert_eq!(greet(&Place::Tcp(at), b"hello", Duration::from_secs(5)).await.unwrap(), b"hello");
    }
}
