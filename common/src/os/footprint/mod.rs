//! What a local service takes of its machine: processes, threads, memory and sockets.
//!
//! Read from /proc, from a root process down through its descendants. The service is not asked, so this works while it
//! hangs. On other systems than Linux every reading says `Unsupported`.

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
    /// Reads a process and its descendants; those that end meanwhile are left out. Takes about 40 µs for each of them, and
    /// where the kernel does not list the children of a process, 20 µs more for each process of the machine.
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
        let print = Self::read(root)?;
        let apart = |actual: SystemTime| actual.duration_since(started).unwrap_or_else(|earlier| earlier.duration());
        if print.started().is_some_and(|actual| apart(actual) <= START_TOLERANCE) {
            Ok(print)
        } else {
            Err(FootprintError::NoProcess(root))
        }
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
#[path = "linux.rs"]
mod system;

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod system;

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
    fn a_pass_over_all_processes_finds_the_same_children() {
        let service = Service::start();
        let root = service.0.id();
        let scanned = system::scan().unwrap();
        let child = Footprint::read(root).unwrap().processes[1].pid;
        assert_eq!(scanned.get(&root), Some(&vec![child]));
        assert_eq!(scanned.get(&child), None);
        // Kernels may be built without these lists.
        if let Ok(listed) = system::listed(root, 1) {
            assert_eq!(listed, [child]);
            // This process is one of threads; the one that started the shell is not the first.
            assert!(system::listed(std::process::id(), 2).unwrap().contains(&root));
        }
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
        // The system may give us a port that a connection of somebody else has just ended at.
        let ours =
            |states: Result<BTreeMap<_, _>, _>| states.map(|states| states.into_iter().filter(|state| state.0 != "time_wait").collect());
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert_eq!(address, "[::1]:0", "no loopback");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(ours(tcp_states(port)), Ok(BTreeMap::from([("listen", 1)])));
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let expected = BTreeMap::from([("established", 1), ("listen", 1)]);
            assert_eq!(ours(tcp_states(port)), Ok(expected.clone()));
            assert_eq!(ours(Footprint::read(std::process::id()).unwrap().tcp_states(port)), Ok(expected));
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
