//! `make instructions`: how many instructions an exporter takes for one scrape of a real server, counted by callgrind, and
//! whether that has grown. Unlike time, a count hardly depends on what else the machine does.
//!
//! The program is run twice, with so many scrapes and with twice as many; the difference is what these scrapes cost,
//! without start and end. What runs on a timer is kept out by long intervals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::bench::host::{self, Place};
use crate::exporter::binary;
use crate::http::{self, Connection};
use crate::page::Page;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// Where the counts are kept, below the repository.
pub const KEPT: &str = "tests/instructions.toml";
/// A count may grow by this share.
pub const ALLOWED: f64 = 0.05;
/// Scrapes of the shorter run.
const SCRAPES: usize = 100;
/// Scrapes before: sessions, buffers and what is read once.
const WARM_UP: usize = 20;
/// Everything is some fifty times slower.
const LIMIT: Duration = Duration::from_secs(60);

/// The name of an exporter, and what starts its real server.
pub type Counted = (&'static str, fn() -> Place);

/// What is counted.
pub const COUNTED: [Counted; 5] =
    [("apache", host::apache), ("http", host::http), ("nginx", host::nginx), ("postgres", host::postgres), ("redis", host::redis)];

/// Instructions of one scrape.
///
/// # Errors
/// valgrind is missing.
///
/// # Panics
/// When server or exporter do not start or answer.
pub fn count(place: &Place) -> Result<u64, String> {
    let [short, long] = [SCRAPES, 2 * SCRAPES].map(|scrapes| total(place, scrapes));
    Ok(long?.saturating_sub(short?) / SCRAPES as u64)
}

/// Instructions of a whole run with so many scrapes.
fn total(place: &Place, scrapes: usize) -> Result<u64, String> {
    let valgrind = Path::new("/usr/bin/valgrind");
    if !valgrind.exists() {
        return Err("there is no valgrind: apt-get install valgrind".to_owned());
    }
    let folder = TempFolder::new("instructions");
    let (counts, address) = (folder.join("counts"), SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    let mut command = process::command(valgrind, folder.path());
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", counts.display())]);
    command.arg(binary(&format!("sage-{}-exporter", place.exporter))).arg(format!("--web.listen-address={address}"));
    if place.exporter != "http" {
        let file = folder.write("config.yml", "modules: {default: {probe_interval: 1h}}\n");
        command.arg(format!("--config.file={}", file.display()));
    }
    command.args(&place.args).envs(place.env.iter().map(|(name, value)| (*name, value)));
    let mut process = Process::start("exporter", command, folder.path());
    process.wait_ready(LIMIT, || http::get(address, "/", &[], LIMIT).is_ok_and(|answer| answer.status == 200));
    let page = || Page::parse(&http::get(address, &place.path, &[], LIMIT).ok()?.text()).ok();
    let settled = || page().filter(|page| page.value("sage_walk_members_left", &[]).is_none_or(|left| left == 0.0));
    let page = poll::until("the first walk ends", LIMIT, settled);
    assert_eq!(page.value(place.up, &[]), Some(1.0), "{}", process.logs());
    let mut connection = Connection::open(address, LIMIT).expect("a connection");
    for _ in 0..WARM_UP + scrapes {
        let answer = connection.send("GET", &place.path, &[("Accept-Encoding", "gzip")], LIMIT);
        assert_eq!(answer.expect("an answer").status, 200, "{}", process.logs());
    }
    process.stop_with("TERM", LIMIT);
    let text = std::fs::read_to_string(&counts).map_err(|e| format!("{}: {e}\n{}", counts.display(), process.logs()))?;
    totals(&text).ok_or_else(|| format!("callgrind has counted nothing:\n{}", process.logs()))
}

/// The sum that callgrind writes at the end of its file.
fn totals(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// The kept counts by name: lines `name = number`, and comments.
///
/// # Errors
/// The line that is neither.
pub fn read(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (name, number) = line.split_once('=')?;
        Some((name.trim().to_owned(), number.trim().replace('_', "").parse().ok()?))
    };
    lines.map(|line| entry(line).ok_or_else(|| format!("{KEPT}: {line:?} is not name = number"))).collect()
}

/// The file with these counts.
pub fn write(counts: &BTreeMap<String, u64>) -> String {
    let mut text =
        "# Instructions of one scrape, from `WRITE=1 make instructions`; see CONTRIBUTING.md. They are those of one compiler and one\n\
                    # kind of processor: after a new compiler write them anew, from the commit before your own change.\n"
            .to_owned();
    for (name, count) in counts {
        let _ = writeln!(text, "{name} = {count}");
    }
    text
}

/// How much more than the kept count this is, as a share.
pub fn grown(kept: u64, count: u64) -> f64 {
    (count as f64 - kept as f64) / (kept as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_as_they_are() {
        let counts = BTreeMap::from([("nginx".to_owned(), 12), ("redis".to_owned(), 3_400_000)]);
        assert_eq!(read(&write(&counts)), Ok(counts));
        assert_eq!(read("redis = 1_000\n# no\n"), Ok(BTreeMap::from([("redis".to_owned(), 1000)])));
        assert!(read("redis: 7").unwrap_err().contains("\"redis: 7\""));
    }

    #[test]
    fn the_sum_of_callgrind_is_read() {
        assert_eq!(totals("events: Ir\nsummary: 7\n\nfn=(1)\n0 5\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(totals("events: Ir\n"), None);
    }

    #[test]
    fn growth_is_a_share_of_the_kept_count() {
        assert!(grown(100, 105) <= ALLOWED && grown(100, 106) > ALLOWED);
        assert!(grown(100, 90) < 0.0);
    }

    #[test]
    fn every_exporter_is_counted_and_kept() {
        assert_eq!(COUNTED.map(|(name, _)| format!("sage-{name}-exporter")).as_slice(), crate::exporter::all());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(KEPT);
        let kept = read(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), COUNTED.map(|(name, _)| name));
        assert!(kept.values().all(|count| *count > 10_000), "{kept:?}");
    }
}
