//! Where an HTTP probe goes: the target, then each redirect, and what it may carry there.
//!
//! Credentials go to the host that the target names and to nobody else. Once a redirect has led away from it, they stay
//! behind for the rest of the probe.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use hyper::{Method, Response};
use sage_common::error::CollectError;
use url::{Host, Url};

use crate::allowed::Fence;
use crate::reason::Reason;

/// One request of a probe.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// Where to; http or https with a host, never with a user.
    pub url: Url,
    /// Request method.
    pub method: Method,
    /// Request body.
    pub body: Bytes,
    /// Headers of this request alone; they stay at home.
    pub headers: HeaderMap,
    /// Whether this is still the host that the target names.
    pub home: bool,
    /// Who may be asked while at home; elsewhere there is nothing that others must not see.
    pub fence: Fence<'a>,
}

/// Reads a target; without a scheme it is http.
///
/// # Errors
/// What is wrong, without the target itself: it may hold a password.
fn parse(target: &str) -> Result<Url, String> {
    if target.chars().any(|c| c.is_control() || c == ' ') {
        return Err("the target holds a space or a control character".to_owned());
    }
    let lower = target.get(..8).unwrap_or(target).to_ascii_lowercase();
    let url = if lower.starts_with("http://") || lower.starts_with("https://") {
        Url::parse(target)
    } else {
        Url::parse(&format!("http://{target}"))
    };
    let url = url.map_err(|e| format!("the target is not a URL ({e}): write target=https://example.com/path"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the target holds a user or password: write basic_auth into the module".to_owned());
    }
    Ok(url)
}

/// Refuses what cannot be a target.
///
/// # Errors
/// As `parse`.
pub fn accept(target: &str) -> Result<(), String> {
    parse(target).map(drop)
}

impl<'a> Hop<'a> {
    /// The target itself.
    ///
    /// # Errors
    /// `Internal` for a target that `accept` refuses.
    pub fn first(target: &str, method: Method, body: Bytes, fence: Fence<'a>) -> Result<Self, CollectError> {
        Ok(Self {
            url: parse(target).map_err(|text| CollectError::new(sage_common::error::ErrorKind::Internal, text))?,
            method,
            body,
            headers: HeaderMap::new(),
            home: true,
            fence,
        })
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port.
    ///
    /// # Errors
    /// `redirect` when the URL has none; a target always has.
    pub fn place(&self) -> Result<(Host, u16), CollectError> {
        match (self.url.host(), self.url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok((host.to_owned(), port)),
            _ => Err(Reason::REDIRECT_FORBIDDEN.error(format!("{} names no host", self.url))),
        }
    }

    /// The next request, where an answer sends us on.
    ///
    /// # Errors
    /// `redirect` when we do not follow there.
    pub fn next<B>(&self, answer: &Response<B>) -> Result<Option<Self>, CollectError> {
        let status = answer.status().as_u16();
        let Some(location) = answer.headers().get(LOCATION).filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else {
            return Ok(None);
        };
        let refuse = |text: &str| Reason::REDIRECT_FORBIDDEN.error(format!("{status} from {}: {text}", self.shown()));
        let text = std::str::from_utf8(location.as_bytes()).map_err(|_| refuse("the Location header is not text"))?;
        let mut url = self.url.join(text).map_err(|e| refuse("the Location header is not a URL").caused_by(e))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("the Location header leads away from HTTP"));
        }
        // A user in a Location would be the target's choice of what we send; it is not sent.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(refuse("the Location header names no host"));
        }
        let home = self.home && stays_home(&self.url, &url) && self.admits(&url);
        let fence = if home { self.fence } else { Fence::OPEN };
        let repeats = matches!(status, 307 | 308);
        if repeats && !home && !self.body.is_empty() {
            return Err(refuse("another host would get the request body"));
        }
        let method = if repeats || matches!(self.method, Method::GET | Method::HEAD) { self.method.clone() } else { Method::GET };
        let body = if repeats { self.body.clone() } else { Bytes::new() };
        let mut headers = if home { self.headers.clone() } else { HeaderMap::new() };
        if body.is_empty() {
            headers.remove(CONTENT_TYPE);
        }
        Ok(Some(Self { url, method, body, headers, home, fence }))
    }

    /// Whether the module may be used for `url`, as far as can be told by its host.
    fn admits(&self, url: &Url) -> bool {
        let place = url.host().map(|host| host.to_owned()).zip(url.port_or_known_default());
        place.is_some_and(|(host, port)| self.fence.by(url.scheme() == "https").may_be(&host, port).is_ok())
    }

    /// The URL without its query, which may hold a token.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }
}

/// The same origin, or the same host by TLS now. A way back from TLS would show the credentials to the network.
fn stays_home(from: &Url, to: &Url) -> bool {
    from.origin() == to.origin() || from.host() == to.host() && from.scheme() == "http" && to.scheme() == "https"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, location: &str) -> Response<()> {
        Response::builder().status(status).header(LOCATION, location).body(()).unwrap()
    }

    fn hop(url: &str, method: Method, body: &'static str) -> Hop<'static> {
        Hop::first(url, method, Bytes::from_static(body.as_bytes()), Fence::OPEN).unwrap()
    }

    #[test]
    fn targets_are_urls_without_a_user() {
        assert_eq!(parse("example.com:8080/x").unwrap().as_str(), "http://example.com:8080/x");
        assert_eq!(parse("HTTPS://Example.com").unwrap().as_str(), "https://example.com/");
        assert_eq!(parse("[::1]:80").unwrap().as_str(), "http://[::1]/");
        for (bad, word) in [
            ("http://u:canary@x/", "basic_auth"),
            ("u@x", "basic_auth"),
            ("http://x/\r\nHost: y", "control"),
            ("http://x/a b", "space"),
            ("http://", "not a URL"),
            ("x:99999", "not a URL"),
        ] {
            let text = accept(bad).unwrap_err();
            assert!(text.contains(word) && !text.contains("canary"), "{bad}: {text}");
        }
    }

    #[test]
    fn credentials_stay_home() {
        fn next<'a>(from: &Hop<'a>, to: &str) -> Hop<'a> {
            from.next(&answer(302, to)).unwrap().unwrap()
        }
        let plain = hop("http://a.example/x", Method::GET, "");
        assert!(next(&plain, "/y").home && next(&plain, "https://a.example/").home);
        let away = next(&plain, "http://b.example/");
        assert!(!away.home && !next(&away, "http://a.example/").home);
        assert!(!next(&plain, "http://a.example:8080/").home);
        let secure = next(&plain, "https://a.example:8443/");
        assert!(secure.home && !next(&secure, "http://a.example/x").home);
        assert_eq!(next(&plain, "http://u:p@b.example/z").url.as_str(), "http://b.example/z");
    }

    #[test]
    fn methods_change_as_browsers_change_them() {
        let post = hop("http://a.example/x", Method::POST, "data");
        let seen = post.next(&answer(303, "y?z")).unwrap().unwrap();
        assert_eq!((seen.url.as_str(), seen.method, seen.body.len()), ("http://a.example/y?z", Method::GET, 0));
        let kept = post.next(&answer(307, "y")).unwrap().unwrap();
        assert_eq!((kept.method, &kept.body[..]), (Method::POST, &b"data"[..]));
        let head = hop("http://a.example/", Method::HEAD, "").next(&answer(301, "/b")).unwrap().unwrap();
        assert_eq!(head.method, Method::HEAD);
        assert!(post.next(&answer(304, "y")).unwrap().is_none());
    }

    #[test]
    fn redirects_to_elsewhere_are_refused() {
        let post = hop("http://a.example/x?token=canary", Method::POST, "data");
        for (status, location, word) in [
            (308, "http://b.example/", "request body"),
            (302, "ftp://b.example/", "away from HTTP"),
            (302, "file:///etc/passwd", "away from HTTP"),
            (302, "http://[", "not a URL"),
        ] {
            let e = post.next(&answer(status, location)).unwrap_err();
            assert_eq!(Reason::of(&e), Reason::REDIRECT_FORBIDDEN);
            assert!(e.context.contains(word) && !e.to_string().contains("canary"), "{e}");
        }
    }
}
