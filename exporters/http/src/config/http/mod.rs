//! Settings of the http prober.

pub mod answer;
pub mod auth;
pub mod headers;
pub mod oauth2;
pub mod proxy;
pub mod steps;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use hyper::Method;
use sage_common::codes::{self, Code};
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use self::answer::HeaderMatch;
use self::auth::{Authorization, BasicAuth};
use self::headers::HttpHeader;
use self::oauth2::OAuth2;
use self::proxy::ProxyUrl;
use self::steps::{JsonMatch, Step};
use super::tls::TlsConfig;
use super::types::{Addresses, IpProtocol, Pattern, Size, address, length_only};
use super::{Section, refused};

/// How the http prober asks, and which answers it takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Status codes that are fine; none given means 200-299.
    pub valid_status_codes: Vec<u16>,
    /// Versions that are fine; none given means all.
    pub valid_http_versions: Vec<String>,
    /// Request method.
    pub method: String,
    /// Request headers.
    #[serde(serialize_with = "headers::names_only")]
    pub headers: BTreeMap<String, String>,
    /// Most bytes of the body, after decompression; 0 means no limit of the module's.
    pub body_size_limit: Size,
    /// How the body comes.
    pub compression: String,
    /// Whether redirects are followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_redirects: Option<bool>,
    /// The older, opposite spelling of `follow_redirects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_follow_redirects: Option<bool>,
    /// Whether TLS is a failure.
    pub fail_if_ssl: bool,
    /// Whether the lack of TLS is a failure.
    pub fail_if_not_ssl: bool,
    /// A body that matches one of these is a failure.
    pub fail_if_body_matches_regexp: Vec<Pattern>,
    /// A body that does not match one of these is a failure.
    pub fail_if_body_not_matches_regexp: Vec<Pattern>,
    /// A header that matches is a failure.
    pub fail_if_header_matches: Vec<HeaderMatch>,
    /// A header that does not match is a failure.
    pub fail_if_header_not_matches: Vec<HeaderMatch>,
    /// TLS.
    pub tls_config: TlsConfig,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Another credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// The older spelling of `authorization.credentials_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// A token that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// Address family that is taken where a name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
    /// Which addresses of a name are probed.
    pub addresses: Addresses,
    /// Address of this machine to connect from.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    /// Request body.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "length_only")]
    pub body: Option<String>,
    /// File with the request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_file: Option<PathBuf>,
    /// Whether HTTP/2 is offered by TLS; it is unless switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_http2: Option<bool>,
    /// HTTP/3; may only be switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_http3: Option<bool>,
    /// The proxy that targets are reached through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// Hosts that are reached without it, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment say which proxy.
    pub proxy_from_environment: bool,
    /// Headers that go to the proxy with CONNECT.
    #[serde(serialize_with = "proxy::names_only")]
    pub proxy_connect_header: BTreeMap<String, Vec<String>>,
    /// Who we are to the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_basic_auth: Option<BasicAuth>,
    /// Whether names are left to the proxy.
    pub skip_resolve_phase_with_proxy: bool,
    /// Request headers with several values, or with values that stand in files.
    pub http_headers: BTreeMap<String, HttpHeader>,
    /// A JSON body with one of these is a failure.
    pub fail_if_body_json_matches: Vec<JsonMatch>,
    /// A body that is not JSON, or lacks one of these, is a failure.
    pub fail_if_body_json_not_matches: Vec<JsonMatch>,
    /// Requests that are made one after the other, instead of the one to the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Files with the secrets that steps use, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, PathBuf>,
    #[serde(skip_serializing, deserialize_with = "refused::bearer_token")]
    bearer_token: (),
    #[serde(skip_serializing, deserialize_with = "refused::fail_if_body_json_matches_cel")]
    fail_if_body_json_matches_cel: (),
    #[serde(skip_serializing, deserialize_with = "refused::fail_if_body_json_not_matches_cel")]
    fail_if_body_json_not_matches_cel: (),
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            valid_status_codes: Vec::new(),
            valid_http_versions: Vec::new(),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body_size_limit: Size::default(),
            compression: String::new(),
            follow_redirects: None,
            no_follow_redirects: None,
            fail_if_ssl: false,
            fail_if_not_ssl: false,
            fail_if_body_matches_regexp: Vec::new(),
            fail_if_body_not_matches_regexp: Vec::new(),
            fail_if_header_matches: Vec::new(),
            fail_if_header_not_matches: Vec::new(),
            tls_config: TlsConfig::default(),
            basic_auth: None,
            authorization: None,
            bearer_token_file: None,
            oauth2: None,
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
            addresses: Addresses::default(),
            source_ip_address: None,
            body: None,
            body_file: None,
            enable_http2: None,
            enable_http3: None,
            http_headers: BTreeMap::new(),
            fail_if_body_json_matches: Vec::new(),
            fail_if_body_json_not_matches: Vec::new(),
            steps: Vec::new(),
            secrets: BTreeMap::new(),
            bearer_token: (),
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            proxy_basic_auth: None,
            skip_resolve_phase_with_proxy: false,
            fail_if_body_json_matches_cel: (),
            fail_if_body_json_not_matches_cel: (),
        }
    }
}

fn refuse(code: Code, message: impl Into<String>, hint: &str) -> Result<(), Invalid> {
    Err(Invalid::new(message).hint(hint).code(code))
}

impl Section for HttpConfig {
    fn validate(&self) -> Result<(), Invalid> {
        self.validate_request()?;
        auth::validate(self)?;
        proxy::validate(self)?;
        answer::validate(self)?;
        steps::validate(self)?;
        self.tls_config.validate()
    }

    fn credentials(&self) -> Option<String> {
        auth::credentials(self).or_else(|| headers::credentials(self)).or_else(|| self.tls_config.credentials())
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}

impl HttpConfig {
    /// Whether redirects are followed, in either spelling.
    pub fn follows(&self) -> bool {
        self.follow_redirects.or(self.no_follow_redirects.map(|no| !no)).unwrap_or(true)
    }

    fn validate_request(&self) -> Result<(), Invalid> {
        if Method::from_bytes(self.method.as_bytes()).is_err() || self.method == "CONNECT" {
            return refuse(codes::FORM, format!("method: {:?} is not a request method", self.method), "write `method: GET`");
        }
        headers::validate(self)?;
        if self.body.is_some() && self.body_file.is_some() {
            return refuse(codes::CONFLICT, "body and body_file are given", "write one of them");
        }
        if self.enable_http3 == Some(true) {
            return refuse(codes::NOT_HERE, "enable_http3: HTTP/3 is not supported by this version", "write `enable_http3: false`");
        }
        Ok(())
    }
}
