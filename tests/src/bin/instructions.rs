//! `make instructions`: counts the instructions of one scrape of each exporter and compares them with those that are kept in
//! the repository. Usage: `instructions [EXPORTER...] [--write]`; it ends with 1 when a count has grown too much.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::path::Path;
use std::process::ExitCode;

use e2e::instructions::{ALLOWED, COUNTED, KEPT, count, grown, read, write};
use e2e::temp;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let code = match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    };
    temp::finish();
    code
}

/// False when a count has grown too much.
fn run(words: &[String]) -> Result<bool, String> {
    let (write_it, names): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| *word == "--write");
    if let Some(wrong) = names.iter().find(|word| COUNTED.iter().all(|(name, _)| name != *word)) {
        return Err(format!("there is no {wrong:?}; there are: {}", COUNTED.map(|(name, _)| name).join(", ")));
    }
    if cfg!(debug_assertions) {
        return Err("this is a debug build; run make instructions".to_owned());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(KEPT);
    let mut kept = std::fs::read_to_string(&file).map_or_else(|_| Ok(Default::default()), |text| read(&text))?;
    let mut fine = true;
    for (name, start) in COUNTED.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|word| word == name)) {
        let counted = count(&start())?;
        let before = kept.insert((*name).to_owned(), counted);
        let Some(before) = before else {
            println!("{name}: {counted} instructions for a scrape; none were kept");
            fine &= !write_it.is_empty();
            continue;
        };
        let growth = grown(before, counted);
        let verdict = if growth > ALLOWED { "more than is allowed" } else { "fine" };
        println!("{name}: {counted} instructions for a scrape, kept {before} ({:+.1} %): {verdict}", growth * 100.0);
        fine &= growth <= ALLOWED || !write_it.is_empty();
    }
    if !write_it.is_empty() {
        std::fs::write(&file, write(&kept)).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(fine)
}
