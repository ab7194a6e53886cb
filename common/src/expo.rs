//! Writers of the text formats 0.0.4 and OpenMetrics 1.0, negotiation by Accept, and gzip.
//!
//! A settled `Sink` can no longer fail, so neither can writing it. A legacy counter without `_total` keeps its TYPE in
//! 0.0.4 and is `unknown` in OpenMetrics, where a counter's samples must end in `_total`.
//! Sources: Prometheus exposition formats page; OpenMetrics 1.0 specification.

use std::io::Write as _;
use std::{mem, ptr};

use crate::desc::Kind;
use crate::sink::{self, FamilyView, Reading, SEPARATOR, Sink, Value};

/// A text format that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The exact Content-Type; Prometheus 3 fails a scrape whose type it does not know.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Bodies below this size are not worth compressing.
const GZIP_FROM: usize = 1024;

/// Chooses the format from an Accept header: the acceptable one with the highest quality, text where nothing is said.
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best = (Format::Text, 0.0_f64);
    for part in accept.unwrap_or_default().split(',') {
        let mut params = part.split(';').map(str::trim);
        let media = params.next().unwrap_or_default();
        let (mut quality, mut version) = (1.0, None);
        for param in params {
            match param.split_once('=') {
                Some(("q", q)) => quality = q.parse().unwrap_or(0.0),
                Some(("version", v)) => version = Some(v.trim_matches('"')),
                _ => {}
            }
        }
        let format = match (media, version) {
            ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => Format::OpenMetrics,
            ("text/plain", None | Some("0.0.4" | "1.0.0")) | ("*/*" | "text/*", _) => Format::Text,
            _ => continue,
        };
        if quality > best.1 {
            best = (format, quality);
        }
    }
    best.0
}

/// True when the Accept-Encoding header takes gzip.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding.unwrap_or_default().split(',').any(|part| {
        let mut params = part.split(';').map(str::trim);
        let coding = params.next().unwrap_or_default();
        let refused = params.any(|p| p.strip_prefix("q=").and_then(|q| q.parse::<f64>().ok()).is_some_and(|q| q <= 0.0));
        (coding == "gzip" || coding == "*") && !refused
    })
}

/// Writes a settled page.
pub fn write(page: &Sink, format: Format) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.families().map(|family| estimate(&family)).sum());
    let mut labels = Labels::default();
    for family in page.families() {
        labels.set(&family);
        write_family(&mut out, &family, &labels, format);
    }
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
    out
}

/// Compresses a body where the client takes it and it is worth the work; `None` means: send it as it is.
pub fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < GZIP_FROM {
        return None;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 6), flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn write_family(out: &mut Vec<u8>, family: &FamilyView<'_>, labels: &Labels<'_>, format: Format) {
    let name = family.name();
    let open = format == Format::OpenMetrics;
    // OpenMetrics names the family without `_total` and knows no counter whose samples lack it.
    let (shown, kind) = match (open, family.kind()) {
        (true, Kind::Counter) => name.strip_suffix("_total").map_or((name, "unknown"), |base| (base, "counter")),
        (_, Kind::Counter) => (name, "counter"),
        (_, Kind::Gauge) => (name, "gauge"),
        (_, Kind::Histogram) => (name, "histogram"),
        (_, Kind::Summary) => (name, "summary"),
        (true, Kind::Unknown) => (name, "unknown"),
        (false, Kind::Unknown) => (name, "untyped"),
    };
    put_all(out, &["# HELP ", shown, " "]);
    escape(out, family.help(), open);
    put_all(out, &["\n# TYPE ", shown, " ", kind, "\n"]);
    for ((_, reading), labels) in family.rows().zip(labels.texts()) {
        let series = Series { name, labels };
        match reading {
            Reading::Number(v) => series.write(out, "", None, v),
            Reading::Other(value) => write_parts(out, &series, value),
        }
    }
}

fn write_parts(out: &mut Vec<u8>, series: &Series<'_>, value: &Value) {
    match value {
        Value::Number(v) => series.write(out, "", None, *v),
        Value::Histogram { buckets, sum, count } => {
            for (bound, n) in buckets {
                series.write(out, "_bucket", Some(("le", *bound)), *n as f64);
            }
            if buckets.last().is_none_or(|(bound, _)| bound.is_finite()) {
                series.write(out, "_bucket", Some(("le", f64::INFINITY)), *count as f64);
            }
            series.write(out, "_sum", None, *sum);
            series.write(out, "_count", None, *count as f64);
        }
        Value::Summary { quantiles, sum, count } => {
            for (q, v) in quantiles {
                series.write(out, "", Some(("quantile", *q)), *v);
            }
            series.write(out, "_sum", None, *sum);
            series.write(out, "_count", None, *count as f64);
        }
    }
}

/// Room for a family of numbers, rather too much than too little; memory that is not written to costs nothing.
fn estimate(family: &FamilyView<'_>) -> usize {
    /// Longest number, and what stands around it.
    const VALUE: usize = 26;
    let labels: usize = family.labels().iter().map(|label| label.len() + 4).sum();
    let head = 2 * family.name().len() + family.help().len() + 32;
    let each = family.name().len() + labels + VALUE;
    head + family.rows().map(|(values, _)| each + values.len()).sum::<usize>()
}

/// The labels of one family's series as written, from the opening brace to before the last quote. The next family is
/// often of the same rows of a server's answer and has the same ones.
#[derive(Default)]
struct Labels<'a> {
    names: Option<&'a sink::Labels>,
    values: Vec<&'a str>,
    text: Vec<u8>,
    /// Where each series' part of the text ends.
    ends: Vec<usize>,
}

impl<'a> Labels<'a> {
    fn set(&mut self, family: &FamilyView<'a>) {
        // The same place in the sink is the same text; reading it would cost what this saves.
        let places = family.rows().map(|(values, _)| ptr::from_ref(values));
        let same = places.eq(self.values.iter().map(|values| ptr::from_ref(*values)));
        if same && Some(family.labels()) == self.names {
            return;
        }
        let names = family.labels();
        self.names = Some(names);
        self.values.clear();
        self.values.extend(family.rows().map(|(values, _)| values));
        self.text.clear();
        self.ends.clear();
        for values in &self.values {
            let mut before = "{";
            for (name, value) in names.iter().zip(values.split(SEPARATOR)) {
                put_all(&mut self.text, &[before, name, "=\""]);
                escape(&mut self.text, value, true);
                before = "\",";
            }
            self.ends.push(self.text.len());
        }
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |to| self.text.get(mem::replace(&mut from, *to)..*to).unwrap_or_default())
    }
}

/// Name and labels of the series being written.
struct Series<'a> {
    name: &'a str,
    labels: &'a [u8],
}

impl Series<'_> {
    fn write(&self, out: &mut Vec<u8>, suffix: &str, extra: Option<(&str, f64)>, value: f64) {
        put_all(out, &[self.name, suffix]);
        out.extend_from_slice(self.labels);
        if let Some((label, bound)) = extra {
            put_all(out, &[if self.labels.is_empty() { "{" } else { "\"," }, label, "=\""]);
            number(out, bound);
        }
        out.extend_from_slice(if self.labels.is_empty() && extra.is_none() { b" " } else { b"\"} " });
        number(out, value);
        out.push(b'\n');
    }
}

fn put_all(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Escapes backslash and newline, and the double quote where the text stands between quotes or the format is OpenMetrics.
fn escape(out: &mut Vec<u8>, text: &str, quote: bool) {
    if !text.bytes().any(|b| matches!(b, b'\\' | b'\n' | b'"')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for b in text.bytes() {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quote => out.extend_from_slice(b"\\\""),
            b => out.push(b),
        }
    }
}

/// Writes a number as Go and Rust parsers both read it; whole numbers without a fraction.
fn number(out: &mut Vec<u8>, v: f64) {
    /// Whole numbers up to here are exact in an f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if v.is_finite() {
        // Outside the range of i64 the conversion gives its ends, which EXACT excludes.
        let whole = v as i64;
        if whole as f64 == v && v.abs() < EXACT {
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        } else {
            out.extend_from_slice(ryu::Buffer::new().format_finite(v).as_bytes());
        }
    } else if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put;
    use crate::sink::NO_LIMIT;

    crate::metrics! {
        /// Reads "fast" \ slow.
        READS: Counter "x_reads_total" [db];
        /// Commits.
        COMMITS: Counter legacy "x_commits" [];
        /// Latency.
        LATENCY: Histogram "x_latency_seconds" [db];
        /// Ages.
        AGES: Summary "x_age_seconds" [];
        /// Level.
        LEVEL: Gauge "x_level" [];
    }

    fn page() -> Sink {
        let mut out = Sink::new(NO_LIMIT);
        put!(out, READS { db: "a\"b\\c\nd" } = 3);
        put!(out, COMMITS {} = 7);
        put!(out, LATENCY { db: "a" } = Value::Histogram { buckets: vec![(0.1, 1), (1.0, 2)], sum: 0.75, count: 3 });
        put!(out, AGES {} = Value::Summary { quantiles: vec![(0.5, 2.5)], sum: 5.0, count: 2 });
        put!(out, LEVEL {} = f64::NEG_INFINITY);
        out.settle();
        out
    }

    #[test]
    fn text_format() {
        let text = String::from_utf8(write(&page(), Format::Text)).unwrap();
        assert_eq!(
            text,
            r#"# HELP x_age_seconds Ages.
# TYPE x_age_seconds summary
x_age_seconds{quantile="0.5"} 2.5
x_age_seconds_sum 5
x_age_seconds_count 2
# HELP x_commits Commits.
# TYPE x_commits counter
x_commits 7
# HELP x_latency_seconds Latency.
# TYPE x_latency_seconds histogram
x_latency_seconds_bucket{db="a",le="0.1"} 1
x_latency_seconds_bucket{db="a",le="1"} 2
x_latency_seconds_bucket{db="a",le="+Inf"} 3
x_latency_seconds_sum{db="a"} 0.75
x_latency_seconds_count{db="a"} 3
# HELP x_level Level.
# TYPE x_level gauge
x_level -Inf
# HELP x_reads_total Reads "fast" \\ slow.
# TYPE x_reads_total counter
x_reads_total{db="a\"b\\c\nd"} 3
"#
        );
    }

    #[test]
    fn openmetrics_names_counters_without_total() {
        let text = String::from_utf8(write(&page(), Format::OpenMetrics)).unwrap();
        assert!(text.contains("# HELP x_reads Reads \\\"fast\\\" \\\\ slow.\n# TYPE x_reads counter\nx_reads_total{"), "{text}");
        assert!(text.contains("# TYPE x_commits unknown\nx_commits 7\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn accept_headers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, want) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html,application/xhtml+xml"), Format::Text),
            (Some(prometheus), Format::OpenMetrics),
            (Some("application/openmetrics-text; version=\"1.0.0\""), Format::OpenMetrics),
            (Some("application/openmetrics-text;version=2.0.0"), Format::Text),
            (Some("application/openmetrics-text;q=0.1,text/plain;q=0.9"), Format::Text),
            (Some("application/openmetrics-text;q=zero"), Format::Text),
        ] {
            assert_eq!(negotiate(accept), want, "{accept:?}");
        }
    }

    #[test]
    fn gzip_only_where_asked_and_worth_it() {
        assert!(accepts_gzip(Some("gzip")) && accepts_gzip(Some("br, gzip;q=0.5")) && accepts_gzip(Some("*")));
        assert!(!accepts_gzip(None) && !accepts_gzip(Some("identity")) && !accepts_gzip(Some("gzip;q=0")));
        assert_eq!(gzip(&[b'x'; 100]), None);
        let body = b"metric_name 1\n".repeat(1000);
        let packed = gzip(&body).unwrap();
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
        assert!(packed.len() * 10 < body.len() && unpacked == body);
    }

    #[test]
    fn numbers() {
        for (v, want) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (1e15, "1000000000000000"),
            (1e22, "1e22"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (1e-9, "1e-9"),
            (123_456.789, "123456.789"),
        ] {
            let mut out = Vec::new();
            number(&mut out, v);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
