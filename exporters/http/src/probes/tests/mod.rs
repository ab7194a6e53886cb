//! Probes of real servers on loopback.

mod http;
mod icmp;
mod redirect;
mod tcp;
mod tls;
