//! Reads exposition pages: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Some targets already speak one of the formats and their pages are passed through; our own tests read our own pages.
//! Both come from outside, so every size has a limit, nothing recurses and every error carries its line. `Reader` takes
//! bytes as they arrive and gives events; `page` collects families; `strict` lists all that a careful scraper dislikes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::mem;

/// How much of a page is accepted. A page beyond a limit is an error, never a shortened page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one line, without its line feed.
    pub line: usize,
    /// Labels on one series.
    pub labels: usize,
    /// Series (sample lines) on one page. Three times as many lines of metadata are accepted.
    pub series: usize,
    /// Bytes in the whole page.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 64 << 10, labels: 64, series: 250_000, bytes: 64 << 20 }
    }
}

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format of a whole page: OpenMetrics if its last line is `# EOF`. A Content-Type is the better source.
    #[must_use]
    pub fn detect(page: &[u8]) -> Self {
        let page = page.trim_ascii_end();
        match page.strip_suffix(b"# EOF") {
            Some(before) if before.is_empty() || before.ends_with(b"\n") => Self::OpenMetrics,
            _ => Self::Text,
        }
    }
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `counter`
    Counter,
    /// `gauge`
    Gauge,
    /// `histogram`
    Histogram,
    /// `gaugehistogram` (OpenMetrics)
    GaugeHistogram,
    /// `summary`
    Summary,
    /// `info` (OpenMetrics)
    Info,
    /// `stateset` (OpenMetrics)
    StateSet,
    /// `unknown` (OpenMetrics), `untyped` (text), or no TYPE line at all.
    Unknown,
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" | "untyped" => Self::Unknown,
            _ => return None,
        })
    }

    /// What may follow the family's name in the names of its samples.
    fn suffixes(self, format: Format) -> &'static [&'static str] {
        match (self, format) {
            (Self::Histogram, Format::Text) => &["_bucket", "_sum", "_count"],
            (Self::Summary, Format::Text) => &["", "_sum", "_count"],
            (Self::Counter, Format::OpenMetrics) => &["_total", "_created"],
            (Self::Histogram, Format::OpenMetrics) => &["_bucket", "_sum", "_count", "_created"],
            (Self::GaugeHistogram, Format::OpenMetrics) => &["_bucket", "_gsum", "_gcount"],
            (Self::Summary, Format::OpenMetrics) => &["", "_sum", "_count", "_created"],
            (Self::Info, Format::OpenMetrics) => &["_info"],
            _ => &[""],
        }
    }
}

/// All of a page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The families in the order of their first line.
    pub families: Vec<Family>,
}

/// One metric family: its metadata and its samples in page order.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name of the TYPE line, or that of the sample if there is none.
    pub name: String,
    /// The unescaped HELP text, if there was a HELP line.
    pub help: Option<String>,
    /// The type; `Unknown` without a TYPE line.
    pub kind: Kind,
    /// The unit, if there was a UNIT line.
    pub unit: Option<String>,
    /// The samples, those with suffixes such as `_bucket` and `_total` included.
    pub samples: Vec<Sample>,
}

/// One sample line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name as on the line, suffix included.
    pub name: String,
    /// Names and unescaped values, in the order of the line; no name twice.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// Seconds since the epoch, whichever unit the format writes.
    pub timestamp: Option<f64>,
}

impl Sample {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// The family of that name.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// All samples of that name, suffix included.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        let families = self.families.iter().filter(move |family| name.starts_with(&family.name));
        families.flat_map(|family| &family.samples).filter(move |sample| sample.name == name)
    }

    /// The value of the first sample of that name that has all of these labels, others not minded.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.series(name).find(|sample| labels.iter().all(|(key, value)| sample.label(key) == Some(*value))).map(|sample| sample.value)
    }
}

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

/// What is wrong, and in which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line. Texts from the page are clipped and safe to log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The line is not UTF-8.
    Encoding,
    /// More bytes in one line than the limit.
    LineTooLong(usize),
    /// More bytes in the page than the limit.
    PageTooLong(usize),
    /// More series, or three times as many lines of metadata, than the limit.
    TooManySeries(usize),
    /// More labels on one series than the limit.
    TooManyLabels(usize),
    /// Not a metric name.
    MetricName(String),
    /// Not a label name.
    LabelName(String),
    /// A quoted name, which neither of the two formats has.
    QuotedName,
    /// The same label twice on one series.
    DuplicateLabel(String),
    /// The braces are not well formed; says what was expected.
    Labels(&'static str),
    /// Not a number.
    Value(String),
    /// Not a time.
    Timestamp(String),
    /// Something after the end of a well-formed line.
    Trailing(String),
    /// Not a type.
    Kind(String),
    /// OpenMetrics page that does not end with `# EOF`: it was cut off.
    NoEof,
    /// OpenMetrics page that goes on after `# EOF`.
    AfterEof,
    /// Strict: an escape the format does not define.
    BadEscape(String),
    /// Strict: the last line has no line feed.
    NoFinalNewline,
    /// Strict: two samples with the same name and labels (OpenMetrics: and no later timestamp).
    DuplicateSeries(String),
    /// Strict: a second HELP, TYPE or UNIT of one family.
    DuplicateMetadata(&'static str, String),
    /// Strict: HELP, TYPE or UNIT after the family's first sample.
    LateMetadata(&'static str, String),
    /// Strict: a family that goes on after another one began.
    NotContiguous(String),
    /// Strict: a sample of an OpenMetrics counter not named `_total` (or `_created`).
    CounterWithoutTotal(String),
    /// Strict: a sample name its family's type does not have.
    Suffix(String),
    /// Strict: the family's name does not end with its unit.
    UnitSuffix(String),
    /// Strict: a type of the other format.
    ForeignKind(String),
    /// Strict: OpenMetrics has exactly one space where a blank belongs, and none elsewhere.
    Spacing,
    /// Strict: OpenMetrics has no comments of other sorts and no empty lines.
    Comment,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => f.write_str("not UTF-8"),
            Self::LineTooLong(limit) => write!(f, "longer than {limit} bytes"),
            Self::PageTooLong(limit) => write!(f, "the page is longer than {limit} bytes"),
            Self::TooManySeries(limit) => write!(f, "the page has more than {limit} series"),
            Self::TooManyLabels(limit) => write!(f, "more than {limit} labels"),
            Self::MetricName(text) => write!(f, "`{text}` is no metric name"),
            Self::LabelName(text) => write!(f, "`{text}` is no label name"),
            Self::QuotedName => f.write_str("quoted names are not supported"),
            Self::DuplicateLabel(name) => write!(f, "label `{name}` stands twice"),
            Self::Labels(expected) => write!(f, "labels: expected {expected}"),
            Self::Value(text) => write!(f, "`{text}` is no value"),
            Self::Timestamp(text) => write!(f, "`{text}` is no timestamp"),
            Self::Trailing(text) => write!(f, "`{text}` after the end"),
            Self::Kind(text) => write!(f, "`{text}` is no type"),
            Self::NoEof => f.write_str("the page ends without `# EOF`"),
            Self::AfterEof => f.write_str("the page goes on after `# EOF`"),
            Self::BadEscape(text) => write!(f, "`{text}` is no escape"),
            Self::NoFinalNewline => f.write_str("no line feed at the end of the page"),
            Self::DuplicateSeries(series) => write!(f, "`{series}` stands twice"),
            Self::DuplicateMetadata(what, family) => write!(f, "a second {what} of `{family}`"),
            Self::LateMetadata(what, family) => write!(f, "{what} of `{family}` after its samples"),
            Self::NotContiguous(family) => write!(f, "`{family}` goes on after another family"),
            Self::CounterWithoutTotal(name) => write!(f, "counter sample `{name}` is not its family's name with _total"),
            Self::Suffix(name) => write!(f, "its family's type has no sample `{name}`"),
            Self::UnitSuffix(family) => write!(f, "`{family}` does not end with its unit"),
            Self::ForeignKind(word) => write!(f, "type `{word}` belongs to the other format"),
            Self::Spacing => f.write_str("exactly one space between parts, none elsewhere"),
            Self::Comment => f.write_str("a comment or empty line"),
        }
    }
}

impl std::error::Error for ParseError {}

impl Fault {
    /// Beyond a limit, going on would defeat the limit.
    fn is_limit(&self) -> bool {
        matches!(self, Self::LineTooLong(_) | Self::PageTooLong(_) | Self::TooManySeries(_))
    }
}

/// Text from the page, fit for an error message.
fn clip(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Reads a whole page with the default limits. Without a format it is detected from the page's end.
///
/// # Errors
/// The first line that cannot be read, or a limit. A page that a lenient scraper takes passes; see [`strict`].
pub fn page(input: impl AsRef<[u8]>, format: impl Into<Option<Format>>) -> Result<Page, ParseError> {
    Reader::new(Limits::default()).page(input, format)
}

/// Reads a whole page and finds all faults, also those that most scrapers let pass.
///
/// # Errors
/// Every fault found, in the order of the lines, at most a thousand.
pub fn strict(input: impl AsRef<[u8]>, format: impl Into<Option<Format>>) -> Result<Page, Vec<ParseError>> {
    let input = input.as_ref();
    let format = format.into().unwrap_or_else(|| Format::detect(input));
    let mut reader = Reader::new(Limits::default()).format(format);
    reader.notes = Some(Notes::default());
    let mut families = Families::new(format);
    families.notes = Some(Strict::default());
    let mut take = |line, event: Event<'_>| families.take(line, event);
    let end = reader.feed(input, &mut take).and_then(|()| reader.finish(&mut take));
    let mut faults = reader.notes.map(|notes| notes.0).unwrap_or_default();
    faults.extend(families.notes.map(|strict| strict.notes.0).unwrap_or_default());
    faults.extend(end.err());
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(families.page) } else { Err(faults) }
}

/// Faults that do not stop the reading. Bounded: one bad page has as many as it has lines.
#[derive(Debug, Default)]
struct Notes(Vec<ParseError>);

impl Notes {
    fn push(&mut self, line: usize, fault: Fault) {
        if self.0.len() < 1000 {
            self.0.push(ParseError { line, fault });
        }
    }
}

/// Reads a page as its bytes arrive, holding no more than one line.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    format: Format,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    line: usize,
    bytes: usize,
    series: usize,
    metadata: usize,
    ended: bool,
    /// Present in strict mode.
    notes: Option<Notes>,
}

impl Reader {
    /// A reader of the text format with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, format: Format::Text, partial: Vec::new(), line: 0, bytes: 0, series: 0, metadata: 0, ended: false, notes: None }
    }

    /// Sets the format.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Takes the next bytes, cut anywhere, and gives `on` the line number and meaning of each line they finish.
    ///
    /// # Errors
    /// The first line that cannot be read, or a limit. The reader is of no more use then.
    pub fn feed(&mut self, mut chunk: &[u8], on: &mut dyn FnMut(usize, Event<'_>)) -> Result<(), ParseError> {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > self.limits.bytes {
            return self.fail(self.line + 1, Fault::PageTooLong(self.limits.bytes));
        }
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                self.read(line, on)?;
            } else {
                let mut whole = mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.read(&whole, on)?;
                whole.clear();
                self.partial = whole;
            }
        }
        if self.partial.len().saturating_add(chunk.len()) > self.limits.line {
            return self.fail(self.line + 1, Fault::LineTooLong(self.limits.line));
        }
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// Ends the page. A last line without its line feed is read.
    ///
    /// # Errors
    /// As [`Reader::feed`], and an OpenMetrics page without its end.
    pub fn finish(&mut self, on: &mut dyn FnMut(usize, Event<'_>)) -> Result<(), ParseError> {
        if !self.partial.is_empty() {
            let last = mem::take(&mut self.partial);
            self.read(&last, on)?;
            if let Some(notes) = &mut self.notes {
                notes.push(self.line, Fault::NoFinalNewline);
            }
        }
        if self.format == Format::OpenMetrics && !self.ended {
            return self.fail(self.line + 1, Fault::NoEof);
        }
        Ok(())
    }

    /// Reads a whole page. Without a format it is detected from the page's end.
    ///
    /// # Errors
    /// As [`Reader::feed`] and [`Reader::finish`].
    pub fn page(mut self, input: impl AsRef<[u8]>, format: impl Into<Option<Format>>) -> Result<Page, ParseError> {
        let input = input.as_ref();
        self.format = format.into().unwrap_or_else(|| Format::detect(input));
        let mut families = Families::new(self.format);
        let mut take = |line, event: Event<'_>| families.take(line, event);
        self.feed(input, &mut take)?;
        self.finish(&mut take)?;
        Ok(families.page)
    }

    /// An error, or in strict mode a note of it, unless it is a limit.
    fn fail(&mut self, line: usize, fault: Fault) -> Result<(), ParseError> {
        match &mut self.notes {
            Some(notes) if !fault.is_limit() => {
                notes.push(line, fault);
                Ok(())
            }
            _ => Err(ParseError { line, fault }),
        }
    }

    /// One line without its line feed.
    fn read(&mut self, line: &[u8], on: &mut dyn FnMut(usize, Event<'_>)) -> Result<(), ParseError> {
        self.line += 1;
        if line.len() > self.limits.line {
            return self.fail(self.line, Fault::LineTooLong(self.limits.line));
        }
        if self.ended {
            return self.fail(self.line, Fault::AfterEof);
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return self.fail(self.line, Fault::Encoding);
        };
        let mut cursor = Cursor::new(line, self.format);
        let event = match cursor.line(self.limits.labels) {
            Ok(event) => event,
            Err(fault) => return self.fail(self.line, fault),
        };
        match &event {
            Event::Sample(_) => self.series += 1,
            Event::Help { .. } | Event::Type { .. } | Event::Unit { .. } => self.metadata += 1,
            Event::Eof => self.ended = true,
            Event::Nothing => {}
        }
        if self.series > self.limits.series || self.metadata > self.limits.series.saturating_mul(3) {
            return self.fail(self.line, Fault::TooManySeries(self.limits.series));
        }
        if let Some(notes) = &mut self.notes {
            for fault in cursor.notes {
                notes.push(self.line, fault);
            }
        }
        on(self.line, event);
        Ok(())
    }
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
    format: Format,
    /// Faults that only strict mode minds, each sort once.
    notes: Vec<Fault>,
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a str, format: Format) -> Self {
        Self { rest, format, notes: Vec::new() }
    }

    fn note(&mut self, fault: Fault) {
        if !self.notes.iter().any(|known| mem::discriminant(known) == mem::discriminant(&fault)) {
            self.notes.push(fault);
        }
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        // Every wanted set is ASCII, so the end is at the edge of a character.
        let end = self.rest.bytes().position(|byte| !wanted(byte)).unwrap_or(self.rest.len());
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
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Blanks between two parts.
    fn gap(&mut self) {
        if self.take_while(is_blank) != " " && self.format == Format::OpenMetrics {
            self.note(Fault::Spacing);
        }
    }

    /// Blanks where none are needed.
    fn slack(&mut self) {
        if !self.take_while(is_blank).is_empty() && self.format == Format::OpenMetrics {
            self.note(Fault::Spacing);
        }
    }

    /// Nothing but blanks to the end.
    fn end(&mut self) -> Result<(), Fault> {
        self.slack();
        if self.rest.is_empty() { Ok(()) } else { Err(Fault::Trailing(clip(self.rest))) }
    }

    fn line(&mut self, max_labels: usize) -> Result<Event<'a>, Fault> {
        if self.format == Format::OpenMetrics && self.rest == "# EOF" {
            return Ok(Event::Eof);
        }
        self.slack();
        if self.take("#") {
            return self.comment();
        }
        if self.rest.is_empty() {
            if self.format == Format::OpenMetrics {
                self.note(Fault::Comment);
            }
            return Ok(Event::Nothing);
        }
        self.sample(max_labels).map(Event::Sample)
    }

    fn comment(&mut self) -> Result<Event<'a>, Fault> {
        let spaced = self.rest.starts_with(' ') && !self.rest.starts_with("  ");
        self.take_while(is_blank);
        match (self.word(), self.format) {
            ("HELP" | "TYPE", _) | ("UNIT", Format::OpenMetrics) if !spaced && self.format == Format::OpenMetrics => {
                self.note(Fault::Spacing);
                Ok(Event::Nothing)
            }
            ("HELP", _) => {
                let family = self.family()?;
                // The text of OpenMetrics begins after one space and may itself begin with blanks.
                if self.format == Format::Text {
                    self.take_while(is_blank);
                } else if !self.take(" ") && !self.rest.is_empty() {
                    self.gap();
                }
                let text = mem::take(&mut self.rest);
                let text = self.unescape(text, self.format == Format::OpenMetrics).into_owned();
                Ok(Event::Help { family, text })
            }
            ("TYPE", _) => {
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
            ("UNIT", Format::OpenMetrics) => {
                let family = self.family()?;
                self.gap();
                let unit = self.take_while(is_name);
                self.end()?;
                let named = family.strip_suffix(unit).is_some_and(|before| unit.is_empty() || before.ends_with('_'));
                if !named {
                    self.note(Fault::UnitSuffix(clip(family)));
                }
                Ok(Event::Unit { family, unit })
            }
            _ => {
                if self.format == Format::OpenMetrics {
                    self.note(Fault::Comment);
                }
                Ok(Event::Nothing)
            }
        }
    }

    /// The family's name of a line of metadata.
    fn family(&mut self) -> Result<&'a str, Fault> {
        self.gap();
        let word = self.word();
        let fine = word.bytes().all(is_name) && !word.starts_with(|c: char| c.is_ascii_digit()) && !word.is_empty();
        if fine { Ok(word) } else { Err(Fault::MetricName(clip(word))) }
    }

    fn sample(&mut self, max_labels: usize) -> Result<Sample, Fault> {
        let whole = self.rest;
        let name = self.take_while(is_name);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let quoted = name.is_empty() && whole.trim_start_matches(['{', ' ', '\t']).starts_with('"');
            return Err(if quoted { Fault::QuotedName } else { Fault::MetricName(clip(whole)) });
        }
        let blanks = self.take_while(is_blank);
        let labels = if self.rest.starts_with('{') {
            if !blanks.is_empty() && self.format == Format::OpenMetrics {
                self.note(Fault::Spacing);
            }
            let labels = self.labels(max_labels)?;
            self.gap();
            labels
        } else {
            if blanks.is_empty() && !self.rest.is_empty() {
                return Err(Fault::MetricName(clip(whole)));
            }
            if blanks != " " && self.format == Format::OpenMetrics {
                self.note(Fault::Spacing);
            }
            Vec::new()
        };
        let value = self.value()?;
        let mut timestamp = None;
        if !self.rest.trim_start_matches([' ', '\t']).is_empty() {
            self.gap();
            if !self.exemplar(max_labels)? {
                timestamp = Some(self.timestamp()?);
                if !self.rest.trim_start_matches([' ', '\t']).is_empty() {
                    self.gap();
                    self.exemplar(max_labels)?;
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
    fn exemplar(&mut self, max_labels: usize) -> Result<bool, Fault> {
        if self.format == Format::Text || !self.take("#") {
            return Ok(false);
        }
        self.gap();
        if !self.rest.starts_with('{') {
            return Err(Fault::Labels("{ of an exemplar"));
        }
        self.labels(max_labels)?;
        self.gap();
        self.value()?;
        if !self.rest.trim_start_matches([' ', '\t']).is_empty() {
            self.gap();
            self.timestamp()?;
        }
        Ok(true)
    }

    fn labels(&mut self, max: usize) -> Result<Vec<(String, String)>, Fault> {
        let mut labels: Vec<(String, String)> = Vec::new();
        self.take("{");
        loop {
            self.slack();
            if self.take("}") {
                // A comma before the brace is fine in the text format only.
                if self.format == Format::OpenMetrics && !labels.is_empty() {
                    self.note(Fault::Spacing);
                }
                return Ok(labels);
            }
            let whole = self.rest;
            let name = self.take_while(is_name);
            if whole.starts_with('"') {
                return Err(Fault::QuotedName);
            }
            if name.is_empty() || name.contains(':') || name.starts_with(|c: char| c.is_ascii_digit()) {
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
            let value = self.quoted()?;
            if labels.iter().any(|(known, _)| known == name) {
                return Err(Fault::DuplicateLabel(clip(name)));
            }
            if labels.len() >= max {
                return Err(Fault::TooManyLabels(max));
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

    /// A label value after its opening quote.
    fn quoted(&mut self) -> Result<String, Fault> {
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some((value, rest)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return Err(Fault::Labels("closing \""));
        };
        self.rest = rest;
        self.take("\"");
        Ok(self.unescape(value, true).into_owned())
    }

    /// Resolves the escapes; one the format does not define stays as it is written.
    fn unescape(&mut self, text: &'a str, quotes: bool) -> Cow<'a, str> {
        let Some((plain, mut rest)) = text.split_once('\\') else {
            return Cow::Borrowed(text);
        };
        let mut out = String::with_capacity(text.len());
        out.push_str(plain);
        loop {
            let mut characters = rest.chars();
            match characters.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if quotes => out.push('"'),
                other => {
                    out.push('\\');
                    out.extend(other);
                    self.note(Fault::BadEscape(clip(&format!("\\{}", other.map(String::from).unwrap_or_default()))));
                }
            }
            match characters.as_str().split_once('\\') {
                Some((plain, next)) => {
                    out.push_str(plain);
                    rest = next;
                }
                None => {
                    out.push_str(characters.as_str());
                    return Cow::Owned(out);
                }
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// Puts events together to families.
struct Families {
    page: Page,
    format: Format,
    index: HashMap<String, usize>,
    /// Whether the family at the same place had a TYPE line.
    typed: Vec<bool>,
    current: Option<usize>,
    notes: Option<Strict>,
}

#[derive(Default)]
struct Strict {
    notes: Notes,
    /// Name and sorted labels of each series, with the timestamp of its last sample.
    seen: HashMap<String, Option<f64>>,
}

impl Families {
    fn new(format: Format) -> Self {
        Self { page: Page::default(), format, index: HashMap::new(), typed: Vec::new(), current: None, notes: None }
    }

    fn note(&mut self, line: usize, fault: impl FnOnce() -> Fault) {
        if let Some(strict) = &mut self.notes {
            strict.notes.push(line, fault());
        }
    }

    fn take(&mut self, line: usize, event: Event<'_>) {
        match event {
            Event::Help { family, text } => {
                let at = self.at(line, family);
                self.metadata(line, at, "HELP", |known| known.help.is_some());
                if let Some(known) = self.page.families.get_mut(at) {
                    known.help.get_or_insert(text);
                }
            }
            Event::Unit { family, unit } => {
                let at = self.at(line, family);
                self.metadata(line, at, "UNIT", |known| known.unit.is_some());
                if let Some(known) = self.page.families.get_mut(at) {
                    known.unit.get_or_insert_with(|| unit.to_owned());
                }
            }
            Event::Type { family, kind } => {
                let at = self.at(line, family);
                let typed = self.typed.get(at).copied().unwrap_or(false);
                self.metadata(line, at, "TYPE", |_| typed);
                if let (Some(known), Some(typed)) = (self.page.families.get_mut(at), self.typed.get_mut(at)) {
                    if !*typed {
                        known.kind = kind;
                    }
                    *typed = true;
                }
            }
            Event::Sample(sample) => self.sample(line, sample),
            Event::Nothing | Event::Eof => {}
        }
    }

    /// The family of that name, which becomes the current one.
    fn at(&mut self, line: usize, name: &str) -> usize {
        match self.index.get(name) {
            Some(&at) => {
                self.enter(line, at);
                at
            }
            None => {
                let at = self.page.families.len();
                self.index.insert(name.to_owned(), at);
                self.typed.push(false);
                self.page.families.push(Family { name: name.to_owned(), help: None, kind: Kind::Unknown, unit: None, samples: Vec::new() });
                self.current = Some(at);
                at
            }
        }
    }

    fn enter(&mut self, line: usize, at: usize) {
        if self.current != Some(at) {
            self.current = Some(at);
            let name = self.page.families.get(at).map(|family| clip(&family.name)).unwrap_or_default();
            self.note(line, || Fault::NotContiguous(name));
        }
    }

    fn metadata(&mut self, line: usize, at: usize, what: &'static str, known: impl FnOnce(&Family) -> bool) {
        let Some(family) = self.page.families.get(at).filter(|_| self.notes.is_some()) else {
            return;
        };
        let name = clip(&family.name);
        if known(family) {
            self.note(line, || Fault::DuplicateMetadata(what, name));
        } else if !family.samples.is_empty() {
            self.note(line, || Fault::LateMetadata(what, name));
        }
    }

    fn sample(&mut self, line: usize, sample: Sample) {
        let at = match self.owner(&sample.name) {
            Some(at) => {
                self.enter(line, at);
                at
            }
            None => self.at(line, &sample.name),
        };
        if self.notes.is_some() {
            self.examine(line, at, &sample);
        }
        if let Some(family) = self.page.families.get_mut(at) {
            family.samples.push(sample);
        }
    }

    /// The family a sample belongs to: one of just its name, else one whose type has such a suffix.
    fn owner(&self, name: &str) -> Option<usize> {
        let current = self.current.and_then(|at| Some((at, self.page.families.get(at)?)));
        if let Some((at, family)) = current
            && family.name == name
        {
            return Some(at);
        }
        if let Some(at) = self.index.get(name) {
            return Some(*at);
        }
        const SUFFIXES: [&str; 8] = ["_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"];
        let (base, suffix) = SUFFIXES.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, suffix)))?;
        let at = match current {
            Some((at, family)) if family.name == base => at,
            _ => *self.index.get(base)?,
        };
        self.page.families.get(at)?.kind.suffixes(self.format).contains(suffix).then_some(at)
    }

    /// What strict mode minds in a sample.
    fn examine(&mut self, line: usize, at: usize, sample: &Sample) {
        let Some(family) = self.page.families.get(at) else {
            return;
        };
        let suffix = sample.name.strip_prefix(&family.name).unwrap_or_default();
        if !family.kind.suffixes(self.format).contains(&suffix) {
            let name = clip(&sample.name);
            let counter = family.kind == Kind::Counter;
            self.note(line, || if counter { Fault::CounterWithoutTotal(name) } else { Fault::Suffix(name) });
        }
        let mut labels: Vec<_> = sample.labels.iter().collect();
        labels.sort_unstable();
        let mut key = sample.name.clone();
        for (name, value) in labels {
            // No part can hold a line feed but a value, which debug writing escapes.
            key.push_str(&format!("\n{name}={value:?}"));
        }
        let Some(strict) = &mut self.notes else {
            return;
        };
        if let Some(before) = strict.seen.insert(key, sample.timestamp) {
            let later = matches!((before, sample.timestamp), (Some(before), Some(now)) if now > before);
            if !(later && self.format == Format::OpenMetrics) {
                let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                let series = format!("{}{{{}}}", sample.name, labels.join(","));
                strict.notes.push(line, Fault::DuplicateSeries(clip(&series)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP http_requests_total All requests, \\\\ and \\n too.
# TYPE http_requests_total counter
http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000
http_requests_total{method=\"post\",code=\"400\",} 3 -1500

# a comment
# TYPE temperature gauge
temperature{room=\"a \\\"b\\\" \\\\ c\\nd ü, }\"} -Inf
 temperature { room = \"e\" , floor = \"1\" }   NaN
# TYPE size histogram
size_bucket{le=\"1\"} 2
size_bucket{le=\"+Inf\"} 3
size_sum 4.5e3
size_count 3
# TYPE pause summary
pause{quantile=\"0.5\"} 1e-3
pause_sum 17
pause_count 5
size_max +Inf
";

    const OPEN: &str = "\
# TYPE requests counter
# UNIT requests\x20
# HELP requests All \\\"requests\\\"
requests_total{code=\"200\"} 7 1395066363.5 # {trace_id=\"abc # }\"} 0.5 1395066363.25
requests_created{code=\"200\"} 1395066000.0
# TYPE size_bytes histogram
# UNIT size_bytes bytes
size_bytes_bucket{le=\"1.0\"} 2 # {} 0.7
size_bytes_bucket{le=\"+Inf\"} 3
size_bytes_sum 4
size_bytes_count 3
# TYPE build info
build_info{version=\"1\"} 1
# TYPE role stateset
role{role=\"primary\"} 1
role{role=\"standby\"} 0
# EOF
";

    /// Writes a page in the text format; the inverse of reading it, but for comments and blanks.
    fn write(page: &Page) -> String {
        let mut out = String::new();
        for family in &page.families {
            if let Some(help) = &family.help {
                out += &format!("# HELP {} {}\n", family.name, help.replace('\\', "\\\\").replace('\n', "\\n"));
            }
            let kind = if family.kind == Kind::Unknown { "untyped".to_owned() } else { format!("{:?}", family.kind) };
            out += &format!("# TYPE {} {}\n", family.name, kind.to_lowercase());
            for sample in &family.samples {
                let escape = |value: &str| value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
                let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
                let time = sample.timestamp.map(|time| format!(" {}", (time * 1000.0).round())).unwrap_or_default();
                out += &format!("{}{{{}}} {}{time}\n", sample.name, labels.join(","), sample.value);
            }
        }
        out
    }

    fn fault(input: impl AsRef<[u8]>, format: Format) -> (usize, Fault) {
        let error = page(input, format).unwrap_err();
        (error.line, error.fault)
    }

    fn faults(input: &str, format: Format) -> Vec<(usize, Fault)> {
        strict(input, format).unwrap_err().into_iter().map(|error| (error.line, error.fault)).collect()
    }

    #[test]
    fn reads_the_text_format() {
        let page = page(TEXT, None).unwrap();
        let names: Vec<_> = page.families.iter().map(|family| (family.name.as_str(), family.kind, family.samples.len())).collect();
        let expected = [
            ("http_requests_total", Kind::Counter, 2),
            ("temperature", Kind::Gauge, 2),
            ("size", Kind::Histogram, 4),
            ("pause", Kind::Summary, 3),
            ("size_max", Kind::Unknown, 1),
        ];
        assert_eq!(names, expected);
        assert_eq!(page.family("http_requests_total").unwrap().help.as_deref(), Some("All requests, \\ and \n too."));
        assert_eq!(page.value("http_requests_total", &[("code", "200")]), Some(1027.0));
        let times: Vec<_> = page.series("http_requests_total").map(|sample| sample.timestamp).collect();
        assert_eq!(times, [Some(1_395_066_363.0), Some(-1.5)]);
        assert_eq!(page.value("temperature", &[("room", "a \"b\" \\ c\nd ü, }")]), Some(f64::NEG_INFINITY));
        assert!(page.value("temperature", &[("floor", "1"), ("room", "e")]).unwrap().is_nan());
        assert_eq!(page.value("size_bucket", &[("le", "+Inf")]), Some(3.0));
        assert_eq!(page.value("size_sum", &[]), Some(4500.0));
        assert_eq!(page.value("size_max", &[]), Some(f64::INFINITY));
        assert_eq!(page.value("size_min", &[]), None);
        assert_eq!(page.value("size_bucket", &[("le", "2")]), None);
    }

    #[test]
    fn reads_openmetrics() {
        let page = strict(OPEN, None).unwrap();
        let names: Vec<_> = page.families.iter().map(|family| (family.name.as_str(), family.kind, family.samples.len())).collect();
        let expected =
            [("requests", Kind::Counter, 2), ("size_bytes", Kind::Histogram, 4), ("build", Kind::Info, 1), ("role", Kind::StateSet, 2)];
        assert_eq!(names, expected);
        let requests = page.family("requests").unwrap();
        assert_eq!((requests.help.as_deref(), requests.unit.as_deref()), (Some("All \"requests\""), Some("")));
        assert_eq!(page.family("size_bytes").unwrap().unit.as_deref(), Some("bytes"));
        assert_eq!(page.series("requests_total").next().unwrap().timestamp, Some(1_395_066_363.5));
        assert_eq!(page.value("size_bytes_bucket", &[("le", "1.0")]), Some(2.0));
        assert_eq!(page.value("role", &[("role", "standby")]), Some(0.0));
    }

    #[test]
    fn written_again_it_reads_the_same() {
        let first = page(TEXT, None).unwrap();
        let second = strict(write(&first), Format::Text).unwrap();
        // NaN is not equal to itself, its writing is.
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
        assert_eq!(second.families.len(), 5);
        for value in ["", "\\", "\\\\n", "\n", "\"", "\\\"", "a\\nb", "}", "#", "\t ü \u{1f980} \0"] {
            let sample = Sample { name: "x".into(), labels: vec![("l".into(), value.into())], value: 0.1, timestamp: Some(0.001) };
            let family = Family { name: "x".into(), help: Some(format!("h{value}")), kind: Kind::Gauge, unit: None, samples: vec![sample] };
            let page = Page { families: vec![family] };
            assert_eq!(strict(write(&page), Format::Text), Ok(page), "{value:?}");
        }
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        for (input, format) in [(TEXT, Format::Text), (OPEN, Format::OpenMetrics)] {
            let whole = page(input, format).unwrap();
            for size in [1, 2, 3, 7, 64] {
                let mut families = Families::new(format);
                let mut reader = Reader::new(Limits::default()).format(format);
                for chunk in input.as_bytes().chunks(size) {
                    reader.feed(chunk, &mut |line, event| families.take(line, event)).unwrap();
                }
                reader.finish(&mut |line, event| families.take(line, event)).unwrap();
                assert_eq!(format!("{:?}", families.page), format!("{whole:?}"), "chunks of {size}");
            }
        }
    }

    #[test]
    fn events_carry_their_line() {
        let mut seen = Vec::new();
        let mut reader = Reader::new(Limits::default());
        reader.feed(b"# TYPE a gauge\n\na{b=\"c\"} 1\n", &mut |line, event| seen.push((line, format!("{event:?}")))).unwrap();
        assert_eq!(seen[0], (1, r#"Type { family: "a", kind: Gauge }"#.to_owned()));
        assert_eq!(seen[1], (2, "Nothing".to_owned()));
        assert_eq!(seen[2].0, 3);
        assert!(seen[2].1.contains(r#"labels: [("b", "c")]"#), "{}", seen[2].1);
    }

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

    #[test]
    fn a_cut_openmetrics_page_is_never_whole() {
        assert_eq!(fault("a 1\n", Format::OpenMetrics), (2, Fault::NoEof));
        assert_eq!(fault("", Format::OpenMetrics), (1, Fault::NoEof));
        assert_eq!(fault("a 1\n# EOF\nb 1\n", Format::OpenMetrics), (3, Fault::AfterEof));
        assert_eq!(faults("a 1\n", Format::OpenMetrics), [(2, Fault::NoEof)]);
        assert_eq!(faults("a 1\n# EOF\nb 1\n\n", Format::OpenMetrics), [(3, Fault::AfterEof), (4, Fault::AfterEof)]);
        assert_eq!(Format::detect(b"# EOF"), Format::OpenMetrics);
        assert_eq!(Format::detect(b"a 1 # EOF\n"), Format::Text);
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { line: 20, labels: 2, series: 3, bytes: 100 };
        let read = |input: &str| Reader::new(limits).page(input, Format::Text);
        let fault = |input: &str| read(input).unwrap_err().fault;
        assert_eq!(read("a{b=\"1\",c=\"2\"} 3.0\na 1\na 2").unwrap().families[0].samples.len(), 3);
        assert_eq!(fault("a{b=\"1\",c=\"2\"} 3.0000\n"), Fault::LineTooLong(20));
        assert_eq!(fault("a{b=\"1\",c=\"2\"} 3.00000"), Fault::LineTooLong(20));
        let three = Limits { line: 100, ..limits };
        let error = Reader::new(three).page("a{b=\"1\",c=\"2\",d=\"3\"} 3\n", Format::Text).unwrap_err();
        assert_eq!(error.fault, Fault::TooManyLabels(2));
        assert_eq!(fault("a 1\nb 1\nc 1\nd 1\n"), Fault::TooManySeries(3));
        assert_eq!(fault(&"#\n".repeat(51)), Fault::PageTooLong(100));
        let metadata = Limits { series: 1, ..limits };
        let error = Reader::new(metadata).page("# HELP a\n".repeat(6), Format::Text).unwrap_err();
        assert_eq!((error.line, error.fault), (4, Fault::TooManySeries(1)));
        let mut reader = Reader::new(limits);
        let fed = (0..30).find_map(|_| reader.feed(b"x", &mut |_, _| ()).err());
        assert_eq!(fed.unwrap().fault, Fault::LineTooLong(20));
    }

    #[test]
    fn strict_finds_what_scrapers_dislike() {
        let text = |input: &str| faults(input, Format::Text);
        let open = |input: &str| faults(&format!("{input}# EOF\n"), Format::OpenMetrics);
        assert_eq!(
            text("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n"),
            [(2, Fault::DuplicateSeries("a{c=\\\"2\\\",b=\\\"1\\\"}".into()))]
        );
        assert_eq!(text("a 1 1\na 1 2\n"), [(2, Fault::DuplicateSeries("a{}".into()))]);
        assert_eq!(open("a 1 2\na 1 2\n"), [(2, Fault::DuplicateSeries("a{}".into()))]);
        assert!(strict("a 1 1\na 1 2\n# EOF\n", None).is_ok());
        assert_eq!(text("# TYPE a gauge\n# TYPE a gauge\n"), [(2, Fault::DuplicateMetadata("TYPE", "a".into()))]);
        assert_eq!(text("# HELP a b\n# HELP a c\na 1\n"), [(2, Fault::DuplicateMetadata("HELP", "a".into()))]);
        assert_eq!(
            text("a 1\n# HELP a b\n# TYPE a gauge\n"),
            [(2, Fault::LateMetadata("HELP", "a".into())), (3, Fault::LateMetadata("TYPE", "a".into()))]
        );
        assert_eq!(text("a{b=\"1\"} 1\nc 1\na{b=\"2\"} 1\n"), [(3, Fault::NotContiguous("a".into()))]);
        assert_eq!(text("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\nb 1\na_sum 1\n"), [(4, Fault::NotContiguous("a".into()))]);
        assert_eq!(
            text("# HELP a b\n# HELP c d\na 1\nc 1\n"),
            [(3, Fault::NotContiguous("a".into())), (4, Fault::NotContiguous("c".into()))]
        );
        assert_eq!(text("a{b=\"\\x\"} 1\n"), [(1, Fault::BadEscape("\\\\x".into()))]);
        assert_eq!(text("# HELP a \\\"b\\\"\n"), [(1, Fault::BadEscape("\\\\\\\"".into()))]);
        assert_eq!(text("# HELP a b\\\n"), [(1, Fault::BadEscape("\\\\".into()))]);
        assert_eq!(text("a 1"), [(1, Fault::NoFinalNewline)]);
        assert_eq!(faults("a 1\n# EOF", Format::OpenMetrics), [(2, Fault::NoFinalNewline)]);
        assert_eq!(text("# TYPE a histogram\na 1\n"), [(2, Fault::Suffix("a".into()))]);
        assert_eq!(text("# TYPE a info\n"), [(1, Fault::ForeignKind("info".into()))]);
        assert_eq!(open("# TYPE a untyped\n"), [(1, Fault::ForeignKind("untyped".into()))]);
        assert_eq!(open("# TYPE a counter\na 1\n"), [(2, Fault::CounterWithoutTotal("a".into()))]);
        assert_eq!(open("# TYPE a_total counter\na_total 1\n"), [(2, Fault::CounterWithoutTotal("a_total".into()))]);
        assert_eq!(open("# TYPE a gauge\n# UNIT a bytes\n"), [(2, Fault::UnitSuffix("a".into()))]);
        for line in ["a  1", " a 1", "a 1 ", "a\t1", "a {b=\"c\"} 1", "a{b=\"c\",} 1", "a{ b=\"c\"} 1", "#TYPE a gauge", "a{b=\"c\"}1"] {
            assert_eq!(open(&format!("{line}\n")), [(1, Fault::Spacing)], "{line}");
        }
        assert_eq!(open("\n# hello\n"), [(1, Fault::Comment), (2, Fault::Comment)]);
        // What one reads leniently keeps its text.
        let lenient = page("a{b=\"\\x\\\\\"} 1", None).unwrap();
        assert_eq!(lenient.families[0].samples[0].label("b"), Some("\\x\\"));
    }

    #[test]
    fn strict_is_bounded() {
        assert_eq!(faults(&"!\n".repeat(5000), Format::Text).len(), 1000);
    }

    /// What fuzzing found or started from must never panic, and reads the same however it arrives.
    #[test]
    fn replays_the_corpus() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/exposition");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            for format in [Format::Text, Format::OpenMetrics] {
                let whole = page(&input, format);
                if let Ok(strict) = strict(&input, format) {
                    assert_eq!(format!("{:?}", whole.unwrap()), format!("{strict:?}"));
                }
                let mut lines = 0;
                let mut reader = Reader::new(Limits::default()).format(format);
                for byte in &input {
                    if reader.feed(&[*byte], &mut |line, _| lines = line).is_err() {
                        break;
                    }
                }
                assert!(lines <= input.len());
            }
            read += 1;
        }
        assert!(read >= 5, "only {read} files");
    }
}
