//! The request of one hop: headers, and credentials where they belong.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use sage_common::config::secret::Secret;
use sage_common::error::{CollectError, ErrorKind};
use url::{Position, Url};

use super::hop::Hop;
use crate::config::http::HttpConfig;
use crate::config::http::auth::BasicAuth;

/// Headers that another host than the target's gets too; what else is configured may be a secret.
const HARMLESS: [HeaderName; 5] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT];

/// The body that the module sends.
///
/// # Errors
/// `Internal` when its file cannot be read.
pub fn body(http: &HttpConfig) -> Result<Bytes, CollectError> {
    match (&http.body, &http.body_file) {
        (Some(text), _) => Ok(Bytes::from(text.clone())),
        (None, Some(file)) => std::fs::read(file).map(Bytes::from).map_err(|e| {
            CollectError::new(ErrorKind::Internal, format!("read the body file {}", file.display()))
                .caused_by(e)
                .hint(format!("the service user must be able to read it: ls -l {}", file.display()))
        }),
        (None, None) => Ok(Bytes::new()),
    }
}

/// The method that the module uses.
pub fn method(http: &HttpConfig) -> Method {
    // Checked when the configuration was loaded.
    Method::from_bytes(http.method.as_bytes()).unwrap_or(Method::GET)
}

/// The Host header that the module sets, by whatever spelling.
pub fn configured_host(http: &HttpConfig) -> Option<&str> {
    let host = http.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    host.map(|(_, value)| value.as_str())
}

/// What a request has of the line that it goes by.
pub struct Dress {
    /// Where it goes to a proxy: who we are to it.
    pub proxy: Option<Option<HeaderValue>>,
    /// The credential that was asked for, where it is not one of the module's own.
    pub token: Option<HeaderValue>,
    /// Whether it goes by HTTP/2.
    pub two: bool,
    /// The cookies that the host gave us.
    pub cookies: Option<HeaderValue>,
}

/// Makes the request.
///
/// # Errors
/// `Auth` when a secret cannot be read or sent.
pub fn build(hop: &Hop<'_>, http: &HttpConfig, dress: Dress) -> Result<Request<Full<Bytes>>, CollectError> {
    let unfit = |what: &str| CollectError::new(ErrorKind::Internal, format!("{what} cannot be sent"));
    // A proxy is told the whole URL, a server what it is asked for.
    let from = if dress.proxy.is_some() { Position::BeforeScheme } else { Position::BeforePath };
    let uri: Uri = hop.url[from..Position::AfterQuery].parse().map_err(|_| unfit("the path"))?;
    let mut request = Request::new(Full::new(hop.body.clone()));
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&authority(&hop.url)).map_err(|_| unfit("the host"))?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("sage-http-exporter/", env!("CARGO_PKG_VERSION"))));
    // Nothing is compressed unless the module says that it can be read.
    let encoding = match http.compression.as_str() {
        "gzip" => "gzip",
        "deflate" => "deflate",
        "br" => "br",
        _ => "identity",
    };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    configured(hop, http, headers)?;
    headers.extend(hop.headers.clone());
    if let Some(cookies) = dress.cookies {
        headers.insert(COOKIE, cookies);
    }
    if let Some(user) = dress.proxy.flatten() {
        headers.insert(PROXY_AUTHORIZATION, user);
    }
    if hop.home {
        let token = dress.token.map_or_else(|| credential(http), |token| Ok(Some(token)))?;
        headers.extend(token.map(|value| (AUTHORIZATION, value)));
    }
    if dress.two {
        // HTTP/2 has the host in the URL, and no connection of its own to close.
        headers.remove(CONNECTION);
        let host = headers.remove(HOST).ok_or_else(|| unfit("the host"))?;
        let path = &hop.url[Position::BeforePath..Position::AfterQuery];
        let whole = Uri::builder().scheme("https").authority(host.as_bytes()).path_and_query(path).build();
        *request.uri_mut() = whole.map_err(|_| unfit("the host"))?;
    }
    Ok(request)
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn configured(hop: &Hop<'_>, http: &HttpConfig, headers: &mut HeaderMap) -> Result<(), CollectError> {
    for (name, value) in &http.headers {
        // Both were checked when the configuration was loaded.
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            continue;
        };
        if hop.home || HARMLESS.contains(&name) {
            headers.insert(name, value);
        }
    }
    for (name, header) in &http.http_headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        if !hop.home && !HARMLESS.contains(&name) {
            continue;
        }
        headers.remove(&name);
        for value in header.values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
            headers.append(&name, value);
        }
        for file in &header.files {
            headers.append(&name, sensitive(&read(file)?)?);
        }
    }
    Ok(())
}

fn credential(http: &HttpConfig) -> Result<Option<HeaderValue>, CollectError> {
    let text = if let Some(basic) = &http.basic_auth {
        return self::basic(basic).map(Some);
    } else if let Some(other) = &http.authorization {
        let Some(file) = &other.credentials_file else { return Ok(None) };
        format!("{} {}", other.r#type, read(file)?)
    } else if let Some(file) = &http.bearer_token_file {
        format!("Bearer {}", read(file)?)
    } else {
        return Ok(None);
    };
    sensitive(&text).map(Some)
}

fn read(file: &Path) -> Result<String, CollectError> {
    Secret::File(file.to_owned()).read()
}

/// User and password as a header value, read from where they stand.
///
/// # Errors
/// `Auth` when they cannot be read or sent.
pub fn basic(basic: &BasicAuth) -> Result<HeaderValue, CollectError> {
    let user = match (&basic.username, &basic.username_file) {
        (Some(user), _) => user.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => String::new(),
    };
    let password = basic.password_file.as_deref().map(read).transpose()?.unwrap_or_default();
    sensitive(&encoded(&user, &password))
}

/// User and password as they are sent.
pub fn encoded(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A header value that no log shows.
///
/// # Errors
/// `Auth` when it is not one line.
pub fn sensitive(text: &str) -> Result<HeaderValue, CollectError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        CollectError::new(ErrorKind::Auth, "the credential holds a character that no header can have")
            .hint("it must be one line of printable characters")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
