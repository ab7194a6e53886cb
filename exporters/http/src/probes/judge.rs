//! Whether the last answer is the one that the module wants.

use regex::bytes::Regex;
use sage_common::error::CollectError;

use super::exchange::Head;
use super::http::Facts;
use super::line;
use crate::config::http::HttpConfig;
use crate::config::http::answer::HeaderMatch;
use crate::config::http::steps::JsonMatch;
use crate::config::types::Pattern;
use crate::reason::Reason;

/// Judges the answer; the first thing that is wrong is the reason.
///
/// # Errors
/// What is wrong.
pub fn judge(http: &HttpConfig, facts: &mut Facts, body: &[u8]) -> Result<(), CollectError> {
    let Some(head) = &facts.head else { return Ok(()) };
    status(&http.valid_status_codes, head)?;
    let looked = headers(http, head).and_then(|()| content(http, body));
    facts.failed_by_regex = looked.is_err();
    looked?;
    version(http, head)?;
    tls(http, head)
}

/// Judges the status; none given means 200 to 299.
///
/// # Errors
/// What is wrong.
pub fn status(valid: &[u16], head: &Head) -> Result<(), CollectError> {
    let fine = if valid.is_empty() { (200..300).contains(&head.status) } else { valid.contains(&head.status) };
    if fine {
        return Ok(());
    }
    if head.by_proxy && head.status == 407 {
        return Err(line::no_entry());
    }
    let wanted = if valid.is_empty() { "200 to 299".to_owned() } else { valid.iter().map(u16::to_string).collect::<Vec<_>>().join(", ") };
    Err(Reason::HTTP_STATUS.error(format!("the status is {}, wanted is {wanted}", head.status)))
}

fn version(http: &HttpConfig, head: &Head) -> Result<(), CollectError> {
    let version = format!("HTTP/{:.1}", head.version);
    if http.valid_http_versions.is_empty() || http.valid_http_versions.contains(&version) {
        return Ok(());
    }
    let wanted = http.valid_http_versions.join(", ");
    Err(Reason::HTTP_VERSION.error(format!("the answer is {version}, wanted is {wanted}")))
}

fn tls(http: &HttpConfig, head: &Head) -> Result<(), CollectError> {
    match (head.tls, http.fail_if_ssl, http.fail_if_not_ssl) {
        (true, true, _) => Err(Reason::TLS_UNWANTED.error("the answer came over TLS, which fail_if_ssl refuses")),
        (false, _, true) => Err(Reason::TLS_MISSING.error("the answer came without TLS, which fail_if_not_ssl refuses")),
        _ => Ok(()),
    }
}

fn refuse(what: &str, how: &str, pattern: &Regex) -> CollectError {
    Reason::CONTENT.error(format!("the {what} {how} {:?}", pattern.as_str()))
}

fn content(http: &HttpConfig, seen: &[u8]) -> Result<(), CollectError> {
    body(&http.fail_if_body_matches_regexp, &http.fail_if_body_not_matches_regexp, seen)?;
    json(&http.fail_if_body_json_matches, &http.fail_if_body_json_not_matches, seen)
}

/// Judges a body by expressions that it must not match, and by those that it must.
///
/// # Errors
/// What is wrong.
pub fn body(bad: &[Pattern], wanted: &[Pattern], seen: &[u8]) -> Result<(), CollectError> {
    if let Some(bad) = bad.iter().find(|p| p.0.is_match(seen)) {
        return Err(refuse("body", "matches", &bad.0));
    }
    match wanted.iter().find(|p| !p.0.is_match(seen)) {
        Some(missed) => Err(refuse("body", "does not match", &missed.0)),
        None => Ok(()),
    }
}

/// Judges a JSON body by what must not stand in it, and by what must.
///
/// # Errors
/// What is wrong.
pub fn json(bad: &[JsonMatch], wanted: &[JsonMatch], seen: &[u8]) -> Result<(), CollectError> {
    if bad.is_empty() && wanted.is_empty() {
        return Ok(());
    }
    let document = serde_json::from_slice::<serde_json::Value>(seen).map_err(|_| Reason::CONTENT.error("the body is not JSON"))?;
    let matches = |rule: &JsonMatch| rule.path.find(&document).is_some_and(|text| rule.regexp.0.is_match(text.as_bytes()));
    if let Some(rule) = bad.iter().find(|rule| matches(rule)) {
        return Err(refuse(&format!("JSON at {}", rule.path), "matches", &rule.regexp.0));
    }
    match wanted.iter().find(|rule| !matches(rule)) {
        Some(rule) => Err(refuse(&format!("JSON at {}", rule.path), "does not match", &rule.regexp.0)),
        None => Ok(()),
    }
}

fn headers(http: &HttpConfig, head: &Head) -> Result<(), CollectError> {
    for rule in &http.fail_if_header_matches {
        one_header(rule, head, true)?;
    }
    for rule in &http.fail_if_header_not_matches {
        one_header(rule, head, false)?;
    }
    Ok(())
}

fn one_header(rule: &HeaderMatch, head: &Head, bad: bool) -> Result<(), CollectError> {
    let what = format!("header {}", rule.header);
    let mut values = head.headers.get_all(rule.header.as_str()).iter().peekable();
    if values.peek().is_none() {
        if rule.allow_missing {
            return Ok(());
        }
        return Err(Reason::CONTENT.error(format!("the {what} is missing")).hint("write `allow_missing: true` if that is fine"));
    }
    if values.any(|v| rule.regexp.0.is_match(v.as_bytes())) == bad {
        return Err(refuse(&what, if bad { "matches" } else { "does not match" }, &rule.regexp.0));
    }
    Ok(())
}
