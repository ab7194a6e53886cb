//! Real Redis and Valkey servers in temp folders on free ports: alone, as replica, Sentinel or node of a cluster, with TLS,
//! with a Unix socket; asked over redis-cli.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const SERVER: &str = "/usr/bin/redis-server";
const CLI: &str = "/usr/bin/redis-cli";
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Debug, Default)]
pub struct RedisOptions {
    /// Program; Debian's when empty.
    pub program: Option<PathBuf>,
    /// Lines of its configuration.
    pub settings: Vec<String>,
    /// Start as a Sentinel.
    pub sentinel: bool,
}

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    port: u16,
    program: PathBuf,
    sentinel: bool,
    folder: TempFolder,
}

impl Redis {
    /// Starts Debian's server without snapshots and waits until it answers.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// As [`Self::start`], with more settings or another program.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(options: RedisOptions) -> Self {
        let port = free_port();
        let folder = TempFolder::new("redis");
        let program = options.program.unwrap_or_else(|| super::require(SERVER).into());
        let mut config =
            format!("port {port}\nbind 127.0.0.1\ndir {}\nunixsocket {}\n", folder.path().display(), folder.join("s").display());
        if !options.sentinel {
            config += "save \"\"\nenable-debug-command yes\nrepl-diskless-sync-delay 0\n";
        }
        config += &options.settings.join("\n");
        folder.write("redis.conf", &(config + "\n"));
        let mut server = Self { process: None, port, program, sentinel: options.sentinel, folder };
        server.launch();
        server
    }

    /// As [`Self::start_with`], as a replica of `primary`.
    pub fn start_replica(primary: &Self, mut options: RedisOptions) -> Self {
        options.settings.push(format!("replicaof 127.0.0.1 {}", primary.port));
        let replica = Self::start_with(options);
        let up = || replica.cli(&["info", "replication"]).ok()?.contains("master_link_status:up").then_some(());
        poll::until("the replica is in step", START_LIMIT, up);
        replica
    }

    fn launch(&mut self) {
        let mut command = process::command(&self.program, self.folder.path());
        command.arg(self.folder.join("redis.conf"));
        if self.sentinel {
            command.arg("--sentinel");
        }
        let mut process = Process::start("redis", command, self.folder.path());
        // Whatever it answers: it may want a password or be loading.
        process.wait_ready(START_LIMIT, || self.cli_at("127.0.0.1", &["ping"]).is_ok());
        self.process = Some(process);
    }

    /// Port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its pid.
    ///
    /// # Panics
    /// When it has been stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").pid()
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.as_ref().map(Process::logs).unwrap_or_default()
    }

    fn command(&self, host: &str, words: &[&str]) -> Command {
        let mut command = process::command(super::require(CLI), self.folder.path());
        command.args(["-h", host, "-p", &self.port.to_string()]).args(words);
        command
    }

    fn cli_at(&self, host: &str, words: &[&str]) -> Result<String, String> {
        let output = self.command(host, words).output().map_err(|e| e.to_string())?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() && !err.contains("Could not connect") {
            Ok(out.trim_end().to_owned())
        } else {
            Err(format!("{out}{err}"))
        }
    }

    /// Runs one command and returns what redis-cli prints.
    ///
    /// # Errors
    /// redis-cli could not ask.
    pub fn cli(&self, words: &[&str]) -> Result<String, String> {
        self.cli_at("127.0.0.1", words)
    }

    /// As [`Self::cli`], and it must be `OK`.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn run(&self, words: &[&str]) {
        let answer = self.cli(words);
        assert!(answer.as_deref().is_ok_and(|a| a == "OK" || a.parse::<i64>().is_ok() || a == "QUEUED"), "{words:?}: {answer:?}");
    }

    /// Sends bytes as they are, such as commands in the protocol, and returns what redis-cli's pipe mode says.
    ///
    /// # Panics
    /// When redis-cli cannot be started.
    pub fn pipe(&self, bytes: &[u8]) -> String {
        let mut child =
            self.command("127.0.0.1", &["--pipe"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("redis-cli starts");
        child.stdin.take().expect("piped").write_all(bytes).expect("redis-cli reads");
        String::from_utf8_lossy(&child.wait_with_output().expect("redis-cli ends").stdout).into_owned()
    }

    /// Starts redis-cli with a command that takes its time, and does not wait; ended when dropped.
    pub fn spawn(&self, words: &[&str]) -> Process {
        Process::start("cli", self.command("127.0.0.1", words), self.folder.path())
    }

    /// One field of INFO.
    ///
    /// # Panics
    /// When the server does not answer or has no such field.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let text = self.cli(&["info", "all"]).expect("INFO");
        let found = text.lines().find_map(|line| line.trim_end().strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
        found.unwrap_or_else(|| panic!("INFO has no {field}"))
    }

    /// Connections named like the exporter's.
    pub fn connections(&self) -> usize {
        self.cli(&["client", "list"]).unwrap_or_default().lines().filter(|l| l.contains("name=sage-redis-exporter")).count()
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        process::signal("STOP", &[self.pid()]);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        process::signal("CONT", &[self.pid()]);
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop_with("KILL", Duration::from_secs(5));
        }
    }

    /// Starts it again, on the same port in the same folder.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }
}
