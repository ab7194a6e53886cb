//! Listeners and connections: TLS, HTTP/1.1 and HTTP/2, graceful stop.
//!
//! How long a connection may stay is in `clock.rs`, which one makes room for the next in `connections.rs`.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Site;
use super::clock::{Clock, Watched};
use super::connections::Connections;
use crate::codes;
use crate::error::Invalid;
use crate::os;

/// Longest request header.
const MAX_HEADER_BYTES: u16 = 16 * 1024;
/// Requests that a connection of HTTP/2 may have open.
const MAX_STREAMS: u32 = 16;
/// Time that running requests get to end when the exporter stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Binds a listen address as Go writes it: `:9187` means all addresses of this machine.
///
/// # Errors
/// The address cannot be read or bound; says which.
pub async fn bind(address: &str) -> Result<TcpListener, Invalid> {
    let refuse = |why: String| Invalid::new(format!("--web.listen-address {address}: {why}")).code(codes::LISTEN);
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
        Some(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            refuse(match full.rsplit(':').next().and_then(|port| os::listening::on_port(port.parse().ok()?)) {
                Some((pid, name)) => format!("another process listens there: {name}, process {pid}"),
                None => "another process listens there".to_owned(),
            })
            .code(codes::PORT_TAKEN)
            .hint(format!("see which one: ss -ltnp 'sport = :{}'", full.rsplit(':').next().unwrap_or_default()))
        }
        Some(e) if e.kind() == std::io::ErrorKind::PermissionDenied => refuse(e.to_string())
            .hint("ports below 1024 are root's: take another one, or let systemd open it (--web.systemd-socket)")
            .code(codes::PORT_DENIED),
        Some(e) if e.kind() == std::io::ErrorKind::AddrNotAvailable => {
            refuse(e.to_string()).hint("it is not an address of this machine: ip -brief address shows those that are").code(codes::NOT_OURS)
        }
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
    let running = open.take();
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
            Ok((stream, peer)) => open.admit(site.connections(), peer.ip().to_canonical(), |clock, done| {
                tokio::spawn(connection(Arc::clone(&site), stream, peer.ip().to_canonical(), clock, done, stop.clone())).abort_handle()
            }),
            Err(error) => {
                // Out of descriptors, most likely: let some be freed before asking again.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    site: Arc<Site>,
    stream: TcpStream,
    from: IpAddr,
    clock: Arc<Clock>,
    done: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) {
    stream.set_nodelay(true).ok();
    let (rules, mut changes) = site.rules();
    // After a change the connection ends with its answer: the next one meets the new certificate and rules.
    let leave = async {
        tokio::select! {
            () = stopped(&mut stop) => {}
            _ = changes.changed() => {}
        }
    };
    let ended = tokio::select! {
        ended = async {
            let Some(tls) = &rules.tls else { return speak(&site, stream, false, from, &clock, leave).await };
            let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await?;
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(&site, stream, two, from, &clock, leave).await
        } => ended,
        () = clock.run_out() => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
    done.send_replace(true);
}

/// Speaks HTTP on a stream until it ends; when `leave` is ready, until its running requests are answered.
async fn speak<T>(
    site: &Arc<Site>,
    stream: T,
    two: bool,
    from: IpAddr,
    clock: &Arc<Clock>,
    leave: impl Future<Output = ()>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (site, running) = (Arc::clone(site), clock.request());
        async move {
            let answer = site.answer(request, from).await;
            drop(running);
            Ok::<_, Infallible>(answer)
        }
    });
    macro_rules! until_the_end {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = leave => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            ended.map_err(io::Error::other)
        }};
    }
    if two {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADER_BYTES.into());
        until_the_end!(builder.serve_connection(TokioIo::new(stream), service))
    } else {
        let stream = Watched { stream, clock: Arc::clone(clock) };
        // The clock watches over headers: hyper's own timer would end connections that are kept between scrapes.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEADER_BYTES.into());
        until_the_end!(builder.serve_connection(TokioIo::new(stream), service))
    }
}

/// Returns when the exporter is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// True when every address is one of this machine's own loopback addresses.
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
