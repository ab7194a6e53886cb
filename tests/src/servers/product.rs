//! The real server of each exporter, for tests that hold all exporters to the same: where it is, killed, started again.

use std::net::SocketAddr;
use std::ops::DerefMut;
use std::path::PathBuf;

use super::apache::{Apache, ApacheOptions};
use super::nginx::{Nginx, NginxOptions};
use super::postgres::{Postgres, PostgresOptions};
use super::redis::{Redis, RedisOptions};
use super::web::WebServer;
use crate::said::{Aimed, aimed};
use crate::temp::TempFolder;
use crate::watched::CANARY;

/// A server that an exporter watches; stopped when dropped.
pub trait Server: Send {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// Ends it, at once.
    fn kill(&mut self);
    /// Starts it again at the same address and waits until it answers.
    fn restart(&mut self);
}

impl Server for Postgres {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        Self::restart(self);
    }
}

impl Server for Redis {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn restart(&mut self) {
        self.restart();
    }
}

/// NGINX and Apache.
impl<S: DerefMut<Target = WebServer> + Send> Server for S {
    fn address(&self) -> SocketAddr {
        (**self).address()
    }

    fn kill(&mut self) {
        self.stop();
    }

    fn restart(&mut self) {
        (**self).restart();
    }
}

/// A server with all that is needed to watch it.
pub struct Product {
    /// The server.
    pub server: Box<dyn Server>,
    binary: String,
    /// The file with the password, where its login has one.
    password: Option<PathBuf>,
    folder: TempFolder,
}

impl Product {
    /// Starts the server that this exporter watches, with the login that its `print-config` names.
    ///
    /// # Panics
    /// For an exporter without a line here, and when its server does not start.
    pub fn start(binary: &str) -> Self {
        let folder = TempFolder::new("product");
        let mut password = None;
        let server: Box<dyn Server> = match binary.trim_start_matches("sage-").trim_end_matches("-exporter") {
            "postgres" => {
                let server = Postgres::start(PostgresOptions::default());
                server.create_monitor("sage", CANARY, 10);
                password = Some(folder.write_secret("password", CANARY));
                Box::new(server)
            }
            "redis" => {
                let settings = vec![format!("requirepass \"{}\"", CANARY.replace('\\', "\\\\").replace('"', "\\\""))];
                password = Some(folder.write_secret("password", CANARY));
                Box::new(Redis::start_with(RedisOptions { settings, ..RedisOptions::default() }))
            }
            "apache" => Box::new(Apache::start(&ApacheOptions::default())),
            // Free targets are pages of any web server.
            "nginx" | "http" => Box::new(Nginx::start(&NginxOptions::default())),
            other => panic!("no server is started for {other}: add it in tests/src/servers/product.rs"),
        };
        Self { server, binary: binary.to_owned(), password, folder }
    }

    /// The flag with a configuration file that aims the exporter at `address`, where the server or something in front of it
    /// listens, and the path of the page.
    pub fn aimed_at(&self, address: SocketAddr) -> (String, String) {
        let Aimed { config, path, .. } = aimed(&self.binary, address, self.password.as_deref());
        let file = self.folder.write(&format!("{}.yml", address.port()), &config);
        (format!("--config.file={}", file.display()), path)
    }
}
