//! The figures as a Markdown table that is also readable on a terminal, the aims, and the part of a README they go to.

use std::fs;
use std::path::Path;

use crate::bench::contests::{Contest, Load};
use crate::bench::encode::{self, Encoding};
use crate::bench::measure::{BRIEF, Figures, Pair, USUAL};

/// The part of a README that is written by `--markdown`.
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";

/// One line of the table.
struct Line {
    name: String,
    of: fn(&Figures) -> f64,
    show: fn(f64) -> String,
}

fn lines() -> Vec<Line> {
    let line = |name: &str, of: fn(&Figures) -> f64, show: fn(f64) -> String| Line { name: name.to_owned(), of, show };
    let ms: fn(f64) -> String = |seconds| format!("{:.2} ms", seconds * 1e3);
    let seconds: fn(f64) -> String = |seconds| format!("{seconds:.3} s");
    let mega: fn(f64) -> String = |bytes| format!("{:.1} MB", bytes / 1e6);
    let whole: fn(f64) -> String = |count| format!("{count:.0}");
    vec![
        line("scrape, p50", |f| f.p50, ms),
        line("scrape, p99", |f| f.p99, ms),
        line("CPU of the exporter, 100 scrapes", |f| f.cpu, seconds),
        line("CPU of the server, 100 scrapes", |f| f.server_cpu, seconds),
        line("series of a page", |f| f.series as f64, whole),
        line("CPU of the exporter, one series", Figures::cpu_per_series, |s| format!("{:.2} µs", s * 1e6)),
        line("bytes of a page, as sent", |f| f.bytes as f64, whole),
        line("resident after the first scrape", |f| f.rss_first as f64, mega),
        line("resident after the scrapes", |f| f.rss as f64, mega),
        line("walk over the databases, each 5 min", |f| f.walk, seconds),
        line("series left out", |f| f.dropped, whole),
        line("the program's file", |f| f.binary as f64, mega),
    ]
}

/// The table of one load.
pub fn table(load: &Load, pair: &Pair) -> String {
    let mut cells = vec![[load.title.to_owned(), "ours".to_owned(), "peer".to_owned(), "ours/peer".to_owned()]];
    for line in lines() {
        let (ours, peer) = ((line.of)(&pair.ours), (line.of)(&pair.peer));
        let ratio = if peer > 0.0 { format!("{:.2}", ours / peer) } else { String::new() };
        cells.push([line.name, (line.show)(ours), (line.show)(peer), ratio]);
    }
    format!("{}\nOurs reads: {}. The peer reads: {}.\n", markdown(&cells), load.ours.reads, load.peer.reads)
}

/// The table of the encoder.
pub fn encoding(results: &[Encoding]) -> String {
    let title = format!("encoding {} series", encode::SERIES);
    let mut cells = vec![[title, "least".to_owned(), "median".to_owned(), "page".to_owned()]];
    for result in results {
        let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        cells.push([result.order.to_owned(), ms(result.least), ms(result.median), format!("{:.1} MB", result.bytes as f64 / 1e6)]);
    }
    format!(
        "{}\nCPU time of {} runs: 10 families of 10,000 label sets with 3 labels, built, sorted and written.\n",
        markdown(&cells),
        encode::RUNS
    )
}

/// Cells of equal width; the first row is the heading, and all columns but the first are numbers.
pub fn markdown(cells: &[[String; 4]]) -> String {
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for (number, row) in cells.iter().enumerate() {
        let [w0, w1, w2, w3] = widths;
        let [a, b, c, d] = row;
        text += &format!("| {a:<w0$} | {b:>w1$} | {c:>w2$} | {d:>w3$} |\n");
        if number == 0 {
            let dashes = |width: usize| "-".repeat(width);
            text += &format!("|:{}-|-{}:|-{}:|-{}:|\n", dashes(w0), dashes(w1), dashes(w2), dashes(w3));
        }
    }
    text
}

/// What was aimed at.
pub struct Aim {
    /// In words, with the figures.
    pub text: String,
    /// Whether it is met.
    pub met: bool,
}

impl Aim {
    /// One line.
    pub fn line(&self) -> String {
        format!("- {}: {}\n", self.text, if self.met { "met" } else { "**missed**" })
    }
}

/// The aims of one server of usual size.
pub fn aims(contest: &Contest, pair: &Pair) -> Vec<Aim> {
    let (name, ours, peer) = (contest.name, &pair.ours, &pair.peer);
    let (cpu, allowed) = (ours.cpu_per_series(), peer.cpu_per_series() / 4.0);
    vec![
        Aim {
            text: format!(
                "{name}: CPU of the exporter per series at most a quarter of the peer's ({:.2} µs, allowed {:.2} µs)",
                cpu * 1e6,
                allowed * 1e6
            ),
            met: cpu <= allowed,
        },
        Aim {
            text: format!("{name}: at most 12 MB resident after {} scrapes ({:.1} MB)", USUAL.rss_after, ours.rss as f64 / 1e6),
            met: ours.rss <= 12_000_000,
        },
        Aim {
            text: format!("{name}: CPU of the server not above the peer's ({:.3} s, peer {:.3} s)", ours.server_cpu, peer.server_cpu),
            met: ours.server_cpu <= peer.server_cpu,
        },
        Aim {
            text: format!("{name}: p50 of a scrape not above the peer's ({:.2} ms, peer {:.2} ms)", ours.p50 * 1e3, peer.p50 * 1e3),
            met: ours.p50 <= peer.p50,
        },
    ]
}

/// The aims of a server with a status page: beside the peer, of which half the memory.
pub fn aims_of_pages(contest: &Contest, pair: &Pair) -> Vec<Aim> {
    let (name, ours, peer) = (contest.name, &pair.ours, &pair.peer);
    let (rate, wanted) = (100.0 / ours.cpu.max(1e-9), 300.0 / peer.cpu.max(1e-9));
    vec![
        Aim {
            text: format!("{name}: at least three times the peer's scrapes in a second of CPU ({rate:.0}, wanted {wanted:.0})"),
            met: rate >= wanted,
        },
        Aim {
            text: format!(
                "{name}: at most half of the peer's resident memory ({:.1} MB, peer {:.1} MB)",
                ours.rss as f64 / 1e6,
                peer.rss as f64 / 1e6
            ),
            met: ours.rss * 2 <= peer.rss,
        },
    ]
}

/// The aims of a large server.
pub fn aims_of_large(contest: &Contest, pair: &Pair) -> Vec<Aim> {
    let (name, ours) = (contest.name, &pair.ours);
    vec![
        Aim {
            text: format!("{name}: nothing is left out of the page ({:.0} series of {})", ours.dropped, ours.series),
            met: ours.dropped == 0.0,
        },
        Aim { text: format!("{name}: a scrape in at most 1 s (p99 {:.0} ms)", ours.p99 * 1e3), met: ours.p99 <= 1.0 },
    ]
}

/// The encoder's aim, judged by the slowest order.
pub fn encoding_aim(results: &[Encoding]) -> Aim {
    let slowest = results.iter().map(|r| r.median).fold(0.0, f64::max);
    Aim { text: format!("{} series encoded in at most 15 ms ({:.1} ms)", encode::SERIES, slowest * 1e3), met: slowest <= 0.015 }
}

/// How the figures were taken.
pub fn method() -> String {
    format!(
        "Medians of {} rounds of {} scrapes (with many databases or tables {} of {}), ours and the peer's in alternation at the same server, over one kept connection \
         with Prometheus' headers. CPU times are those of whole processes from /proc (the server's with all its children, idle time taken \
         off). On a busy machine latencies are too high on both sides; CPU times stay true.\n",
        USUAL.rounds, USUAL.scrapes, BRIEF.rounds, BRIEF.scrapes
    )
}

/// Puts `text` between the markers of the file at `path`.
///
/// # Errors
/// The file cannot be read or written, or has not both markers.
pub fn write_to(path: &Path, text: &str) -> Result<(), String> {
    let fail = |what: &str| format!("{}: {what}", path.display());
    let old = fs::read_to_string(path).map_err(|e| fail(&e.to_string()))?;
    let new = replace(&old, text).ok_or_else(|| fail(&format!("there is no {BEGIN} with {END} behind it")))?;
    fs::write(path, new).map_err(|e| fail(&e.to_string()))
}

fn replace(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contests;

    #[test]
    fn only_the_marked_part_is_replaced() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replace(&old, "new\n"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(replace(&format!("{END}{BEGIN}"), "new\n"), None);
    }

    #[test]
    fn aims_are_judged_at_their_bounds() {
        let side = |cpu, rss| Figures { p50: 0.01, cpu, server_cpu: 0.5, series: 100, rss, ..Figures::default() };
        let met = |ours, peer| -> Vec<bool> { aims(&contests::CONTESTS[0], &Pair { ours, peer }).iter().map(|aim| aim.met).collect() };
        assert_eq!(met(side(0.25, 12_000_000), side(1.0, 0)), [true, true, true, true]);
        assert_eq!(met(side(0.26, 12_000_001), side(1.0, 0)), [false, false, true, true]);
    }

    #[test]
    fn tables_line_up() {
        let cells = [["a", "b", "c", "d"], ["µs", "1", "22", "3"]].map(|row| row.map(str::to_owned));
        assert_eq!(markdown(&cells), "| a  | b |  c | d |\n|:---|--:|---:|--:|\n| µs | 1 | 22 | 3 |\n");
    }
}
