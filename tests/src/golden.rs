//! Golden pages: a real page compared with the one that is kept as `golden/NAME.prom`, with values and what varies
//! masked by the rules of `golden/NAME.toml`. The page holds every declared family or the rules say why it cannot, and it
//! passes the strict reader and promtool. `SAGE_GOLDEN=write` keeps the new page. Pages of several servers of one product
//! share their rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sage_common::parse;
use serde_json::Value;

use crate::exporter::run;
use crate::page::Page;

/// What stands for a masked value.
const MASK: &str = "?";

/// A kept page of one exporter, with the rules beside it.
#[derive(Debug)]
pub struct Golden {
    name: String,
    binary: &'static str,
    /// What is true of this page's server: `[absent FACT]` of the rules counts beside `[absent]`.
    facts: Vec<String>,
    /// Of TOML the rules take `[section]` and `"key" = "text"` lines.
    rules: BTreeMap<String, BTreeMap<String, String>>,
}

impl Golden {
    /// Reads the rules of `golden/NAME.toml`; `binary` is asked for the families that it declares.
    ///
    /// # Panics
    /// When a line is none that the rules may have.
    pub fn new(name: &str, binary: &'static str) -> Self {
        Self::with_rules(name, name, binary, Vec::new())
    }

    /// As [`Self::new`] for one of several pages with the same rules, `golden/RULES.toml`.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_rules(name: &str, rules_of: &str, binary: &'static str, facts: Vec<String>) -> Self {
        let path = file(rules_of, "toml");
        let mut rules: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section = String::new();
        for (number, line) in read(&path).lines().enumerate() {
            let text = |part: &str| part.trim().strip_prefix('"').and_then(|p| p.strip_suffix('"')).map(str::to_owned);
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
                rules.entry(section.clone()).or_default();
            } else if let Some((key, value)) = line.split_once(" = ") {
                let (Some(key), Some(value)) = (text(key), text(value)) else { panic!("{}:{}: {line}", path.display(), number + 1) };
                rules.entry(section.clone()).or_default().insert(key, value);
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "{}:{}: {line}", path.display(), number + 1);
            }
        }
        Self { name: name.to_owned(), binary, facts, rules }
    }

    /// The families that this page does not have.
    fn absent(&self) -> BTreeSet<&String> {
        let counts = |section: &str| match section.strip_prefix("absent") {
            Some("") => true,
            Some(fact) => self.facts.iter().any(|f| fact.strip_prefix(' ') == Some(f)),
            None => false,
        };
        self.rules.iter().filter(|(section, _)| counts(section)).flat_map(|(_, rules)| rules.keys()).collect()
    }

    fn section(&self, name: &str) -> &BTreeMap<String, String> {
        self.rules.get(name).unwrap_or_else(|| panic!("the rules of {} have no [{name}]", self.name))
    }

    /// The page with its values and the labels of `[labels]` masked, each series once.
    ///
    /// # Panics
    /// When a line is no sample.
    pub fn mask(&self, page: &str) -> String {
        let mut out = String::new();
        let mut last = String::new();
        for line in page.lines() {
            if line.starts_with('#') || line.is_empty() {
                out += &format!("{line}\n");
                continue;
            }
            let sample = Page::parse(line).unwrap().samples.remove(0);
            let label = |(name, value): (&String, &String)| {
                let masked = self.section("labels").contains_key(name);
                format!("{name}={:?}", if masked { MASK } else { value })
            };
            let labels: Vec<String> = sample.labels.iter().map(label).collect();
            let line = if labels.is_empty() { sample.name } else { format!("{}{{{}}}", sample.name, labels.join(",")) };
            if line != last {
                out += &format!("{line} {MASK}\n");
            }
            last = line;
        }
        out
    }

    /// All that is asked of a page: `text` and the later `again` are the kept page but for what is masked, `text` holds
    /// what is declared, it and `open`, the same as OpenMetrics, are strictly right with at least `least` families, and
    /// promtool has no complaint that is not waived.
    ///
    /// # Panics
    /// With what is wrong.
    #[track_caller]
    pub fn holds(&self, text: &str, again: &str, open: &str, least: usize) {
        let masked = self.mask(text);
        assert_eq!(first_difference(&masked, &self.mask(again)), None, "{}: the second scrape differs from the first", self.name);
        if std::env::var_os("SAGE_GOLDEN").is_some_and(|v| v == "write") {
            fs::write(file(&self.name, "prom"), &masked).unwrap();
        }
        let kept = read(&file(&self.name, "prom"));
        if let Some(difference) = first_difference(&kept, &masked) {
            panic!("{}: the page has changed; SAGE_GOLDEN=write keeps the new one:\n{difference}", self.name);
        }
        self.holds_what_is_declared(text);
        is_strictly_right(text, open, least);
        self.pleases_promtool(text);
    }

    /// Every declared family is on the page, with its type and labels, or `absent` says why not; and nothing else is.
    #[track_caller]
    fn holds_what_is_declared(&self, text: &str) {
        let declared: Vec<Value> = serde_json::from_slice(&run(self.binary, &["metrics", "--json"], &[]).stdout).unwrap();
        let page = Page::parse(text).unwrap();
        let absent = self.absent();
        let mut wrong = Vec::new();
        for family in &declared {
            let (name, kind) = (family["name"].as_str().unwrap(), family["type"].as_str().unwrap());
            let mine = |other: &str| if family["pattern"] == true { other.starts_with(name) } else { other == name };
            let found: Vec<&str> = page.types.keys().map(String::as_str).filter(|other| mine(other)).collect();
            match (found.is_empty(), absent.iter().any(|pattern| like(pattern, name))) {
                (true, false) => wrong.push(format!("{name} is declared and not on the page")),
                (false, true) => wrong.push(format!("{name} is on the page and said to be absent")),
                _ => {}
            }
            wrong.extend(found.iter().filter(|n| page.types[**n] != kind).map(|n| format!("{n} is no {kind}")));
            let labels: BTreeSet<&str> = family["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
            for sample in page.samples.iter().filter(|s| mine(&s.name)) {
                let own = |l: &&str| kind != "summary" || *l != "quantile";
                if sample.labels.keys().map(String::as_str).filter(own).collect::<BTreeSet<_>>() != labels {
                    wrong.push(format!("{}{:?} has other labels than {labels:?}", sample.name, sample.labels));
                }
            }
        }
        let is_declared = |name: &str| {
            declared.iter().any(|f| {
                let declared = f["name"].as_str().unwrap();
                name == declared || f["pattern"] == true && name.starts_with(declared)
            })
        };
        wrong.extend(page.types.keys().filter(|n| !is_declared(n)).map(|n| format!("{n} is on the page and not declared")));
        let known = |pattern: &String| declared.iter().any(|f| like(pattern, f["name"].as_str().unwrap()));
        wrong.extend(absent.iter().filter(|n| !known(n)).map(|n| format!("{n} is said to be absent and not declared")));
        assert!(wrong.is_empty(), "{}: {wrong:#?}", self.name);
    }

    /// What promtool complains of is waived by name, and each waiver is needed where the page has such a family.
    #[track_caller]
    fn pleases_promtool(&self, page: &str) {
        let mut promtool = Command::new("/usr/bin/promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool: install the Debian package prometheus");
        promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        let waived = self.section("promtool");
        let mut used = BTreeSet::new();
        for line in said.lines() {
            let (name, _) = line.split_once(' ').unwrap_or((line, ""));
            let waiver = waived.iter().find(|(pattern, complaint)| like(pattern, name) && line.contains(complaint.as_str()));
            let (pattern, _) = waiver.unwrap_or_else(|| panic!("{}: promtool: {line}", self.name));
            used.insert(pattern);
        }
        let families = Page::parse(page).unwrap().types;
        let here = |pattern: &String| families.keys().any(|name| like(pattern, name));
        let unused: Vec<&String> = waived.keys().filter(|p| !used.contains(p) && here(p)).collect();
        assert!(unused.is_empty(), "{}: waivers that nothing needs: {unused:?}\n{said}", self.name);
    }
}

fn file(name: &str, ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.{ending}"))
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `*` stands for anything, once.
fn like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
        None => pattern == name,
    }
}

fn first_difference(old: &str, new: &str) -> Option<String> {
    let (kept, now): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (kept.iter().copied().collect(), now.iter().copied().collect());
    let gone: Vec<&&str> = before.difference(&after).take(20).collect();
    let come: Vec<&&str> = after.difference(&before).take(20).collect();
    (kept != now).then(|| format!("gone: {gone:#?}\nnew: {come:#?}\n(none of both: the order has changed)"))
}

#[track_caller]
fn is_strictly_right(text: &str, open: &str, least: usize) {
    for (page, format) in [(text, parse::Format::Text), (open, parse::Format::OpenMetrics)] {
        match parse::strict(page, format) {
            Ok(read) => assert!(read.families.len() >= least, "{} families", read.families.len()),
            Err(faults) => panic!("{format:?}: {}", faults.iter().take(10).map(|f| format!("{f}\n")).collect::<String>()),
        }
    }
}
