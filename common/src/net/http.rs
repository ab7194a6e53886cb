//! HTTP/1.1 as a client: one connection, requests one after the other, head and body bounded.
//!
//! The connection has no task of its own: it goes on while somebody waits for an answer, so that nothing is left running
//! when a scrape is cut off.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{CollectError, ErrorKind};

/// Largest head of an answer, in bytes.
pub const MAX_HEAD: usize = 64 << 10;

/// What a client reads from and writes to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Runs `work` while the connection does its part. When the connection ends first, `work` finds out by itself.
pub async fn drive<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection), pin!(work));
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// An error of hyper, with its reason.
pub fn broken(context: &str, error: hyper::Error) -> CollectError {
    let kind = if error.is_parse_too_large() {
        ErrorKind::Limit
    } else if error.is_parse() {
        ErrorKind::Decode
    } else if error.is_user() {
        ErrorKind::Internal
    } else {
        ErrorKind::Connect
    };
    CollectError::new(kind, context).caused_by(error)
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Where the answer sends us, if it does.
    pub fn location(&self) -> Option<&str> {
        let moved = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        self.headers.get(LOCATION).filter(|_| moved).and_then(|value| value.to_str().ok())
    }

    /// The status code with its name, such as `404 Not Found`.
    pub fn status_text(&self) -> String {
        StatusCode::from_u16(self.status).map_or_else(|_| self.status.to_string(), |status| status.to_string())
    }
}

/// The other half of the connection, which moves the bytes. Behind a lock only so that it may be shared; never waited for.
type Task = Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// An open connection.
pub struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    task: Task,
}

impl Connection {
    /// Begins HTTP on a stream.
    ///
    /// # Errors
    /// As `broken`.
    pub async fn start(stream: impl Stream + 'static) -> Result<Self, CollectError> {
        let begun = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = begun.map_err(|e| broken("begin HTTP", e))?;
        // What goes wrong with it is told by the request that it breaks.
        let task = async move { connection.await.unwrap_or_default() };
        Ok(Self { sender, task: Mutex::new(Box::pin(task)) })
    }

    /// True when the server has ended the connection, so that the next request needs a new one.
    pub fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks, and reads the answer with at most `limit` bytes of body.
    ///
    /// # Errors
    /// `Limit` for a larger answer, `Decode` for one that is not HTTP, `Connect` when the server hangs up.
    pub async fn get(&mut self, request: Request<Empty<Bytes>>, limit: usize) -> Result<Answer, CollectError> {
        let (sender, task) = (&mut self.sender, self.task.get_mut());
        let task = task.unwrap_or_else(std::sync::PoisonError::into_inner);
        drive(task, exchange(sender, request, limit)).await
    }
}

async fn exchange(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<Answer, CollectError> {
    let answer = sender.send_request(request).await.map_err(|e| broken("read the answer's head", e))?;
    let (head, mut rest) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = rest.frame().await {
        let frame = frame.map_err(|e| broken("read the answer's body", e))?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len().saturating_add(data.len()) > limit {
            return Err(CollectError::new(ErrorKind::Limit, format!("the answer is larger than {limit} bytes")));
        }
        body.extend_from_slice(data);
    }
    // The connection is free for the next request once it knows that this one is over.
    sender.ready().await.ok();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn asked(answer: &[u8], limit: usize) -> Result<Answer, CollectError> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let server = async {
            let mut request = [0; 1024];
            let read = theirs.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
            theirs.write_all(answer).await.ok();
            drop(theirs);
        };
        let client = async {
            let request = Request::builder().uri("/x").header("host", "h").body(Empty::new()).unwrap();
            Connection::start(ours).await?.get(request, limit).await
        };
        tokio::join!(client, server).0
    }

    #[tokio::test]
    async fn a_whole_answer_comes_with_status_and_body() {
        let answer = asked(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 2\r\n\r\nok", 10).await.unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.location()), (302, &b"ok"[..], Some("/y")));
        assert_eq!(answer.status_text(), "302 Found");
        let answer = asked(b"HTTP/1.0 200 OK\r\nLocation: /y\r\n\r\nto the end", 10).await.unwrap();
        assert_eq!((&answer.body[..], answer.location()), (&b"to the end"[..], None));
    }

    #[tokio::test]
    async fn hostile_answers_have_their_reasons() {
        let huge = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; MAX_HEAD]].concat();
        for (answer, want) in [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n0123456789ab".as_slice(), ErrorKind::Limit),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n01234", ErrorKind::Connect),
            (b"SSH-2.0-OpenSSH_9.2\r\n", ErrorKind::Decode),
            (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", ErrorKind::Decode),
            (b"", ErrorKind::Connect),
            (&huge, ErrorKind::Limit),
        ] {
            let error = asked(answer, 10).await.unwrap_err();
            assert_eq!(error.kind, want, "{error}");
        }
    }
}
