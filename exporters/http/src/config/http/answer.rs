//! Which answers the module takes.

use hyper::header::HeaderName;
use sage_common::codes;
use sage_common::config::unknown_value;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::{HttpConfig, refuse};
use crate::config::types::Pattern;

/// One header and what its value must or must not match.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// Name of the header.
    pub header: String,
    /// Looked for in each of its values.
    pub regexp: Pattern,
    /// Whether an answer without this header is fine.
    #[serde(default)]
    pub allow_missing: bool,
}

/// Refuses rules that no answer can follow.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn validate(http: &HttpConfig) -> Result<(), Invalid> {
    if let Some(code) = http.valid_status_codes.iter().find(|code| !(100..=599).contains(*code)) {
        return refuse(codes::RANGE, format!("valid_status_codes: {code} is no status code"), "codes are 100 to 599");
    }
    const VERSIONS: [&str; 4] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"];
    for version in &http.valid_http_versions {
        if !VERSIONS.contains(&version.as_str()) {
            return Err(unknown_value(&format!("valid_http_versions: unknown value `{version}`"), version, &VERSIONS));
        }
    }
    let spoken = |v: &String| v.starts_with("HTTP/1.") || v == "HTTP/2.0" && http.enable_http2 != Some(false);
    if !http.valid_http_versions.is_empty() && !http.valid_http_versions.iter().any(spoken) {
        return refuse(codes::CONFLICT, "valid_http_versions: none of these is spoken", "add `HTTP/2.0` or `HTTP/1.1` to the list");
    }
    if !matches!(http.compression.as_str(), "" | "identity" | "gzip" | "deflate" | "br") {
        return refuse(
            codes::NOT_HERE,
            format!("compression: {:?} is not supported by this version", http.compression),
            "write `compression: gzip`",
        );
    }
    if http.follow_redirects.is_some() && http.follow_redirects == http.no_follow_redirects {
        return refuse(
            codes::CONFLICT,
            "follow_redirects and no_follow_redirects contradict each other",
            "write `follow_redirects: false` or `follow_redirects: true`",
        );
    }
    if http.fail_if_ssl && http.fail_if_not_ssl {
        return refuse(codes::CONFLICT, "fail_if_ssl and fail_if_not_ssl: every answer would fail", "write one of them");
    }
    for rule in http.fail_if_header_matches.iter().chain(&http.fail_if_header_not_matches) {
        if HeaderName::from_bytes(rule.header.as_bytes()).is_err() {
            return refuse(codes::FORM, format!("{:?} is not a header name", rule.header), "a name is letters, digits and hyphens");
        }
    }
    Ok(())
}
