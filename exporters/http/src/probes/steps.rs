//! Runs the steps of a module: each is a request with its redirects, cookies go along, what is captured is kept.
//!
//! After a failure only the steps marked `always` run, and a share of the time is kept for them. No value of a secret or of
//! a capture is ever written: the errors name steps, places and expressions.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sage_common::config::secret::Secret;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;
use serde_json::Value;
use tokio::time::Instant;

use super::cookies::Jar;
use super::exchange::How;
use super::hop::Hop;
use super::http::{Facts, follow};
use super::judge;
use crate::allowed::Fence;
use crate::config::http::HttpConfig;
use crate::config::http::steps::{Capture, Step, Template};
use crate::metrics::{STEP_DURATION, STEP_ERROR_INFO, STEP_SUCCESS};
use crate::reason::Reason;

/// How a step ended.
#[derive(Debug)]
pub struct Done {
    name: String,
    duration: Duration,
    reason: Option<Reason>,
}

/// Names and their values, secrets among them.
type Values = BTreeMap<String, String>;

/// Longest captured value.
const LONGEST_CAPTURE: usize = 16 << 10;

/// Runs all steps.
///
/// # Errors
/// That of the first step that failed.
pub async fn run(target: &str, http: &HttpConfig, fence: Fence<'_>, deadline: Deadline, facts: &mut Facts) -> Result<(), CollectError> {
    let mut values = Values::new();
    for (name, file) in &http.secrets {
        values.insert(name.clone(), Secret::File(file.clone()).read()?);
    }
    facts.jar = Some(Jar::default());
    let spare = if http.steps.iter().any(|step| step.always) { deadline.remaining() / 5 } else { Duration::ZERO };
    let mut failed = None;
    for step in &http.steps {
        if failed.is_some() && !step.always {
            continue;
        }
        let limit = if step.always { deadline } else { deadline.sooner(spare) };
        let started = Instant::now();
        let ended = limit.run(one((target, fence), http, step, &mut values, facts)).await;
        let ended = ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()));
        facts.seen.clock.stop();
        let reason = ended.as_ref().err().map(Reason::of);
        facts.steps.push(Done { name: step.name.clone(), duration: started.elapsed(), reason });
        if let Err(mut error) = ended {
            error.context = format!("step {}: {}", step.name, error.context);
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A target, and who may be asked.
type To<'a> = (&'a str, Fence<'a>);

async fn one(to: To<'_>, http: &HttpConfig, step: &Step, values: &mut Values, facts: &mut Facts) -> Result<(), CollectError> {
    facts.head = None;
    let hop = first(to, step, values)?;
    let follows = step.follow_redirects.unwrap_or_else(|| http.follows());
    let looks =
        !(step.capture.is_empty() && step.expect.regexp.is_empty() && step.expect.not_regexp.is_empty() && step.expect.json.is_empty());
    let body = follow(hop, http, How { follows, looks }, facts).await?;
    let Some(head) = &facts.head else { return Ok(()) };
    let wanted = if step.expect.status.is_empty() { &http.valid_status_codes } else { &step.expect.status };
    judge::status(wanted, head)?;
    judge::body(&step.expect.not_regexp, &step.expect.regexp, &body)?;
    judge::json(&[], &step.expect.json, &body)?;
    for (name, capture) in &step.capture {
        let found = capture_one(capture, &head.headers, &body).filter(|value| value.len() <= LONGEST_CAPTURE);
        let found = found.ok_or_else(|| Reason::CAPTURE.error(format!("nothing was found for ${{{name}}}")))?;
        values.insert(name.clone(), found);
    }
    Ok(())
}

fn first<'a>((target, fence): To<'a>, step: &Step, values: &Values) -> Result<Hop<'a>, CollectError> {
    let (body, kind) = body(step, values)?;
    let usual = if kind.is_some() { Method::POST } else { Method::GET };
    let method = step.method.as_ref().and_then(|m| Method::from_bytes(m.as_bytes()).ok()).unwrap_or(usual);
    let mut hop = Hop::first(target, method, body, fence)?;
    let wrong = |text: &str| Reason::REDIRECT_FORBIDDEN.error(text);
    let url = hop.url.join(&step.url.fill(values, str::to_owned)).map_err(|_| wrong("its url is not one"))?;
    // What a page gave us does not lead our secrets elsewhere.
    if url.origin() != hop.url.origin() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("its url leads away from the target"));
    }
    hop.url = url;
    if let Some(kind) = kind {
        hop.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, template) in &step.headers {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let value = HeaderValue::from_str(&template.fill(values, str::to_owned));
        let mut value = value.map_err(|_| Reason::AUTH.error(format!("header {name} holds a character that no header can have")))?;
        value.set_sensitive(true);
        hop.headers.insert(header, value);
    }
    Ok(hop)
}

fn body(step: &Step, values: &Values) -> Result<(Bytes, Option<&'static str>), CollectError> {
    if let Some(form) = &step.form {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, template) in form {
            text.append_pair(name, &template.fill(values, str::to_owned));
        }
        return Ok((text.finish().into(), Some("application/x-www-form-urlencoded")));
    }
    let Some(json) = &step.json else { return Ok((Bytes::new(), None)) };
    let text = serde_json::to_vec(&filled(json, values)).map_err(|e| Reason::INTERNAL.error("write the JSON body").caused_by(e))?;
    Ok((text.into(), Some("application/json")))
}

fn filled(document: &Value, values: &Values) -> Value {
    match document {
        // Read when the configuration was loaded, so that it can be read.
        Value::String(text) => Value::String(Template::parse(text).map(|t| t.fill(values, str::to_owned)).unwrap_or_default()),
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, values)).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, item)| (key.clone(), filled(item, values))).collect()),
        other => other.clone(),
    }
}

fn capture_one(capture: &Capture, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    match capture {
        Capture::Regexp(pattern) => {
            let groups = pattern.0.captures(body)?;
            let found = groups.get(1).or_else(|| groups.get(0))?;
            String::from_utf8(found.as_bytes().to_vec()).ok()
        }
        Capture::Json(path) => path.find(&serde_json::from_slice(body).ok()?),
        Capture::Header(name) => Some(headers.get(name.as_str())?.to_str().ok()?.to_owned()),
    }
}

/// Writes a series for each step that ran.
pub fn write(done: &[Done], out: &mut Sink) {
    for Done { name, duration, reason } in done {
        put!(out, STEP_DURATION { step: name } = *duration);
        put!(out, STEP_SUCCESS { step: name } = reason.is_none());
        if let Some(reason) = reason {
            put!(out, STEP_ERROR_INFO { step: name, reason: reason.name } = 1);
        }
    }
}
