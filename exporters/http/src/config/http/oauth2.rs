//! `oauth2`: a token by client credentials (RFC 6749, section 4.4), asked for with its own TLS and proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::auth::BasicAuth;
use super::proxy::{self, ProxyUrl};
use super::{HttpConfig, headers, refuse};
use crate::config::refused;
use crate::config::tls::TlsConfig;
use crate::config::types::Size;
use crate::token::Store;

/// Largest answer of a token endpoint.
const LARGEST: u64 = 64 << 10;

/// Where a token is had, and who we are there.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth2 {
    /// Who we are.
    pub client_id: String,
    /// File with the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<TokenUrl>,
    /// Further fields of the request.
    #[serde(serialize_with = "headers::names_only")]
    pub endpoint_params: BTreeMap<String, String>,
    /// May only name what is done anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// TLS with the token endpoint.
    pub tls_config: TlsConfig,
    /// The proxy on the way there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// Hosts that are reached without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Whether the environment says which proxy.
    pub proxy_from_environment: bool,
    /// Headers that go to the proxy with CONNECT.
    #[serde(serialize_with = "proxy::names_only")]
    pub proxy_connect_header: BTreeMap<String, Vec<String>>,
    /// Who we are to the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_basic_auth: Option<BasicAuth>,
    #[serde(skip_serializing, deserialize_with = "refused::client_secret")]
    client_secret: (),
    #[serde(skip_serializing, deserialize_with = "refused::client_certificate_key")]
    client_certificate_key: (),
    #[serde(skip_serializing, deserialize_with = "refused::client_certificate_key_file")]
    client_certificate_key_file: (),
    /// The token that is there already.
    #[serde(skip)]
    pub store: Store,
}

/// The URL of a token endpoint; what follows the question mark is not shown.
#[derive(Clone)]
pub struct TokenUrl(pub Url);

impl std::fmt::Debug for TokenUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut url = self.0.clone();
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

impl<'de> Deserialize<'de> for TokenUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            |what, code| Invalid::new(format!("`token_url`: {what}")).hint("write `token_url: https://login.example.com/token`").code(code);
        let url = Url::parse(&String::deserialize(deserializer)?).map_err(|_| refused(wrong("this is not a URL", codes::ADDRESS)))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(refused(wrong("a token is asked for by http or https", codes::ADDRESS)));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(wrong("a secret does not stand in this file", codes::SECRET_IN_FILE)));
        }
        Ok(Self(url))
    }
}

impl Serialize for TokenUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl OAuth2 {
    /// Refuses settings by which no token can be had.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.client_id.is_empty() {
            return refuse(codes::INCOMPLETE, "oauth2: there is no client", "write `client_id: NAME`");
        }
        if self.token_url.is_none() {
            return refuse(
                codes::INCOMPLETE,
                "oauth2: it is not said where the token is had",
                "write `token_url: https://login.example.com/token`",
            );
        }
        if self.grant_type.as_ref().is_some_and(|grant| grant != "client_credentials") {
            return refuse(
                codes::NOT_HERE,
                "oauth2: only client credentials are supported by this version",
                "write `grant_type: client_credentials` and `client_secret_file: /path/to/file`",
            );
        }
        if let Some(basic) = &self.proxy_basic_auth {
            basic.validate("oauth2: proxy_basic_auth")?;
        }
        proxy::validate(&self.http(&HttpConfig::default())).map_err(|e| e.within("oauth2"))?;
        self.tls_config.validate().map_err(|e| e.within("oauth2"))
    }

    /// The same as settings of the http prober, by whose ways the endpoint is reached; `module` says which family comes first.
    pub fn http(&self, module: &HttpConfig) -> HttpConfig {
        HttpConfig {
            body_size_limit: Size(LARGEST),
            follow_redirects: Some(false),
            preferred_ip_protocol: module.preferred_ip_protocol,
            ip_protocol_fallback: module.ip_protocol_fallback,
            tls_config: self.tls_config.clone(),
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: self.proxy_connect_header.clone(),
            proxy_basic_auth: self.proxy_basic_auth.clone(),
            ..HttpConfig::default()
        }
    }
}
