//! What the web servers of the tests have in common: one main process with children in a temp folder, a page for users at `/`,
//! an own port with TLS where it has a certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// How long one of them may take to answer.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// A web server; stopped and removed when dropped.
#[derive(Debug)]
pub struct WebServer {
    name: &'static str,
    command: fn(&TempFolder) -> Command,
    process: Option<Process>,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) folder: TempFolder,
}

impl WebServer {
    /// One that does not run yet, and the command that starts it in its folder.
    pub(super) fn new(name: &'static str, command: fn(&TempFolder) -> Command) -> Self {
        Self { name, command, process: None, port: free_port(), tls_port: free_port(), folder: TempFolder::new(name) }
    }

    /// Starts it and waits until it answers.
    pub(super) fn launch(&mut self) {
        let mut process = Process::start(self.name, (self.command)(&self.folder), self.folder.path());
        process.wait_ready(START_LIMIT, || self.is_ready());
        self.process = Some(process);
    }

    /// Whether it answers its users.
    pub(super) fn is_ready(&self) -> bool {
        http::get(self.address(), "/", &[], Duration::from_secs(1)).is_ok_and(|answer| answer.status == 200)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `http://address<path>`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// `https://address<path>`, where it has a certificate.
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.tls_port)
    }

    /// The file with the number of its main process.
    pub fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// Its folder.
    pub fn folder(&self) -> &TempFolder {
        &self.folder
    }

    /// The main process.
    ///
    /// # Panics
    /// When it has been stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").pid()
    }

    /// Its children, those that end included.
    pub fn children(&self) -> Vec<u32> {
        process::children(self.pid())
    }

    /// SIGSTOP to all of it, the main process first: stopped, it starts no further children.
    pub fn freeze(&self) {
        process::signal("STOP", &[self.pid()]);
        process::signal("STOP", &self.children());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        process::signal("CONT", &self.children());
        process::signal("CONT", &[self.pid()]);
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process::signal("CONT", &process::children(process.pid()));
            process.stop_with("TERM", Duration::from_secs(5));
        }
    }

    /// Starts it again, on the same port in the same folder.
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stop();
    }
}
