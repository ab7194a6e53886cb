//! The grpc prober: asks grpc.health.v1.Health/Check, whose two messages are small enough to be written by hand.

mod message;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::rt::Executor;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::http::{broken, drive};
use sage_common::net::tls::Shown;
use sage_common::prober::Outcome;
use sage_common::put;
use sage_common::sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use url::Host;

use super::Ask;
use crate::allowed::Fence;
use crate::config::grpc::GrpcConfig;
use crate::connection::{self, Phase, Route, Secure, Seen, Stream};
use crate::metrics::{GRPC_DURATION, GRPC_HEALTH, GRPC_SSL, GRPC_STATUS_CODE};
use crate::reason::Reason;
use message::Health;

/// Largest answer.
const MAX_BODY: usize = 64 << 10;
/// What gRPC says where no answer came, and where none came in time.
const UNAVAILABLE: u16 = 14;
const DEADLINE_EXCEEDED: u16 = 4;
const UNIMPLEMENTED: u16 = 12;
const NOT_FOUND: u16 = 5;

/// Reads `host`, `host:port`, or a URL of them.
fn parse(target: &str) -> Result<(Host, Option<u16>), String> {
    let wrong = || "the target is not HOST:PORT of a gRPC server: write target=example.com:50051".to_owned();
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")).unwrap_or(target);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    connection::place(rest).ok_or_else(wrong)
}

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    parse(target).map(drop)
}

#[derive(Debug, Default)]
struct Facts {
    seen: Seen,
    answered: bool,
    status: Option<u16>,
    health: Option<Health>,
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = GrpcConfig::default();
    let grpc = ask.module.grpc.as_ref().unwrap_or(&default);
    let mut facts = Facts { seen: Seen::telling(ask.log), ..Facts::default() };
    let ended = ask.deadline.run(check(ask.target, grpc, ask.module.fence(), &mut facts)).await;
    let ended = ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()));
    facts.seen.clock.stop();
    let late = ended.as_ref().is_err_and(|e| e.kind == ErrorKind::Timeout);
    facts.write(grpc, late, ask.out);
    Outcome { answered: facts.answered || facts.seen.showed_certificate(), success: ended.is_ok(), error: ended.err() }
}

async fn check(target: &str, grpc: &GrpcConfig, fence: Fence<'_>, facts: &mut Facts) -> Result<(), CollectError> {
    let (host, port) = parse(target).map_err(|text| CollectError::new(ErrorKind::Internal, text))?;
    let port = port.unwrap_or(if grpc.tls { 443 } else { 80 });
    let request = request(&host, port, grpc)?;
    // Files are read before the clock runs and before the target waits for us.
    let secure = grpc.tls.then(|| secure(grpc, connection::bare(&host))).transpose()?;
    let route =
        Route { fence: fence.by(grpc.tls), preferred: grpc.preferred_ip_protocol, fallback: grpc.ip_protocol_fallback, source: None };
    let stream = connection::open(&host, port, route, &mut facts.seen).await?;
    let stream: Box<dyn Stream> = match secure {
        Some(secure) => secure.start(stream, &mut facts.seen).await?,
        None => Box::new(stream),
    };
    facts.seen.clock.enter(Phase::Processing);
    let (side, started) = mpsc::unbounded_channel();
    let (mut sender, connection) =
        http2::Builder::new(Beside(side)).handshake(TokioIo::new(Owned(stream))).await.map_err(|e| broken("begin HTTP/2", e))?;
    let work = async {
        let answer = sender.send_request(request).await.map_err(|e| foreign("read the answer's head", e))?;
        facts.answered = true;
        facts.seen.clock.enter(Phase::Transfer);
        read(answer, facts).await
    };
    let ended = drive(join(connection, beside(started)), work).await;
    facts.seen.clock.stop();
    ended
}

/// A server that speaks no HTTP/2 answers with what is none, or hangs up on our first bytes.
fn foreign(context: &str, error: hyper::Error) -> CollectError {
    Reason::PROTOCOL.error(format!("{context}: is it HTTP/2 that is spoken there?")).caused_by(error)
}

fn request(host: &Host, port: u16, grpc: &GrpcConfig) -> Result<Request<Full<Bytes>>, CollectError> {
    let scheme = if grpc.tls { "https" } else { "http" };
    let mut request = Request::post(format!("{scheme}://{host}:{port}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers");
    for (name, values) in &grpc.metadata {
        for value in values {
            request = request.header(name, value);
        }
    }
    let body = Full::new(Bytes::from(message::question(&grpc.service)));
    request.body(body).map_err(|e| CollectError::new(ErrorKind::Internal, "write the request").caused_by(e))
}

fn secure(grpc: &GrpcConfig, host: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Shown::default());
    Ok(Secure {
        config: grpc.tls_config.client(&["h2"], true, &shown)?,
        shown,
        name: grpc.tls_config.server_name.clone().unwrap_or(host),
        checked: !grpc.tls_config.insecure_skip_verify,
    })
}

/// Reads the answer: its status stands in the trailers, or in the head where there is no message.
async fn read(answer: Response<Incoming>, facts: &mut Facts) -> Result<(), CollectError> {
    let (head, body) = answer.into_parts();
    if head.status != 200 {
        return Err(
            Reason::HTTP_STATUS.error(format!("the status is {}: this is no gRPC server, or a proxy before it", head.status.as_u16()))
        );
    }
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| Reason::PROTOCOL.error("read the answer").caused_by(e))?;
    let code = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse::<u16>().ok().filter(|code| *code <= 16);
    let status = body.trailers().and_then(code).or_else(|| code(&head.headers));
    let status = status.ok_or_else(|| Reason::PROTOCOL.error("the answer has no grpc-status"))?;
    facts.status = Some(status);
    if status != 0 {
        let error = Reason::GRPC_STATUS.error(format!("the gRPC status is {status} ({})", message::code_name(status)));
        return Err(match status {
            UNIMPLEMENTED => error.hint("the server has no health service: register grpc.health.v1.Health there"),
            NOT_FOUND => error.hint("the server knows no service of this name: see `service:` of the module"),
            _ => error,
        });
    }
    let health = message::answer(&body.to_bytes()).ok_or_else(|| Reason::PROTOCOL.error("the answer is no HealthCheckResponse"))?;
    facts.health = Some(health);
    match health {
        Health::Serving => Ok(()),
        other => Err(Reason::NOT_SERVING.error(format!("the service is {}", other.name()))),
    }
}

/// A connection as a type without lifetimes: only then can the compiler tell that what hyper splits off may be sent.
struct Owned(Box<dyn Stream>);

impl AsyncRead for Owned {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Owned {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Runs what hyper splits off for a connection as long as the probe runs, and no longer.
#[derive(Clone)]
struct Beside(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Beside {
    fn execute(&self, work: F) {
        // Nobody receives it any more: the probe is over.
        let _ = self.0.send(work.boxed());
    }
}

async fn beside(mut started: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(work) = started.recv() => running.push(work),
            Some(()) = running.next() => {}
            else => return,
        }
    }
}

impl Facts {
    fn write(&self, grpc: &GrpcConfig, late: bool, out: &mut Sink) {
        self.seen.write(out);
        let clock = &self.seen.clock;
        let check = [Phase::Connect, Phase::Tls, Phase::Processing, Phase::Transfer].map(|phase| clock.spent(phase));
        put!(out, GRPC_DURATION { phase: "resolve" } = clock.spent(Phase::Resolve));
        put!(out, GRPC_DURATION { phase: "check" } = check.iter().sum::<std::time::Duration>());
        put!(out, GRPC_SSL {} = self.answered && grpc.tls);
        put!(out, GRPC_STATUS_CODE {} = self.status.unwrap_or(if late { DEADLINE_EXCEEDED } else { UNAVAILABLE }));
        for health in Health::ALL {
            put!(out, GRPC_HEALTH { serving_status: health.name() } = self.health == Some(health));
        }
    }
}
