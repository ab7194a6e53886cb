//! The text of stub_status: connections and requests.
//!
//! ```text
//! Active connections: 2
//! server accepts handled requests
//!  10 10 12
//! Reading: 0 Writing: 1 Waiting: 1
//! ```
//!
//! Tengine has a fourth number, the time of all requests in milliseconds; what comes after it, and lines that are not known,
//! are left out.

/// What the page says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stub {
    /// Connections now, waiting ones included.
    pub active: Option<f64>,
    /// Connections taken since the start.
    pub accepted: Option<f64>,
    /// Connections served since the start; those taken and not served were dropped.
    pub handled: Option<f64>,
    /// Requests since the start.
    pub requests: Option<f64>,
    /// Time of all requests, in seconds (Tengine).
    pub request_seconds: Option<f64>,
    /// Connections whose request is being read.
    pub reading: Option<f64>,
    /// Connections that are being answered.
    pub writing: Option<f64>,
    /// Connections kept open without a request.
    pub waiting: Option<f64>,
}

fn number(text: &str) -> Option<f64> {
    // A number is digits: what parses as infinity or with a sign is no count.
    text.parse::<u64>().ok().map(|n| n as f64)
}

impl Stub {
    /// Reads a page; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut stub = Self::default();
        let mut columns: Option<Vec<&str>> = None;
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if let Some(active) = line.strip_prefix("Active connections:") {
                stub.active = number(active.trim());
            } else if let Some(names) = line.strip_prefix("server ") {
                columns = Some(names.split_ascii_whitespace().collect());
            } else if let Some(names) = columns.take() {
                for (name, value) in names.iter().zip(&words) {
                    match *name {
                        "accepts" => stub.accepted = number(value),
                        "handled" => stub.handled = number(value),
                        "requests" => stub.requests = number(value),
                        "request_time" => stub.request_seconds = number(value).map(|ms| ms / 1000.0),
                        _ => {}
                    }
                }
            } else if line.starts_with("Reading:") {
                for pair in words.chunks(2) {
                    match pair {
                        ["Reading:", value] => stub.reading = number(value),
                        ["Writing:", value] => stub.writing = number(value),
                        ["Waiting:", value] => stub.waiting = number(value),
                        _ => {}
                    }
                }
            }
        }
        // These two are on every page of every version.
        (stub.active.is_some() && stub.requests.is_some()).then_some(stub)
    }
}

/// What must hold for any text: asked by the fuzzer and, of its corpus, by a test.
#[cfg(any(test, fuzzing))]
pub mod check {
    use super::Stub;

    /// Every number is a count; a page reads the same with other ends of lines, and with lines that nobody knows behind it.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Some(stub) = Stub::parse(text) else { return };
        let all = [stub.active, stub.accepted, stub.handled, stub.requests, stub.request_seconds, stub.reading, stub.writing, stub.waiting];
        assert!(all.into_iter().flatten().all(|n| n.is_finite() && n >= 0.0), "{stub:?}");
        assert!(stub.active.is_some() && stub.requests.is_some());
        assert_eq!(Stub::parse(&text.lines().collect::<Vec<_>>().join("\r\n")), Some(stub));
        assert_eq!(Stub::parse(&format!("{text}\n\nUnknown: 5\n")), Some(stub));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/stub_status");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 4, "{} files", files.len());
        files.iter().for_each(|file| check::check(&std::fs::read(file).unwrap()));
    }

    const NGINX: &str = "Active connections: 2 \nserver accepts handled requests\n 10 9 12 \nReading: 0 Writing: 1 Waiting: 1 \n";

    #[test]
    fn nginx_and_tengine() {
        let stub = Stub::parse(NGINX).unwrap();
        assert_eq!((stub.active, stub.accepted, stub.handled, stub.requests), (Some(2.0), Some(10.0), Some(9.0), Some(12.0)));
        assert_eq!((stub.reading, stub.writing, stub.waiting, stub.request_seconds), (Some(0.0), Some(1.0), Some(1.0), None));
        let tengine =
            "Active connections: 1\nserver accepts handled requests request_time\n 5 5 7 1500\nReading: 0 Writing: 1 Waiting: 0\n";
        assert_eq!(Stub::parse(tengine).unwrap().request_seconds, Some(1.5));
    }

    #[test]
    fn what_is_no_page_is_none_and_odd_numbers_are_left_out() {
        for text in ["", "<html>Active connections: 1</html>", "Active connections: many\nserver accepts handled requests\n 1 1 1\n", "{}"]
        {
            assert_eq!(Stub::parse(text), None, "{text}");
        }
        let odd = "Active connections: 1\nserver accepts handled requests\n inf -1 7 NaN\nReading: x Writing: 1\n";
        let stub = Stub::parse(odd).unwrap();
        assert_eq!((stub.accepted, stub.handled, stub.requests, stub.reading, stub.writing), (None, None, Some(7.0), None, Some(1.0)));
        assert!(Stub::parse(&NGINX.replace("10 9 12", "10 9 12 13 14 15")).is_some());
    }
}
