//! What the responder answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use sage_common::config::secret;
use sage_common::deadline::Deadline;

use super::Rules;
use crate::allowance::until_midnight;
use crate::filling::{Filling, Progress};

/// An answer of the responder.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into() + "\n")).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// Takes in a little more of a body that is refused: a client that is still sending would lose the answer with the connection.
async fn drain(mut body: Incoming) {
    const MOST: u64 = 4 << 20;
    let (deadline, mut bytes) = (Deadline::after(Duration::from_secs(2)), 0);
    while bytes < MOST
        && let Ok(Some(Ok(frame))) = deadline.run(body.frame()).await
    {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

/// Gives back what was taken of the budget and not sent, when the body is gone, whatever has ended it.
struct Taken {
    rules: Arc<Rules>,
    bytes: u64,
    progress: Arc<Progress>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.rules.allowance.give_back(self.bytes.saturating_sub(self.progress.handed()));
    }
}

impl Rules {
    /// Whether the request has the token, if there is one to have.
    fn lets_in(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return true };
        // Read anew, so that a rotated file needs no restart.
        let Ok(token) = token.read() else { return false };
        let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        secret::same(given, format!("Bearer {token}").as_bytes())
    }

    fn used_up(&self) -> Answer {
        let mut answer = text(StatusCode::TOO_MANY_REQUESTS, "today's budget of bytes is used up");
        answer.headers_mut().insert(RETRY_AFTER, until_midnight(SystemTime::now()).as_secs().into());
        answer
    }

    /// Answers a request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        if path == "/-/healthy" {
            return text(StatusCode::OK, "healthy");
        }
        if !self.lets_in(&request) {
            drain(request.into_body()).await;
            let mut answer = text(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
        match (path.as_str(), request.method()) {
            ("/download", &Method::GET) => self.download(request.uri().query().unwrap_or_default()),
            ("/upload", &Method::POST) => self.upload(request.into_body()).await,
            ("/download" | "/upload", _) => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET /download?bytes=N, POST /upload");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(if path == "/upload" { "POST" } else { "GET" }));
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "GET /download?bytes=N, POST /upload"),
        }
    }

    fn download(self: Arc<Self>, query: &str) -> Answer {
        let named = |pair: &str| pair.strip_prefix("bytes=").map(str::to_owned);
        let bytes = match query.split('&').find_map(named).map(|number| number.parse::<u64>()) {
            None => self.max_bytes,
            Some(Ok(bytes)) if (1..=self.max_bytes).contains(&bytes) => bytes,
            Some(_) => return text(StatusCode::BAD_REQUEST, format!("bytes is a number from 1 to {}", self.max_bytes)),
        };
        let taken = self.allowance.take(bytes, SystemTime::now());
        if taken < bytes {
            self.allowance.give_back(taken);
            return self.used_up();
        }
        let (body, progress) = Filling::new(bytes, self.max_time, true);
        let taken = Taken { rules: self, bytes, progress };
        let mut answer = Response::new(
            body.map_frame(move |frame| {
                // Held by the body, for as long as it is on its way.
                let _ = &taken;
                frame
            })
            .boxed(),
        );
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn upload(&self, mut body: Incoming) -> Answer {
        let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {} bytes", self.max_bytes));
        if body.size_hint().lower() > self.max_bytes {
            drain(body).await;
            return too_large();
        }
        let (deadline, mut bytes) = (Deadline::after(self.max_time), 0_u64);
        loop {
            let frame = match deadline.run(body.frame()).await {
                Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the time of a request is over"),
                Ok(None) => return text(StatusCode::OK, bytes.to_string()),
                Ok(Some(Err(_))) => return text(StatusCode::BAD_REQUEST, "the body broke off"),
                Ok(Some(Ok(frame))) => frame,
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            bytes += length;
            if bytes > self.max_bytes {
                drain(body).await;
                return too_large();
            }
            if self.allowance.take(length, SystemTime::now()) < length {
                drain(body).await;
                return self.used_up();
            }
        }
    }
}
