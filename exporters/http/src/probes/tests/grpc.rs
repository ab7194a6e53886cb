//! A health service on a real HTTP/2 server of hyper: no server of gRPC is at hand.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::connection::Stream;
use crate::testing::{Authority, GOOD_UNTIL, LONG, Page, Server, probe};

/// Answers by the name of the service: a status of the health service, or an error of gRPC.
async fn health(
    request: Request<hyper::body::Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let asked = (request.uri().path() == "/grpc.health.v1.Health/Check" && request.headers()["te"] == "trailers").then_some(());
    let tenant = request.headers().get("x-tenant").cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (message, status) = match (asked, &body[..]) {
        (None, _) => (None, "12"),
        (_, [0, 0, 0, 0, 0]) => (Some(1), "0"),
        (_, b"\0\0\0\0\x06\x0a\x04down") => (Some(2), "0"),
        (_, b"\0\0\0\0\x08\x0a\x06tenant") if tenant.is_some_and(|t| t == "a") => (Some(1), "0"),
        _ => (None, "5"),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    let data = message.map(|number| Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, number])));
    let mut answer = Response::builder().header("content-type", "application/grpc");
    if data.is_none() {
        answer = answer.header("grpc-status", status);
    }
    let frames: Vec<_> = data.into_iter().chain([Frame::trailers(trailers)]).map(Ok).collect();
    Ok(answer.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap())
}

async fn serve(stream: impl Stream + 'static) {
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(health)).await;
}

async fn ask(settings: &str, server: &Server) -> Page {
    probe(&format!("prober: grpc\ngrpc: {{preferred_ip_protocol: ip4, {settings}}}\n"), &server.address.to_string(), LONG).await
}

fn serving(page: &Page, status: &str) -> Option<f64> {
    page.value(&format!("probe_grpc_healthcheck_response{{serving_status=\"{status}\"}}"))
}

#[tokio::test]
async fn a_service_says_how_it_is() {
    let server = Server::tcp(serve).await;
    let page = ask("service: ''", &server).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!(
        (page.value("probe_grpc_status_code"), serving(&page, "SERVING"), serving(&page, "NOT_SERVING")),
        (Some(0.0), Some(1.0), Some(0.0))
    );
    assert_eq!((page.value("probe_grpc_ssl"), page.value("probe_ip_protocol")), (Some(0.0), Some(4.0)));
    assert!(page.value("probe_grpc_duration_seconds{phase=\"check\"}").is_some_and(|took| took > 0.0));

    let page = ask("service: down", &server).await;
    assert_eq!((page.reason(), page.value("probe_grpc_status_code"), serving(&page, "NOT_SERVING")), ("grpc", Some(0.0), Some(1.0)));
    assert!(page.outcome.answered && page.error().contains("NOT_SERVING"), "{}", page.error());
    let page = ask("service: nobody", &server).await;
    assert_eq!((page.reason(), page.value("probe_grpc_status_code"), serving(&page, "SERVING")), ("grpc", Some(5.0), Some(0.0)));
    assert!(page.error().contains("NOT_FOUND"), "{}", page.error());
    assert!(ask("service: tenant, metadata: {x-tenant: [a]}", &server).await.outcome.success);
}

#[tokio::test]
async fn the_same_by_tls() {
    let authority = Authority::new();
    let tls = TlsAcceptor::from(authority.server("127.0.0.1", 2099));
    let server = Server::tcp(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream).await;
            }
        }
    })
    .await;
    let page = ask(&format!("tls: true, tls_config: {{ca_file: {}}}", authority.file.shown()), &server).await;
    assert!(page.outcome.success, "{}", page.error());
    assert_eq!((page.value("probe_grpc_ssl"), page.value("probe_ssl_earliest_cert_expiry")), (Some(1.0), Some(GOOD_UNTIL)));
    let page = ask("tls: true", &server).await;
    assert_eq!((page.reason(), page.value("probe_grpc_status_code"), page.outcome.answered), ("tls", Some(14.0), true));
}

#[tokio::test]
async fn what_is_no_grpc() {
    let web = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let page = ask("tls: false", &web).await;
    assert_eq!((page.reason(), page.value("probe_grpc_status_code")), ("decode", Some(14.0)), "{}", page.error());
    let silent = Server::tcp(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let module = "prober: grpc\ngrpc: {preferred_ip_protocol: ip4}\n";
    let page = probe(module, &silent.address.to_string(), Duration::from_millis(300)).await;
    assert_eq!((page.reason(), page.value("probe_grpc_status_code")), ("timeout", Some(4.0)));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(probe(module, &format!("http://{free}/"), LONG).await.reason(), "refused");
    let grpc = crate::probes::Kind::find("grpc").unwrap();
    assert!(grpc.accept("localhost:0").is_err() && grpc.accept("a b").is_err() && grpc.accept("[::1]:50051").is_ok());
}
