//! All that a careful scraper dislikes about a page, for tests of our own pages and of those passed through.
//!
//! The reader notes what is wrong within a line instead of ending there; [`Checks`] adds what is wrong between lines:
//! order, doubles and names that do not fit their family's type.

use std::collections::HashMap;

use super::families::Families;
use super::fault::{Fault, MAX_NOTES, Notes, ParseError, clip};
use super::line::Event;
use super::model::{Family, Kind, Page, Sample};
use super::reader::Reader;
use super::{Format, Limits};

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
    let mut checks = Checks::default();
    let mut take = |line, event: Event<'_>| {
        checks.check(line, &event, &families);
        families.take(event);
    };
    let end = reader.feed(input, &mut take).and_then(|()| reader.finish(&mut take));
    let mut faults = reader.notes.unwrap_or_default().0;
    faults.extend(checks.notes.0);
    faults.extend(end.err());
    faults.sort_by_key(|fault| fault.line);
    faults.truncate(MAX_NOTES);
    if faults.is_empty() { Ok(families.page) } else { Err(faults) }
}

/// What is wrong between lines.
#[derive(Default)]
struct Checks {
    notes: Notes,
    /// Name and sorted labels of each series, with the timestamp of its last sample.
    seen: HashMap<String, Option<f64>>,
}

impl Checks {
    /// Checks a line against those before it, which are in `families`.
    fn check(&mut self, line: usize, event: &Event<'_>, families: &Families) {
        if let Some(place) = families.place(event)
            && let Some(family) = families.page.families.get(place)
        {
            if families.current != Some(place) {
                self.notes.push(line, Fault::NotContiguous(clip(&family.name)));
            }
            match event {
                Event::Help { .. } => self.metadata(line, "HELP", family, family.help.is_some()),
                Event::Type { .. } => self.metadata(line, "TYPE", family, families.is_typed(place)),
                Event::Unit { .. } => self.metadata(line, "UNIT", family, family.unit.is_some()),
                Event::Sample(sample) => self.suffix(line, sample, family, families.format),
                Event::Nothing | Event::Eof => {}
            }
        }
        if let Event::Sample(sample) = event {
            self.double(line, sample, families.format);
        }
    }

    fn metadata(&mut self, line: usize, what: &'static str, family: &Family, known: bool) {
        let name = clip(&family.name);
        if known {
            self.notes.push(line, Fault::DuplicateMetadata(what, name));
        } else if !family.samples.is_empty() {
            self.notes.push(line, Fault::LateMetadata(what, name));
        }
    }

    fn suffix(&mut self, line: usize, sample: &Sample, family: &Family, format: Format) {
        let suffix = sample.name.strip_prefix(&family.name).unwrap_or_default();
        if !family.kind.suffixes(format).contains(&suffix) {
            let fault = if family.kind == Kind::Counter { Fault::CounterWithoutTotal } else { Fault::Suffix };
            self.notes.push(line, fault(clip(&sample.name)));
        }
    }

    fn double(&mut self, line: usize, sample: &Sample, format: Format) {
        let mut labels = sample.labels.clone();
        labels.sort_unstable();
        let Some(before) = self.seen.insert(series(&sample.name, &labels), sample.timestamp) else {
            return;
        };
        // OpenMetrics allows several samples of a series, each later than the one before.
        let later = matches!((before, sample.timestamp), (Some(before), Some(now)) if now > before);
        if format == Format::Text || !later {
            self.notes.push(line, Fault::DuplicateSeries(clip(&series(&sample.name, &sample.labels))));
        }
    }
}

/// A series as it is written; values are escaped, so that two series are never written the same.
fn series(name: &str, labels: &[(String, String)]) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::page;
    use crate::parse::tests::faults;

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
}
