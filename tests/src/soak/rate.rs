//! A steady rate of scrapes from several kept connections. Each scrape has its time; how late its answer is counts from that
//! time, so that an exporter that stalls cannot hide it by holding the scraper up.

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::percentile;
use crate::exporter::Exporter;
use crate::http::Connection;

/// Connections, as of so many scrapers.
const SCRAPERS: usize = 8;
/// Longest answer.
const LIMIT: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Scrapes that were answered.
    pub scrapes: usize,
    /// Answers in a second.
    pub rate: f64,
    /// Middle and 99th percentile from the time that the scrape was due to its last byte, in seconds.
    pub p50: f64,
    /// See `p50`.
    pub p99: f64,
    /// CPU that the exporter took, of one core.
    pub cpu: f64,
}

/// Scrapes `rate` times in a second for `time`.
///
/// # Panics
/// When a scrape is not answered with 200.
pub fn run(exporter: &Exporter, rate: usize, time: Duration) -> Rate {
    let total = (rate as f64 * time.as_secs_f64()) as usize;
    let (begin, before) = (Instant::now() + Duration::from_millis(100), exporter.cpu_seconds());
    let scraper = |first: usize| {
        let mut connection = Connection::open(exporter.address(), LIMIT).expect("a connection");
        let mut times = Vec::with_capacity(total / SCRAPERS + 1);
        for number in (first..total).step_by(SCRAPERS) {
            let due = begin + Duration::from_secs_f64(number as f64 / rate as f64);
            while let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| !early.is_zero()) {
                thread::park_timeout(early);
            }
            let answer = connection.send("GET", "/metrics", &[("Accept-Encoding", "gzip")], LIMIT).expect("an answer");
            assert_eq!(answer.status, 200);
            times.push(due.elapsed().as_secs_f64());
        }
        times
    };
    let times: Vec<f64> = thread::scope(|scope| {
        let all: Vec<_> = (0..SCRAPERS).map(|first| scope.spawn(move || scraper(first))).collect();
        all.into_iter().flat_map(|one| one.join().expect("a scraper ends")).collect()
    });
    let took = begin.elapsed().as_secs_f64();
    let cpu = (exporter.cpu_seconds() - before) / took;
    Rate { scrapes: times.len(), rate: times.len() as f64 / took, p50: percentile(&times, 0.5), p99: percentile(&times, 0.99), cpu }
}
