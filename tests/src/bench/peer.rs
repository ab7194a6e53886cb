//! The program that an exporter is measured beside: the newest release, where the set-up could build it, else Debian's.
//!
//! It is only run; nothing of it is part of the workspace.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exporter::binary;

/// A peer by the names of its programs.
pub struct Peer {
    /// As the set-up builds it, in `peers` beside our own binaries' folder.
    pub built: &'static str,
    /// As Debian packages it.
    pub packaged: &'static str,
    /// Its series that is 1 while the server answers; ours has it as well.
    pub up: &'static str,
}

/// A program that can be measured.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Name, version and where it is from.
    pub about: String,
}

impl Peer {
    /// Finds the peer.
    ///
    /// # Errors
    /// What to install when it is not there.
    pub fn find(&self) -> Result<Program, String> {
        let built = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.parent()?.join("peers").join(self.built)));
        if let Some(path) = built.filter(|path| path.exists()) {
            return Ok(Program::new(path, "built from its newest release"));
        }
        let path = Path::new("/usr/bin").join(self.packaged);
        if path.exists() {
            return Ok(Program::new(path, "Debian's package"));
        }
        Err(format!("there is no {} on this machine: apt-get install {}", self.built, self.packaged))
    }
}

impl Program {
    /// The exporter of this workspace that watches `name`.
    pub fn ours(name: &str) -> Self {
        Self::new(binary(&format!("sage-{name}-exporter")), "this workspace, release build")
    }

    fn new(path: PathBuf, origin: &str) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = output(&path, &["--version"]);
        // "postgres_exporter, version 0.11.1 (branch: ...)", "sage-postgres-exporter 0.1.0".
        let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("of unknown version");
        Self { about: format!("{name} {version} ({origin})"), path }
    }

    /// The flag that lets it listen there, by the name that this version has for it.
    pub fn listen(&self, address: SocketAddr) -> String {
        let older = "telemetry.address";
        let name = if output(&self.path, &["--help"]).contains(&format!("--{older}")) { older } else { "web.listen-address" };
        format!("--{name}={address}")
    }

    /// The flags that switch off those of `collectors` that this version has.
    pub fn without(&self, collectors: &[&str]) -> Vec<String> {
        let help = output(&self.path, &["--help"]);
        let known: Vec<&str> = help
            .split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
            .filter_map(|word| word.split_once("collector.").map(|(_, name)| name))
            .collect();
        let had = collectors.iter().filter(|name| known.contains(name));
        had.map(|name| format!("--no-collector.{name}")).collect()
    }
}

/// Both outputs of a short command: Go programs write their help to either.
fn output(path: &Path, args: &[&str]) -> String {
    let output = Command::new(path).args(args).env_clear().stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
