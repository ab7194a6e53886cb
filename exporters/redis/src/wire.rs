//! The stream to the server: dial and TLS, or the Unix socket, with the phases resolve, connect and tls.

use std::path::Path;

use sage_common::error::CollectError;
use sage_common::net::{dial, tls};
use sage_common::os::socket;
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
        let stream = socket::connect(Path::new(&options.host)).await?;
        phases.end("connect");
        return Ok(Box::new(stream));
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
