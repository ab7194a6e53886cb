//! Routes: `/`, `/metrics`, `/probe` (also as `/scrape`, the path of some replaced exporters), `/targets` (for http_sd),
//! `/-/healthy`, `/-/ready`, `/-/reload`; everything else is 404.
//!
//! A sick target is data: the answer is 200. 400, 403, 405 and 503 are about the request and the load, 500 about bugs of
//! ours, and about a configuration that was to be loaded and is refused. No route shows a secret, runs a profile or serves a
//! file. Who may ask is judged before anything is looked up (`web`), `/-/healthy` excepted: service managers and load
//! balancers have no password, and it tells nothing.

pub mod clock;
pub mod connections;
pub mod discovery;
pub mod landing;
pub mod server;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::watch;

use crate::app::{Ask, TIMEOUT_HEADER};
use crate::cli::CommonFlags;
use crate::codes;
use crate::error::{HttpError, Invalid};
use crate::expo;
use crate::reload::InForce;
use crate::scrape::report::write_dropped;
use crate::selfmon::{self, Answers};
use crate::sink::Sink;
use crate::web::{Admission, Rules, Web};

/// Open connections that are always possible.
const LEAST_CONNECTIONS: usize = 64;

type Answer = Response<Full<Bytes>>;

/// What all requests of one exporter share.
pub struct Site {
    current: Arc<dyn InForce>,
    lifecycle: bool,
    telemetry_path: String,
    max_requests: Option<usize>,
    /// A clone for each scrape that runs.
    scrapes: Arc<()>,
    answers: Answers,
    stopping: AtomicBool,
    web: Arc<Web>,
}

fn not_found(text: String) -> HttpError {
    HttpError::new(404, Invalid::new(text).code(codes::REQUEST))
}

fn busy(text: &str) -> HttpError {
    HttpError::new(503, Invalid::new(text).code(codes::OVERLOADED))
}

impl Site {
    /// A site with these flags, for those that `web` lets in.
    pub fn new(current: Arc<dyn InForce>, flags: &CommonFlags, web: Arc<Web>) -> Self {
        Self {
            current,
            lifecycle: flags.web_enable_lifecycle,
            telemetry_path: flags.telemetry_path.clone(),
            max_requests: flags.max_requests,
            scrapes: Arc::default(),
            answers: Answers::default(),
            stopping: AtomicBool::new(false),
            web,
        }
    }

    /// Scrapes that may run at once, with the targets that there are now.
    fn room(&self) -> usize {
        self.max_requests.unwrap_or_else(|| self.current.app().room())
    }

    /// Connections that may be open: Prometheus keeps one for each target.
    pub fn connections(&self) -> usize {
        self.room().max(LEAST_CONNECTIONS)
    }

    /// From now on `/-/ready` says no.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What is in force for a connection, and a sign when that changes.
    pub fn rules(&self) -> (Arc<Rules>, watch::Receiver<Arc<Rules>>) {
        self.web.rules()
    }

    /// Answers one request of a client. Never fails: a panic of ours becomes 500.
    pub async fn answer<B>(&self, request: Request<B>, from: IpAddr) -> Answer {
        let (rules, _) = self.web.rules();
        let mut answer = match std::panic::AssertUnwindSafe(self.judge(request, from, &rules)).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => plain(StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.text()),
            Err(_) => {
                tracing::error!("a request handler panicked; this is a bug of the exporter");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the exporter's log\n")
            }
        };
        for (name, value) in &rules.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        self.answers.count(answer.status().as_u16());
        answer
    }

    async fn judge<B>(&self, request: Request<B>, from: IpAddr, rules: &Rules) -> Result<Answer, HttpError> {
        if request.uri().path() == "/-/healthy" {
            return self.route(request).await;
        }
        match rules.admit(request.headers(), from).await {
            Admission::Welcome => self.route(request).await,
            Admission::Unauthorized => {
                let mut answer = plain(StatusCode::UNAUTHORIZED, "unauthorized\n");
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"metrics\", charset=\"UTF-8\""));
                Ok(answer)
            }
            Admission::TooMany => {
                let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
                Ok(answer)
            }
        }
    }

    async fn route<B>(&self, request: Request<B>) -> Result<Answer, HttpError> {
        let path = request.uri().path();
        if path == "/-/reload" {
            return self.reload(request.method());
        }
        let metrics = path == self.telemetry_path;
        if !metrics && !matches!(path, "/" | "/probe" | "/scrape" | "/targets" | "/-/healthy" | "/-/ready") {
            return Err(not_found(format!("nothing is served here; metrics are at {}", self.telemetry_path)));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(answer);
        }
        match path {
            _ if metrics => self.metrics(&request, true).await,
            "/probe" | "/scrape" => self.metrics(&request, false).await,
            "/targets" => self.targets(&request),
            "/-/ready" if self.stopping.load(Ordering::Relaxed) => Err(busy("stopping")),
            "/-/ready" => Ok(plain(StatusCode::OK, "ready\n")),
            "/-/healthy" => Ok(plain(StatusCode::OK, "healthy\n")),
            _ => Ok(html(landing::page(self.current.app().as_ref(), &self.telemetry_path))),
        }
    }

    fn reload(&self, method: &Method) -> Result<Answer, HttpError> {
        if !self.lifecycle {
            return Err(HttpError::new(
                403,
                Invalid::new("reload by HTTP is off").hint("start with --web.enable-lifecycle, or send SIGHUP").code(codes::REQUEST),
            ));
        }
        if method != Method::POST && method != Method::PUT {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only POST and PUT\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, PUT"));
            return Ok(answer);
        }
        match self.current.reload() {
            Ok(()) => Ok(plain(StatusCode::OK, "reloaded\n")),
            Err(error) => Err(HttpError::new(500, error.within("the last good configuration stays in force"))),
        }
    }

    fn targets<B>(&self, request: &Request<B>) -> Result<Answer, HttpError> {
        let free = || not_found("the targets of this exporter are those that it is asked for".to_owned());
        let targets = self.current.app().targets().ok_or_else(free)?;
        let host = called(request).ok_or_else(|| HttpError::bad_request("the request has no Host"))?;
        let mut answer = plain(StatusCode::OK, discovery::list(&targets, host));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(answer)
    }

    async fn metrics<B>(&self, request: &Request<B>, own: bool) -> Result<Answer, HttpError> {
        let headers = request.headers();
        let timeout = match headers.get(TIMEOUT_HEADER) {
            Some(value) => Some(value.to_str().map_err(|_| HttpError::bad_request(format!("{TIMEOUT_HEADER} is not text")))?),
            None => None,
        };
        let ask = Ask::parse(request.uri().query().unwrap_or_default(), timeout)?;
        let running = Arc::clone(&self.scrapes);
        if Arc::strong_count(&running) > self.room().saturating_add(1) {
            return Err(busy("too many scrapes at once (--web.max-requests)"));
        }
        let app = self.current.app();
        if !own && let Some(text) = app.explain(&ask) {
            return Ok(plain(StatusCode::OK, text.await?));
        }
        let mut page = if own { app.metrics(ask).await? } else { app.probe(ask).await? };
        page.lift_limit();
        if own {
            selfmon::write(app.meta(), self.current.loaded(), self.web.reload(), &self.answers, &mut page);
        }
        page.settle();
        if !page.dropped().is_empty() {
            write_dropped(&mut page);
            page.settle();
        }
        Ok(exposition(&page, headers))
    }
}

/// The name by which the client calls us: of the URI in HTTP/2, of the header in HTTP/1.
fn called<B>(request: &Request<B>) -> Option<&str> {
    let header = || request.headers().get(HOST)?.to_str().ok();
    request.uri().authority().map(hyper::http::uri::Authority::as_str).or_else(header).filter(|host| !host.is_empty())
}

fn exposition(page: &Sink, headers: &HeaderMap) -> Answer {
    let header = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let format = expo::negotiate(header(ACCEPT));
    let body = expo::write(page, format);
    let packed = expo::accepts_gzip(header(ACCEPT_ENCODING)).then(|| expo::gzip(&body)).flatten();
    let gzipped = packed.is_some();
    let mut answer = Response::new(Full::new(Bytes::from(packed.unwrap_or(body))));
    let h = answer.headers_mut();
    h.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    h.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzipped {
        h.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

fn html(text: String) -> Answer {
    let mut answer = plain(StatusCode::OK, text);
    let h = answer.headers_mut();
    h.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    h.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
    answer
}
