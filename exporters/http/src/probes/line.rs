//! The line to a hop: straight, or through a proxy, by CONNECT where TLS is spoken with the target.
//!
//! Names are looked up here also where there is a proxy, as blackbox_exporter does it, so that forbidden addresses stay
//! forbidden; `skip_resolve_phase_with_proxy` leaves them to the proxy. TLS with the target is checked as without a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::http::{MAX_HEAD, broken, drive};
use sage_common::net::tls::{self, Shown};
use url::Host;

use super::hop::Hop;
use super::request;
use crate::allowed::Fence;
use crate::config::http::HttpConfig;
use crate::connection::{self, Phase, Route, Secure, Seen, Stream};
use crate::proxy::{self, Proxy, User};
use crate::reason::Reason;

/// A line on which HTTP can begin.
pub struct Line {
    /// The bytes.
    pub stream: Box<dyn Stream>,
    /// Where requests go to a proxy and not to the target: who we are to it.
    pub proxy: Option<Option<HeaderValue>>,
}

/// Connects to a hop.
///
/// # Errors
/// The reason why there is no line.
pub async fn connect(hop: &Hop<'_>, http: &HttpConfig, seen: &mut Seen) -> Result<Line, CollectError> {
    let (host, port) = hop.place()?;
    // Files are read before the clock runs and before the target waits for us.
    let secure = hop.is_tls().then(|| secure(hop, http, connection::bare(&host))).transpose()?;
    let proxy = proxy::choose(http, &hop.url, environment)?;
    let route = route(http, hop.fence.by(hop.is_tls()));
    let Some(proxy) = proxy else {
        if http.proxy_url.is_some() || http.proxy_from_environment {
            seen.proxy = Some(("direct", "none".to_owned()));
        }
        let stream = connection::open(&host, port, route, seen).await?;
        return Ok(Line { stream: finish(secure, stream, seen).await?, proxy: None });
    };
    seen.proxy = Some((proxy.source.name(), proxy.url.scheme().to_owned()));
    let credential = proxy.user.as_ref().map(credential).transpose()?;
    let place = place(&host, port, http, route, seen).await?;
    let stream = reach(&proxy, http, route, seen).await?;
    let Some(secure) = secure else { return Ok(Line { stream, proxy: Some(credential) }) };
    let stream = tunnel(stream, &place, credential, http, seen).await?;
    Ok(Line { stream: secure.start(stream, seen).await?, proxy: None })
}

/// The way to a target.
pub const fn route<'a>(http: &HttpConfig, fence: Fence<'a>) -> Route<'a> {
    Route { fence, preferred: http.preferred_ip_protocol, fallback: http.ip_protocol_fallback, source: http.source_ip_address }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn finish(secure: Option<Secure>, stream: impl Stream + 'static, seen: &mut Seen) -> Result<Box<dyn Stream>, CollectError> {
    match secure {
        Some(secure) => secure.start(stream, seen).await,
        None => Ok(Box::new(stream)),
    }
}

/// What the proxy is asked for: the address that we found, or the name.
async fn place(host: &Host, port: u16, http: &HttpConfig, route: Route<'_>, seen: &mut Seen) -> Result<String, CollectError> {
    let literal = match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(SocketAddr::from((*ip, port))),
        Host::Ipv6(ip) => Some(SocketAddr::from((*ip, port))),
    };
    if literal.is_some() || !http.skip_resolve_phase_with_proxy {
        return connection::locate(host, port, route, seen).await.map(|address| address.to_string());
    }
    seen.reset();
    route.fence.is_named(host, port)?;
    Ok(format!("{host}:{port}"))
}

/// Connects to the proxy, and begins TLS with it where its URL says so.
async fn reach(proxy: &Proxy, http: &HttpConfig, route: Route<'_>, seen: &mut Seen) -> Result<Box<dyn Stream>, CollectError> {
    let (Some(host), Some(port)) = (proxy.url.host(), proxy.url.port_or_known_default()) else {
        return Err(Reason::PROXY_FAILED.error("the proxy's address names no host"));
    };
    let host = host.to_owned();
    seen.clock.to_proxy = true;
    let address = connection::look_up(&host, port, route, seen).await.map_err(|e| Reason::PROXY_REFUSED.on(e))?;
    let stream = connection::connect(address, route, seen).await.map_err(|e| Reason::PROXY_REFUSED.on(e))?;
    if proxy.url.scheme() == "http" {
        seen.clock.to_proxy = false;
        return Ok(Box::new(stream));
    }
    seen.clock.enter(Phase::ProxyTls);
    // The module's trust, but not its certificate or the name that the target must have: this is not the target.
    let config = http.tls_config.client(&["http/1.1"], false, &Arc::new(Shown::default()))?;
    let stream = tls::handshake(stream, config, &connection::bare(&host)).await.map_err(|e| Reason::PROXY_TLS.on(e))?;
    seen.clock.stop();
    seen.clock.to_proxy = false;
    Ok(Box::new(stream))
}

fn credential(user: &User) -> Result<HeaderValue, CollectError> {
    match user {
        User::Files(basic) => request::basic(basic),
        User::Known(name, password) => request::sensitive(&request::encoded(name, password)),
    }
}

/// Has the proxy connect to `place`.
async fn tunnel(
    stream: Box<dyn Stream>,
    place: &str,
    credential: Option<HeaderValue>,
    http: &HttpConfig,
    seen: &mut Seen,
) -> Result<Box<dyn Stream>, CollectError> {
    seen.clock.enter(Phase::ProxyConnect);
    let request = ask_for(place, credential, http)?;
    let begun = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = begun.map_err(|e| Reason::PROXY_FAILED.on(broken("begin HTTP with the proxy", e)))?;
    let work = async {
        let answer = sender.send_request(request).await.map_err(|e| Reason::PROXY_FAILED.on(broken("read the proxy's answer", e)))?;
        match answer.status() {
            status if status.is_success() => {
                hyper::upgrade::on(answer).await.map_err(|e| Reason::PROXY_FAILED.on(broken("take over the proxy's line", e)))
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(no_entry()),
            status => Err(Reason::PROXY_FAILED.error(format!("the proxy answers {status} to CONNECT"))),
        }
    };
    let line = drive(connection.with_upgrades().boxed(), work).await?;
    seen.clock.stop();
    Ok(Box::new(TokioIo::new(line)))
}

/// The error of a proxy that wants another user.
pub fn no_entry() -> CollectError {
    Reason::PROXY_AUTH
        .error("the proxy answers 407: it wants a user and password")
        .hint("write `proxy_basic_auth: {username: NAME, password_file: /path/to/file}`, or look whether they are still right")
}

fn ask_for(place: &str, credential: Option<HeaderValue>, http: &HttpConfig) -> Result<Request<Empty<Bytes>>, CollectError> {
    let unfit = || CollectError::new(ErrorKind::Internal, "the target cannot be asked for by CONNECT");
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::builder().authority(place).build().map_err(|_| unfit())?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(place).map_err(|_| unfit())?);
    for (name, values) in &http.proxy_connect_header {
        // Both were checked when the configuration was loaded.
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
            headers.append(&name, value);
        }
    }
    if let Some(credential) = credential {
        headers.insert(PROXY_AUTHORIZATION, credential);
    }
    Ok(request)
}

fn secure(hop: &Hop<'_>, http: &HttpConfig, host: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Shown::default());
    let protocols: &[&str] = if http.enable_http2 == Some(false) { &["http/1.1"] } else { &["h2", "http/1.1"] };
    let config = http.tls_config.client(protocols, hop.home, &shown)?;
    // A name that the module gives is that of the target; other hosts have their own.
    let given = http.tls_config.server_name.as_deref().or_else(|| request::configured_host(http).map(without_port));
    Ok(Secure {
        config,
        shown,
        name: given.filter(|_| hop.home).map_or(host, str::to_owned),
        checked: !http.tls_config.insecure_skip_verify,
    })
}

/// The host of a Host header.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.trim_start_matches('[').trim_end_matches(']'),
        _ => authority,
    }
}
