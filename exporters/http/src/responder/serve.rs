//! The responder's connections: few, each with an end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use sage_common::net::http::Stream;
use sage_common::os::signal::{Signals, Wish};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Rules;

/// Connections at once; one more is closed.
const MOST: usize = 64;
/// Longest handshake, and longest wait for a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// So many requests of the longest kind fit into a connection's life.
const REQUESTS: u32 = 4;
/// Room for heads, and for pieces of bodies.
const ROOM: usize = 256 << 10;

/// Serves until the process is to stop.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, rules: Arc<Rules>) {
    let mut signals = Signals::default();
    let tls = tls.map(TlsAcceptor::from);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            wish = signals.next() => if wish != Wish::Reload { return },
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if open.len() < MOST => {
                    let (tls, rules) = (tls.clone(), Arc::clone(&rules));
                    let life = HEAD + rules.max_time * REQUESTS;
                    open.spawn(async move {
                        let _ = timeout(life, connection(stream, tls, rules)).await;
                        tracing::debug!(%peer, "a connection ended");
                    });
                }
                Ok((_, peer)) => tracing::warn!(%peer, "a connection was refused: {MOST} are open"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, rules: Arc<Rules>) {
    stream.set_nodelay(true).ok();
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => match timeout(HEAD, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            _ => return,
        },
    };
    let service = service_fn(|request| {
        let rules = Arc::clone(&rules);
        async move { Ok::<_, Infallible>(rules.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(ROOM);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
