//! Logins that several targets share: the section `credentials` of the configuration file, from which a target takes one by
//! its name. A login is a user, the place of its password and a client certificate; where the server is stands in the target.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::codes;
use crate::config::{self, Named};
use crate::error::Invalid;
use crate::service::TargetOptions;

/// One login. The password is never written in the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// User or role to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file of our client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file of our client key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_file: Option<PathBuf>,
}

/// Gives each target the login that it names.
///
/// # Errors
/// There is none of that name, or a target says something else itself.
pub fn share<O: TargetOptions>(logins: &Named<Credentials>, targets: &mut Named<O>) -> Result<(), Invalid> {
    for (target, options) in &mut targets.0 {
        let Some(name) = options.credentials().map(str::to_owned) else { continue };
        let Some((_, login)) = logins.0.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = logins.0.iter().map(|(known, _)| known.as_str()).collect();
            let refused = config::unknown_name(&format!("target {target}: no credentials are called {name:?}"), &name, &known);
            return Err(if known.is_empty() { refused.hint("there is no section `credentials`") } else { refused });
        };
        options.log_in_with(login).map_err(|setting| {
            Invalid::new(format!("target {target}: {setting} is written in the target and in its credentials"))
                .hint("leave it out of one of them")
                .code(codes::CONFLICT)
        })?;
    }
    Ok(())
}

/// Fills `own` with `theirs`; used by `TargetOptions::log_in_with`.
///
/// # Errors
/// `setting`, when both say something and not the same.
pub fn fill<T: Clone + PartialEq>(own: &mut Option<T>, theirs: Option<&T>, setting: &'static str) -> Result<(), &'static str> {
    match (own.as_ref(), theirs) {
        (Some(own), Some(theirs)) if own != theirs => Err(setting),
        (None, Some(theirs)) => {
            *own = Some(theirs.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    struct Options {
        login: Option<String>,
        user: Option<String>,
    }

    impl TargetOptions for Options {
        fn budget_key(&self) -> String {
            String::new()
        }
        fn describe(&self) -> String {
            String::new()
        }
        fn credentials(&self) -> Option<&str> {
            self.login.as_deref()
        }
        fn log_in_with(&mut self, login: &Credentials) -> Result<(), &'static str> {
            fill(&mut self.user, login.user.as_ref(), "user")
        }
        fn validate(&self) -> Result<(), Invalid> {
            Ok(())
        }
    }

    fn target(login: Option<&str>, user: Option<&str>) -> Named<Options> {
        Named(vec![("t".to_owned(), Options { login: login.map(str::to_owned), user: user.map(str::to_owned) })])
    }

    #[test]
    fn a_target_takes_the_login_that_it_names() {
        let logins = Named(vec![("shop".to_owned(), Credentials { user: Some("sage".to_owned()), ..Credentials::default() })]);
        let shared = |mut targets: Named<Options>| share(&logins, &mut targets).map(|()| targets.0.remove(0).1.user);
        assert_eq!(shared(target(Some("shop"), None)).unwrap().as_deref(), Some("sage"));
        assert_eq!(shared(target(Some("shop"), Some("sage"))).unwrap().as_deref(), Some("sage"));
        assert_eq!(shared(target(None, None)).unwrap(), None);
        let error = shared(target(Some("shop"), Some("root"))).unwrap_err();
        assert_eq!(error.message, "target t: user is written in the target and in its credentials");
        let error = shared(target(Some("shpo"), None)).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.hint.as_deref()),
            ("target t: no credentials are called \"shpo\"", Some("did you mean `shop`?"))
        );
    }
}
