//! The five headers that a web configuration file may add to answers, and the values that mean something.

use hyper::header::{HeaderName, HeaderValue};

use crate::codes;
use crate::config::unknown;
use crate::error::Invalid;

/// Name, whether a value means something, and what to write.
type Header = (&'static str, fn(&str) -> bool, &'static str);

const HEADERS: &[Header] = &[
    ("Content-Security-Policy", |value| !value.trim().is_empty(), "write a policy, such as: default-src 'none'"),
    ("Strict-Transport-Security", is_hsts, "write `max-age=31536000`, with `; includeSubDomains` if that is meant"),
    ("X-Content-Type-Options", |value| value == "nosniff", "write `X-Content-Type-Options: nosniff`"),
    ("X-Frame-Options", |value| matches!(value, "deny" | "sameorigin"), "write `X-Frame-Options: deny`, or sameorigin"),
    ("X-XSS-Protection", is_xss, "write `X-XSS-Protection: 0`: browsers no longer have this filter"),
];

/// Reads a header of the file.
///
/// # Errors
/// A header that cannot be configured, or a value that no browser understands.
pub fn read(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Invalid> {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let Some((_, fits, hint)) = HEADERS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<_> = HEADERS.iter().map(|(known, ..)| *known).collect();
        return Err(unknown(&format!("headers: `{shown}` cannot be configured"), name, &known));
    };
    let refused = || Invalid::new(format!("headers: {shown}: browsers do not understand this value")).hint(*hint).code(codes::FORM);
    let (Ok(header), Ok(sent)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
        return Err(refused());
    };
    // A header may carry other bytes, but what they mean is for each reader to guess.
    if value.is_ascii() && fits(value) { Ok((header, sent)) } else { Err(refused()) }
}

/// `max-age=SECONDS`, then the flags that exist.
fn is_hsts(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let age = parts.next().and_then(|first| first.strip_prefix("max-age="));
    let number = |text: &str| !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    age.is_some_and(|age| number(age.trim_matches('"')))
        && parts.all(|part| part.is_empty() || part.eq_ignore_ascii_case("includeSubDomains") || part.eq_ignore_ascii_case("preload"))
}

/// `0`, `1`, or `1` with what to do.
fn is_xss(value: &str) -> bool {
    let mut parts = value.splitn(2, ';').map(str::trim);
    match (parts.next(), parts.next()) {
        (Some("0" | "1"), None) => true,
        (Some("1"), Some(then)) => then == "mode=block" || then.starts_with("report="),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_something_are_taken() {
        for (name, value) in [
            ("Content-Security-Policy", "default-src 'none'"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
            ("Strict-Transport-Security", "max-age=0"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "sameorigin"),
            ("X-XSS-Protection", "1; mode=block"),
            ("X-XSS-Protection", "0"),
        ] {
            let (header, sent) = read(name, value).unwrap();
            assert_eq!((header.as_str(), sent.to_str().unwrap()), (name.to_lowercase().as_str(), value));
        }
        for (name, value) in [
            ("Content-Security-Policy", " "),
            ("Strict-Transport-Security", "31536000"),
            ("Strict-Transport-Security", "max-age=1; everything"),
            ("X-Content-Type-Options", "sniff"),
            ("X-Frame-Options", "allow"),
            ("X-XSS-Protection", "2"),
            ("X-Frame-Options", "deny\r\nSet-Cookie: a=b"),
            ("Content-Security-Policy", "default-src 'nön'"),
        ] {
            let error = read(name, value).unwrap_err();
            assert!(error.message.contains(name) && error.hint.is_some(), "{error}");
        }
        assert_eq!(read("X-Frame-Option", "deny").unwrap_err().hint.as_deref(), Some("did you mean `X-Frame-Options`?"));
    }
}
