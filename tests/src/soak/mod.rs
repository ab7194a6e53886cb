//! `make soak`: very many scrapes with a fault every hundred, then a steady rate. What must not grow is read from /proc:
//! memory, descriptors and threads.
//!
//! The exporter reaches its real server through the fault proxy. A fault lasts for one scrape, which must be answered within
//! its time; after it the exporter must see the server again by itself.

pub mod rate;
pub mod trend;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::exporter::Exporter;
use crate::fault::{FaultProxy, Mode};
use crate::http::Connection;
use crate::page::Page;
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::servers::redis::Redis;
use crate::temp::TempFolder;
use crate::{poll, process};

/// A fault comes after as many scrapes.
pub const EVERY: usize = 100;
/// Longest answer to any scrape; Prometheus would wait 10 s.
const LIMIT: Duration = Duration::from_secs(10);
/// What the scraper allows while a fault lasts, and the longest answer then: time enough for a busy machine.
const PATIENCE: (&str, &str) = ("X-Prometheus-Scrape-Timeout-Seconds", "0.5");
const PATIENT: Duration = Duration::from_secs(2);
/// Longest time until the server is seen again.
const RECOVERY: Duration = Duration::from_secs(10);

/// The exporters that are soaked.
pub const NAMES: [&str; 2] = ["postgres", "redis"];

/// A real server that can be broken.
enum Server {
    Postgres(Postgres, TempFolder),
    Redis(Redis),
}

impl Server {
    fn start(name: &str) -> Self {
        if name == "redis" {
            return Self::Redis(Redis::start());
        }
        let server = Postgres::start(PostgresOptions::default());
        // Two of ours, and those that the server has not yet seen end.
        server.create_monitor("soak", "soak-password", 20);
        let folder = TempFolder::new("soak");
        folder.write_secret("password", "soak-password");
        Self::Postgres(server, folder)
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Postgres(server, _) => server.address(),
            Self::Redis(server) => server.address(),
        }
    }

    fn exporter(&self, address: SocketAddr) -> (Exporter, &'static str) {
        match self {
            Self::Postgres(_, folder) => {
                let (uri, password) = (format!("{address}/postgres?sslmode=disable"), folder.join("password").display().to_string());
                let env = [("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", "soak"), ("DATA_SOURCE_PASS_FILE", &password)];
                (Exporter::start("sage-postgres-exporter", &[], &env), "pg_up")
            }
            Self::Redis(_) => (Exporter::start("sage-redis-exporter", &[], &[("REDIS_ADDR", &format!("redis://{address}"))]), "redis_up"),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Postgres(server, _) => server.kill(),
            Self::Redis(server) => server.kill(),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Postgres(server, _) => server.restart(),
            Self::Redis(server) => server.restart(),
        }
    }

    fn freeze(&self, frozen: bool) {
        match (self, frozen) {
            (Self::Postgres(server, _), true) => server.freeze(),
            (Self::Postgres(server, _), false) => server.thaw(),
            (Self::Redis(server), true) => server.freeze(),
            (Self::Redis(server), false) => server.thaw(),
        }
    }
}

/// The faults, one after the other and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What the proxy can do.
    Proxy(Mode),
    /// The server's processes are stopped and go on.
    Frozen,
    /// The server is killed and started again.
    Killed,
}

/// The dear ones come once in a turn.
const FAULTS: [Fault; 10] = [
    Fault::Proxy(Mode::Reset),
    Fault::Proxy(Mode::Refuse),
    Fault::Proxy(Mode::BlackHole),
    Fault::Proxy(Mode::Garbage),
    Fault::Frozen,
    Fault::Proxy(Mode::ResetMidAnswer(100)),
    Fault::Proxy(Mode::CloseAtOnce),
    Fault::Proxy(Mode::Drip),
    Fault::Killed,
    Fault::Proxy(Mode::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
];

/// What was seen.
#[derive(Debug, Default)]
pub struct Soak {
    /// Scrapes that were answered.
    pub scrapes: usize,
    /// Faults that were made.
    pub faults: usize,
    /// Faults of which the page told: `up` was 0.
    pub told: usize,
    /// Longest answer while a fault lasted.
    pub slowest: Duration,
    /// Longest time until the server was seen again.
    pub recovery: Duration,
    /// How long all took.
    pub took: Duration,
    /// Memory, descriptors and threads, at rest.
    pub samples: Vec<trend::Sample>,
}

/// So many samples are taken, evenly.
const SAMPLES: usize = 100;

/// Scrapes the exporter so often, with a fault every [`EVERY`]; `tell` gets a line now and then.
///
/// # Panics
/// When a scrape is not answered in time, or the server is not seen again after a fault.
pub fn run(name: &str, scrapes: usize, mut tell: impl FnMut(&str)) -> Soak {
    let mut server = Server::start(name);
    let proxy = FaultProxy::start(server.address());
    let (exporter, up) = server.exporter(proxy.address());
    let mut soak = Soak::default();
    let begin = Instant::now();
    let mut connection = Connection::open(exporter.address(), LIMIT).expect("a connection");
    let step = (scrapes / SAMPLES).max(EVERY);
    while soak.scrapes < scrapes {
        if soak.scrapes % EVERY == 0 && soak.scrapes > 0 {
            fault(&mut server, &proxy, &exporter, up, &mut soak);
        }
        if soak.scrapes.is_multiple_of(step) {
            soak.samples.push(sample(&exporter, soak.scrapes));
        }
        if soak.scrapes > 0 && soak.scrapes.is_multiple_of(scrapes.div_ceil(10)) {
            tell(&format!("{name}: {} scrapes, {} faults, {:.0?}", soak.scrapes, soak.faults, begin.elapsed()));
        }
        let answer = connection.send("GET", "/metrics", &[("Accept-Encoding", "gzip")], LIMIT);
        let answer = answer.unwrap_or_else(|e| panic!("scrape {}: {e}\n{}", soak.scrapes, exporter.logs()));
        assert_eq!(answer.status, 200, "scrape {}", soak.scrapes);
        soak.scrapes += 1;
    }
    soak.samples.push(sample(&exporter, soak.scrapes));
    soak.took = begin.elapsed();
    soak
}

/// Makes the next fault, scrapes once within it, ends it, and waits until the server is seen again.
fn fault(server: &mut Server, proxy: &FaultProxy, exporter: &Exporter, up: &str, soak: &mut Soak) {
    let fault = FAULTS[soak.faults % FAULTS.len()];
    match fault {
        Fault::Proxy(mode) => proxy.set(mode),
        Fault::Frozen => server.freeze(true),
        Fault::Killed => server.stop(),
    }
    let answer = exporter.try_get("/metrics", &[PATIENCE], PATIENT);
    let answer = answer.unwrap_or_else(|e| panic!("{fault:?}: no answer in {PATIENT:?}: {e}\n{}", exporter.logs()));
    assert_eq!(answer.status, 200, "{fault:?}");
    soak.slowest = soak.slowest.max(answer.elapsed);
    let seen = |text: &str| Page::parse(text).unwrap_or_else(|e| panic!("{fault:?}: {e}")).value(up, &[]);
    soak.told += usize::from(seen(&answer.text()) == Some(0.0));
    match fault {
        Fault::Proxy(_) => proxy.set(Mode::Pass),
        Fault::Frozen => server.freeze(false),
        Fault::Killed => server.restart(),
    }
    let ended = Instant::now();
    let again = poll::within(RECOVERY, || (seen(&exporter.try_get("/metrics", &[], LIMIT).ok()?.text()) == Some(1.0)).then_some(()));
    assert!(again.is_some(), "{fault:?}: the server is not seen again after {RECOVERY:?}\n{}", exporter.logs());
    soak.recovery = soak.recovery.max(ended.elapsed());
    soak.faults += 1;
}

fn sample(exporter: &Exporter, scrapes: usize) -> trend::Sample {
    let threads = std::fs::read_dir(format!("/proc/{}/task", exporter.pid())).map_or(0, Iterator::count);
    let resident = process::memory_bytes(exporter.pid(), "VmRSS").expect("the exporter runs");
    trend::Sample { scrapes, resident, private: exporter.private_bytes(), descriptors: exporter.open_fds(), threads }
}

/// Starts server and exporter without faults, for the steady rate.
///
/// # Panics
/// When one does not start or a scrape is not answered.
pub fn steady(name: &str, rate: usize, time: Duration) -> rate::Rate {
    let server = Server::start(name);
    let (exporter, up) = server.exporter(server.address());
    assert_eq!(exporter.metrics().value(up, &[]), Some(1.0), "{}", exporter.logs());
    rate::run(&exporter, rate, time)
}
