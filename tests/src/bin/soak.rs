//! `make soak`: scrapes each exporter 100,000 times with a fault every hundred, then 1,000 times in a second for a minute,
//! and judges what must not grow. Usage: `soak [postgres|redis...] [SCRAPES|rate]`, where `rate` leaves the faults out; it ends
//! with 1 when an aim is missed.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::indexing_slicing, reason = "a program for people at a terminal")]

use std::process::ExitCode;
use std::time::Duration;

use e2e::bench::figures::Aim;
use e2e::soak::{self, EVERY, NAMES, Soak, rate::Rate, trend};
use e2e::temp;

/// Scrapes of each exporter, unless another number is given.
const SCRAPES: usize = 100_000;
/// Of the steady rate: scrapes in a second, and how long.
const RATE: usize = 1_000;
const TIME: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let code = match arguments(std::env::args().skip(1)) {
        Ok((names, scrapes)) => {
            let aims: Vec<Aim> = names.iter().flat_map(|name| judge(name, scrapes)).collect();
            println!("\nAims:\n\n{}", aims.iter().map(Aim::line).collect::<String>());
            ExitCode::from(u8::from(aims.iter().any(|aim| !aim.met)))
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    };
    temp::finish();
    code
}

fn arguments(words: impl Iterator<Item = String>) -> Result<(Vec<&'static str>, usize), String> {
    let (mut names, mut scrapes) = (Vec::new(), SCRAPES);
    for word in words {
        if word == "rate" {
            scrapes = 0;
            continue;
        }
        match (NAMES.iter().find(|name| **name == word), word.parse()) {
            (Some(name), _) => names.push(*name),
            (None, Ok(number)) => scrapes = number,
            (None, Err(_)) => return Err(format!("there is no {word:?}; there are {}, a number of scrapes, and rate", NAMES.join(", "))),
        }
    }
    if (1..10 * EVERY).contains(&scrapes) {
        return Err(format!("at least {} scrapes, for each fault once", 10 * EVERY));
    }
    Ok((if names.is_empty() { NAMES.to_vec() } else { names }, scrapes))
}

fn judge(name: &str, scrapes: usize) -> Vec<Aim> {
    let mut aims = Vec::new();
    if scrapes > 0 {
        aims.extend(grown(name, &soak::run(name, scrapes, |line| println!("{line}"))));
    }
    aims.push(steady(name, &soak::steady(name, RATE, TIME)));
    aims
}

fn grown(name: &str, soak: &Soak) -> Vec<Aim> {
    let samples = trend::warm(&soak.samples);
    let bytes = |of: fn(&trend::Sample) -> u64| -> Vec<f64> { samples.iter().map(|s| of(s) as f64).collect() };
    let (resident, private) = (bytes(|s| s.resident), bytes(|s| s.private));
    let share = |values: &[f64]| trend::growth(values) / trend::mean(&resident).max(1.0);
    let mega = |at: Option<&f64>| at.copied().unwrap_or(0.0) / 1e6;
    println!(
        "{name}: {} scrapes in {:.0?}, {} faults ({} told by the page), longest answer in a fault {:.0?}, seen again after at most {:.0?}; \
         resident {:.2} MB after the warm-up, {:.2} MB in the end ({:+.2} %); of it its own {:.2} MB, then {:.2} MB",
        soak.scrapes,
        soak.took,
        soak.faults,
        soak.told,
        soak.slowest,
        soak.recovery,
        mega(resident.first()),
        mega(resident.last()),
        share(&resident) * 100.0,
        mega(private.first()),
        mega(private.last()),
    );
    let held = |what: &str, of: fn(&trend::Sample) -> usize| {
        let [first, second] = trend::halves(&samples.iter().map(of).collect::<Vec<_>>());
        let text = format!("{name}: {what} do not grow ({} to {}, then {} to {})", first.0, first.1, second.0, second.1);
        Aim { text, met: second.1 <= first.1 }
    };
    vec![
        Aim {
            text: format!("{name}: memory of its own grows by at most 1 % of all after the warm-up ({:+.2} %)", share(&private) * 100.0),
            met: share(&private) <= 0.01,
        },
        held("descriptors", |s| s.descriptors),
        held("threads", |s| s.threads),
    ]
}

fn steady(name: &str, rate: &Rate) -> Aim {
    println!(
        "{name}: {} scrapes at {:.0} in a second: p50 {:.2} ms, p99 {:.2} ms, {:.0} % of a core",
        rate.scrapes,
        rate.rate,
        rate.p50 * 1e3,
        rate.p99 * 1e3,
        rate.cpu * 100.0,
    );
    let text =
        format!("{name}: {RATE} scrapes in a second with a p99 of at most 20 ms ({:.1} ms, {:.0} in a second)", rate.p99 * 1e3, rate.rate);
    Aim { text, met: rate.p99 <= 0.020 && rate.rate >= RATE as f64 * 0.99 }
}
