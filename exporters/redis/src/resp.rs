//! The reader of the server's answers: RESP2 and RESP3, in pieces of any size, bounded.
//!
//! No length that a server claims is believed: memory grows only with bytes that have come, and an answer that claims or
//! has more than any of ours can have is refused at once. Stands alone, so that the fuzzer can build it by itself.
//! Source: the RESP specification (redis.io, "Redis serialization protocol specification").

use std::fmt;

/// Most bytes of one answer, all its parts together.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most values of one answer.
pub const MAX_VALUES: usize = 500_000;
/// Longest line: simple strings, errors, numbers and the heads of the others.
pub const MAX_LINE: usize = 64 * 1024;
/// Deepest nesting; the answers that we ask for have five levels.
const MAX_DEPTH: usize = 9;
/// Room taken for a value before its first byte has come.
const FIRST_ROOM: usize = 4096;

/// One value of an answer. RESP3's maps and sets are lists here, as RESP2 has them: a map is key, value, key, value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Nil,
    /// A simple, bulk or verbatim string.
    Text(Vec<u8>),
    /// An integer, or RESP3's boolean.
    Integer(i64),
    /// RESP3's double; numbers too large for an integer, too.
    Double(f64),
    /// An array, set or map.
    List(Vec<Value>),
    /// An error, as the server wrote it.
    Error(Vec<u8>),
}

/// Why an answer is refused. What follows it on the line cannot be understood any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no RESP.
    Malformed(&'static str),
    /// It is, or claims to be, larger than we take.
    TooLarge(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the answer is no RESP: {what}"),
            Self::TooLarge(what) => write!(f, "the answer is larger than we take: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

/// What comes next on the line.
#[derive(Debug)]
enum State {
    /// A line, as far as it has come.
    Line(Vec<u8>),
    /// The bytes of a bulk string, and the type it was announced with.
    Bulk { bytes: Vec<u8>, left: usize, kind: u8 },
    /// The end of the line after a bulk string, of which one byte may have come.
    BulkEnd { value: Value, cr: bool },
}

/// A list under way.
#[derive(Debug)]
struct Frame {
    values: Vec<Value>,
    left: usize,
    /// Attributes and pushes are read and dropped: they are no answer.
    dropped: bool,
}

/// Reads answers out of bytes.
#[derive(Debug)]
pub struct Reader {
    state: State,
    stack: Vec<Frame>,
    bytes: usize,
    values: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { state: State::Line(Vec::new()), stack: Vec::new(), bytes: 0, values: 0 }
    }
}

impl Reader {
    /// Takes bytes up to the end of the next answer. Returns how many it took and the answer, once it is whole.
    ///
    /// # Errors
    /// The answer is refused; the reader is of no use after it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Value>), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, value) = self.step(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            self.bytes += taken;
            if self.bytes > MAX_BYTES {
                return Err(Fault::TooLarge("too many bytes"));
            }
            let answer = match value {
                Some(value) => self.put(value),
                None => None,
            };
            if answer.is_some() {
                (self.bytes, self.values) = (0, 0);
                return Ok((bytes.len() - rest.len(), answer));
            }
        }
        Ok((bytes.len(), None))
    }

    /// One step within `rest`, which is not empty: how many bytes it took, and a value that ends with them.
    fn step(&mut self, rest: &[u8]) -> Result<(usize, Option<Value>), Fault> {
        match &mut self.state {
            State::Line(line) => {
                let end = rest.iter().position(|b| *b == b'\n');
                let taken = end.map_or(rest.len(), |at| at + 1);
                if line.len() + taken > MAX_LINE {
                    return Err(Fault::TooLarge("a line without end"));
                }
                line.extend_from_slice(rest.get(..taken).unwrap_or_default());
                if end.is_none() {
                    // Noise is told by its first byte and not after the longest line.
                    return if line.first().is_some_and(|b| b"+-:$*_,#(!=%~>|".contains(b)) {
                        Ok((taken, None))
                    } else {
                        Err(Fault::Malformed("an unknown type"))
                    };
                }
                let line = std::mem::take(line);
                Ok((taken, self.line(&line)?))
            }
            State::Bulk { bytes, left, kind } => {
                let taken = rest.len().min(*left);
                bytes.extend_from_slice(rest.get(..taken).unwrap_or_default());
                *left -= taken;
                if *left == 0 {
                    let value = match kind {
                        b'!' => Value::Error(std::mem::take(bytes)),
                        // A verbatim string begins with three letters and a colon.
                        b'=' => Value::Text(bytes.split_off(bytes.len().min(4))),
                        _ => Value::Text(std::mem::take(bytes)),
                    };
                    self.state = State::BulkEnd { value, cr: false };
                }
                Ok((taken, None))
            }
            State::BulkEnd { value, cr } => match (rest.first(), *cr) {
                (Some(b'\r'), false) => {
                    *cr = true;
                    Ok((1, None))
                }
                (Some(b'\n'), true) => {
                    let value = std::mem::replace(value, Value::Nil);
                    self.state = State::Line(Vec::new());
                    Ok((1, Some(value)))
                }
                _ => Err(Fault::Malformed("a string is longer than it says")),
            },
        }
    }

    /// A whole line: a value, or the head of one.
    fn line(&mut self, line: &[u8]) -> Result<Option<Value>, Fault> {
        let line = line.strip_suffix(b"\r\n").ok_or(Fault::Malformed("a line ends without CR"))?;
        let (kind, rest) = line.split_first().ok_or(Fault::Malformed("an empty line"))?;
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault::TooLarge("too many values"));
        }
        Ok(match kind {
            b'+' => Some(Value::Text(rest.to_vec())),
            b'-' => Some(Value::Error(rest.to_vec())),
            b':' => Some(Value::Integer(number(rest)?)),
            b'_' => Some(Value::Nil),
            b'#' => Some(match rest {
                b"t" => Value::Integer(1),
                b"f" => Value::Integer(0),
                _ => return Err(Fault::Malformed("a boolean is neither t nor f")),
            }),
            b',' | b'(' => {
                let text = std::str::from_utf8(rest).ok();
                Some(Value::Double(text.and_then(|t| t.parse().ok()).ok_or(Fault::Malformed("a double is no number"))?))
            }
            b'$' | b'=' | b'!' => match number(rest)? {
                -1 => Some(Value::Nil),
                length => {
                    let left = usize::try_from(length).map_err(|_| Fault::Malformed("a negative length"))?;
                    if left > MAX_BYTES {
                        return Err(Fault::TooLarge("a string claims too many bytes"));
                    }
                    self.state = if left == 0 {
                        State::BulkEnd { value: Value::Text(Vec::new()), cr: false }
                    } else {
                        State::Bulk { bytes: Vec::with_capacity(left.min(FIRST_ROOM)), left, kind: *kind }
                    };
                    None
                }
            },
            b'*' | b'~' | b'%' | b'>' | b'|' => match number(rest)? {
                -1 => Some(Value::Nil),
                length => {
                    let length = usize::try_from(length).map_err(|_| Fault::Malformed("a negative length"))?;
                    let left = if matches!(kind, b'%' | b'|') { length.saturating_mul(2) } else { length };
                    if left > MAX_VALUES - self.values.min(MAX_VALUES) {
                        return Err(Fault::TooLarge("a list claims too many values"));
                    }
                    return self.open(left, matches!(kind, b'>' | b'|'));
                }
            },
            _ => return Err(Fault::Malformed("an unknown type")),
        })
    }

    /// Begins a list. An empty one ends here.
    fn open(&mut self, left: usize, dropped: bool) -> Result<Option<Value>, Fault> {
        if left == 0 {
            return Ok((!dropped).then(|| Value::List(Vec::new())));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(Fault::TooLarge("lists within lists"));
        }
        self.stack.push(Frame { values: Vec::with_capacity(left.min(64)), left, dropped });
        Ok(None)
    }

    /// Puts a value where it belongs; returns the answer when that is whole.
    fn put(&mut self, mut value: Value) -> Option<Value> {
        loop {
            let Some(frame) = self.stack.last_mut() else { return Some(value) };
            frame.values.push(value);
            frame.left -= 1;
            if frame.left > 0 {
                return None;
            }
            let done = self.stack.pop()?;
            if done.dropped {
                return None;
            }
            value = Value::List(done.values);
        }
    }
}

fn number(digits: &[u8]) -> Result<i64, Fault> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|t| t.parse().ok()).ok_or(Fault::Malformed("a length or integer is no number"))
}

impl Value {
    /// The text of a string; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// A number, also one written as text.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(n) => Some(*n as f64),
            Self::Double(n) => Some(*n),
            Self::Text(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    /// The values of a list; none where this is no list.
    pub fn list(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    /// The value of `key` in a map.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.pairs().find(|(k, _)| matches!(k, Value::Text(t) if t == key.as_bytes())).map(|(_, v)| v)
    }

    /// Keys and values of a map.
    pub fn pairs(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.list().chunks_exact(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
    }
}

/// A request: an array of bulk strings, which every version takes.
pub fn request(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
#[path = "resp_tests.rs"]
mod tests;
