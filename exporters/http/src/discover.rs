//! How web servers on this machine are found: usual ports, their processes, and the answer to a HEAD request for `/`.

use sage_common::commands::discover::{GREETING, Traces};
use sage_common::os::listening::{Place, greet};

/// What they look like from outside.
pub const TRACES: Traces = Traces {
    ports: &[80, 443, 8000, 8080, 8443],
    sockets: &[],
    by_socket: false,
    processes: &["nginx", "apache2", "httpd", "haproxy", "caddy", "lighttpd", "traefik", "varnishd"],
};

const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The URL behind `place`, if it speaks HTTP or TLS.
pub async fn recognise(place: &Place) -> Option<String> {
    let Place::Tcp(at) = place else { return None };
    let answer = greet(place, HEAD, GREETING).await?;
    // An alert of TLS, or the answer of a server that says in plain text that it wants TLS.
    let tls = answer.starts_with(&[0x15, 0x03]) || answer.starts_with(b"HTTP/1.1 400") && matches!(at.port(), 443 | 8443);
    if tls { Some(format!("https://{at}/")) } else { answer.starts_with(b"HTTP/1.").then(|| format!("http://{at}/")) }
}
