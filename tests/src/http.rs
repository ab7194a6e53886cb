//! A small blocking HTTP/1.1 client for plain loopback servers: what a test needs to see a page as a scraper does,
//! with a deadline over the whole exchange and every header as it came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in the order they came, names as written.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined, encoding left as it is.
    pub body: Vec<u8>,
    /// From before the connect (or the request, on a kept connection) to the last byte.
    pub elapsed: Duration,
}

impl Response {
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's first value, the name compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// One GET on a connection of its own.
///
/// # Errors
/// Connect, read and write errors, a malformed answer, or `TimedOut` when `limit` has passed.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)], limit: Duration) -> io::Result<Response> {
    let begin = Instant::now();
    let mut connection = Connection::open(address, limit)?;
    let mut all = headers.to_vec();
    all.push(("Connection", "close"));
    let mut response = connection.send("GET", path, &all, limit.saturating_sub(begin.elapsed()))?;
    response.elapsed = begin.elapsed();
    Ok(response)
}

/// A connection that is kept for several requests, as a scraper keeps it.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<Timed>,
    host: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As [`TcpStream::connect_timeout`].
    pub fn open(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit.max(Duration::from_millis(1)))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(Timed { stream, end: Instant::now() + limit }), host: address.to_string() })
    }

    /// Sends a request without body and reads the answer.
    ///
    /// # Errors
    /// As [`get`].
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], limit: Duration) -> io::Result<Response> {
        let begin = Instant::now();
        self.reader.get_mut().end = begin + limit;
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;

        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| malformed(&status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new(), elapsed: Duration::ZERO };
        if method != "HEAD" && status != 204 && status != 304 {
            response.body = self.body(&response)?;
        }
        response.elapsed = begin.elapsed();
        Ok(response)
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if response.header("Transfer-Encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| malformed(&line))?;
                if size == 0 {
                    while !self.line()?.is_empty() {} // trailers
                    return Ok(body);
                }
                self.exactly(size, &mut body)?;
                self.line()?;
            }
        }
        match response.header("Content-Length") {
            Some(length) => self.exactly(length.parse().map_err(|_| malformed(length))?, &mut body)?,
            None => {
                self.reader.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn exactly(&mut self, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
        let read = (&mut self.reader).take(size).read_to_end(body)?;
        if read as u64 == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

/// Percent-encodes everything but unreserved characters, for one query value.
pub fn encode(value: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    value.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed HTTP answer: {line:?}"))
}

/// A stream whose every read and write is cut at one common end, so that a dripping server cannot stretch the limit.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    end: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// A socket timeout comes back as `WouldBlock` on Linux.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Serves `answer` to one client after its request has come.
    fn serve(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer).unwrap();
            let _ = stream.read(&mut request); // until the client has gone
        });
        address
    }

    #[test]
    fn joins_chunks() {
        let address = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n");
        let response = get(address, "/", &[], Duration::from_secs(5)).unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "abcde"));
        assert_eq!(response.header("x-a"), Some("b"));
    }

    #[test]
    fn a_short_body_is_an_error_and_silence_a_timeout() {
        let address = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        let error = get(address, "/", &[], Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn encodes_query_values() {
        assert_eq!(encode("up{a=\"b\"} é"), "up%7Ba%3D%22b%22%7D%20%C3%A9");
    }
}
