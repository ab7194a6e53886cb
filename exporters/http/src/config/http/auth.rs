//! Who the module says it is: user and password, or another credential. Secrets stand in files of their own.

use std::path::PathBuf;

use hyper::header::HeaderValue;
use sage_common::codes;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::{HttpConfig, refuse};
use crate::config::refused;

/// User and password.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File with the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_file: Option<PathBuf>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    #[serde(skip_serializing, deserialize_with = "refused::password")]
    password: (),
}

/// A credential of another kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// Its kind, as sent.
    pub r#type: String,
    /// File with the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    #[serde(skip_serializing, deserialize_with = "refused::credentials")]
    credentials: (),
}

impl Default for Authorization {
    fn default() -> Self {
        Self { r#type: "Bearer".to_owned(), credentials_file: None, credentials: () }
    }
}

impl BasicAuth {
    /// Refuses a user that is not there, or is there twice.
    ///
    /// # Errors
    /// What to write instead.
    pub fn validate(&self, key: &str) -> Result<(), Invalid> {
        if self.username.is_some() == self.username_file.is_some() {
            let code = if self.username.is_some() { codes::CONFLICT } else { codes::INCOMPLETE };
            return refuse(code, format!("{key}: there must be one user"), "write `username: NAME` or `username_file: /path/to/file`");
        }
        Ok(())
    }
}

/// The key by which targets see a credential.
pub fn credentials(http: &HttpConfig) -> Option<String> {
    let given = [
        ("basic_auth", http.basic_auth.is_some()),
        ("authorization", http.authorization.is_some()),
        ("bearer_token_file", http.bearer_token_file.is_some()),
        ("oauth2", http.oauth2.is_some()),
        ("secrets", !http.secrets.is_empty()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(key, _)| key.to_owned())
}

/// Refuses credentials that contradict each other or are not there.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn validate(http: &HttpConfig) -> Result<(), Invalid> {
    let given = [http.basic_auth.is_some(), http.authorization.is_some(), http.bearer_token_file.is_some(), http.oauth2.is_some()];
    if given.into_iter().filter(|g| *g).count() > 1 {
        return refuse(
            codes::CONFLICT,
            "more than one credential is given",
            "write one of basic_auth, authorization, bearer_token_file and oauth2",
        );
    }
    if let Some(basic) = &http.basic_auth {
        basic.validate("basic_auth")?;
    }
    if let Some(oauth) = &http.oauth2 {
        oauth.validate()?;
    }
    if let Some(basic) = &http.proxy_basic_auth {
        basic.validate("proxy_basic_auth")?;
    }
    let Some(other) = &http.authorization else { return Ok(()) };
    if other.credentials_file.is_none() {
        return refuse(codes::INCOMPLETE, "authorization: there is no credential", "write `credentials_file: /path/to/file`");
    }
    if other.r#type.eq_ignore_ascii_case("basic") || HeaderValue::from_str(&other.r#type).is_err() {
        return refuse(
            codes::FORM,
            format!("authorization: type {:?} cannot be used", other.r#type),
            "write `type: Bearer`, or `basic_auth:` for user and password",
        );
    }
    Ok(())
}
