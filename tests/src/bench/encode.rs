//! The cost of a very large page: 10 families of 10,000 label sets with 3 labels each, built, settled and written by the
//! same calls that a scrape makes, in CPU time of this thread.

use std::fs;

use sage_common::expo::{self, Format};
use sage_common::put;
use sage_common::sink::{NO_LIMIT, Sink};

use crate::bench::median;

sage_common::metrics! {
    /// First number of a thing, as a server may tell it.
    A: Gauge "bench_a_bytes" [datname, schemaname, relname];
    /// Second number of a thing, as a server may tell it.
    B: Gauge "bench_b_bytes" [datname, schemaname, relname];
    /// Third number of a thing, as a server may tell it.
    C: Gauge "bench_c_seconds" [datname, schemaname, relname];
    /// Fourth number of a thing, as a server may tell it.
    D: Gauge "bench_d_seconds" [datname, schemaname, relname];
    /// Fifth number of a thing, as a server may tell it.
    E: Gauge "bench_e_ratio" [datname, schemaname, relname];
    /// Sixth number of a thing, as a server may tell it.
    F: Counter "bench_f_total" [datname, schemaname, relname];
    /// Seventh number of a thing, as a server may tell it.
    G: Counter "bench_g_total" [datname, schemaname, relname];
    /// Eighth number of a thing, as a server may tell it.
    H: Counter "bench_h_total" [datname, schemaname, relname];
    /// Ninth number of a thing, as a server may tell it.
    I: Counter "bench_i_total" [datname, schemaname, relname];
    /// Tenth number of a thing, as a server may tell it.
    J: Counter "bench_j_total" [datname, schemaname, relname];
}

/// Label sets of each family.
const ROWS: usize = 10_000;
/// Series of the page.
pub const SERIES: usize = ROWS * 10;
/// Runs for each order of rows.
pub const RUNS: usize = 15;

/// CPU time of one page.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// In what order the rows came.
    pub order: &'static str,
    /// Least seconds of all runs.
    pub least: f64,
    /// Median seconds.
    pub median: f64,
    /// Bytes of the page.
    pub bytes: usize,
}

/// Measures pages whose rows come in the order of their labels, and in no order.
///
/// # Panics
/// When the kernel does not tell this thread's CPU time.
pub fn run() -> [Encoding; 2] {
    // 3,967 has no divisor in common with the number of rows, so each row comes once.
    [("rows sorted", 1), ("rows in no order", 3967)].map(|(order, step)| {
        let rows: Vec<Row> = (0..ROWS).map(|i| Row::new(i * step % ROWS)).collect();
        let (mut times, mut bytes) = (Vec::with_capacity(RUNS), 0);
        for run in 0..=RUNS {
            let begin = thread_cpu();
            let page = page(&rows);
            let took = thread_cpu() - begin;
            assert!(page.ends_with(b"\n"), "a page ends with a line");
            bytes = page.len();
            // The first one also pays for memory that the allocator then keeps.
            if run > 0 {
                times.push(took);
            }
        }
        Encoding { order, least: times.iter().copied().fold(f64::INFINITY, f64::min), median: median(times), bytes }
    })
}

/// What a server's answer holds.
struct Row {
    datname: String,
    schemaname: String,
    relname: String,
    number: i64,
}

impl Row {
    fn new(n: usize) -> Self {
        Self {
            datname: format!("database_{:02}", n / 1000),
            schemaname: "public".to_owned(),
            relname: format!("table_{n:05}"),
            number: n as i64,
        }
    }
}

fn page(rows: &[Row]) -> Vec<u8> {
    let mut out = Sink::new(NO_LIMIT);
    for Row { datname, schemaname, relname, number } in rows {
        let (number, real) = (*number, *number as f64 / 8.0);
        put!(out, A { datname, schemaname, relname } = number * 8192);
        put!(out, B { datname, schemaname, relname } = number * 4096);
        put!(out, C { datname, schemaname, relname } = real);
        put!(out, D { datname, schemaname, relname } = real + 1_700_000_000.25);
        put!(out, E { datname, schemaname, relname } = real / 10_000.0);
        put!(out, F { datname, schemaname, relname } = number);
        put!(out, G { datname, schemaname, relname } = number * 31);
        put!(out, H { datname, schemaname, relname } = number * 1_000_003);
        put!(out, I { datname, schemaname, relname } = 0);
        put!(out, J { datname, schemaname, relname } = number % 7);
    }
    out.settle();
    assert_eq!(out.series(), SERIES, "none was lost");
    expo::write(&out, Format::Text)
}

/// CPU seconds that this thread has used.
fn thread_cpu() -> f64 {
    // The kernel brings the account up to date when a thread gives way; else it may be a tick old.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel keeps an account of this thread");
    let nanoseconds: u64 = text.split(' ').next().and_then(|n| n.parse().ok()).expect("nanoseconds first");
    nanoseconds as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_all_series_in_order() {
        let rows: Vec<Row> = (0..ROWS).rev().map(Row::new).collect();
        let text = String::from_utf8(page(&rows)).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), SERIES);
        let first = "bench_a_bytes{datname=\"database_00\",schemaname=\"public\",relname=\"table_00000\"} 0";
        assert_eq!(text.lines().nth(2), Some(first));
    }

    #[test]
    fn the_account_grows_with_work() {
        let (begin, clock) = (thread_cpu(), std::time::Instant::now());
        let mut n = 0_u64;
        while clock.elapsed().as_millis() < 30 {
            n = std::hint::black_box(n + 1);
        }
        let took = thread_cpu() - begin;
        // A busy machine gives us less than the 30 ms.
        assert!(took > 0.000_1 && took < 0.2, "{took}");
    }
}
