//! Reads exposition pages: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! Some targets already speak one of the formats and their pages are passed through; our own tests read our own pages.
//! Both come from outside, so every size has a limit, nothing recurses and every error carries its line. `reader` cuts
//! bytes into lines, `line` reads one, `families` puts them together to the `model`, `strict` lists all that a careful
//! scraper dislikes; every error is a `fault`.

mod families;
mod fault;
mod line;
mod model;
mod reader;
mod strict;

pub use fault::{Fault, ParseError};
pub use line::Event;
pub use model::{Family, Kind, Page, Sample};
pub use reader::Reader;
pub use strict::strict;

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

/// Reads a whole page with the default limits. Without a format it is detected from the page's end.
///
/// # Errors
/// The first line that cannot be read, or a limit. A page that a lenient scraper takes passes; see [`strict`].
pub fn page(input: impl AsRef<[u8]>, format: impl Into<Option<Format>>) -> Result<Page, ParseError> {
    Reader::new(Limits::default()).page(input, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const TEXT: &str = "\
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

    pub(super) const OPEN: &str = "\
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

    pub(super) fn fault(input: impl AsRef<[u8]>, format: Format) -> (usize, Fault) {
        let error = page(input, format).unwrap_err();
        (error.line, error.fault)
    }

    pub(super) fn faults(input: &str, format: Format) -> Vec<(usize, Fault)> {
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
