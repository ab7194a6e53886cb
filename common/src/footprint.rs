//! What a local service takes of its machine: processes, threads, memory and sockets.
//!
//! Read from /proc: one pass over all processes finds the descendants of a root process, whose memory is then read. The
//! service is not asked, so this works while it hangs. On other systems than Linux every reading says `Unsupported`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The states of a TCP socket, by the number /proc gives them less one.
pub const TCP_STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_recv",
];

/// Why there is no footprint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FootprintError {
    /// This system has no /proc that we can read.
    Unsupported,
    /// No such process, or it is hidden from us, or its number now belongs to another one.
    NoProcess(u32),
    /// /proc may not be read.
    Denied,
    /// More sockets than we are willing to go through.
    TooMany,
    /// Anything else, in the words of the system.
    Other(String),
}

impl fmt::Display for FootprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("processes can be read on Linux only"),
            Self::NoProcess(pid) => write!(f, "no process {pid}, or it is hidden from this user"),
            Self::Denied => f.write_str("/proc may not be read"),
            Self::TooMany => f.write_str("too many sockets to count"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for FootprintError {}

/// One process of the service. Zombies are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The number of its parent.
    pub parent: u32,
    /// The name of its program, at most 15 bytes.
    pub name: String,
    /// Its command line, or the title it gave itself; the parts separated by a space, at most 4096 characters. Empty if
    /// not to be read.
    pub command: String,
    /// Its threads.
    pub threads: u64,
    /// Resident bytes that belong to it alone (anonymous memory).
    pub private_bytes: u64,
    /// Resident bytes of shared memory it has touched; others may have touched the same.
    pub shared_bytes: u64,
    /// When it was started, to a hundredth of a second; off by as much as the clock was set since boot.
    pub started: SystemTime,
}

/// A root process and all its descendants at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// The root first, then each process after its parent.
    pub processes: Vec<Process>,
}

/// How far the start of a process may be from where it is said to be: the service writes its own note of it a little
/// after the system.
const START_TOLERANCE: Duration = Duration::from_secs(5);

impl Footprint {
    /// Reads a process and its descendants; those that end meanwhile are left out. The kernel takes about 15 µs for each
    /// process of the machine and 35 µs more for each of the service.
    ///
    /// # Errors
    /// No such process, or /proc cannot be read.
    pub fn read(root: u32) -> Result<Self, FootprintError> {
        Ok(Self { processes: system::descendants(root)? })
    }

    /// As [`Footprint::read`], but refuses a process that was not started at that time (to 5 seconds): the service's
    /// number, taken from a file, may have gone to another process.
    ///
    /// # Errors
    /// As [`Footprint::read`].
    pub fn read_started(root: u32, started: SystemTime) -> Result<Self, FootprintError> {
        let actual = start_time(root)?;
        let apart = actual.duration_since(started).unwrap_or_else(|earlier| earlier.duration());
        if apart > START_TOLERANCE {
            return Err(FootprintError::NoProcess(root));
        }
        Self::read(root)
    }

    /// The number of processes of each kind, as the caller sorts them.
    #[must_use]
    pub fn kinds(&self, kind: impl Fn(&Process) -> &'static str) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for process in &self.processes {
            *kinds.entry(kind(process)).or_default() += 1;
        }
        kinds
    }

    /// The threads of all processes.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.processes.iter().map(|process| process.threads).sum()
    }

    /// Resident memory that each process has for itself, in bytes, all together.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        self.processes.iter().map(|process| process.private_bytes).sum()
    }

    /// Resident shared memory in bytes: that of the process that has touched most. Never a sum, which would count
    /// common buffers once for each process; so it is rather too small than too large.
    #[must_use]
    pub fn shared_bytes(&self) -> u64 {
        self.processes.iter().map(|process| process.shared_bytes).max().unwrap_or(0)
    }

    /// Resident memory in bytes with each shared page divided among those who share it, the exact sum. None if we may
    /// not look (it takes the service's own user or root). The kernel walks all pages of every process for it, which
    /// takes milliseconds for each large process: for rare use.
    #[must_use]
    pub fn pss_bytes(&self) -> Option<u64> {
        self.processes.iter().map(|process| system::pss(process.pid)).sum()
    }

    /// When the root was started.
    #[must_use]
    pub fn started(&self) -> Option<SystemTime> {
        self.processes.first().map(|root| root.started)
    }

    /// As [`tcp_states`], of the network namespace the root lives in, which may be a container's.
    ///
    /// # Errors
    /// As [`tcp_states`].
    pub fn tcp_states(&self, port: u16) -> Result<BTreeMap<&'static str, u64>, FootprintError> {
        let root = self.processes.first().ok_or(FootprintError::NoProcess(0))?;
        system::tcp_states(&format!("/proc/{}/net", root.pid), port)
    }
}

/// The parent of a process.
///
/// # Errors
/// No such process, or /proc cannot be read.
pub fn parent_of(pid: u32) -> Result<u32, FootprintError> {
    Ok(system::stat(pid)?.parent)
}

/// When a process was started; see [`Process::started`].
///
/// # Errors
/// No such process, or /proc cannot be read.
pub fn start_time(pid: u32) -> Result<SystemTime, FootprintError> {
    Ok(system::stat(pid)?.started)
}

/// The number of our network namespace's TCP sockets with this local port, by state (one of [`TCP_STATES`]); states
/// that none is in are left out. Both versions of IP count.
///
/// # Errors
/// /proc cannot be read, or lists more than some 400,000 sockets.
pub fn tcp_states(port: u16) -> Result<BTreeMap<&'static str, u64>, FootprintError> {
    system::tcp_states("/proc/net", port)
}

/// What is read of every process.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // made on Linux only
struct Stat {
    parent: u32,
    threads: u64,
    started: SystemTime,
    name: String,
    zombie: bool,
}

#[cfg(target_os = "linux")]
mod system {
    use super::{BTreeMap, Duration, FootprintError, Process, Stat, SystemTime, TCP_STATES};
    use procfs::process::{Process as Handle, Stat as Fields};
    use procfs::{FromRead, ProcError};
    use std::collections::{HashMap, VecDeque};
    use std::fs::{self, File};
    use std::io::{self, BufRead, BufReader, ErrorKind, Read};
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
        let mut stats: HashMap<u32, Stat> = HashMap::new();
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").map_err(|error| translate(root, &error))?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that cannot be read has just ended.
            if let Ok(stat) = stat_of(pid, boot) {
                children.entry(stat.parent).or_default().push(pid);
                stats.insert(pid, stat);
            }
        }
        let mut found = Vec::new();
        let mut queue = VecDeque::from([root]);
        while let Some(pid) = queue.pop_front() {
            // Taken out, so that numbers reused during the scan cannot make a circle.
            let Some(stat) = stats.remove(&pid).filter(|stat| !stat.zombie) else {
                continue;
            };
            queue.extend(children.get(&pid).into_iter().flatten().copied());
            match look(pid, stat) {
                Ok(process) => found.push(process),
                Err(error) if pid == root => return Err(translate(root, &error)),
                Err(_) => {}
            }
        }
        if found.is_empty() { Err(FootprintError::NoProcess(root)) } else { Ok(found) }
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
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{BTreeMap, FootprintError, Process, Stat};

    pub(super) fn stat(_pid: u32) -> Result<Stat, FootprintError> {
        Err(FootprintError::Unsupported)
    }

    pub(super) fn descendants(_root: u32) -> Result<Vec<Process>, FootprintError> {
        Err(FootprintError::Unsupported)
    }

    pub(super) fn pss(_pid: u32) -> Option<u64> {
        None
    }

    pub(super) fn tcp_states(_folder: &str, _port: u16) -> Result<BTreeMap<&'static str, u64>, FootprintError> {
        Err(FootprintError::Unsupported)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Cursor};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    /// A shell and its child, which both end when their input does.
    struct Service(Child);

    impl Service {
        fn start() -> Self {
            let script = "(echo up; read line); exit 0";
            let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "up\n");
            Self(child)
        }
    }

    impl Drop for Service {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }

    #[test]
    fn finds_children_and_their_children() {
        let service = Service::start();
        let root = service.0.id();
        let print = Footprint::read(root).unwrap();
        assert_eq!(print.processes.iter().map(|process| process.parent).collect::<Vec<_>>(), [std::process::id(), root]);
        assert!(print.processes.iter().all(|process| process.command.starts_with("sh -c (echo up; read line)")), "{print:?}");
        assert_eq!(print.threads(), 2);
        assert!(print.private_bytes() > 8192, "{print:?}");
        assert!(print.pss_bytes().is_none_or(|pss| pss > 8192), "{print:?}");
        let kinds = print.kinds(|process| if process.parent == root { "worker" } else { "main" });
        assert_eq!(kinds, BTreeMap::from([("main", 1), ("worker", 1)]));
        let all = Footprint::read(std::process::id()).unwrap();
        assert!(print.processes.iter().all(|process| all.processes.iter().any(|other| other.pid == process.pid)));
        drop(service);
        assert_eq!(Footprint::read(root), Err(FootprintError::NoProcess(root)));
    }

    #[test]
    fn knows_parents_and_starts() {
        let service = Service::start();
        let root = service.0.id();
        assert_eq!(parent_of(root), Ok(std::process::id()));
        let (own, child) = (start_time(std::process::id()).unwrap(), start_time(root).unwrap());
        // The time of boot is in whole seconds.
        let now = SystemTime::now() + Duration::from_secs(1);
        assert!(own <= child && child <= now, "{own:?} {child:?} {now:?}");
        assert!(now.duration_since(child).unwrap() < Duration::from_secs(60));
        let print = Footprint::read_started(root, child + Duration::from_secs(4)).unwrap();
        assert_eq!(print.started(), Some(child));
        let other = Footprint::read_started(root, child - Duration::from_secs(60));
        assert_eq!(other, Err(FootprintError::NoProcess(root)));
        assert_eq!(parent_of(u32::MAX), Err(FootprintError::NoProcess(u32::MAX)));
        assert_eq!(parent_of(4_194_305), Err(FootprintError::NoProcess(4_194_305)));
    }

    #[test]
    fn shared_memory_is_counted_once() {
        let process = |pid, private_bytes, shared_bytes| Process {
            pid,
            parent: 1,
            name: "db".into(),
            command: "db: worker".into(),
            threads: 2,
            private_bytes,
            shared_bytes,
            started: SystemTime::UNIX_EPOCH,
        };
        let print = Footprint { processes: vec![process(1, 10, 700), process(2, 20, 800), process(3, 30, 0)] };
        assert_eq!((print.private_bytes(), print.shared_bytes(), print.threads()), (60, 800, 6));
        assert_eq!(Footprint { processes: Vec::new() }.shared_bytes(), 0);
    }

    #[test]
    fn counts_sockets_by_state() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert_eq!(address, "[::1]:0", "no loopback");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(tcp_states(port), Ok(BTreeMap::from([("listen", 1)])));
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let expected = BTreeMap::from([("established", 1), ("listen", 1)]);
            assert_eq!(tcp_states(port), Ok(expected.clone()));
            assert_eq!(Footprint::read(std::process::id()).unwrap().tcp_states(port), Ok(expected));
            drop((client, server));
        }
    }

    #[test]
    fn reads_memory() {
        let status = b"Name:\tRssAnon:\nVmRSS:\t 20 kB\nRssAnon:\t    152 kB\nRssFile:\t 7 kB\nRssShmem:\t x kB\n";
        assert_eq!((system::memory(status, b"RssAnon:"), system::memory(status, b"RssShmem:")), (155_648, 0));
        assert_eq!(system::memory(b"", b"RssAnon:"), 0);
    }

    #[test]
    fn reads_the_table_of_sockets() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
               0: 0100007F:2383 00000000:0000 0A 00000000:00000000\n\
               1: 0100007F:2383 0100007F:C001 06 00000000:00000000\n\
               2: 0100007F:C001 0100007F:2383 01 00000000:00000000\n\
               3: 00000000000000000000000001000000:2383 0:0 06 0\n\
               4: 0100007F:2383 0:0 0D\n5: 0100007F:2383 0:0 00\n6: :2383\n7\n\n\
               8: 0100007F:2383 0:0 zz\n9: x:99992383 0:0 01";
        let mut states = BTreeMap::new();
        system::count(Cursor::new(table), 9091, &mut states).unwrap();
        assert_eq!(states, BTreeMap::from([("listen", 1), ("time_wait", 2)]));
    }
}
