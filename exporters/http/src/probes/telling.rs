//! What a request and its answer look like for people who look for a fault: without bodies, queries, and without the values of
//! all headers that are not known to be harmless. A target may repeat what it was sent.

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, DATE, EXPIRES, HOST, HeaderMap, HeaderName, LAST_MODIFIED, LOCATION, RETRY_AFTER, SERVER, TRANSFER_ENCODING, USER_AGENT,
    VARY, VIA,
};
use hyper::{Request, Response};

use super::hop::Hop;

/// Headers whose values are shown.
const HARMLESS: [HeaderName; 20] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    AGE,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    DATE,
    EXPIRES,
    HOST,
    LAST_MODIFIED,
    RETRY_AFTER,
    SERVER,
    TRANSFER_ENCODING,
    USER_AGENT,
    VARY,
    VIA,
];

fn headers(headers: &HeaderMap) -> String {
    let one = |(name, value): (&HeaderName, &hyper::header::HeaderValue)| match value.to_str() {
        Ok(text) if HARMLESS.contains(name) && !value.is_sensitive() => format!("{name}: {text}"),
        // Where it leads is told, what goes along is not.
        Ok(text) if *name == LOCATION => format!("{name}: {}", text.split(['?', '#']).next().unwrap_or_default()),
        _ => format!("{name}: <hidden>"),
    };
    headers.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A request as it is sent to a hop.
pub fn request<B>(hop: &Hop<'_>, request: &Request<B>) -> String {
    let (own, size) = (headers(request.headers()), hop.body.len());
    format!("{} {}; {own}; a body of {size} bytes", request.method(), hop.shown())
}

/// The head of an answer.
pub fn answer<B>(answer: &Response<B>) -> String {
    format!("{:?} {}; {}", answer.version(), answer.status().as_u16(), headers(answer.headers()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::Method;

    use super::*;
    use crate::allowed::Fence;

    #[test]
    fn values_that_may_be_secrets_are_hidden() {
        let hop = Hop::first("http://a.example/x?token=canary#canary", Method::POST, Bytes::from_static(b"canary"), Fence::OPEN).unwrap();
        let asked = Request::builder().method("POST").header("Host", "a.example").header("Authorization", "canary");
        let shown = request(&hop, &asked.header("Cookie", "canary").header("X-A", "canary").body(()).unwrap());
        assert_eq!(
            shown,
            "POST http://a.example/x; host: a.example; authorization: <hidden>; cookie: <hidden>; x-a: <hidden>; a body of 6 bytes"
        );
        let given =
            Response::builder().status(302).header("Set-Cookie", "canary").header("Location", "/y?canary").header("Server", "nginx");
        assert_eq!(answer(&given.body(()).unwrap()), "HTTP/1.1 302; set-cookie: <hidden>; location: /y; server: nginx");
    }
}
