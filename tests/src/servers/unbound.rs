//! A real Unbound with zones of its own that asks nobody else, in a temp folder on free ports: datagrams, connections, TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::issuer::Pair;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const PROGRAM: &str = "/usr/sbin/unbound";
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Unbound {
    process: Process,
    port: u16,
    tls_port: u16,
    _folder: TempFolder,
}

impl Unbound {
    /// Starts it with the lines `settings` of its section `server:` and waits until it answers.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(pair: Option<&Pair>, settings: &str) -> Self {
        let (port, tls_port) = (free_port(), free_port());
        let folder = TempFolder::new("unbound");
        let mut config = format!(
            "server:\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  \
             interface: 127.0.0.1@{port}\n  module-config: \"iterator\"\n  num-threads: 1\n  do-not-query-localhost: yes\n  \
             verbosity: 1\n",
            folder.path().display()
        );
        if let Some(pair) = pair {
            config += &format!(
                "  interface: 127.0.0.1@{tls_port}\n  tls-port: {tls_port}\n  tls-service-pem: \"{}\"\n  tls-service-key: \"{}\"\n",
                pair.certificate.display(),
                pair.key.display()
            );
        }
        config += settings;
        config += "remote-control:\n  control-enable: no\n";
        folder.write("unbound.conf", &config);
        let mut command = process::command(super::require(PROGRAM), folder.path());
        command.args(["-d", "-c"]).arg(folder.join("unbound.conf"));
        let mut process = Process::start("unbound", command, folder.path());
        process.wait_ready(START_LIMIT, || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { process, port, tls_port, _folder: folder }
    }

    /// Where datagrams and connections go.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where TLS is spoken.
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Stops it and waits until its port is free.
    pub fn stop(&mut self) {
        self.process.stop();
        let address = self.address();
        poll::until("its port is free", START_LIMIT, || std::net::TcpStream::connect(address).is_err().then_some(()));
    }
}
