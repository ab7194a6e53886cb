//! What a page says once it is read: families, their metadata and their samples.
//!
//! Filled by `families`, looked at by whoever reads a page.

use super::Format;

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
    /// The type a TYPE line names, in either format.
    pub(super) fn parse(word: &str) -> Option<Self> {
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
    pub(super) fn suffixes(self, format: Format) -> &'static [&'static str] {
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
        self.families.iter().flat_map(|family| &family.samples).filter(move |sample| sample.name == name)
    }

    /// The value of the first sample of that name that has all of these labels, others not minded.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |sample: &&Sample| labels.iter().all(|(key, value)| sample.label(key) == Some(*value));
        self.series(name).find(wanted).map(|sample| sample.value)
    }
}
