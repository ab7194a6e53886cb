//! One exporter process with many targets, of which some hang: are the others answered on time, and at what cost?
//!
//! The healthy targets are scraped one after the other, again and again, while a scraper of its own waits at each hung one.
//! What a healthy scrape takes then, against what it takes alone, is the price of the hung ones.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::figures::{Aim, markdown};
use crate::bench::peer::{Peer, Program};
use crate::bench::{median, percentile};
use crate::http::{self, Connection};
use crate::page::Page;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// Rounds for each number of hung targets; the median of them is the figure.
const ROUNDS: usize = 3;
/// Shortest round: the scrapers of the hung targets wait at theirs, and come again within it. A 99th percentile wants
/// hundreds of scrapes.
const LEAST: Duration = Duration::from_secs(5);
/// Longest scrape of a healthy target; the peers have longer limits of their own for a hung one.
const LIMIT: Duration = Duration::from_secs(30);
/// What the scrapers of the hung targets allow, as Prometheus says it.
const PATIENCE: (&str, &str) = ("X-Prometheus-Scrape-Timeout-Seconds", "3");
/// When they give up.
const GIVE_UP: Duration = Duration::from_secs(4);
/// A scrape that takes longer is late.
const LATE: f64 = 1.0;

/// An exporter with many targets beside its peer.
pub struct Fleet {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The exporter's folder below `exporters/`.
    pub exporter: &'static str,
    /// The program that it is measured beside, where the question is how they compare.
    pub peer: Option<Peer>,
    /// A series of ours that is 1 while the target answers.
    pub up: &'static str,
    /// Targets that answer.
    pub targets: usize,
    /// Numbers of targets that hang beside them, the first of them 0.
    pub hung: &'static [usize],
    /// Starts so many that answer and so many that do not.
    pub start: fn(usize, usize) -> FleetStage,
    /// Aims: most resident bytes of ours in the end, and least targets that ours scrapes in a second of CPU.
    pub aims: Option<(u64, f64)>,
}

/// The targets.
pub struct FleetStage {
    /// What they are, for the reader of the figures.
    pub about: String,
    /// Modules that both sides take as their file, where targets are free.
    modules: Option<String>,
    members: Vec<Member>,
    hung: Vec<Member>,
    _keep: Box<dyn Any>,
}

/// One target as both sides name it.
pub struct Member {
    /// Its line below `targets:` of our configuration; empty where targets are free.
    pub config: String,
    /// Our path and query.
    pub ours: String,
    /// The peer's; empty where there is none.
    pub peer: String,
}

impl FleetStage {
    /// Targets that answer, targets that hang, and what keeps both alive.
    pub fn new(about: String, members: Vec<Member>, hung: Vec<Member>, keep: impl Any) -> Self {
        Self { about, modules: None, members, hung, _keep: Box::new(keep) }
    }

    /// The same with a file of modules for both sides.
    #[must_use]
    pub fn probed_by(self, modules: String) -> Self {
        Self { modules: Some(modules), ..self }
    }
}

/// The figures of one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetFigures {
    /// For each number of hung targets: median, 99th percentile and longest of the healthy ones' scrapes, in seconds.
    pub times: Vec<(usize, f64, f64, f64)>,
    /// Healthy scrapes that took more than a second or had no answer, of all rounds.
    pub late: usize,
    /// Healthy targets scraped in one second of the exporter's CPU, nothing hanging.
    pub rate: f64,
    /// Resident bytes in the end.
    pub rss: u64,
}

impl FleetFigures {
    /// How many times the p99 alone is the p99 beside most hung targets.
    fn price(&self) -> f64 {
        match (self.times.first(), self.times.last()) {
            (Some(alone), Some(beside)) if alone.2 > 0.0 => beside.2 / alone.2,
            _ => 0.0,
        }
    }
}

/// Measures both sides, ours first: alternation would change nothing, since each side is compared with itself alone.
///
/// # Panics
/// When an exporter does not start.
pub fn run(fleet: &Fleet, peer: Option<&Program>, stage: &FleetStage) -> (FleetFigures, Option<FleetFigures>) {
    let folder = TempFolder::new("bench");
    let targets: String = stage.members.iter().chain(&stage.hung).map(|member| member.config.as_str()).collect();
    let file = folder.write("fleet.yml", stage.modules.as_ref().unwrap_or(&format!("targets:\n{targets}")));
    let argument = format!("--config.file={}", file.display());
    let theirs: &[&str] = if stage.modules.is_some() { &[&argument] } else { &[] };
    let args: &[&str] = if targets.is_empty() { theirs } else { &[&argument] };
    let ours = Side::start(&Program::ours(fleet.exporter), args, |member| &member.ours).figures(fleet, stage, fleet.up);
    let peer = peer.zip(fleet.peer.as_ref()).map(|(program, peer)| {
        let side = Side::start(program, theirs, |member| &member.peer);
        side.figures(fleet, stage, peer.up)
    });
    (ours, peer)
}

struct Side {
    process: Process,
    address: SocketAddr,
    path: fn(&Member) -> &String,
    _folder: TempFolder,
}

impl Side {
    fn start(program: &Program, args: &[&str], path: fn(&Member) -> &String) -> Self {
        let folder = TempFolder::new("bench");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = process::command(&program.path, folder.path());
        command.arg(program.listen(address)).args(args);
        let mut process = Process::start("exporter", command, folder.path());
        process.wait_ready(LIMIT, || http::get(address, "/", &[], LIMIT).is_ok_and(|r| r.status == 200));
        Self { process, address, path, _folder: folder }
    }

    fn figures(self, fleet: &Fleet, stage: &FleetStage, up: &str) -> FleetFigures {
        let mut figures = FleetFigures::default();
        self.verify(up, &stage.members[0]);
        // Sessions are opened, results of timers are there: what a running exporter has.
        self.round(&stage.members);
        let mut rounds: Vec<Vec<Vec<f64>>> = vec![Vec::new(); fleet.hung.len()];
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            for (&hung, rounds) in fleet.hung.iter().zip(&mut rounds) {
                let before = process::cpu_seconds(self.process.pid()).expect("it runs");
                let times = self.beside(&stage.hung[..hung], &stage.members);
                if hung == 0 {
                    let cpu = process::cpu_seconds(self.process.pid()).expect("it runs") - before;
                    rates.push(times.len() as f64 / cpu.max(0.01));
                }
                rounds.push(times);
            }
        }
        for (&hung, rounds) in fleet.hung.iter().zip(&rounds) {
            let middle = |of: fn(&[f64]) -> f64| median(rounds.iter().map(|times| of(times)).collect());
            let longest = rounds.iter().flatten().copied().fold(0.0, f64::max);
            figures.times.push((hung, middle(|times| percentile(times, 0.5)), middle(|times| percentile(times, 0.99)), longest));
        }
        figures.late = rounds.iter().flatten().flatten().filter(|&&time| time > LATE).count();
        figures.rate = median(rates);
        figures.rss = process::memory_bytes(self.process.pid(), "VmRSS").expect("it runs");
        figures
    }

    /// A page of a healthy target must say that it is one.
    fn verify(&self, up: &str, member: &Member) {
        let text = http::get(self.address, (self.path)(member), &[], LIMIT).expect("a page").text();
        let page = Page::parse(&text).unwrap_or_else(|e| panic!("{e}:\n{text}"));
        assert_eq!(page.value(up, &[]), Some(1.0), "{}\n{}", self.process.logs(), text);
    }

    /// A round while a scraper waits at each of `hung`.
    fn beside(&self, hung: &[Member], members: &[Member]) -> Vec<f64> {
        let (stop, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for member in hung {
                let (stop, waiting) = (&stop, &waiting);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        waiting.fetch_add(1, Ordering::Relaxed);
                        // Whether it answers or not: it is asked again.
                        let _ = http::get(self.address, (self.path)(member), &[PATIENCE], GIVE_UP);
                    }
                });
            }
            poll::until("the scrapers wait", LIMIT, || (waiting.load(Ordering::Relaxed) >= hung.len()).then_some(()));
            let begin = Instant::now();
            let mut times = self.round(members);
            while begin.elapsed() < LEAST {
                times.append(&mut self.round(members));
            }
            stop.store(true, Ordering::Relaxed);
            times
        })
    }

    /// Scrapes each of `members` once; how long each took, in seconds. No answer counts as the longest.
    fn round(&self, members: &[Member]) -> Vec<f64> {
        let mut connection = Connection::open(self.address, LIMIT).expect("a connection");
        let scrape = |member: &Member| match connection.send("GET", (self.path)(member), &[], LIMIT) {
            Ok(page) if page.status == 200 => page.elapsed.as_secs_f64(),
            _ => {
                connection = Connection::open(self.address, LIMIT).expect("a connection");
                LIMIT.as_secs_f64()
            }
        };
        members.iter().map(scrape).collect()
    }
}

/// The table of a fleet.
pub fn table(fleet: &Fleet, ours: &FleetFigures, peer: Option<&FleetFigures>) -> String {
    let none = FleetFigures { times: vec![(0, 0.0, 0.0, 0.0); ours.times.len()], ..FleetFigures::default() };
    let compared = peer.is_some();
    let peer = peer.unwrap_or(&none);
    let row = |name: String, show: &dyn Fn(f64) -> String, a: f64, b: f64| {
        let ratio = if b > 0.0 { format!("{:.2}", a / b) } else { String::new() };
        [name, show(a), if compared { show(b) } else { String::new() }, ratio]
    };
    let ms = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    let title = format!("{}: {} targets answer", fleet.name, fleet.targets);
    let head = if compared { ["ours", "peer", "ours/peer"] } else { ["ours", "", ""] };
    let [a, b, c] = head.map(str::to_owned);
    let mut cells = vec![[title, a, b, c]];
    for ((hung, p50, p99, longest), theirs) in ours.times.iter().zip(&peer.times) {
        cells.push(row(format!("scrape beside {hung} hung, p50"), &ms, *p50, theirs.1));
        cells.push(row(format!("scrape beside {hung} hung, p99"), &ms, *p99, theirs.2));
        cells.push(row(format!("scrape beside {hung} hung, longest"), &ms, *longest, theirs.3));
    }
    cells.push(row("p99 beside most hung, against alone".to_owned(), &|x| format!("{x:.2}"), ours.price(), peer.price()));
    cells.push(row("scrapes over 1 s".to_owned(), &|x| format!("{x:.0}"), ours.late as f64, peer.late as f64));
    cells.push(row("targets in a second of CPU".to_owned(), &|x| format!("{x:.0}"), ours.rate, peer.rate));
    cells.push(row("resident in the end".to_owned(), &|x| format!("{:.1} MB", x / 1e6), ours.rss as f64, peer.rss as f64));
    markdown(&cells)
}

/// What was aimed at; without bounds of its own three times the peer's rate and half of its memory.
pub fn aims(fleet: &Fleet, ours: &FleetFigures, theirs: Option<&FleetFigures>) -> Vec<Aim> {
    let price = ours.price();
    let mut aims = vec![
        Aim { text: format!("{}: no healthy target late ({} scrapes over 1 s)", fleet.name, ours.late), met: ours.late == 0 },
        Aim { text: format!("{}: p99 beside hung targets at most 1.1 times that alone ({price:.2})", fleet.name), met: price <= 1.1 },
    ];
    let beside = theirs.map(|peer| (peer.rss / 2, peer.rate * 3.0));
    if let Some((rss, rate)) = fleet.aims.or(beside) {
        let text = format!("{}: at least {rate:.0} targets in a second of CPU ({:.0})", fleet.name, ours.rate);
        aims.push(Aim { text, met: ours.rate >= rate });
        let text = format!("{}: at most {:.1} MB resident ({:.1} MB)", fleet.name, rss as f64 / 1e6, ours.rss as f64 / 1e6);
        aims.push(Aim { text, met: ours.rss <= rss });
    }
    aims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_hung_targets_is_what_most_of_them_cost() {
        let figures =
            |p99: [f64; 2]| FleetFigures { times: vec![(0, 0.1, p99[0], 0.5), (64, 0.1, p99[1], 0.5)], ..FleetFigures::default() };
        assert_eq!(figures([0.2, 0.3]).price(), 0.3 / 0.2);
        assert_eq!((figures([0.0, 0.3]).price(), FleetFigures::default().price()), (0.0, 0.0));
    }
}
