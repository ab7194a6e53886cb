//! Probes of real servers on loopback.

mod http;
mod icmp;
mod proxy;
mod redirect;
mod tcp;
mod tls;
