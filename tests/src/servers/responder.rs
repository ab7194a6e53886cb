//! The far end of throughput tests: the prober's own `responder` on a free port.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::exporter::binary;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// A running one; stopped when dropped.
#[derive(Debug)]
pub struct Responder {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Responder {
    /// Starts it with these flags and waits until it listens; its log lies in the folder.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(folder: &TempFolder, args: &[&str]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = process::command(binary("sage-http-exporter"), folder.path());
        command.arg("responder").arg(format!("--responder.listen-address={address}")).args(args).arg("--log.level=info");
        let mut process = Process::start("responder", command, folder.path());
        process.wait_ready(Duration::from_secs(10), || TcpStream::connect(address).is_ok());
        Self { process, address }
    }
}
