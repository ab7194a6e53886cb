//! What can be wrong with a page: errors that end the reading, and what only `strict` minds.
//!
//! Every fault carries its line. Text taken from the page is clipped and escaped, so a fault is safe to log.

use std::fmt;

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
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::LineTooLong(_) | Self::PageTooLong(_) | Self::TooManySeries(_))
    }
}

/// Text from the page, fit for an error message.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// How many faults are listed of one page: a bad page has as many as it has lines.
pub(super) const MAX_NOTES: usize = 1000;

/// Faults that do not stop the reading, the first [`MAX_NOTES`] of them.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<ParseError>);

impl Notes {
    pub(super) fn push(&mut self, line: usize, fault: Fault) {
        if self.0.len() < MAX_NOTES {
            self.0.push(ParseError { line, fault });
        }
    }
}
