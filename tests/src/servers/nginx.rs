//! A real NGINX in a temp folder on a free port and a Unix socket, with stub_status and whatever a test writes beside it.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;

use super::web::{START_LIMIT, WebServer};
use crate::http;
use crate::poll;
use crate::process;
use crate::temp::TempFolder;

const SERVER: &str = "/usr/sbin/nginx";

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct NginxOptions {
    /// Lines of the server block that answers.
    pub server: String,
    /// Connections of one worker.
    pub worker_connections: u32,
    /// Workers.
    pub workers: u32,
    /// Certificate and key, where it is to speak TLS on a second port.
    pub tls: Option<crate::issuer::Pair>,
}

impl Default for NginxOptions {
    fn default() -> Self {
        Self { server: String::new(), worker_connections: 256, workers: 1, tls: None }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Nginx(WebServer);

fn command(folder: &TempFolder) -> Command {
    let mut command = process::command(super::require(SERVER), folder.path());
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
    // What a server that was killed leaves behind.
    let _ = std::fs::remove_file(folder.join("s"));
    command
}

impl Nginx {
    /// Starts a server with `/stub_status` for this machine, `/` for its users, and waits until it answers.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(options: &NginxOptions) -> Self {
        let mut server = Self(WebServer::new("nginx", command));
        server.configure(options);
        server.launch();
        server
    }

    /// Writes its configuration; see [`Self::reload`].
    pub fn configure(&self, options: &NginxOptions) {
        let place = self.folder.path().display();
        let mut text = format!("daemon off;\npid {place}/pid;\nerror_log {place}/error.log;\nworker_processes {};\n", options.workers);
        // Workers of the machine's web user could not read the folder of another user.
        if process::is_root() {
            text += "user root;\n";
        }
        let _ = writeln!(text, "events {{ worker_connections {}; }}\nhttp {{\naccess_log {place}/access.log;", options.worker_connections);
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{kind}_temp_path {place}/{kind};");
        }
        let _ = writeln!(text, "server {{\nlisten 127.0.0.1:{};\nlisten unix:{place}/s;", self.port);
        if let Some(pair) = &options.tls {
            let _ = writeln!(text, "listen 127.0.0.1:{} ssl;", self.tls_port);
            let _ = writeln!(text, "ssl_certificate {};\nssl_certificate_key {};", pair.certificate.display(), pair.key.display());
        }
        let _ = writeln!(text, "location = /stub_status {{ stub_status; allow 127.0.0.1; allow unix:; deny all; }}");
        let _ = writeln!(text, "location = / {{ return 200 \"welcome\\n\"; }}\n{}\n}}\n}}", options.server);
        self.folder.write("nginx.conf", &text);
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// One of the numbers of stub_status, as the server says it to us: `active`, `accepts`, `handled`, `requests`.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn status(&self, name: &str) -> f64 {
        let text = http::get(self.address(), "/stub_status", &[], START_LIMIT).expect("stub_status").text();
        let numbers: Vec<f64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let place = ["active", "accepts", "handled", "requests"].iter().position(|n| *n == name).expect("a known name");
        numbers[place]
    }

    /// The lines of its access log.
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Takes the configuration anew, and waits until new workers serve. Those that have connections stay until these end.
    pub fn reload(&self) {
        let before = self.children();
        process::signal("HUP", &[self.pid()]);
        let fresh = || (self.children().iter().any(|pid| !before.contains(pid)) && self.is_ready()).then_some(());
        poll::until("new workers serve", START_LIMIT, fresh);
    }
}

impl Deref for Nginx {
    type Target = WebServer;

    fn deref(&self) -> &WebServer {
        &self.0
    }
}

impl DerefMut for Nginx {
    fn deref_mut(&mut self) -> &mut WebServer {
        &mut self.0
    }
}
