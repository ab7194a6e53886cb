//! `responder`: the far end of throughput tests, on the Internet or inside the data centre.
//!
//! `GET /download?bytes=N` sends N bytes that no compression makes fewer, `POST /upload` counts what it gets and keeps
//! nothing. Who asks needs the token; a day has its budget, a request its cap of bytes and of time. Where other machines
//! reach it, it does not start without TLS and token.

mod answer;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sage_common::codes;
use sage_common::commands::own::Failure;
use sage_common::config::Span;
use sage_common::config::secret::Secret;
use sage_common::error::Invalid;
use sage_common::http::server::{bind, is_loopback};
use sage_common::os;

use crate::allowance::Allowance;
use crate::config::types::Size;

/// The exporter's own commands.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Own {
    /// Be the far end of throughput tests, until it is stopped
    Responder(Flags),
    /// Print what this machine must allow for pings; all other probes need no right
    Grants,
}

/// What `grants` prints.
pub const GRANTS: &str = "\
# Probes of HTTP, TCP, Unix sockets, DNS and gRPC need no right of this machine. Pings (icmp) need one of these three:
#
# 1. For all programs; the same line in a file of /etc/sysctl.d keeps it. It rules IPv6 as well.
#      sysctl -w net.ipv4.ping_group_range='0 2147483647'
# 2. For the service alone: systemctl edit sage-http-exporter
#      [Service]
#      AmbientCapabilities=CAP_NET_RAW
# 3. For the program alone, without systemd:
#      setcap cap_net_raw+ep /usr/bin/sage-http-exporter
";

/// Flags of the responder.
#[derive(clap::Args, Clone, Debug)]
pub struct Flags {
    /// Address to listen on
    #[arg(long = "responder.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:19557")]
    listen: String,
    /// File with the certificate and those between it and the authority (PEM)
    #[arg(long = "responder.cert-file", value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// File with the certificate's key (PEM)
    #[arg(long = "responder.key-file", value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// File with the token that clients send as `Authorization: Bearer`
    #[arg(long = "responder.token-file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Bytes that may be moved in a day (UTC), both ways together
    #[arg(long = "responder.daily-budget", value_name = "SIZE", default_value = "20GB")]
    daily_budget: Size,
    /// Most bytes of one request
    #[arg(long = "responder.max-bytes", value_name = "SIZE", default_value = "1GB")]
    max_bytes: Size,
    /// Longest request
    #[arg(long = "responder.max-time", value_name = "TIME", default_value = "60s")]
    max_time: Span,
    /// Let other machines use it without TLS or without a token
    #[arg(long = "responder.insecure")]
    insecure: bool,
}

/// A shorter token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// What requests are answered with.
struct Rules {
    token: Option<Secret>,
    allowance: Allowance,
    max_bytes: u64,
    max_time: Duration,
}

fn tls(flags: &Flags) -> Result<Option<Arc<ServerConfig>>, Invalid> {
    let (Some(cert), Some(key)) = (&flags.cert_file, &flags.key_file) else { return Ok(None) };
    let read = |path: &PathBuf| std::fs::read(path).map_err(|e| Invalid::unreadable(path.display(), path, &e));
    if os::files::open_to_all(key) {
        let text = format!("--responder.key-file {}: every user of this machine can read or change the key", key.display());
        return Err(Invalid::new(text).hint(format!("chmod 640 {}", key.display())).code(codes::SECRET_OPEN));
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(cert)?).collect();
    let bad = |what: &str, why: String| {
        Invalid::new(format!("{what}: {why}")).hint("both are PEM files; `tls-init` makes a pair").code(codes::TLS_FILE)
    };
    let chain = chain.map_err(|e| bad("--responder.cert-file", e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| bad("--responder.key-file", e.to_string()))?;
    let made = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Ok(Some(Arc::new(made.map_err(|e| bad("--responder.cert-file", e.to_string()))?)))
}

/// Refuses what would be open to strangers.
fn guard(at: SocketAddr, flags: &Flags) -> Result<(), Invalid> {
    let lacks = match (flags.cert_file.is_some(), flags.token_file.is_some()) {
        (true, true) => return Ok(()),
        (false, true) => "without TLS",
        (true, false) => "without a token",
        (false, false) => "without TLS and token",
    };
    if is_loopback(at) || flags.insecure {
        return Ok(());
    }
    Err(Invalid::new(format!("other machines would reach {at} {lacks}"))
        .hint("write --responder.cert-file, --responder.key-file and --responder.token-file (`tls-init` makes a pair), listen on 127.0.0.1, or say --responder.insecure")
        .code(codes::EXPOSED))
}

impl Flags {
    /// Serves until it is stopped.
    ///
    /// # Errors
    /// What is wrong with the flags or files.
    pub async fn run(self) -> Result<(), Failure> {
        let token = self.token_file.clone().map(Secret::File);
        if let Some(token) = &token {
            let read = token.read().map_err(|e| Invalid::new(format!("--responder.token-file: {e}")).hint(e.advice()).code(e.code()))?;
            if read.len() < SHORTEST_TOKEN {
                return Err(Invalid::new(format!(
                    "--responder.token-file: a token of fewer than {SHORTEST_TOKEN} characters can be guessed"
                ))
                .hint("openssl rand -hex 32 > FILE; chmod 640 FILE")
                .code(codes::RANGE)
                .into());
            }
        }
        let tls = tls(&self)?;
        let rename = |e: Invalid| Invalid { message: e.message.replace("--web.listen-address", "--responder.listen-address"), ..e };
        let listener = bind(&self.listen).await.map_err(rename)?;
        let at = listener.local_addr().map_err(|e| Invalid::new(format!("--responder.listen-address: {e}")).code(codes::LISTEN))?;
        guard(at, &self)?;
        tracing::info!(address = %at, tls = tls.is_some(), token = token.is_some(), "the responder listens");
        let allowance = Allowance::new(self.daily_budget.0, None);
        let rules = Rules { token, allowance, max_bytes: self.max_bytes.0, max_time: self.max_time.0 };
        serve::serve(listener, tls, Arc::new(rules)).await;
        tracing::info!("stopping");
        Ok(())
    }
}
