//! `make bench`: prints the figures of every exporter beside its peer's, and of the encoder, and judges the aims.
//! Usage: `bench [EXPORTER|CONTEST...|host|encoding] [--markdown FILE]`; the file's part between the figures' markers is then written.
//! Nothing else is written, and everything that is started is stopped again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, thread};

use e2e::bench::contests::{CONTESTS, Contest, FLEETS};
use e2e::bench::fleet::{self, Fleet};
use e2e::bench::peer::{Peer, Program};
use e2e::bench::{encode, figures, host, measure};
use e2e::temp;

fn main() -> ExitCode {
    let code = match arguments(env::args().skip(1).collect()).and_then(|choice| run(&choice)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    };
    temp::finish();
    code
}

/// Measures the encoder alone, in a second.
const ENCODING: &str = "encoding";

/// What was asked for on the command line.
#[derive(Default)]
struct Choice {
    contests: Vec<&'static Contest>,
    fleets: Vec<&'static Fleet>,
    host: bool,
    file: Option<PathBuf>,
}

impl Choice {
    /// The exporters that are measured, each once.
    fn exporters(&self) -> BTreeSet<&str> {
        self.contests.iter().map(|contest| contest.exporter).chain(self.fleets.iter().map(|fleet| fleet.exporter)).collect()
    }
}

fn arguments(words: Vec<String>) -> Result<Choice, String> {
    let (mut choice, mut alone) = (Choice::default(), false);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let before = choice.contests.len() + choice.fleets.len();
        choice.contests.extend(CONTESTS.iter().filter(|contest| contest.name == word || contest.exporter == word));
        choice.fleets.extend(FLEETS.iter().filter(|fleet| fleet.name == word || fleet.exporter == word));
        if word == "--markdown" {
            choice.file = Some(PathBuf::from(words.next().ok_or("--markdown needs a file")?));
        } else if word == ENCODING {
            alone = true;
        } else if word == host::NAME {
            (choice.host, alone) = (true, true);
        } else if choice.contests.len() + choice.fleets.len() == before {
            let names: Vec<&str> = CONTESTS.iter().map(|contest| contest.name).chain(FLEETS.iter().map(|fleet| fleet.name)).collect();
            return Err(format!(
                "there is no {word:?}; there are: {}, {}, {ENCODING}, and the exporters by name",
                names.join(", "),
                host::NAME
            ));
        }
    }
    if choice.contests.is_empty() && choice.fleets.is_empty() && !alone {
        choice.contests.extend(CONTESTS);
        choice.fleets.extend(FLEETS);
        choice.host = true;
    }
    if choice.file.is_some() && choice.exporters().len() > 1 {
        return Err("--markdown writes the figures of one exporter: name it".to_owned());
    }
    Ok(choice)
}

fn run(choice: &Choice) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return Err("this is a debug build; run make bench".to_owned());
    }
    let mut text = figures::method();
    print!("{text}");
    let mut say = |part: String| {
        println!("{part}");
        text += "\n";
        text += part.trim_end_matches('\n');
        text += "\n";
    };
    let mut aims = Vec::new();
    for contest in &choice.contests {
        let peer = contest.peer.find()?;
        let stage = (contest.server)();
        say(heading(contest.exporter, Some(&peer), &stage.about));
        for (number, load) in contest.loads.iter().enumerate() {
            let pair = measure::run(contest, load, &peer, &stage);
            say(figures::table(load, &pair));
            if number == 0 {
                aims.extend((contest.aims)(contest, &pair));
            }
        }
    }
    for fleet in &choice.fleets {
        let peer = fleet.peer.as_ref().map(Peer::find).transpose()?;
        let stage = (fleet.start)(fleet.targets, fleet.hung.iter().copied().max().unwrap_or(0));
        say(heading(fleet.exporter, peer.as_ref(), &stage.about));
        let (ours, theirs) = fleet::run(fleet, peer.as_ref(), &stage);
        say(fleet::table(fleet, &ours, theirs.as_ref()));
        aims.extend(fleet::aims(fleet, &ours, theirs.as_ref()));
    }
    if choice.host {
        let shares = host::run();
        say(host::table(&shares));
        aims.push(host::aim(&shares));
    }
    let encoding = encode::run();
    say(figures::encoding(&encoding));
    aims.push(figures::encoding_aim(&encoding));
    say(format!("Aims:\n\n{}", aims.iter().map(figures::Aim::line).collect::<String>()));
    println!("Load at the end: {}", load());
    choice.file.as_ref().map_or(Ok(()), |path| figures::write_to(path, &text))
}

/// Who is measured, at what, on which machine.
fn heading(exporter: &str, peer: Option<&Program>, server: &str) -> String {
    format!(
        "{}{}.\nServer: {server}.\nMachine: {} cores, {}, load {} at the start.\n",
        Program::ours(exporter).about,
        peer.map(|peer| format!(" beside {}", peer.about)).unwrap_or_default(),
        thread::available_parallelism().map_or(1, usize::from),
        processor(),
        load(),
    )
}

/// Processes that wanted to run in the last minute, on average.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// The processor's name.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "an unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}
