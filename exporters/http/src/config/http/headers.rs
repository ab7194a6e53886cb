//! Request headers: plain ones in `headers`, several values and values from files in `http_headers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use sage_common::codes;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize, Serializer};

use super::{HttpConfig, refuse};
use crate::allowed::is_secret;
use crate::config::refused;

/// The values of one header.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpHeader {
    /// Values, as sent.
    #[serde(serialize_with = "hidden")]
    pub values: Vec<String>,
    /// Files with a value each.
    pub files: Vec<PathBuf>,
    #[serde(skip_serializing, deserialize_with = "refused::secrets")]
    secrets: (),
}

/// How many there are: a value may be a token.
fn hidden<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|_| "<hidden>"))
}

/// Headers may hold a token, so `print-config` shows their names.
///
/// # Errors
/// Those of the serializer.
pub fn names_only<S: Serializer>(headers: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.keys().map(|name| (name, "<hidden>")))
}

/// Refuses headers that cannot be sent, or that we set ourselves.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn validate(http: &HttpConfig) -> Result<(), Invalid> {
    for (name, value) in &http.headers {
        one("headers", name, value)?;
    }
    for (name, header) in &http.http_headers {
        if header.values.is_empty() && header.files.is_empty() {
            return refuse(
                codes::INCOMPLETE,
                format!("http_headers: {name} has no value"),
                "write `values: [...]` or `files: [/path/to/file]`",
            );
        }
        header.values.iter().try_for_each(|value| one("http_headers", name, value))?;
        // What a file holds may be a credential.
        if !header.files.is_empty() && !name.eq_ignore_ascii_case("authorization") {
            one("http_headers", name, "x")?;
        }
    }
    Ok(())
}

/// The header by which targets see a credential: one whose name tells it, or whose value stands in a file.
pub fn credentials(http: &HttpConfig) -> Option<String> {
    let plain = http.headers.keys().map(|name| ("headers", name, false));
    let more = http.http_headers.iter().map(|(name, header)| ("http_headers", name, !header.files.is_empty()));
    let steps = http.steps.iter().flat_map(|step| step.headers.keys()).map(|name| ("steps: headers", name, false));
    let telling = plain.chain(more).chain(steps).find(|(_, name, file)| *file || is_secret(name));
    telling.map(|(key, name, _)| format!("{key}: {name}"))
}

fn one(key: &str, name: &str, value: &str) -> Result<(), Invalid> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return refuse(codes::FORM, format!("{key}: {name:?} is not a header name"), "a name is letters, digits and hyphens");
    };
    if HeaderValue::from_str(value).is_err() {
        return refuse(codes::FORM, format!("{key}: the value of {name} cannot be sent"), "a value is one line of printable characters");
    }
    if header == CONTENT_LENGTH || header == TRANSFER_ENCODING {
        return refuse(codes::CONFLICT, format!("{key}: {name} is set by the exporter"), "remove it; the length follows the body");
    }
    if header == AUTHORIZATION {
        return refuse(
            codes::SECRET_IN_FILE,
            format!("{key}: a secret does not stand in this file"),
            "write `authorization: {credentials_file: /path/to/file}` and put it there",
        );
    }
    Ok(())
}
