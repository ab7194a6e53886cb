//! Probes of real servers on loopback.

mod grpc;
mod http;
mod icmp;
mod protocol;
mod proxy;
mod recorded;
mod redirect;
mod starttls;
mod steps;
mod tcp;
mod tls;
