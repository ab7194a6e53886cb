//! Reads processes and sockets from /proc.
//!
//! The descendants of a process are found through the kernel's own lists of children, which cost nothing for the other
//! processes of the machine; a kernel built without them (CONFIG_PROC_CHILDREN) gets a pass over all processes.

use super::{BTreeMap, Duration, FootprintError, Process, Stat, SystemTime, TCP_STATES};
use procfs::process::{Process as Handle, Stat as Fields};
use procfs::{FromRead, ProcError};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Bytes of one table of sockets, with 150 bytes a socket.
const MAX_TABLE: u64 = 60_000_000;
const MAX_COMMAND: usize = 4096;

/// "No such process" of Linux, which has no name in the standard library.
const ESRCH: i32 = 3;

fn translate(pid: u32, error: &io::Error) -> FootprintError {
    match error.kind() {
        // The second is what a process gives that ends between opening and reading.
        ErrorKind::NotFound => FootprintError::NoProcess(pid),
        _ if error.raw_os_error() == Some(ESRCH) => FootprintError::NoProcess(pid),
        ErrorKind::PermissionDenied => FootprintError::Denied,
        _ => FootprintError::Other(format!("/proc/{pid}: {error}")),
    }
}

/// What one read of a file of a process gives. /proc gives all it has at once, so with hundreds of processes this
/// halves the calls that reading to the end would make; what is beyond the buffer is left.
fn read<'a>(pid: u32, file: &str, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let count = File::open(format!("/proc/{pid}/{file}"))?.read(buffer)?;
    Ok(buffer.get(..count).unwrap_or_default())
}

fn stat_of(pid: u32, boot: SystemTime) -> Result<Stat, FootprintError> {
    let mut buffer = [0; 2048];
    let bytes = read(pid, "stat", &mut buffer).map_err(|error| translate(pid, &error))?;
    let fields = Fields::from_read(bytes).map_err(|error| FootprintError::Other(error.to_string()))?;
    let ticks = procfs::ticks_per_second().max(1);
    let since = Duration::from_secs(fields.starttime / ticks) + Duration::from_millis(fields.starttime % ticks * 1000 / ticks);
    Ok(Stat {
        parent: u32::try_from(fields.ppid).unwrap_or(0),
        threads: u64::try_from(fields.num_threads).unwrap_or(0),
        started: boot + since,
        name: fields.comm,
        zombie: matches!(fields.state, 'Z' | 'X' | 'x'),
    })
}

fn boot() -> Result<SystemTime, FootprintError> {
    let seconds = procfs::boot_time_secs().map_err(|error| FootprintError::Other(error.to_string()))?;
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}

pub(super) fn stat(pid: u32) -> Result<Stat, FootprintError> {
    let stat = stat_of(pid, boot()?)?;
    if stat.zombie { Err(FootprintError::NoProcess(pid)) } else { Ok(stat) }
}

pub(super) fn descendants(root: u32) -> Result<Vec<Process>, FootprintError> {
    let boot = boot()?;
    let mut children = Children::new();
    let mut found = Vec::new();
    let mut queue = VecDeque::from([root]);
    // Numbers reused meanwhile cannot make a circle.
    let mut seen = HashSet::from([root]);
    while let Some(pid) = queue.pop_front() {
        let process = match stat_of(pid, boot) {
            Ok(stat) if stat.zombie => Err(FootprintError::NoProcess(pid)),
            Ok(stat) => {
                let below = children.of(pid, stat.threads)?;
                queue.extend(below.into_iter().filter(|child| seen.insert(*child)));
                look(pid, stat).map_err(|error| translate(pid, &error))
            }
            Err(error) => Err(error),
        };
        match process {
            Ok(process) => found.push(process),
            Err(error) if pid == root => return Err(error),
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Beyond so many threads, going through their lists takes as long as a pass over all processes.
const MAX_THREADS: u64 = 64;

/// Who is whose child.
struct Children {
    /// Whether the kernel lists them.
    listed: bool,
    /// The children of every process of the machine, once they are needed.
    scanned: Option<HashMap<u32, Vec<u32>>>,
}

impl Children {
    fn new() -> Self {
        Self { listed: Path::new("/proc/thread-self/children").exists(), scanned: None }
    }

    fn of(&mut self, pid: u32, threads: u64) -> Result<Vec<u32>, FootprintError> {
        if self.scanned.is_none() && self.listed && threads <= MAX_THREADS {
            // One that cannot be read has just ended.
            return Ok(listed(pid, threads).unwrap_or_default());
        }
        let scanned = match self.scanned.take() {
            Some(scanned) => scanned,
            None => scan()?,
        };
        Ok(self.scanned.insert(scanned).get(&pid).cloned().unwrap_or_default())
    }
}

/// The children of a process as the kernel lists them, at the thread that started each. It may miss one while a sibling
/// ends; that one is in the next reading.
pub(super) fn listed(pid: u32, threads: u64) -> io::Result<Vec<u32>> {
    let of = |thread: u32| fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
    let mut text = of(pid)?;
    if threads > 1 {
        let threads = numbers(&format!("/proc/{pid}/task"))?;
        // A thread that has ended has no children.
        text.extend(threads.filter(|thread| *thread != pid).filter_map(|thread| of(thread).ok()));
    }
    Ok(text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// The children of every process, from a pass over all of them.
pub(super) fn scan() -> Result<HashMap<u32, Vec<u32>>, FootprintError> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in numbers("/proc").map_err(|error| translate(0, &error))? {
        // One that cannot be read has just ended.
        if let Ok(stat) = stat_of(pid, UNIX_EPOCH) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    Ok(children)
}

/// The entries of a folder of /proc that are numbers, of processes or threads.
fn numbers(folder: &str) -> io::Result<impl Iterator<Item = u32> + use<>> {
    Ok(fs::read_dir(folder)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// The rest of a process, unless it has ended.
fn look(pid: u32, stat: Stat) -> io::Result<Process> {
    let mut buffer = [0; 16 << 10];
    let status = read(pid, "status", &mut buffer)?;
    let (private_bytes, shared_bytes) = (memory(status, b"RssAnon:"), memory(status, b"RssShmem:"));
    let title = buffer.get_mut(..MAX_COMMAND).unwrap_or_default();
    let title = read(pid, "cmdline", title).unwrap_or_default();
    let words: Vec<_> = title.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    let command = String::from_utf8_lossy(&words.join(&b' ')).trim().to_owned();
    Ok(Process {
        pid,
        parent: stat.parent,
        name: stat.name,
        command,
        threads: stat.threads,
        private_bytes,
        shared_bytes,
        started: stat.started,
    })
}

/// The bytes a line of `status` tells, in its kibibytes. 0 without such a line, as before Linux 4.5.
pub(super) fn memory(status: &[u8], name: &[u8]) -> u64 {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| std::str::from_utf8(line).ok()).and_then(|line| line.split_ascii_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).map_or(0, |kibibytes| kibibytes.saturating_mul(1024))
}

pub(super) fn pss(pid: u32) -> Option<u64> {
    let rollup = Handle::new(i32::try_from(pid).ok()?).and_then(|process| process.smaps_rollup());
    match rollup {
        Ok(rollup) => rollup.memory_map_rollup.iter().map(|map| map.extension.map.get("Pss").copied()).sum(),
        Err(ProcError::NotFound(_)) => Some(0),
        Err(ProcError::Io(error, _)) if error.raw_os_error() == Some(ESRCH) => Some(0),
        Err(_) => None,
    }
}

pub(super) fn tcp_states(folder: &str, port: u16) -> Result<BTreeMap<&'static str, u64>, FootprintError> {
    let mut states = BTreeMap::new();
    for table in ["tcp", "tcp6"] {
        let file = match File::open(format!("{folder}/{table}")) {
            Ok(file) => file,
            // A system without IPv6.
            Err(error) if error.kind() == ErrorKind::NotFound && table == "tcp6" => continue,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(FootprintError::Denied),
            Err(error) => return Err(FootprintError::Other(format!("{folder}/{table}: {error}"))),
        };
        count(BufReader::new(file.take(MAX_TABLE)), port, &mut states)?;
    }
    Ok(states)
}

/// Counts line by line: a busy server has far more sockets than we would hold in memory.
pub(super) fn count(mut table: impl BufRead, port: u16, states: &mut BTreeMap<&'static str, u64>) -> Result<(), FootprintError> {
    let mut line = String::new();
    let mut bytes = 0;
    loop {
        line.clear();
        bytes += match table.read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(count) => count as u64,
            Err(error) => return Err(FootprintError::Other(error.to_string())),
        };
        if bytes >= MAX_TABLE {
            return Err(FootprintError::TooMany);
        }
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = words.next().and_then(|word| word.rsplit_once(':')).and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        if local != Some(port) {
            continue;
        }
        let number = words.nth(1).and_then(|word| usize::from_str_radix(word, 16).ok());
        if let Some(state) = number.and_then(|number| TCP_STATES.get(number.checked_sub(1)?)) {
            *states.entry(*state).or_default() += 1;
        }
    }
}
