//! Real servers on loopback, certificates, and the page that a probe of them gives.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sage_common::config;
use sage_common::deadline::Deadline;
use sage_common::expo::{self, Format};
use sage_common::prober::Outcome;
use sage_common::prober::log::Log;
use sage_common::sink::{NO_LIMIT, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::config::ModuleConfig;
use crate::connection::Stream;
use crate::probes::Ask;
use crate::reason::Reason;

/// What a server does after it has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Hang up.
    Close,
    /// Keep the connection until the other end hangs up.
    Hang,
}

/// A server on a free port of loopback; it ends with this value.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// What was asked so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers each request by its text.
    pub async fn http(answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    /// The same over TLS; what fails in the handshake is the client's affair.
    pub async fn https(tls: Arc<ServerConfig>, answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        Self::start(Some(TlsAcceptor::from(tls)), answer).await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        Self::lines(requests, move |stream| {
            let (seen, answer, tls) = (Arc::clone(&seen), Arc::clone(&answer), tls.clone());
            async move {
                let mut stream: Box<dyn Stream> = match tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                    None => Box::new(stream),
                };
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request.clone());
                let (bytes, then) = answer(&request);
                // A client that has read enough hangs up; that is not the server's failure.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
                if then == Then::Hang {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    /// Hands each connection to `talk`.
    pub async fn tcp<F: Future<Output = ()> + Send + 'static>(talk: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        Self::lines(Arc::default(), talk).await
    }

    async fn lines<F: Future<Output = ()> + Send + 'static>(
        requests: Arc<Mutex<Vec<String>>>,
        talk: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(stream));
            }
        });
        Self { address, requests, task }
    }
}

async fn read_request(stream: &mut Box<dyn Stream>) -> String {
    let mut got = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |v| v.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

/// An answer with a body of known length, and the connection closed.
pub fn answer(status: &str, headers: &str, body: &str) -> (Vec<u8>, Then) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
    (text.into_bytes(), Then::Close)
}

/// The page of one probe and how it ended.
pub struct Page {
    pub text: String,
    pub outcome: Outcome,
}

impl Page {
    /// The value of a series, as written.
    pub fn value(&self, series: &str) -> Option<f64> {
        let line = self.text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// The reason of the failure.
    pub fn reason(&self) -> &str {
        self.outcome.error.as_ref().map_or("", |e| e.kind.as_str())
    }

    /// The same, as `probe_error_info` has it.
    pub fn why(&self) -> &'static str {
        self.outcome.error.as_ref().map_or("", |e| Reason::of(e).name)
    }

    /// The error as people see it.
    pub fn error(&self) -> String {
        self.outcome.error.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// Probes with a module as it stands in a file.
pub async fn probe(text: &str, target: &str, time: Duration) -> Page {
    probe_by(&module(text), target, time).await
}

/// A module as it stands in a file.
pub fn module(text: &str) -> ModuleConfig {
    let module: ModuleConfig = config::parse(text, "test.yml").unwrap();
    module.validate().unwrap();
    module
}

/// Probes with a module that keeps what it has from one probe to the next.
pub async fn probe_by(module: &ModuleConfig, target: &str, time: Duration) -> Page {
    module.prober.accept(target).unwrap();
    let mut out = Sink::new(NO_LIMIT);
    let ask = Ask { target, hostname: None, module, log: Log::default(), deadline: Deadline::after(time), out: &mut out };
    let outcome = module.prober.probe(ask).await;
    out.settle();
    let text = String::from_utf8(expo::write(&out, Format::Text)).unwrap();
    Page { text, outcome }
}

/// A time that no probe of these tests needs.
pub const LONG: Duration = Duration::from_secs(20);

/// A file that only we can read; it ends with this value.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(content: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sage-http-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let mut file = sage_common::os::files::create_new(&path, true).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        Self(path)
    }

    pub fn shown(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An authority of our own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate as a file to trust.
    pub file: TempFile,
}

/// 2099-01-01 and 2020-01-01, Unix time.
pub const GOOD_UNTIL: f64 = 4_070_908_800.0;
pub const EXPIRED_AT: f64 = 1_577_836_800.0;

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let certificate = params.self_signed(&key).unwrap();
        Self { file: TempFile::new(&certificate.pem()), issuer: Issuer::new(params, key) }
    }

    /// A server's side with a certificate for `name` that ends at the start of `year`.
    pub fn server(&self, name: &str, year: i32) -> Arc<ServerConfig> {
        let (key, params) = leaf(name, year);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server_config(certificate.der().clone(), &key)
    }
}

/// A server's side with a certificate that nobody vouches for.
pub fn self_signed(name: &str) -> Arc<ServerConfig> {
    let (key, params) = leaf(name, 2099);
    let certificate = params.self_signed(&key).unwrap();
    server_config(certificate.der().clone(), &key)
}

fn leaf(name: &str, year: i32) -> (KeyPair, CertificateParams) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    (KeyPair::generate().unwrap(), params)
}

fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    Arc::new(config)
}
