//! Two exporters scraped in alternation at one server, as Prometheus scrapes: one kept connection, its headers, gzip.
//!
//! CPU times are the kernel's (10 ms ticks) and stay true on a busy machine; latencies there are too high on both sides.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::bench::contests::{Contest, Load, Setup, Stage};
use crate::bench::peer::Program;
use crate::bench::{median, percentile};
use crate::http::{self, Connection};
use crate::page::Page;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// How often both sides are scraped.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of each side; the median of them is the figure.
    pub rounds: usize,
    /// Scrapes of one round.
    pub scrapes: usize,
    /// Scrapes of each side before the first round.
    pub warm_up: usize,
    /// Memory is read after as many.
    pub rss_after: usize,
}

/// For a small server.
pub const USUAL: Effort = Effort { rounds: 5, scrapes: 200, warm_up: 100, rss_after: 500 };
/// For servers whose scrapes may take seconds.
pub const BRIEF: Effort = Effort { rounds: 3, scrapes: 10, warm_up: 2, rss_after: 20 };

/// How long the server is watched while nobody scrapes.
const IDLE: Duration = Duration::from_secs(10);
/// Longest scrape.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest walk over all databases.
const WALK: Duration = Duration::from_secs(600);

/// What Prometheus 2.x sends.
const HEADERS: [(&str, &str); 4] = [
    ("User-Agent", "Prometheus/2.42.0"),
    (
        "Accept",
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ),
    ("Accept-Encoding", "gzip"),
    ("X-Prometheus-Scrape-Timeout-Seconds", "10"),
];

/// The figures of one side.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Median latency of a scrape in seconds.
    pub p50: f64,
    /// Latency that one scrape in a hundred exceeds, in seconds.
    pub p99: f64,
    /// CPU seconds of the exporter for 100 scrapes.
    pub cpu: f64,
    /// CPU seconds of the server for 100 scrapes, its idle time taken off.
    pub server_cpu: f64,
    /// Series of a page.
    pub series: usize,
    /// Bytes of a page as it is sent.
    pub bytes: usize,
    /// Resident bytes after the first scrape.
    pub rss_first: u64,
    /// Resident bytes after some of the scrapes (`Effort::rss_after`).
    pub rss: u64,
    /// Bytes of the program's file.
    pub binary: u64,
    /// Seconds of a walk over all databases, where there is one.
    pub walk: f64,
    /// Series left out of the page.
    pub dropped: f64,
}

impl Figures {
    /// CPU seconds of the exporter for one series of one page.
    pub fn cpu_per_series(&self) -> f64 {
        self.cpu / 100.0 / self.series.max(1) as f64
    }
}

/// Ours and the peer's.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Ours.
    pub ours: Figures,
    /// The peer's.
    pub peer: Figures,
}

/// Measures one load of a contest.
///
/// # Panics
/// When an exporter does not start or does not answer with a well-formed page.
pub fn run(contest: &Contest, load: &Load, peer: &Program, stage: &Stage) -> Pair {
    let ours = Program::ours(contest.exporter);
    let effort = contest.effort;
    let mut sides = [Side::start(&ours, &load.ours, stage, contest), Side::start(peer, &load.peer, stage, contest)];
    for side in &mut sides {
        side.walked();
        side.scrapes(effort.warm_up);
    }
    for _ in 0..effort.rounds {
        for side in &mut sides {
            side.round(stage);
        }
    }
    let [ours, peer] = sides.map(Side::figures);
    Pair { ours, peer }
}

/// The CPU share that a server takes while no exporter is there: what it does on its own is not counted for scrapes.
pub fn idle_share(pid: u32) -> f64 {
    let (begin, before) = (Instant::now(), tree_cpu(pid));
    let _: Option<()> = poll::within(IDLE, || None);
    (tree_cpu(pid) - before) / begin.elapsed().as_secs_f64()
}

/// One exporter under measurement.
struct Side {
    process: Process,
    address: SocketAddr,
    done: usize,
    effort: Effort,
    rounds: Vec<Round>,
    fixed: Figures,
    _folder: TempFolder,
}

/// What one round took.
struct Round {
    p50: f64,
    p99: f64,
    cpu: f64,
    server_cpu: f64,
}

impl Side {
    fn start(program: &Program, setup: &Setup, stage: &Stage, contest: &Contest) -> Self {
        let folder = TempFolder::new("bench");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = process::command(&program.path, folder.path());
        command
            .arg(program.listen(address))
            .args(program.without(setup.without))
            .args(setup.args.iter().map(|arg| arg.replace("{queries}", &stage.queries).replace("{url}", &stage.url)))
            .envs(stage.env.iter().map(|(name, value)| (*name, value)));
        let mut process = Process::start("exporter", command, folder.path());
        // The landing page: the first scrape is to be the first.
        process.wait_ready(LIMIT, || http::get(address, "/", &[], LIMIT).is_ok_and(|r| r.status == 200));
        let plain = http::get(address, "/metrics", &[], LIMIT).expect("a page");
        let page = Page::parse(&plain.text()).unwrap_or_else(|e| panic!("{}: {e}", program.about));
        assert_eq!(page.value(contest.peer.up, &[]), Some(1.0), "{} does not reach the server:\n{}", program.about, process.logs());
        let fixed = Figures {
            rss_first: process::memory_bytes(process.pid(), "VmRSS").expect("it runs"),
            binary: fs::metadata(&program.path).expect("the program").len(),
            ..Figures::default()
        };
        Self { process, address, done: 1, effort: contest.effort, rounds: Vec::new(), fixed, _folder: folder }
    }

    /// Waits until a walk over all databases has ended, where there is one.
    fn walked(&mut self) {
        let page = || Page::parse(&http::get(self.address, "/metrics", &[], LIMIT).expect("a page").text()).unwrap_or_default();
        if page().has("sage_walk_members_left") {
            self.fixed.walk = poll::within(WALK, || page().value("sage_walk_duration_seconds", &[])).expect("the walk ends");
        }
    }

    /// Scrapes `count` times over one connection and returns how long each took, in seconds.
    fn scrapes(&mut self, count: usize) -> Vec<f64> {
        // Not kept between rounds: an exporter may close a connection that is idle.
        let mut connection = Connection::open(self.address, LIMIT).expect("a connection");
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let page = connection.send("GET", "/metrics", &HEADERS, LIMIT);
            let page = page.unwrap_or_else(|e| panic!("{e}\n{}", self.process.logs()));
            assert_eq!(page.status, 200, "{}", self.process.logs());
            times.push(page.elapsed.as_secs_f64());
            self.fixed.bytes = page.body.len();
            self.done += 1;
            if self.done == self.effort.rss_after {
                self.fixed.rss = process::memory_bytes(self.process.pid(), "VmRSS").expect("it runs");
            }
        }
        times
    }

    fn round(&mut self, stage: &Stage) {
        let own = |side: &Self| process::cpu_seconds(side.process.pid()).expect("it runs");
        let (begin, cpu, server_cpu) = (Instant::now(), own(self), tree_cpu(stage.pid));
        let times = self.scrapes(self.effort.scrapes);
        let idle = stage.idle * begin.elapsed().as_secs_f64();
        let (cpu, server_cpu) = (own(self) - cpu, tree_cpu(stage.pid) - server_cpu - idle);
        let hundreds = self.effort.scrapes as f64 / 100.0;
        self.rounds.push(Round {
            p50: percentile(&times, 0.5),
            p99: percentile(&times, 0.99),
            cpu: cpu / hundreds,
            server_cpu: server_cpu.max(0.0) / hundreds,
        });
    }

    fn figures(self) -> Figures {
        let middle = |of: fn(&Round) -> f64| median(self.rounds.iter().map(of).collect());
        let mut figures = Figures {
            p50: middle(|r| r.p50),
            p99: middle(|r| r.p99),
            cpu: middle(|r| r.cpu),
            server_cpu: middle(|r| r.server_cpu),
            ..self.fixed.clone()
        };
        // Asked without gzip, and last: what is on the page may grow with the scrapes.
        let page = http::get(self.address, "/metrics", &[], LIMIT).expect("a page").text();
        let page = Page::parse(&page).unwrap_or_else(|e| panic!("{e}"));
        figures.series = page.samples.len();
        figures.dropped = page.series("sage_series_dropped").iter().fold(0.0, |sum, s| sum + s.value);
        figures
    }
}

/// CPU seconds of a process and all below it, with those that have ended and were waited for.
fn tree_cpu(root: u32) -> f64 {
    let mut all: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").expect("procfs").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue; // it has just ended
        };
        // The name in parentheses may hold anything; the parent is the second field behind it, times start at the 12th.
        let Some((_, rest)) = text.rsplit_once(") ") else { continue };
        let fields: Vec<u64> = rest.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        let parent = u32::try_from(fields[1]).unwrap_or(0);
        let used = fields[11..15].iter().sum();
        if pid == root {
            ticks += used;
        }
        all.entry(parent).or_default().push((pid, used));
    }
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for (pid, used) in all.remove(&parent).unwrap_or_default() {
            ticks += used;
            open.push(pid);
        }
    }
    ticks as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_counts_its_running_and_its_ended_children() {
        let before = tree_cpu(std::process::id());
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = Command::new("sh").args(["-c", &format!("sh -c '{burn}'; exit 0")]).status().unwrap();
        assert!(status.success());
        let ended = tree_cpu(std::process::id()) - before;
        assert!(ended >= 0.02, "{ended}");
        let mut running = Command::new("sh").args(["-c", &format!("{burn}; read line")]).spawn().unwrap();
        let seen = poll::within(Duration::from_secs(30), || (tree_cpu(std::process::id()) - before >= ended + 0.02).then_some(()));
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(seen, Some(()));
    }
}
