//! One scrape's questions to a server with a status page, over one connection for as long as the server keeps it.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use tokio::sync::Mutex;
use url::{Host, Position, Url};

use super::{MAX_PAGE, PageOptions, Product, shown};
use crate::codes;
use crate::commands::check::Advice;
use crate::error::{CollectError, ErrorKind, Invalid};
use crate::net::http::{Answer, Connection, Stream};
use crate::net::{dial, tls};
use crate::os::socket;
use crate::service::{Phases, TargetOptions as _};

/// The questions of one scrape.
pub struct PageSession<P: Product> {
    /// The target.
    pub options: PageOptions<P>,
    url: Url,
    first: Answer,
    moved: AtomicBool,
    line: Mutex<Option<Connection>>,
}

impl<P: Product> PageSession<P> {
    /// Connects and asks for the status page. Any answer that is HTTP will do: the server is reached.
    ///
    /// # Errors
    /// The phase that failed, and why.
    pub async fn connect(options: &PageOptions<P>, phases: &mut Phases) -> Result<Self, CollectError> {
        let url = options.address().map_err(internal)?;
        let mut connection = open(options, &url, Some(phases)).await?;
        let mut session = Self {
            options: options.clone(),
            first: Answer::default(),
            moved: AtomicBool::new(false),
            line: Mutex::new(None),
            url: url.clone(),
        };
        let asked = &url[Position::BeforePath..Position::AfterQuery];
        session.first = connection.get(session.request(asked, None)?, MAX_PAGE).await.map_err(|e| during(&options.describe(), e))?;
        session.keep(connection).await;
        // The same server may have the page a little beside, as with a slash at the end.
        if let Some(next) = session.first.location().and_then(|to| url.join(to).ok()).filter(|next| next.origin() == url.origin()) {
            session.moved.store(true, Ordering::Relaxed);
            session.first = session.get(&next[Position::BeforePath..Position::AfterQuery]).await?;
        }
        phases.end("request");
        Ok(session)
    }

    /// The answer at the address of the status page.
    pub const fn first(&self) -> &Answer {
        &self.first
    }

    /// What `check` should warn of though the page was read: it stands beside the address.
    pub fn advice(&self) -> Vec<Advice> {
        let moved = self.moved.load(Ordering::Relaxed).then(|| Advice {
            about: "url".to_owned(),
            found: "the server sends us on to another path".to_owned(),
            hint: "set url to that path: it saves a request at each scrape".to_owned(),
        });
        moved.into_iter().collect()
    }

    /// The address of the status page, for messages.
    pub fn at(&self) -> String {
        self.options.describe()
    }

    /// The path of the status page.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// Asks for a path of the same server.
    ///
    /// # Errors
    /// The connection failed or the answer is not HTTP.
    pub async fn get(&self, path: &str) -> Result<Answer, CollectError> {
        self.ask(path, None, MAX_PAGE).await
    }

    /// As `get`, with another host and another limit. A connection that is cut off in the middle is not used again.
    ///
    /// # Errors
    /// As `get`.
    pub async fn ask(&self, path: &str, host: Option<&str>, limit: usize) -> Result<Answer, CollectError> {
        let request = self.request(path, host)?;
        let kept = self.line.lock().await.take().filter(|connection| !connection.is_over());
        let mut connection = match kept {
            Some(connection) => connection,
            None => open(&self.options, &self.url, None).await?,
        };
        let answer = connection.get(request, limit).await.map_err(|e| during(&shown(path), e))?;
        self.keep(connection).await;
        Ok(answer)
    }

    async fn keep(&self, connection: Connection) {
        *self.line.lock().await = Some(connection);
    }

    fn request(&self, path: &str, host: Option<&str>) -> Result<Request<Empty<Bytes>>, CollectError> {
        let unfit = |what: &str| CollectError::new(ErrorKind::Internal, format!("{what} cannot be sent"));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.parse().map_err(|_| unfit("the path"))?;
        let headers = request.headers_mut();
        let own = || authority(&self.url);
        let host = host.or(self.options.host_header.as_deref()).map_or_else(own, str::to_owned);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| unfit("the host"))?);
        headers.insert(USER_AGENT, HeaderValue::from_static(P::AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &self.options.headers {
            // Both were checked when the configuration was loaded.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        if let Some(user) = &self.options.user {
            let password = self.options.read_password()?.unwrap_or_default();
            let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
            let mut value = HeaderValue::from_str(&basic).map_err(|_| unfit("the credential"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn during(what: &str, mut error: CollectError) -> CollectError {
    error.context = format!("GET {what}: {}", error.context);
    error
}

fn internal(error: Invalid) -> CollectError {
    CollectError::new(ErrorKind::Internal, error.message)
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The host as resolver and certificate want it: an IPv6 address without brackets.
fn bare(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(ip)) => ip.to_string(),
        _ => url.host_str().unwrap_or_default().to_owned(),
    }
}

async fn open<P: Product>(options: &PageOptions<P>, url: &Url, phases: Option<&mut Phases>) -> Result<Connection, CollectError> {
    let mut ended = Phases::default();
    let phases = phases.unwrap_or(&mut ended);
    let stream: Box<dyn Stream> = if let Some(path) = &options.socket {
        let stream = socket::connect(path).await?;
        phases.end("connect");
        Box::new(stream)
    } else {
        let addresses = dial::resolve(&bare(url), url.port_or_known_default().unwrap_or(80)).await?;
        phases.end("resolve");
        let stream = dial::connect(&addresses).await?;
        phases.end("connect");
        Box::new(stream)
    };
    if url.scheme() == "http" {
        return Connection::start(stream).await;
    }
    let config = tls::client_config(&options.tls())?;
    let host = options.host_header.as_deref().map(|host| host.split(':').next().unwrap_or(host).to_owned());
    let name = options.tls_server_name.clone().or(host).unwrap_or_else(|| bare(url));
    let stream = tls::handshake(stream, config, &name).await.map_err(|e| match e.code() {
        code if code == codes::TLS_UNTRUSTED => e.hint("name the authority's file in tls_ca_file, or install it for all"),
        code if code == codes::TLS_NAME => e.hint("connect by a name that stands in it, or name one in tls_server_name"),
        _ => e,
    })?;
    phases.end("tls");
    Connection::start(stream).await
}
