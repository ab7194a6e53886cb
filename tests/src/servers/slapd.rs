//! A real OpenLDAP in a temp folder on a free port, with StartTLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::issuer::Pair;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const SERVER: &str = "/usr/sbin/slapd";
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Slapd {
    _process: Process,
    port: u16,
    _folder: TempFolder,
}

impl Slapd {
    /// Starts it without data, with this certificate where there is one, and waits until it listens.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(pair: Option<&Pair>) -> Self {
        let folder = TempFolder::new("slapd");
        let place = folder.path().display();
        let mut config = format!("pidfile {place}/pid\nargsfile {place}/args\n");
        if let Some(pair) = pair {
            config += &format!("TLSCertificateFile {}\nTLSCertificateKeyFile {}\n", pair.certificate.display(), pair.key.display());
        }
        config += "database config\n";
        let file = folder.write("slapd.conf", &config);
        let port = free_port();
        let mut command = process::command(super::require(SERVER), folder.path());
        // In the foreground: its own process is the one that is stopped.
        command.args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-f"]).arg(file);
        let mut process = Process::start("slapd", command, folder.path());
        process.wait_ready(START_LIMIT, || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { _process: process, port, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}
