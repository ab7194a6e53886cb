//! The way through a proxy: which one, and for which hosts there is none. A secret does not stand in its URL.

use std::collections::BTreeMap;
use std::fmt;

use hyper::header::{HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::{HttpConfig, refuse};
use crate::config::types::Addresses;

/// The URL of a proxy, without a user.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(pub Url);

impl ProxyUrl {
    /// Reads the URL of a proxy, http where nothing else is said; its user and password come apart.
    ///
    /// # Errors
    /// What is wrong, without the text itself: it may hold a password.
    pub fn parse(text: &str) -> Result<(Self, Option<(String, String)>), Invalid> {
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let wrong = |what: String| Invalid::new(what).hint("write `proxy_url: http://proxy.example.com:3128`").code(codes::ADDRESS);
        let mut url = Url::parse(&full).map_err(|e| wrong(format!("the proxy's address is not a URL ({e})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("a proxy of scheme {} is not supported", url.scheme())));
        }
        let user = (!url.username().is_empty() || url.password().is_some())
            .then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        // A URL of these schemes has a host, so that neither fails.
        if url.host().is_none() || url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(wrong("the proxy's address names no host".to_owned()));
        }
        Ok((Self(url), user))
    }
}

/// A part of a URL without percent signs.
fn decoded(part: &str) -> String {
    let pair = format!("x={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Self::parse(&text) {
            Ok((url, None)) => Ok(url),
            Ok((_, Some(_))) => Err(refused(
                Invalid::new("`proxy_url`: a secret does not stand in this file")
                    .hint("write `proxy_basic_auth: {username: NAME, password_file: /path/to/file}` beside it")
                    .code(codes::SECRET_IN_FILE),
            )),
            Err(invalid) => Err(refused(invalid)),
        }
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// Headers may hold a token, so `print-config` shows their names.
///
/// # Errors
/// Those of the serializer.
pub fn names_only<S: Serializer>(headers: &BTreeMap<String, Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.keys().map(|name| (name, ["<hidden>"])))
}

/// Refuses settings that make no sense together.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn validate(http: &HttpConfig) -> Result<(), Invalid> {
    if http.proxy_from_environment && (http.proxy_url.is_some() || http.no_proxy.is_some()) {
        return refuse(
            codes::CONFLICT,
            "proxy_from_environment: the module names a proxy or exceptions too",
            "write either `proxy_from_environment: true`, or proxy_url and no_proxy",
        );
    }
    let given = http.no_proxy.is_some() || !http.proxy_connect_header.is_empty() || http.proxy_basic_auth.is_some();
    if given && http.proxy_url.is_none() && !http.proxy_from_environment {
        return refuse(
            codes::INCOMPLETE,
            "there are settings for a proxy, but no proxy",
            "write `proxy_url: http://proxy.example.com:3128`",
        );
    }
    if http.skip_resolve_phase_with_proxy && http.addresses != Addresses::First {
        return refuse(
            codes::CONFLICT,
            "addresses: what the proxy looks up has no addresses here",
            "remove `skip_resolve_phase_with_proxy: true`, or write `addresses: first`",
        );
    }
    for (name, values) in &http.proxy_connect_header {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return refuse(
                codes::FORM,
                format!("proxy_connect_header: {name:?} is not a header name"),
                "a name is letters, digits and hyphens",
            );
        };
        if values.iter().any(|value| HeaderValue::from_str(value).is_err()) {
            return refuse(
                codes::FORM,
                format!("proxy_connect_header: the value of {name} cannot be sent"),
                "a value is one line of printable characters",
            );
        }
        if header == PROXY_AUTHORIZATION {
            return refuse(
                codes::SECRET_IN_FILE,
                "proxy_connect_header: a secret does not stand in this file",
                "write `proxy_basic_auth: {username: NAME, password_file: /path/to/file}`",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_apart_from_the_url() {
        let (url, user) = ProxyUrl::parse("https://a%40b:c%2Bd+e@proxy.example:8443").unwrap();
        assert_eq!((url.0.as_str(), user), ("https://proxy.example:8443/", Some(("a@b".to_owned(), "c+d+e".to_owned()))));
        assert_eq!(ProxyUrl::parse("proxy.example:3128").unwrap().0.0.as_str(), "http://proxy.example:3128/");
        for bad in ["socks5://canary:canary@x", "http://", "http://u:canary@:99999/"] {
            let text = ProxyUrl::parse(bad).unwrap_err().to_string();
            assert!(!text.contains("canary"), "{text}");
        }
    }
}
