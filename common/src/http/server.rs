//! Listeners and connections: header timeout, connection cap, graceful stop.
//!
//! A client gets 5 s to send its header. When all connections are taken, the one that has been idle longest makes room,
//! so that clients which open connections and say nothing cannot keep an honest scrape out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::error::Invalid;
use crate::http::Site;

/// Time that a client has to send its request header, also on a connection it keeps.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Open connections at most.
const MAX_CONNECTIONS: usize = 64;
/// Longest request header.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Time that running requests get to end when the exporter stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Binds a listen address as Go writes it: `:9187` means all addresses of this machine.
///
/// # Errors
/// The address cannot be read or bound; says which.
pub async fn bind(address: &str) -> Result<TcpListener, Invalid> {
    let refuse = |why: String| Invalid::new(format!("--web.listen-address {address}: {why}"));
    let full = address.strip_prefix(':').map_or_else(|| address.to_owned(), |port| format!("[::]:{port}"));
    let addresses = tokio::net::lookup_host(&full)
        .await
        .map_err(|e| refuse(e.to_string()).hint("write host:port, such as 127.0.0.1:9187, or :9187 for all addresses of this machine"))?;
    let mut last = None;
    for at in addresses {
        match TcpListener::bind(at).await {
            Ok(listener) => return Ok(listener),
            Err(e) => last = Some(e),
        }
    }
    Err(match last {
        Some(e) if e.kind() == std::io::ErrorKind::AddrInUse => refuse("another process listens there".to_owned())
            .hint(format!("see which one: ss -ltnp 'sport = :{}'", full.rsplit(':').next().unwrap_or_default())),
        Some(e) => refuse(e.to_string()),
        None => refuse("the name has no address".to_owned()),
    })
}

/// Serves until `stop` turns true, then lets running requests end.
pub async fn serve(site: Arc<Site>, listeners: Vec<TcpListener>, stop: watch::Receiver<bool>) {
    let open = Arc::new(Connections::default());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::clone(&site), listener, Arc::clone(&open), stop.clone()));
    }
    while accepting.join_next().await.is_some() {}
    site.stop();
    let running = std::mem::take(&mut *open.lock());
    let drained = tokio::time::timeout(DRAIN, async {
        for connection in &running {
            connection.done.clone().wait_for(|done| *done).await.ok();
        }
    });
    if drained.await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    for connection in running {
        connection.abort.abort();
    }
}

async fn accept(site: Arc<Site>, listener: TcpListener, open: Arc<Connections>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, _peer)) => {
                open.admit(|busy, done| tokio::spawn(connection(Arc::clone(&site), stream, busy, done, stop.clone())).abort_handle())
            }
            Err(error) => {
                // Out of descriptors, most likely: let some be freed before asking again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(site: Arc<Site>, stream: TcpStream, busy: Arc<AtomicBool>, done: watch::Sender<bool>, mut stop: watch::Receiver<bool>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| {
        let (site, busy) = (Arc::clone(&site), Busy::begin(&busy));
        async move {
            let answer = site.answer(request).await;
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
    done.send_replace(true);
}

/// Returns when the exporter is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Marks a connection as answering a request for as long as it lives.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(Arc::clone(flag))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

struct Connection {
    busy: Arc<AtomicBool>,
    done: watch::Receiver<bool>,
    abort: AbortHandle,
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections {
    open: Mutex<Vec<Connection>>,
}

impl Connections {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in; the longest idle one makes room where there is none. Where all are busy, the newcomer is
    /// closed at once.
    fn admit(&self, start: impl FnOnce(Arc<AtomicBool>, watch::Sender<bool>) -> AbortHandle) {
        let mut open = self.lock();
        open.retain(|c| !c.abort.is_finished());
        if open.len() >= MAX_CONNECTIONS {
            let Some(idle) = open.iter().position(|c| !c.busy.load(Ordering::Relaxed)) else {
                tracing::warn!(connections = open.len(), "a connection was refused: all are busy");
                return;
            };
            open.remove(idle).abort.abort();
        }
        let busy = Arc::new(AtomicBool::new(false));
        let (tx, done) = watch::channel(false);
        let abort = start(Arc::clone(&busy), tx);
        open.push(Connection { busy, done, abort });
    }
}

/// True when every address is one of this machine's own loopback addresses.
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
