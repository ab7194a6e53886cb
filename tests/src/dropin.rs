//! Unit files, flags, variables, configuration and scrape jobs as they were written for the exporter that one of ours replaces,
//! replayed: an exporter brings them as a folder below `tests/fixtures/dropin`, and nothing here names one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::temp::TempFolder;

/// What systemd would start: words of ExecStart without the program, and the environment.
pub struct Unit {
    /// Words of ExecStart behind the program.
    pub args: Vec<String>,
    /// Variables.
    pub env: BTreeMap<String, String>,
}

/// Lines without comments, those that end in a backslash joined.
pub fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';'])).map(str::to_owned).collect()
}

/// Words as systemd splits them: at blanks, with quotes around a word or a part of it.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "an open quote: {text}");
    words.extend(word);
    words
}

/// Reads a unit file, with the files of variables that it names.
///
/// # Panics
/// When it is none.
pub fn unit(text: &str) -> Unit {
    let mut unit = Unit { args: Vec::new(), env: BTreeMap::new() };
    let assign = |env: &mut BTreeMap<String, String>, word: &str| {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("no assignment: {word}"));
        env.insert(name.to_owned(), value.to_owned());
    };
    let mut section = String::new();
    for line in lines(text) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}"));
        match (section.as_str(), key) {
            ("[Service]", "Environment") => words(value).iter().for_each(|word| assign(&mut unit.env, word)),
            ("[Service]", "EnvironmentFile") => {
                for line in lines(&fs::read_to_string(value).unwrap()) {
                    let (name, value) = line.split_once('=').unwrap();
                    let value = value.strip_prefix(['"', '\'']).map_or(value, |v| v.strip_suffix(['"', '\'']).unwrap());
                    unit.env.insert(name.to_owned(), value.to_owned());
                }
            }
            ("[Service]", "ExecStart") => {
                for word in words(value).into_iter().skip(1) {
                    match word.strip_prefix('$') {
                        // A variable without braces is split at blanks.
                        Some(name) => unit.args.extend(unit.env[name].split_whitespace().map(str::to_owned)),
                        None => unit.args.push(word),
                    }
                }
            }
            _ => {}
        }
    }
    unit
}

/// What a folder says of one unit: `unit path wanted !unwanted...`, in `expect.txt`.
#[derive(Debug)]
pub struct Expected {
    /// File of the unit.
    pub unit: String,
    /// Path of the page.
    pub path: String,
    /// Families that are there.
    pub wanted: Vec<String>,
    /// Families that are not, since the unit switches them off.
    pub unwanted: Vec<String>,
}

/// The folder of an exporter.
pub fn folder(exporter: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dropin").join(exporter)
}

/// What the folder expects.
///
/// # Panics
/// When it has no `expect.txt`, or that has no line.
pub fn expected(exporter: &str) -> Vec<Expected> {
    let file = folder(exporter).join("expect.txt");
    let text =
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: each exporter brings what its peer is run by: {e}", file.display()));
    let all: Vec<Expected> = lines(&text)
        .iter()
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (unit, path) = (words.next().unwrap(), words.next().expect("a path"));
            let (unwanted, wanted): (Vec<String>, Vec<String>) = words.partition(|word| word.starts_with('!'));
            Expected { unit, path, wanted, unwanted: unwanted.iter().map(|word| word.trim_start_matches('!').to_owned()).collect() }
        })
        .collect();
    assert!(!all.is_empty(), "{}", file.display());
    all
}

/// Copies the folder with the places of this test in it: `{FOLDER}`, and each name of `places`.
///
/// # Panics
/// When a place is left open.
pub fn copy(exporter: &str, places: &[(&str, String)]) -> TempFolder {
    let to = TempFolder::new(exporter);
    for entry in fs::read_dir(folder(exporter)).unwrap() {
        let path = entry.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap().replace("{FOLDER}", &to.path().display().to_string());
        for (name, value) in places {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("password") {
            to.write_secret(name, &text)
        } else {
            to.write(name, &text)
        };
    }
    to
}
