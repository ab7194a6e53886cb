//! Child processes: start with a clean environment and captured output, signal, look at their tree in /proc, stop.
//! Signals go through the shell's `kill`, which spares the harness unsafe code.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::poll;

/// The only PATH that children see.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with nothing but PATH in its environment, working inside `folder` (that is how the guardian finds it)
/// and in a process group of its own (the terminal's Ctrl-C reaches us alone, who then stop it in order).
pub fn command(program: impl AsRef<Path>, folder: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", PATH).current_dir(folder).process_group(0).stdin(Stdio::null());
    command
}

/// Sends signal `name` (`TERM`, `STOP`...) to those of `pids` that still run.
pub fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let status = Command::new("sh")
        .args(["-c", r#"kill -s "$@""#, "sh", name])
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null()) // one that has just ended
        .status();
    status.expect("sh starts");
}

/// Pids of the direct children of `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, ppid)| ppid == parent)).collect()
}

/// True while `pid` runs; a zombie does not.
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// State letter and parent of a process. The name in parentheses before them may hold anything, even parentheses.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// True when we are root, so that servers that want another user need one.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()).is_some_and(|uid| uid == "0")
}

/// User and system CPU seconds that `pid` has used, without its children (kernel ticks of 10 ms).
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

/// One line of /proc/PID/status in bytes, e.g. `VmRSS` or `VmHWM`.
pub fn memory_bytes(pid: u32, line: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rest = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
    Some(rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Number of open file descriptors.
pub fn open_fds(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// A running child whose output goes to `<name>.log` in its folder; stopped when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, made by [`command`], with both outputs in `<folder>/<name>.log`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("the folder is ours");
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name: name.to_owned(), child, log, status: None }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn logs(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// Its exit status once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our own child");
        }
        self.status
    }

    /// Waits until `ready` says yes.
    ///
    /// # Panics
    /// With the output when it ends first or takes longer than `limit`.
    #[track_caller]
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let end = poll::within(limit, || {
            if let Some(status) = self.ended() {
                return Some(Some(status));
            }
            ready().then_some(None)
        });
        match end {
            Some(None) => {}
            Some(Some(status)) => panic!("{} ended with {status} before it was ready:\n{}", self.name, self.logs()),
            None => panic!("{} not ready after {limit:?}:\n{}", self.name, self.logs()),
        }
    }

    /// Sends `name` and waits for the end; SIGKILL when `limit` has passed (the status then says so).
    pub fn stop_with(&mut self, name: &str, limit: Duration) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        signal(name, &[self.pid()]);
        signal("CONT", &[self.pid()]); // a stopped process takes the signal only when it goes on
        if let Some(status) = poll::within(limit, || self.ended()) {
            return status;
        }
        let _ = self.child.kill();
        let status = self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9));
        self.status = Some(status);
        status
    }

    /// SIGTERM, five seconds, SIGKILL.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_with("TERM", Duration::from_secs(5))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
