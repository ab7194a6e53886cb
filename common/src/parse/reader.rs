//! Cuts a page into lines as its bytes arrive, holds the limits and finds the end of the page.
//!
//! Each line is read by `line`, and what it says is given to the caller. No more than one line is held, whatever the size
//! of the page.

use std::mem;

use super::families::Families;
use super::fault::{Fault, Notes, ParseError};
use super::line::{self, Event};
use super::model::Page;
use super::{Format, Limits};

/// Reads a page as its bytes arrive, holding no more than one line.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    format: Format,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// Lines, bytes, samples and lines of metadata so far.
    line: usize,
    bytes: usize,
    series: usize,
    metadata: usize,
    /// After `# EOF`.
    ended: bool,
    /// Present in strict mode.
    pub(super) notes: Option<Notes>,
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
            self.note(Fault::NoFinalNewline);
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
        let mut take = |_, event: Event<'_>| families.take(event);
        self.feed(input, &mut take)?;
        self.finish(&mut take)?;
        Ok(families.page)
    }

    /// One line without its line feed.
    fn read(&mut self, line: &[u8], on: &mut dyn FnMut(usize, Event<'_>)) -> Result<(), ParseError> {
        self.line += 1;
        match self.event(line) {
            Ok((event, notes)) => {
                notes.into_iter().for_each(|fault| self.note(fault));
                on(self.line, event);
                Ok(())
            }
            Err(fault) => self.fail(self.line, fault),
        }
    }

    fn event<'a>(&mut self, line: &'a [u8]) -> Result<(Event<'a>, Vec<Fault>), Fault> {
        if line.len() > self.limits.line {
            return Err(Fault::LineTooLong(self.limits.line));
        }
        if self.ended {
            return Err(Fault::AfterEof);
        }
        let line = std::str::from_utf8(line).map_err(|_| Fault::Encoding)?;
        let (event, notes) = line::read(line, self.format, self.limits.labels)?;
        match &event {
            Event::Sample(_) => self.series += 1,
            Event::Help { .. } | Event::Type { .. } | Event::Unit { .. } => self.metadata += 1,
            Event::Eof => self.ended = true,
            Event::Nothing => {}
        }
        if self.series > self.limits.series || self.metadata > self.limits.series.saturating_mul(3) {
            return Err(Fault::TooManySeries(self.limits.series));
        }
        Ok((event, notes))
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

    fn note(&mut self, fault: Fault) {
        if let Some(notes) = &mut self.notes {
            notes.push(self.line, fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::page;
    use crate::parse::tests::{OPEN, TEXT, fault, faults};

    #[test]
    fn bytes_may_be_cut_anywhere() {
        for (input, format) in [(TEXT, Format::Text), (OPEN, Format::OpenMetrics)] {
            let whole = page(input, format).unwrap();
            for size in [1, 2, 3, 7, 64] {
                let mut families = Families::new(format);
                let mut reader = Reader::new(Limits::default()).format(format);
                for chunk in input.as_bytes().chunks(size) {
                    reader.feed(chunk, &mut |_, event| families.take(event)).unwrap();
                }
                reader.finish(&mut |_, event| families.take(event)).unwrap();
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
}
