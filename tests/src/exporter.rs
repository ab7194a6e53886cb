//! The shipped exporter binaries, run as a service would run them: their own process, a clean environment, a free
//! port; asked over HTTP and looked at in /proc.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use crate::http::{self, Response};
use crate::page::Page;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// Limit of a request that says none: above every deadline of the exporters, so that a hang is seen as one.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Path of a binary of this workspace, beside the running test or program.
///
/// # Panics
/// When it has not been built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let folder = own.parent().expect("a folder");
    // Tests live in target/<profile>/deps, programs one above.
    let folder = if folder.ends_with("deps") { folder.parent().expect("a folder") } else { folder };
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run cargo build --workspace --bins", path.display());
    path
}

/// The binaries of all exporters of the workspace, from the folders of `exporters/`.
///
/// # Panics
/// When there is no such folder.
pub fn all() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../exporters");
    let entries = std::fs::read_dir(folder).expect("the exporters").flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut names: Vec<String> = entries.map(|entry| format!("sage-{}-exporter", entry.file_name().to_string_lossy())).collect();
    assert!(!names.is_empty(), "no exporter in {folder}");
    names.sort();
    names
}

/// Runs a command of a binary (`check`, `metrics`, `version`...) to its end with a clean environment.
///
/// # Panics
/// When it cannot be started.
pub fn run(name: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
    let folder = TempFolder::new(name);
    let mut command = process::command(binary(name), folder.path());
    command.args(args).envs(env.iter().copied());
    command.output().unwrap_or_else(|e| panic!("cannot start {name}: {e}"))
}

/// A running exporter; stopped when dropped.
#[derive(Debug)]
pub struct Exporter {
    process: Process,
    address: SocketAddr,
    folder: TempFolder,
}

impl Exporter {
    /// Starts `name` with `--web.listen-address` on a free port and waits for `/-/ready`.
    ///
    /// # Panics
    /// With its log when it ends or is not ready in ten seconds.
    #[track_caller]
    pub fn start(name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut exporter = Self::launch(name, args, env);
        let address = exporter.address;
        exporter.process.wait_ready(Duration::from_secs(10), || {
            http::get(address, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == 200)
        });
        exporter
    }

    /// As [`Self::start`], with the file `hosts` in the place of /etc/hosts, by a mount namespace of its own. `None`, and a line past
    /// the test runner, where the machine lets nobody make one, as in some containers.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[track_caller]
    pub fn start_with_hosts(name: &str, hosts: &Path, args: &[&str]) -> Option<Self> {
        const MOUNT: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let enter = ["--map-root-user", "--mount", "sh", "-c", MOUNT];
        let folder = TempFolder::new(name);
        let tried = process::command("/usr/bin/unshare", folder.path()).args(enter).arg(hosts).arg("true").output().expect("unshare");
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr);
            let _ = writeln!(io::stderr(), "SKIPPED: names with several addresses: no mount namespaces here: {why}");
            return None;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = process::command("/usr/bin/unshare", folder.path());
        command.args(enter).arg(hosts).arg(binary(name)).arg(format!("--web.listen-address={address}")).args(args);
        let process = Process::start(name, command, folder.path());
        let mut exporter = Self { process, address, folder };
        exporter.process.wait_ready(Duration::from_secs(10), || {
            http::get(address, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == 200)
        });
        Some(exporter)
    }

    /// As [`Self::start`] without waiting, for what must not come up.
    pub fn launch(name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = TempFolder::new(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = process::command(binary(name), folder.path());
        command.arg(format!("--web.listen-address={address}")).args(args).envs(env.iter().copied());
        let process = Process::start(name, command, folder.path());
        Self { process, address, folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address<path>`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its temp folder and working directory.
    pub fn folder(&self) -> &TempFolder {
        &self.folder
    }

    /// GET without extra headers.
    ///
    /// # Panics
    /// When no answer comes: an exporter always answers.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    /// GET with headers.
    ///
    /// # Panics
    /// As [`Self::get`].
    #[track_caller]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        match self.try_get(path, headers, REQUEST_LIMIT) {
            Ok(response) => response,
            Err(e) => panic!("GET {path}: {e}\n{}", self.logs()),
        }
    }

    /// GET with headers and a limit.
    ///
    /// # Errors
    /// As [`http::get`].
    pub fn try_get(&self, path: &str, headers: &[(&str, &str)], limit: Duration) -> io::Result<Response> {
        http::get(self.address, path, headers, limit)
    }

    /// `/metrics`, which must be 200 and well formed.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn metrics(&self) -> Page {
        self.page("/metrics")
    }

    /// A page of series at `path`, which must be 200 and well formed.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn page(&self, path: &str) -> Page {
        let response = self.get(path);
        let text = response.text();
        assert_eq!(response.status, 200, "{path}: {text}");
        Page::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory.
    ///
    /// # Panics
    /// When it no longer runs.
    #[track_caller]
    pub fn rss_bytes(&self) -> u64 {
        process::memory_bytes(self.pid(), "VmRSS").expect("the exporter runs")
    }

    /// Bytes of memory that it holds for itself: pages of its program come and go with what it does.
    ///
    /// # Panics
    /// When it no longer runs.
    #[track_caller]
    pub fn private_bytes(&self) -> u64 {
        process::memory_bytes(self.pid(), "RssAnon").expect("the exporter runs")
    }

    /// Open file descriptors.
    ///
    /// # Panics
    /// When it no longer runs.
    #[track_caller]
    pub fn open_fds(&self) -> usize {
        process::open_fds(self.pid()).expect("the exporter runs")
    }

    /// CPU seconds used so far.
    ///
    /// # Panics
    /// When it no longer runs.
    #[track_caller]
    pub fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.pid()).expect("the exporter runs")
    }

    /// Sends a signal, e.g. `HUP`.
    pub fn signal(&self, name: &str) {
        process::signal(name, &[self.pid()]);
    }

    /// Its exit status once it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// SIGTERM and wait.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.stop_with("TERM", Duration::from_secs(15))
    }

    /// Standard output and standard error so far.
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}
