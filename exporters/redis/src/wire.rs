//! The stream to the server: dial and TLS, or the Unix socket, with the phases resolve, connect and tls.

use sage_common::error::CollectError;
#[cfg(not(unix))]
use sage_common::error::ErrorKind;
use sage_common::net::{dial, tls};
use sage_common::service::Phases;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::options::{Options, TlsMode};

/// What a session reads from and writes to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Opens the stream that `options` describe.
///
/// # Errors
/// Why there is no stream.
pub async fn open(options: &Options, phases: &mut Phases) -> Result<Box<dyn Stream>, CollectError> {
    if options.is_socket() {
        let stream = socket(options).await?;
        phases.end("connect");
        return Ok(stream);
    }
    let addresses = dial::resolve(&options.host, options.port).await?;
    phases.end("resolve");
    let stream = dial::connect(&addresses).await?;
    phases.end("connect");
    if options.tls == TlsMode::Disable {
        return Ok(Box::new(stream));
    }
    let config = tls::client_config(&options.tls())?;
    let name = options.tls_server_name.as_deref().unwrap_or(&options.host);
    let stream = tls::handshake(stream, config, name).await?;
    phases.end("tls");
    Ok(Box::new(stream))
}

#[cfg(unix)]
async fn socket(options: &Options) -> Result<Box<dyn Stream>, CollectError> {
    match tokio::net::UnixStream::connect(&options.host).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(e) => Err(CollectError::io(format!("connect to {}", options.host), e)),
    }
}

#[cfg(not(unix))]
async fn socket(_: &Options) -> Result<Box<dyn Stream>, CollectError> {
    Err(CollectError::new(ErrorKind::Connect, "Unix sockets are not to be had on this system").hint("set host to a name or an address"))
}
