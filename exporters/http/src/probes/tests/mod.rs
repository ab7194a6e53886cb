//! Probes of real servers on loopback.

mod http;
mod redirect;
mod tcp;
mod tls;
