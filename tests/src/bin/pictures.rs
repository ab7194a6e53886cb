//! `make pictures`: previews of all dashboards for a person to look at, in `target/pictures`. Real servers under load are
//! scraped for some minutes (`SECONDS`, by default 240), with a lock that others wait for in the middle, then every panel is
//! drawn. Beside the pages, for all instances and for the first one and its first database, it makes PNGs of them whole and
//! headline by headline, and prints what it saw that a person should look at.
//! With `PROMETHEUS=127.0.0.1:9090` it starts nothing and draws what that one has of the last `SECONDS` (until the Unix time
//! `AT`), with rates over `RATE` seconds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use e2e::boards::{self, Choice, Stage};
use e2e::draw::data::Window;
use e2e::draw::{Picture, chromium};
use e2e::lint::dashboards::Times;
use e2e::servers::prometheus::Api;
use e2e::temp;

/// Points of a curve.
const POINTS: f64 = 240.0;

fn main() -> ExitCode {
    let done = run();
    temp::finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pictures: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let seconds = setting("SECONDS", 240u32)?;
    let folder = folder()?;
    if let Ok(address) = env::var("PROMETHEUS") {
        let address = address.parse().map_err(|e| format!("PROMETHEUS={address}: {e}"))?;
        let end = setting("AT", boards::now())?;
        return draw(&folder, Api { address }, end - f64::from(seconds), end, setting("RATE", 120)?);
    }
    println!("Starting servers under load, exporters and Prometheus, and scraping for {seconds} s ...");
    let stage = Stage::start();
    let begin = boards::now();
    let third = Duration::from_secs(u64::from(seconds) / 3);
    scrape_for(third);
    let disturbed = stage.disturb();
    scrape_for(third / 3);
    drop(disturbed);
    scrape_for(third * 5 / 3);
    println!("Drawing what {} has from {begin:.0} to {:.0} ...", stage.prometheus.address(), boards::now());
    draw(&folder, stage.prometheus.api(), begin, boards::now(), setting("RATE", 10)?)
}

/// Lets Prometheus scrape for this long.
fn scrape_for(time: Duration) {
    let end = Instant::now() + time;
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(rest);
    }
}

/// A number from the environment.
fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T, String> {
    env::var(name).map_or(Ok(default), |text| text.parse().map_err(|e| format!("{name}={text}: {e}")))
}

fn draw(folder: &Path, prometheus: Api, start: f64, end: f64, rate: u32) -> Result<(), String> {
    let window = Window { start, end, step: ((end - start) / POINTS).max(1.0).floor() };
    let times = Times { rate, step: window.step as u32, range: (end - start) as u32 };
    for (name, board) in boards::shipped() {
        for (suffix, first) in [("", false), ("-one", true)] {
            let choice = Choice::of(&board, prometheus, end, times, first)?;
            let shown = |value: &str| value.replace("\\\\", "");
            let what = choice.chosen.iter().map(|(name, all, value)| match all.len() {
                many @ 7.. if value.starts_with('(') => format!("{name}: all {many}"),
                _ => format!("{name}: {}", shown(value)),
            });
            let what: Vec<String> = what.collect();
            let picture = Picture::draw(&board, prometheus, window, &what.join(" · "), |text| choice.fill(text));
            write(folder, &format!("{name}{suffix}"), &picture.map_err(|e| format!("{name}: {e}"))?)?;
        }
    }
    Ok(())
}

/// An empty `pictures` beside the folder of our own binary.
fn folder() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| e.to_string())?;
    let target = own.ancestors().nth(2).ok_or("the program is not in a target folder")?;
    let folder = target.join("pictures");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// Writes the page and its pictures, and says where they are and what to look at.
fn write(folder: &Path, name: &str, picture: &Picture) -> Result<(), String> {
    let put = |name: &str, html: &str, height: u32| {
        let page = folder.join(format!("{name}.html"));
        fs::write(&page, html).map_err(|e| format!("{}: {e}", page.display()))?;
        chromium::picture(&page, height, &folder.join(format!("{name}.png"))).map(|()| page)
    };
    let (html, height) = picture.page();
    let page = put(name, &html, height)?;
    println!("{}", page.with_extension("png").display());
    for (number, (title, html, height)) in picture.parts().iter().enumerate() {
        let title: String = title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let part = put(&format!("{name}-{:02}-{title}", number + 1), html, *height)?;
        // The page itself has it all.
        fs::remove_file(&part).map_err(|e| format!("{}: {e}", part.display()))?;
    }
    for note in &picture.notes {
        println!("  {note}");
    }
    Ok(())
}
