//! The programs of a server's version, run as the user whose the server is, and the template of its clusters.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::super::{INSTALL_HINT, require};
use super::{PASSWORD, SUPERUSER, Version};
use crate::process;
use crate::temp::TempFolder;

/// An initialised cluster, made once a version in this process and copied for each server: a copy takes a tenth of
/// initdb's time. The guardian removes it when the process ends.
pub(super) fn template(version: Version) -> PathBuf {
    static TEMPLATES: Mutex<Vec<(Version, TempFolder)>> = Mutex::new(Vec::new());
    // Held while one is made, so that none is made twice. A test that failed in here leaves the list as it was.
    let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, folder)) = templates.iter().find(|(of, _)| *of == version) {
        return folder.join("data");
    }
    let folder = TempFolder::new("pg-template");
    let password = folder.write("password", PASSWORD);
    give_to_server(&password);
    give_to_server(folder.path());
    let data = folder.join("data");
    let output = as_server(folder.path(), version, "initdb")
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .arg(format!("--pwfile={}", password.display()))
        .output()
        .expect("initdb starts");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    templates.push((version, folder));
    data
}

/// A client program: those of Debian's version talk to all servers, and the others come without.
pub(super) fn client_path(name: &str) -> String {
    program_path(Version::V15, name)
}

fn program_path(version: Version, name: &str) -> String {
    let path = version.programs().join(name);
    require(&path.to_string_lossy()).to_owned()
}

/// A server-side program under the server's user.
pub(super) fn as_server(folder: &Path, version: Version, program: &str) -> Command {
    let command = process::command(program_path(version, program), folder);
    under_server_user(command)
}

/// The same command under the server's user.
pub(super) fn under_server_user(mut command: Command) -> Command {
    if let Some((uid, gid)) = server_user() {
        command.uid(uid).gid(gid);
    }
    command
}

pub(super) fn give_to_server(path: &Path) {
    if let Some((uid, gid)) = server_user() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may chown");
    }
}

/// The `postgres` user's ids when we are root; else `None`: the server runs as ourselves.
fn server_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        if fs::metadata("/proc/self").is_ok_and(|m| m.uid() != 0) {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("users");
        let line = passwd.lines().find_map(|l| l.strip_prefix("postgres:"));
        let mut fields = line.unwrap_or_else(|| panic!("no user postgres: {INSTALL_HINT}")).split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
