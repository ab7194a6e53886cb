//! `make bench`: prints the figures of every exporter beside its peer's, and of the encoder, and judges the aims.
//! Usage: `bench [EXPORTER...|encoding] [--markdown FILE]`; the file's part between the figures' markers is then written.
//! Nothing else is written, and everything that is started is stopped again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, thread};

use e2e::bench::contests::{CONTESTS, Contest};
use e2e::bench::encode;
use e2e::bench::figures;
use e2e::bench::measure;
use e2e::bench::peer::Program;
use e2e::temp;

fn main() -> ExitCode {
    let code = match arguments(env::args().skip(1).collect()).and_then(|(contests, file)| run(&contests, file)) {
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

fn arguments(words: Vec<String>) -> Result<(Vec<&'static Contest>, Option<PathBuf>), String> {
    let (mut contests, mut file, mut alone) = (Vec::new(), None, false);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--markdown" {
            file = Some(PathBuf::from(words.next().ok_or("--markdown needs a file")?));
        } else if word == ENCODING {
            alone = true;
        } else {
            let known = CONTESTS.iter().find(|contest| contest.name == word);
            contests.push(known.ok_or_else(|| {
                let names: Vec<&str> = CONTESTS.iter().map(|contest| contest.name).collect();
                format!("no exporter {word:?}; there are: {}, and {ENCODING}", names.join(", "))
            })?);
        }
    }
    if contests.is_empty() && !alone {
        contests.extend(CONTESTS);
    }
    if file.is_some() && contests.iter().any(|contest| Some(contest.exporter) != contests.first().map(|first| first.exporter)) {
        return Err("--markdown writes the figures of one exporter: name it".to_owned());
    }
    Ok((contests, file))
}

fn run(contests: &[&Contest], file: Option<PathBuf>) -> Result<(), String> {
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
    let mut aims = String::new();
    for contest in contests {
        let peer = contest.peer.find()?;
        let stage = (contest.server)();
        say(format!(
            "{} beside {}.\nServer: {}.\nMachine: {} cores, {}, load {} at the start.\n",
            Program::ours(contest.exporter).about,
            peer.about,
            stage.about,
            thread::available_parallelism().map_or(1, usize::from),
            processor(),
            load(),
        ));
        for (number, load) in contest.loads.iter().enumerate() {
            let pair = measure::run(contest, load, &peer, &stage);
            say(figures::table(load, &pair));
            if contest.name != contest.exporter {
                aims.extend(figures::aims_of_many(contest.name, &pair).iter().take(2 * usize::from(number == 0)).map(figures::Aim::line));
            } else if number == 0 {
                aims.extend(figures::aims(&pair).iter().map(figures::Aim::line));
            }
        }
    }
    let encoding = encode::run();
    say(figures::encoding(&encoding));
    aims += &figures::encoding_aim(&encoding).line();
    say(format!("Aims:\n\n{aims}"));
    println!("Load at the end: {}", load());
    file.map_or(Ok(()), |path| figures::write_to(&path, &text))
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
