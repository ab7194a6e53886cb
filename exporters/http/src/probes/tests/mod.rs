//! Probes of real servers on loopback.

mod allowed;
mod grpc;
mod http;
mod icmp;
mod oauth;
mod protocol;
mod proxy;
mod recorded;
mod redirect;
mod starttls;
mod steps;
mod tcp;
mod tls;
