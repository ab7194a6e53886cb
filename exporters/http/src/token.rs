//! Tokens by client credentials (RFC 6749, section 4.4): asked for once, whoever needs them, and kept until shortly before
//! they end. A token is in no output; of a refusal only the code that the standard knows is told.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::Method;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use sage_common::config::secret::Secret;
use sage_common::deadline::Deadline;
use sage_common::error::CollectError;
use sage_common::scrape::flight::Flight;
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::allowed::Fence;
use crate::config::http::HttpConfig;
use crate::config::http::oauth2::OAuth2;
use crate::connection::{Phase, Seen};
use crate::probes::exchange::{self, Ended, How};
use crate::probes::hop::Hop;
use crate::probes::http::Facts;
use crate::probes::request::sensitive;
use crate::reason::Reason;

/// Longest wait for a token, whatever the probe may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How much sooner than it ends a token is replaced; at most half of its life.
const MARGIN: Duration = Duration::from_secs(30);
/// Life of a token whose end is not told, and the longest that is believed.
const UNTOLD: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// A token as it is sent.
#[derive(Clone)]
pub struct Token {
    /// The value of the Authorization header.
    pub value: HeaderValue,
    /// Whether it was there already.
    pub kept: bool,
    number: u64,
    until: Instant,
}

/// Why there is no token, for all who waited for it.
#[derive(Clone)]
struct Failure {
    reason: Reason,
    text: String,
    hint: Option<String>,
}

impl Failure {
    fn new(reason: Reason, text: impl Into<String>, hint: &str) -> Self {
        Self { reason, text: text.into(), hint: Some(hint.to_owned()) }
    }

    fn of(reason: Reason, error: &CollectError) -> Self {
        Self { reason, text: format!("ask for the token: {error}"), hint: Some(error.advice().to_owned()) }
    }

    fn error(self) -> CollectError {
        let error = self.reason.error(self.text);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// How the endpoint is told who we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// By basic authentication, which every endpoint must know.
    Header,
    /// By fields of the form, which some know alone.
    Form,
}

#[derive(Default)]
struct Inner {
    kept: Mutex<(Option<Token>, u64)>,
    style: Mutex<Option<Style>>,
    flight: Flight<(), Result<Token, Failure>>,
}

/// The token of a module.
#[derive(Clone, Default)]
pub struct Store(Arc<Inner>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<token>")
    }
}

impl Store {
    fn kept(&self) -> Option<Token> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.clone().filter(|token| Instant::now() < token.until)
    }

    fn keep(&self, value: HeaderValue, life: Duration) -> Token {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1 += 1;
        let token = Token { value, kept: false, number: kept.1, until: Instant::now() + life };
        kept.0 = Some(Token { kept: true, ..token.clone() });
        token
    }

    /// Forgets a token that was not taken, unless there is another one already.
    pub fn forget(&self, token: &Token) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.as_ref().is_some_and(|kept| kept.number == token.number) {
            kept.0 = None;
        }
    }

    fn style(&self) -> Option<Style> {
        *self.0.style.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `oauth`; asked for where there is none, by whoever comes first.
///
/// # Errors
/// `token_refused`, `token_timeout` or `token_failed`, `auth` when the secret cannot be read.
pub async fn get(oauth: &OAuth2, http: &HttpConfig, seen: &mut Seen) -> Result<Token, CollectError> {
    if let Some(token) = oauth.store.kept() {
        return Ok(token);
    }
    seen.clock.enter(Phase::Token);
    let (work, _) = oauth.store.0.flight.join((), || {
        let (oauth, http) = (oauth.clone(), oauth.http(http));
        async move {
            let asked = Deadline::after(LONGEST).run(fetch(&oauth, &http)).await;
            asked.unwrap_or_else(|_| Err(Failure { reason: Reason::TOKEN_TIMEOUT, text: "no token in time".to_owned(), hint: None }))
        }
        .boxed()
    });
    let ended = work.await;
    seen.clock.stop();
    ended.map_err(Failure::error)
}

async fn fetch(oauth: &OAuth2, http: &HttpConfig) -> Result<Token, Failure> {
    let secret = oauth.client_secret_file.clone().map(|file| Secret::File(file).read()).transpose();
    let secret = secret.map_err(|e| Failure::of(Reason::AUTH, &e))?.unwrap_or_default();
    let known = oauth.store.style();
    let style = known.unwrap_or(Style::Header);
    let ended = ask(oauth, http, &secret, style).await;
    // Which way an endpoint wants it is not told beforehand; it refuses the other one.
    let (ended, style) = match ended {
        Err(failure) if known.is_none() && failure.reason == Reason::TOKEN_REFUSED => {
            let second = ask(oauth, http, &secret, Style::Form).await;
            if second.is_ok() { (second, Style::Form) } else { (Err(failure), style) }
        }
        ended => (ended, style),
    };
    let (value, life) = ended?;
    *oauth.store.0.style.lock().unwrap_or_else(PoisonError::into_inner) = Some(style);
    Ok(oauth.store.keep(value, life))
}

/// What an endpoint answers (RFC 6749, sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    error: Option<String>,
}

/// A number, which some endpoints write in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

async fn ask(oauth: &OAuth2, http: &HttpConfig, secret: &str, style: Style) -> Result<(HeaderValue, Duration), Failure> {
    let hop = request(oauth, secret, style)?;
    let mut facts = Facts::default();
    let ended = exchange::once(&hop, http, None, How { follows: false, looks: true }, &mut facts).await;
    let body = match ended {
        Ok(Ended::Here(body)) => body.bytes,
        Ok(Ended::Elsewhere(_)) => Vec::new(),
        Err(error) => return Err(Failure::of(Reason::TOKEN_FAILED, &error)),
    };
    let status = facts.head.map_or(0, |head| head.status);
    let answer = serde_json::from_slice::<Answer>(&body).ok();
    if (200..300).contains(&status) {
        return taken(answer);
    }
    const WHY: &str = "look at `client_id`, `client_secret_file`, `scopes` and `endpoint_params`, and at the endpoint's own log";
    let code = answer.and_then(|answer| answer.error).and_then(|code| CODES.iter().find(|known| **known == code));
    match (status, code) {
        (400 | 401 | 403, Some(code)) => Err(Failure::new(Reason::TOKEN_REFUSED, format!("the token endpoint says {code}"), WHY)),
        (400 | 401 | 403, None) => Err(Failure::new(Reason::TOKEN_REFUSED, format!("the token endpoint answers {status}"), WHY)),
        _ => Err(Failure::new(Reason::TOKEN_FAILED, format!("the token endpoint answers {status}"), "see whether `token_url` is right")),
    }
}

/// The codes of refusals; what else an endpoint says may repeat what it was sent.
const CODES: [&str; 6] =
    ["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"];

fn taken(answer: Option<Answer>) -> Result<(HeaderValue, Duration), Failure> {
    let wrong = |text: &str| Failure::new(Reason::TOKEN_FAILED, text, "see whether `token_url` is that of the token endpoint");
    let answer = answer.ok_or_else(|| wrong("the token endpoint's answer is not the JSON that the standard wants"))?;
    let token = answer.access_token.filter(|token| !token.is_empty()).ok_or_else(|| wrong("the token endpoint's answer has no token"))?;
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(wrong("the token is not one that is sent as a bearer token"));
    }
    let value = sensitive(&format!("Bearer {token}")).map_err(|_| wrong("the token holds a character that no header can have"))?;
    Ok((value, life(answer.expires_in)))
}

fn life(told: Option<Seconds>) -> Duration {
    let seconds = match told {
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    let whole = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(UNTOLD).min(DAY);
    whole - MARGIN.min(whole / 2)
}

fn request(oauth: &OAuth2, secret: &str, style: Style) -> Result<Hop<'static>, Failure> {
    let Some(url) = &oauth.token_url else {
        return Err(Failure { reason: Reason::INTERNAL, text: "the module has no token_url".to_owned(), hint: None });
    };
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !oauth.scopes.is_empty() {
        form.append_pair("scope", &oauth.scopes.join(" "));
    }
    form.extend_pairs(&oauth.endpoint_params);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    match style {
        Style::Form => {
            form.append_pair("client_id", &oauth.client_id);
            form.append_pair("client_secret", secret);
        }
        Style::Header => {
            // Both are written as in a form first (section 2.3.1), so that a colon in them does no harm.
            let coded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = BASE64_STANDARD.encode(format!("{}:{}", coded(&oauth.client_id), coded(secret)));
            let value = sensitive(&format!("Basic {pair}")).map_err(|e| Failure::of(Reason::AUTH, &e))?;
            headers.insert(AUTHORIZATION, value);
        }
    }
    Ok(Hop { url: url.0.clone(), method: Method::POST, body: Bytes::from(form.finish()), headers, home: true, fence: Fence::OPEN })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(HeaderValue, Duration), Failure> {
        taken(serde_json::from_str(text).ok())
    }

    #[test]
    fn the_answers_of_the_standard_are_read() {
        let (value, life) =
            of(r#"{"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "example", "expires_in": 3600}"#).err().map_or_else(
                || panic!("a token of another type was taken"),
                |_| of(r#"{"access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "Bearer", "expires_in": 3600}"#).ok().unwrap(),
            );
        assert_eq!((value.to_str().unwrap(), life), ("Bearer 2YotnFZFEjr1zCsicMWpAA", Duration::from_secs(3570)));
        assert!(value.is_sensitive());
        for (text, seconds) in [
            (r#"{"access_token": "t"}"#, 270),
            (r#"{"access_token": "t", "expires_in": "60"}"#, 30),
            (r#"{"access_token": "t", "expires_in": 10}"#, 5),
            (r#"{"access_token": "t", "expires_in": 1e9}"#, 86_370),
            (r#"{"access_token": "t", "expires_in": -5}"#, 270),
        ] {
            assert_eq!(of(text).ok().unwrap().1, Duration::from_secs(seconds), "{text}");
        }
        for bad in
            ["", "[]", "{}", r#"{"access_token": ""}"#, r#"{"access_token": "canary\n"}"#, r#"{"access_token": "t", "token_type": "mac"}"#]
        {
            let failure = of(bad).err().unwrap();
            assert!(failure.reason == Reason::TOKEN_FAILED && !failure.text.contains("canary"), "{bad}");
        }
    }

    #[test]
    fn a_token_that_was_not_taken_is_forgotten_once() {
        let store = Store::default();
        let first = store.keep(HeaderValue::from_static("Bearer a"), DAY);
        assert!(!first.kept && store.kept().unwrap().kept);
        store.forget(&first);
        assert!(store.kept().is_none());
        let second = store.keep(HeaderValue::from_static("Bearer b"), DAY);
        store.forget(&first);
        assert_eq!(store.kept().unwrap().value, second.value, "the new one stays");
        assert_eq!(format!("{store:?}"), "<token>");
    }
}
