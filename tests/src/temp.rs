//! Temp folders, free ports, and the guardian: a small shell that outlives this process by a moment and removes what
//! is left when the process was killed before it could clean up (Ctrl-C, a test's abort, SIGKILL).
//! Everything that the harness starts has its working directory inside such a folder; that is how the guardian knows it.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Reads one folder a line until the writer dies, then ends what still runs inside the folders and removes them.
/// Three rounds, because a process may fork while the table is read. PostgreSQL's one System V segment is named in
/// the pid file's seventh line; SIGKILL leaves it behind.
const GUARDIAN: &str = r#"
set --
while IFS= read -r folder; do set -- "$@" "$folder"; done
for folder do
  [ -d "$folder" ] || continue
  for round in 1 2 3; do
    for process in /proc/[0-9]*; do
      case $(readlink "$process/cwd") in "$folder" | "$folder"/*) kill -s KILL "${process#/proc/}" ;; esac
    done
  done
  for file in "$folder"/*/postmaster.pid; do
    [ -f "$file" ] && ipcrm -m "$(sed -n '7s/.* //p' "$file")"
  done
  rm -rf "$folder"
done
"#;

static GUARD: Mutex<Option<Child>> = Mutex::new(None);
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed with its content when dropped, or by the guardian when this process dies first.
#[derive(Debug)]
pub struct TempFolder {
    path: PathBuf,
}

impl TempFolder {
    /// Makes `<temp>/sage-<pid>-<number>-<label>`, readable by all so that servers under other users can enter it.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new(label: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sage-{}-{number}-{label}", std::process::id()));
        watch(&path);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of `name` inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only our own user may read, as exporters want their secrets, and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.write(name, "");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.write(name, content)
    }

    /// Writes a file inside and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // Left to the guardian if this fails: a panic in drop would hide the test's own.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn watch(folder: &Path) {
    let mut guard = GUARD.lock().unwrap();
    let child = guard.get_or_insert_with(|| {
        Command::new("sh")
            .args(["-c", GUARDIAN])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .process_group(0) // survives the Ctrl-C that ends us
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts")
    });
    let stdin = child.stdin.as_mut().expect("piped");
    writeln!(stdin, "{}", folder.display()).expect("the guardian reads");
}

/// Lets the guardian clean up now and waits for it, for a program that is about to end and wants to leave nothing even
/// for a moment. Folders that are still in use go, too.
pub fn finish() {
    if let Some(mut child) = GUARD.lock().unwrap().take() {
        drop(child.stdin.take());
        let _ = child.wait();
    }
}

/// A free loopback port below the range that the kernel hands to outgoing connections, so that none of those can take
/// it before its server binds it or while its server is down. No port is given twice by one process.
///
/// # Panics
/// When no free one is found.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    const LOW: u32 = 15_000;
    const COUNT: u32 = 17_000;
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // Spread the starting points of processes that run at the same time.
    let start = now.subsec_micros() + std::process::id() * 97;
    for step in 0..COUNT {
        let port = u16::try_from(LOW + start.wrapping_add(step) % COUNT).unwrap();
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between {LOW} and {}", LOW + COUNT);
}
