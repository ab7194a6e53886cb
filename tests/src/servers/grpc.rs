//! gRPC's own Python server with its health service (`tests/fixtures/grpc_server.py` says what it answers), in a temp folder on
//! free ports. `scripts/setup.sh` unpacks its modules.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::issuer::Pair;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct GrpcHealth {
    process: Process,
    port: u16,
    _folder: TempFolder,
}

impl GrpcHealth {
    /// Starts it, with TLS by this pair, and waits until it listens.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(pair: Option<&Pair>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = crate::exporter::binary("sage-http-exporter").ancestors().nth(2).map(|target| target.join("servers/grpc"));
        let modules = modules.filter(|path| path.join("grpc_health").is_dir());
        let modules = modules.unwrap_or_else(|| panic!("grpcio is missing below target/servers: {}", super::INSTALL_HINT));
        let folder = TempFolder::new("grpc");
        // Two ports beside each other.
        let next = |port: &u16| port.checked_add(1).is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok());
        let port = (0..100).map(|_| free_port()).find(next).expect("two free ports beside each other");
        let mut command = process::command("python3", folder.path());
        command.arg(root.join("fixtures/grpc_server.py")).arg(port.to_string()).env("PYTHONPATH", modules);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(pair) = pair {
            command.args([&pair.certificate, &pair.key]);
        }
        let mut process = Process::start("grpc", command, folder.path());
        process.wait_ready(START_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { process, port, _folder: folder }
    }

    /// Where the health service is asked.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A server of gRPC without a health service.
    pub fn bare(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + 1).into()
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.process.stop();
    }
}
