//! A real MariaDB in a temp folder on a free port, with TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::issuer::Pair;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const SERVER: &str = "/usr/sbin/mariadbd";
const INSTALL: &str = "/usr/bin/mariadb-install-db";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    _folder: TempFolder,
}

impl MariaDb {
    /// Makes an empty server, starts it with this certificate and these options, and waits until it listens.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(pair: &Pair, options: &[&str]) -> Self {
        let folder = TempFolder::new("mariadb");
        let data = folder.join("data");
        let user = if process::is_root() { vec!["--user=root"] } else { Vec::new() };
        let mut install = process::command(super::require(INSTALL), folder.path());
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]).args(&user);
        let made = install.arg(format!("--datadir={}", data.display())).output().expect("it runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let shown = |option: &str, path: &Path| format!("--{option}={}", path.display());
        let mut command = process::command(super::require(SERVER), folder.path());
        command.arg("--no-defaults").args(&user).args(options);
        command.args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=8M"]).arg(format!("--port={port}"));
        command.args([shown("datadir", &data), shown("socket", &folder.join("s")), shown("pid-file", &folder.join("pid"))]);
        command.args([shown("ssl-cert", &pair.certificate), shown("ssl-key", &pair.key)]);
        let mut process = Process::start("mariadb", command, folder.path());
        process.wait_ready(START_LIMIT, || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { process, port, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}
