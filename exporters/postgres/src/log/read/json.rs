//! Lines of jsonlog: one flat object each. Read character by character, since a line may be as long as a statement.

use sage_common::tail::Part;

use super::{Record, keep};

/// Where the next character stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    /// Before `{`.
    #[default]
    Open,
    /// Before a key, or `}` when it is the first.
    Key(bool),
    /// Behind a key.
    Colon,
    /// Before a value.
    Value,
    /// In a number, true, false or null.
    Bare,
    /// In a text, which is a key or a value.
    Text(bool),
    /// Behind a backslash in a text.
    Escape(bool),
    /// In `\uXXXX` of a text, with so many digits read.
    Code(bool, u8),
    /// Behind a value.
    Next,
    /// Behind `}`.
    Closed,
    /// This line is no object.
    Bad,
}

/// Reads objects.
#[derive(Debug, Default)]
pub struct Objects {
    at: At,
    key: String,
    value: String,
    code: u32,
    /// The first half of a character that is written as two.
    high: Option<u32>,
    record: Record,
}

impl Objects {
    /// The object that ends with this part; `Err` for a line that is none.
    pub fn part(&mut self, part: Part<'_>) -> Option<Result<Record, ()>> {
        if part.begins {
            *self = Self::default();
        }
        for c in part.text.chars() {
            self.at = self.take(c).unwrap_or(At::Bad);
        }
        // An empty line is nothing.
        if !part.ends || self.at == At::Open {
            return None;
        }
        Some(if self.at == At::Closed { Ok(std::mem::take(&mut self.record)) } else { Err(()) })
    }

    /// Takes a character; `None` when no object can have it here.
    fn take(&mut self, c: char) -> Option<At> {
        let blank = matches!(c, ' ' | '\t' | '\r');
        Some(match self.at {
            At::Bad => return None,
            at @ (At::Open | At::Key(_) | At::Colon | At::Value | At::Next | At::Closed) if blank => at,
            At::Open if c == '{' => At::Key(true),
            At::Key(true) if c == '}' => At::Closed,
            At::Key(_) if c == '"' => self.text(true),
            At::Colon if c == ':' => At::Value,
            At::Value if c == '"' => self.text(false),
            At::Value if c == '-' || c.is_ascii_alphanumeric() => {
                self.value.clear();
                self.value.push(c);
                At::Bare
            }
            At::Bare if c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-') => {
                keep(&mut self.value, c);
                At::Bare
            }
            At::Bare | At::Next => {
                if self.at == At::Bare {
                    self.bare()?;
                }
                match c {
                    ',' => At::Key(false),
                    '}' => At::Closed,
                    _ if blank => At::Next,
                    _ => return None,
                }
            }
            At::Text(key) => match c {
                '"' if self.high.is_some() => return None,
                '"' if key => At::Colon,
                '"' => {
                    self.set();
                    At::Next
                }
                '\\' => At::Escape(key),
                c if c < ' ' => return None,
                c => self.add(key, c)?,
            },
            At::Escape(key) => match c {
                '"' | '\\' | '/' => self.add(key, c)?,
                'b' => self.add(key, '\u{8}')?,
                'f' => self.add(key, '\u{c}')?,
                'n' => self.add(key, '\n')?,
                'r' => self.add(key, '\r')?,
                't' => self.add(key, '\t')?,
                'u' => {
                    self.code = 0;
                    At::Code(key, 0)
                }
                _ => return None,
            },
            At::Code(key, digits) => {
                self.code = self.code * 16 + c.to_digit(16)?;
                if digits < 3 { At::Code(key, digits + 1) } else { self.coded(key)? }
            }
            _ => return None,
        })
    }

    fn text(&mut self, key: bool) -> At {
        if key {
            self.key.clear()
        } else {
            self.value.clear()
        }
        At::Text(key)
    }

    fn add(&mut self, key: bool, c: char) -> Option<At> {
        if self.high.is_some() {
            return None;
        }
        keep(if key { &mut self.key } else { &mut self.value }, c);
        Some(At::Text(key))
    }

    /// A character beyond the first 65536 is written as two codes.
    fn coded(&mut self, key: bool) -> Option<At> {
        let code = self.code;
        match self.high.take() {
            Some(high) => {
                (0xDC00..0xE000).contains(&code).then_some(())?;
                self.add(key, char::from_u32(0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00))?)
            }
            None if (0xD800..0xDC00).contains(&code) => {
                self.high = Some(code);
                Some(At::Text(key))
            }
            None => self.add(key, char::from_u32(code)?),
        }
    }

    /// The value without quotes has ended.
    fn bare(&mut self) -> Option<()> {
        let number = self.value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'e' | b'E' | b'+'));
        (number || matches!(self.value.as_str(), "true" | "false" | "null")).then_some(())?;
        if self.value != "null" {
            self.set();
        }
        Some(())
    }

    fn set(&mut self) {
        let value = std::mem::take(&mut self.value);
        match self.key.as_str() {
            "timestamp" => self.record.time = value,
            "pid" => self.record.pid = value,
            "error_severity" => self.record.severity = value,
            "message" => self.record.message = value,
            "application_name" => self.record.application = Some(value),
            "context" => self.record.context = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Result<Record, ()>> {
        crate::log::read::check::json(text);
        Objects::default().part(Part { text, begins: true, ends: true, new_file: false })
    }

    #[test]
    fn objects() {
        let line = r#"{"timestamp":"2026-11-22 00:10:01.123 UTC","user":"app","pid":4242,"error_severity":"LOG","message":"duration: 1.5 ms  statement: select \"a\" \\ \u00e9\ud83d\ude00\n","application_name":"psql","query_id":-7}"#;
        let record = read(line).unwrap().unwrap();
        assert_eq!((record.time.as_str(), record.pid.as_str()), ("2026-11-22 00:10:01.123 UTC", "4242"));
        assert_eq!(record.message, "duration: 1.5 ms  statement: select \"a\" \\ é😀\n");
        assert_eq!((record.severity.as_str(), record.application.as_deref(), record.context), ("LOG", Some("psql"), false));
        assert!(read(r#" { "context" : "x" , "pid" : null } "#).unwrap().unwrap().context);
        assert_eq!(read("{}"), Some(Ok(Record::default())));
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_is_no_object() {
        for line in
            ["{", "x", "{}x", r#"{"a"}"#, r#"{"a":1,}"#, r#"{"a":x1}"#, r#"{"a":[1]}"#, r#"{"a":"\ud83d"}"#, r#"{"a":"\x"}"#, r#"{"a":"b"#]
        {
            assert_eq!(read(line), Some(Err(())), "{line}");
        }
    }
}
