//! A page of series as a test reads it: the text format 0.0.4 parsed line by line, strict enough to refuse what a
//! scraper would refuse (bad escapes, samples without value, the same series twice).

use std::collections::{BTreeMap, HashSet};

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Full name.
    pub name: String,
    /// Labels, sorted by name.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// A parsed page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Samples in the page's order.
    pub samples: Vec<Sample>,
    /// TYPE of each family.
    pub types: BTreeMap<String, String>,
    /// HELP of each family, escapes left as they are.
    pub help: BTreeMap<String, String>,
}

impl Page {
    /// Parses a page.
    ///
    /// # Errors
    /// The first line that a scraper would refuse, with its number and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        let mut seen = HashSet::new();
        for (number, line) in text.lines().enumerate() {
            let fail = |why: &str| format!("line {}: {why}: {line}", number + 1);
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| fail("no type"))?;
                if page.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(fail("second TYPE"));
                }
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                if page.help.insert(name.to_owned(), help.to_owned()).is_some() {
                    return Err(fail("second HELP"));
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                let sample = sample(line).map_err(fail)?;
                if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                    return Err(fail("the same series twice"));
                }
                page.samples.push(sample);
            }
        }
        Ok(page)
    }

    /// Samples of that full name.
    pub fn series(&self, name: &str) -> Vec<&Sample> {
        self.samples.iter().filter(|s| s.name == name).collect()
    }

    /// True when at least one sample has that full name.
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|s| s.name == name)
    }

    /// The value of the one sample of that name which has these labels (and perhaps more).
    ///
    /// # Panics
    /// When several match: the test asked too loosely.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |s: &&Sample| s.name == name && labels.iter().all(|(n, v)| s.labels.get(*n).is_some_and(|have| have == v));
        let found: Vec<&Sample> = self.samples.iter().filter(wanted).collect();
        assert!(found.len() < 2, "{} samples match {name}{labels:?}: {found:?}", found.len());
        found.first().map(|s| s.value)
    }
}

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("bad name");
    }
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = inside.split_once("=\"").ok_or("bad label")?;
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label twice");
            }
            inside = after.strip_prefix(',').unwrap_or(after);
        }
    }
    let mut fields = rest.split_ascii_whitespace();
    let value = fields.next().ok_or("no value")?.parse().map_err(|_| "bad value")?;
    if fields.nth(1).is_some() {
        return Err("text after the value");
    }
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// A label value up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                _ => return Err("bad escape"),
            }),
            c => value.push(c),
        }
    }
    Err("open quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_scraper_reads() {
        let text = "# HELP a_b Help \\n here.\n# TYPE a_b gauge\na_b{x=\"1,}\",y=\"q\\\"\\\\\\n\"} +Inf\na_b 2 1700\n\nup 1\n";
        let page = Page::parse(text).unwrap();
        assert_eq!(page.value("a_b", &[("y", "q\"\\\n")]), Some(f64::INFINITY));
        assert_eq!(page.value("up", &[]), Some(1.0));
        assert_eq!(page.value("up", &[("x", "1")]), None);
        assert_eq!(page.series("a_b").len(), 2);
        assert_eq!(page.types["a_b"], "gauge");
        assert_eq!(page.help["a_b"], "Help \\n here.");
    }

    #[test]
    fn refuses_what_a_scraper_refuses() {
        for (text, why) in [
            ("a 1\na 2", "line 2: the same series twice"),
            ("a{b=\"\\x\"} 1", "line 1: bad escape"),
            ("a{b=\"c} 1", "line 1: open quote"),
            ("a one", "line 1: bad value"),
            ("a", "line 1: no value"),
            ("a 1 2 3", "line 1: text after the value"),
            ("# TYPE a gauge\n# TYPE a gauge", "line 2: second TYPE"),
        ] {
            let error = Page::parse(text).unwrap_err();
            assert!(error.starts_with(why), "{text:?}: {error}");
        }
    }

    #[test]
    #[should_panic(expected = "2 samples match")]
    fn an_ambiguous_question_panics() {
        Page::parse("a{b=\"1\"} 1\na{b=\"2\"} 1").unwrap().value("a", &[]);
    }
}
