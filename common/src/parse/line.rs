//! The syntax of one line, of both formats.
//!
//! [`read`] gives what the line says, or the fault that makes it unreadable; what most scrapers let pass is noted beside.
//! A line is read from left to right in one pass by [`Cursor`]; nothing recurses.

use std::mem;

use super::Format;
use super::fault::{Fault, clip};
use super::model::{Kind, Sample};

/// What one line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// `# HELP`
    Help {
        /// The family.
        family: &'a str,
        /// The unescaped text.
        text: String,
    },
    /// `# TYPE`
    Type {
        /// The family.
        family: &'a str,
        /// Its type.
        kind: Kind,
    },
    /// `# UNIT` (OpenMetrics)
    Unit {
        /// The family.
        family: &'a str,
        /// Its unit, which may be empty.
        unit: &'a str,
    },
    /// A sample.
    Sample(Sample),
    /// Any other comment, or an empty line.
    Nothing,
    /// `# EOF` (OpenMetrics)
    Eof,
}

/// What a line without its line feed says, and the faults in it that only strict mode minds, each sort once.
pub(super) fn read(line: &str, format: Format, max_labels: usize) -> Result<(Event<'_>, Vec<Fault>), Fault> {
    let mut cursor = Cursor { rest: line, format, max_labels, notes: Vec::new() };
    Ok((cursor.line()?, cursor.notes))
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
    format: Format,
    max_labels: usize,
    notes: Vec<Fault>,
}

/// The steps that the lines are made of; each takes something off the front.
impl<'a> Cursor<'a> {
    fn take_while(&mut self, wanted: impl FnMut(&u8) -> bool) -> &'a str {
        // All that is taken or what ends it is ASCII, so the end is at the edge of a character.
        let end = self.rest.bytes().take_while(wanted).count();
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(BLANKS).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Blanks between two parts.
    fn gap(&mut self) {
        if self.take_while(is_blank) != " " {
            self.untidy(Fault::Spacing);
        }
    }

    /// Blanks where none are needed.
    fn slack(&mut self) {
        if !self.take_while(is_blank).is_empty() {
            self.untidy(Fault::Spacing);
        }
    }

    /// Whether nothing but blanks is left.
    fn at_end(&self) -> bool {
        self.rest.trim_start_matches(BLANKS).is_empty()
    }

    /// Nothing but blanks to the end.
    fn end(&mut self) -> Result<(), Fault> {
        self.slack();
        if self.rest.is_empty() { Ok(()) } else { Err(Fault::Trailing(clip(self.rest))) }
    }

    fn note(&mut self, fault: Fault) {
        if !self.notes.iter().any(|known| mem::discriminant(known) == mem::discriminant(&fault)) {
            self.notes.push(fault);
        }
    }

    /// Notes what OpenMetrics forbids and the text format allows.
    fn untidy(&mut self, fault: Fault) {
        if self.format == Format::OpenMetrics {
            self.note(fault);
        }
    }
}

/// The lines and their parts.
impl<'a> Cursor<'a> {
    fn line(&mut self) -> Result<Event<'a>, Fault> {
        if self.format == Format::OpenMetrics && self.rest == "# EOF" {
            return Ok(Event::Eof);
        }
        self.slack();
        if self.take("#") {
            return self.comment();
        }
        if self.rest.is_empty() {
            self.untidy(Fault::Comment);
            return Ok(Event::Nothing);
        }
        self.sample().map(Event::Sample)
    }

    /// A line after its `#`.
    fn comment(&mut self) -> Result<Event<'a>, Fault> {
        let spaced = self.take_while(is_blank) == " ";
        match (self.word(), self.format) {
            // For OpenMetrics that is no metadata; what it is meant to be is clear enough to say so.
            ("HELP" | "TYPE" | "UNIT", Format::OpenMetrics) if !spaced => {
                self.note(Fault::Spacing);
                Ok(Event::Nothing)
            }
            ("HELP", _) => self.help(),
            ("TYPE", _) => self.kind(),
            ("UNIT", Format::OpenMetrics) => self.unit(),
            _ => {
                self.untidy(Fault::Comment);
                Ok(Event::Nothing)
            }
        }
    }

    fn help(&mut self) -> Result<Event<'a>, Fault> {
        let family = self.family()?;
        // The text of OpenMetrics begins after one space and may itself begin with blanks.
        if self.format == Format::Text {
            self.take_while(is_blank);
        } else if !self.take(" ") && !self.rest.is_empty() {
            self.gap();
        }
        let text = mem::take(&mut self.rest);
        let text = self.unescape(text, self.format == Format::OpenMetrics);
        Ok(Event::Help { family, text })
    }

    fn kind(&mut self) -> Result<Event<'a>, Fault> {
        let family = self.family()?;
        self.gap();
        let word = self.word();
        let kind = Kind::parse(word).ok_or_else(|| Fault::Kind(clip(word)))?;
        let foreign = match self.format {
            Format::Text => matches!(word, "gaugehistogram" | "info" | "stateset" | "unknown"),
            Format::OpenMetrics => word == "untyped",
        };
        if foreign {
            self.note(Fault::ForeignKind(word.to_owned()));
        }
        self.end()?;
        Ok(Event::Type { family, kind })
    }

    fn unit(&mut self) -> Result<Event<'a>, Fault> {
        let family = self.family()?;
        self.gap();
        let unit = self.take_while(is_name);
        self.end()?;
        let before = family.strip_suffix(unit);
        if !before.is_some_and(|before| unit.is_empty() || before.ends_with('_')) {
            self.note(Fault::UnitSuffix(clip(family)));
        }
        Ok(Event::Unit { family, unit })
    }

    /// The family's name in a line of metadata.
    fn family(&mut self) -> Result<&'a str, Fault> {
        self.gap();
        let word = self.word();
        if begins_name(word) && word.as_bytes().iter().all(is_name) { Ok(word) } else { Err(Fault::MetricName(clip(word))) }
    }

    /// `name{labels} value timestamp # exemplar`; labels, timestamp and exemplar may be missing.
    fn sample(&mut self) -> Result<Sample, Fault> {
        let whole = self.rest;
        let name = self.take_while(is_name);
        if !begins_name(name) {
            let quoted = name.is_empty() && whole.trim_start_matches(['{', ' ', '\t']).starts_with('"');
            return Err(if quoted { Fault::QuotedName } else { Fault::MetricName(clip(whole)) });
        }
        let mut labels = Vec::new();
        if self.rest.trim_start_matches(BLANKS).starts_with('{') {
            self.slack();
            labels = self.labels()?;
        } else if !self.rest.is_empty() && !self.rest.starts_with(BLANKS) {
            return Err(Fault::MetricName(clip(whole)));
        }
        self.gap();
        let value = self.value()?;
        let mut timestamp = None;
        if !self.at_end() {
            self.gap();
            if !self.exemplar()? {
                timestamp = Some(self.timestamp()?);
                if !self.at_end() {
                    self.gap();
                    self.exemplar()?;
                }
            }
        }
        self.end()?;
        Ok(Sample { name: name.to_owned(), labels, value, timestamp })
    }

    fn value(&mut self) -> Result<f64, Fault> {
        let word = self.word();
        word.parse().map_err(|_| Fault::Value(clip(word)))
    }

    fn timestamp(&mut self) -> Result<f64, Fault> {
        let word = self.word();
        let time = match self.format {
            #[allow(clippy::cast_precision_loss)] // exact for the next 285,000 years
            Format::Text => word.parse::<i64>().ok().map(|milliseconds| milliseconds as f64 / 1000.0),
            Format::OpenMetrics => word.parse::<f64>().ok().filter(|seconds| seconds.is_finite()),
        };
        time.ok_or_else(|| Fault::Timestamp(clip(word)))
    }

    /// Passes over an exemplar, if here is one: it must be well formed, but it is not kept.
    fn exemplar(&mut self) -> Result<bool, Fault> {
        if self.format == Format::Text || !self.take("#") {
            return Ok(false);
        }
        self.gap();
        if !self.rest.starts_with('{') {
            return Err(Fault::Labels("{ of an exemplar"));
        }
        self.labels()?;
        self.gap();
        self.value()?;
        if !self.at_end() {
            self.gap();
            self.timestamp()?;
        }
        Ok(true)
    }

    fn labels(&mut self) -> Result<Vec<(String, String)>, Fault> {
        let mut labels: Vec<(String, String)> = Vec::new();
        self.take("{");
        loop {
            self.slack();
            if self.take("}") {
                // A comma before the brace is fine in the text format only.
                if !labels.is_empty() {
                    self.untidy(Fault::Spacing);
                }
                return Ok(labels);
            }
            let (name, value) = self.label()?;
            if labels.iter().any(|(known, _)| known == name) {
                return Err(Fault::DuplicateLabel(clip(name)));
            }
            if labels.len() >= self.max_labels {
                return Err(Fault::TooManyLabels(self.max_labels));
            }
            labels.push((name.to_owned(), value));
            self.slack();
            if self.take("}") {
                return Ok(labels);
            }
            if !self.take(",") {
                return Err(Fault::Labels(", or }"));
            }
        }
    }

    fn label(&mut self) -> Result<(&'a str, String), Fault> {
        let whole = self.rest;
        if whole.starts_with('"') {
            return Err(Fault::QuotedName);
        }
        let name = self.take_while(is_name);
        if !begins_name(name) || name.contains(':') {
            return Err(Fault::LabelName(clip(whole)));
        }
        self.slack();
        if !self.take("=") {
            return Err(Fault::Labels("="));
        }
        self.slack();
        if !self.take("\"") {
            return Err(Fault::Labels("\""));
        }
        Ok((name, self.quoted()?))
    }

    /// A label value after its opening quote.
    fn quoted(&mut self) -> Result<String, Fault> {
        let mut escaped = false;
        let value = self.take_while(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            !ends
        });
        if !self.take("\"") {
            return Err(Fault::Labels("closing \""));
        }
        Ok(self.unescape(value, true))
    }

    /// Resolves the escapes; one the format does not define stays as it is written.
    fn unescape(&mut self, text: &str, quotes: bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((plain, escape)) = rest.split_once('\\') {
            out.push_str(plain);
            let mut characters = escape.chars();
            match characters.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if quotes => out.push('"'),
                other => {
                    let written: String = ['\\'].into_iter().chain(other).collect();
                    out.push_str(&written);
                    self.note(Fault::BadEscape(clip(&written)));
                }
            }
            rest = characters.as_str();
        }
        out.push_str(rest);
        out
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

/// Whether a word of the bytes of names is one: it is not empty and begins with no digit.
fn begins_name(word: &str) -> bool {
    word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::fault;
    use crate::parse::{ParseError, page, strict};

    #[test]
    fn errors_name_the_line_and_the_fault() {
        let cases: [(&str, Fault); 27] = [
            ("1a 2", Fault::MetricName("1a 2".into())),
            ("a-b 2", Fault::MetricName("a-b 2".into())),
            ("é 1", Fault::MetricName("é 1".into())),
            ("{\"a b\"} 2", Fault::QuotedName),
            ("a{\"b c\"=\"d\"} 2", Fault::QuotedName),
            ("a{b:c=\"d\"} 1", Fault::LabelName("b:c=\\\"d\\\"} 1".into())),
            ("a{=\"d\"} 1", Fault::LabelName("=\\\"d\\\"} 1".into())),
            ("a{,} 1", Fault::LabelName(",} 1".into())),
            ("a{b} 1", Fault::Labels("=")),
            ("a{b=c} 1", Fault::Labels("\"")),
            ("a{b=\"c} 1", Fault::Labels("closing \"")),
            ("a{b=\"c\\\"} 1", Fault::Labels("closing \"")),
            ("a{b=\"c\" d=\"e\"} 1", Fault::Labels(", or }")),
            ("a{b=\"c\"", Fault::Labels(", or }")),
            ("a{", Fault::LabelName(String::new())),
            ("a{b=\"c\",b=\"d\"} 1", Fault::DuplicateLabel("b".into())),
            ("a", Fault::Value(String::new())),
            ("a ", Fault::Value(String::new())),
            ("a one", Fault::Value("one".into())),
            ("a 0x10", Fault::Value("0x10".into())),
            ("a 1 now", Fault::Timestamp("now".into())),
            ("a 1 1.5", Fault::Timestamp("1.5".into())),
            ("a 1 2 3", Fault::Trailing("3".into())),
            ("a 1 # {} 1", Fault::Timestamp("#".into())),
            ("# TYPE a meter", Fault::Kind("meter".into())),
            ("# TYPE a gauge now", Fault::Trailing("now".into())),
            ("# HELP", Fault::MetricName(String::new())),
        ];
        for (line, expected) in cases {
            let input = format!("fine 1\n{line}\nfine{{a=\"b\"}} 1\n");
            assert_eq!(fault(&input, Format::Text), (2, expected.clone()), "{line}");
            assert!(strict(&input, Format::Text).unwrap_err().contains(&ParseError { line: 2, fault: expected }), "{line}");
        }
        assert_eq!(fault(b"a 1\na{b=\"\xff\"} 1\n", Format::Text), (2, Fault::Encoding));
        assert_eq!(page("a 1\nb\n", None).unwrap_err().to_string(), "line 2: `` is no value");
        let open = |line: &str| fault(format!("{line}\n# EOF\n"), Format::OpenMetrics).1;
        assert_eq!(open("a 1 NaN"), Fault::Timestamp("NaN".into()));
        assert_eq!(open("a_total 1 # x"), Fault::Labels("{ of an exemplar"));
        assert_eq!(open("a_total 1 # {a=\"b\"}"), Fault::Value(String::new()));
        assert_eq!(open("a_total 1 # {a=\"b\"} 1 2 3"), Fault::Trailing("3".into()));
        assert_eq!(open("a 1 # {a=\"b\"} 1 # {a=\"b\"} 1"), Fault::Timestamp("#".into()));
    }
}
