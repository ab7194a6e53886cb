//! The web configuration file, in the format of Prometheus' exporter-toolkit (`--web.config.file`).
//!
//! Every setting of that format is honoured, or refused by name with what to write instead. So are values that only look
//! as if they protected something. Here text becomes settings; the files that it names are read in `tls.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::headers;
use super::tls::{ClientAuth, Pem, TlsSettings, choices};
use super::users::Hash;
use crate::codes::{self, Code};
use crate::config::{self, Named, Span, unknown_value};
use crate::error::Invalid;

/// A value with its place in the file.
type Text = Spanned<String>;

/// What the file says, checked; nothing in it can be printed.
#[derive(Default)]
pub struct Settings {
    /// TLS; `None`: plain HTTP.
    pub tls: Option<TlsSettings>,
    /// HTTP/2 is offered, with TLS only.
    pub http2: bool,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the hashes of their passwords; empty: nobody is asked.
    pub users: Vec<(String, Hash)>,
    /// Requests at most: one each interval, and a burst.
    pub rate: Option<(Duration, u32)>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(deserialize_with = "present")]
    tls_server_config: Option<Option<TlsFile>>,
    http_server_config: Option<HttpFile>,
    #[serde(deserialize_with = "present")]
    basic_auth_users: Option<Spanned<Option<Named<Option<Text>>>>>,
    rate_limit: Option<RateFile>,
}

/// Tells a key without a value, where protection was meant, from a key that is not there.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsFile {
    cert: Option<Text>,
    key: Option<Text>,
    client_ca: Option<Text>,
    cert_file: Option<Text>,
    key_file: Option<Text>,
    client_ca_file: Option<Text>,
    client_auth_type: Option<Text>,
    client_allowed_sans: Option<Vec<Text>>,
    min_version: Option<Text>,
    max_version: Option<Text>,
    cipher_suites: Option<Vec<Text>>,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Option<Vec<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpFile {
    http2: Option<bool>,
    headers: Option<Named<Option<Text>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateFile {
    interval: Option<Text>,
    burst: Option<Text>,
}

/// Where the text comes from: its name for messages, and the folder that relative paths are relative to.
struct Origin<'a> {
    name: &'a str,
    folder: &'a Path,
}

impl Origin<'_> {
    /// A refusal that points at a value.
    fn at<T>(&self, value: &Spanned<T>, code: Code, message: impl std::fmt::Display) -> Invalid {
        Invalid::new(format!("{}{message}", self.place(value))).code(code)
    }

    /// Where a value stands.
    fn place<T>(&self, value: &Spanned<T>) -> String {
        format!("{}:{}:{}: ", self.name, value.referenced.line(), value.referenced.column())
    }

    /// A refusal of the file as a whole.
    fn refuse(&self, code: Code, message: &str) -> Invalid {
        Invalid::new(format!("{}: {message}", self.name)).code(code)
    }

    /// The value that all of `found` have to be chosen from.
    fn choose<T>(&self, key: &str, value: &Text, known: &[(&str, T)], refused: &str) -> Result<T, Invalid>
    where
        T: Clone,
    {
        if let Some((_, found)) = known.iter().find(|(name, _)| *name == value.value) {
            return Ok(found.clone());
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        Err(unknown_value(&format!("{}{key}: `{}` {refused}", self.place(value), shown(&value.value)), &value.value, &names))
    }

    fn all<T: Clone>(&self, key: &str, values: &[Text], known: &[(&str, T)], refused: &str) -> Result<Vec<T>, Invalid> {
        values.iter().map(|value| self.choose(key, value, known, refused)).collect()
    }

    /// Text that is given inline or by the name of its file, but not in both ways.
    fn pem(&self, key: &str, inline: Option<Text>, file: Option<Text>) -> Result<Option<Pem>, Invalid> {
        let given = |text: Option<Text>| text.filter(|t| !t.value.is_empty());
        match (given(inline), given(file)) {
            (Some(inline), Some(_)) => Err(self
                .at(&inline, codes::CONFLICT, format_args!("{key} and {key}_file are both given"))
                .hint(format!("write {key}_file alone"))),
            (Some(inline), None) => Ok(Some(Pem::Inline(inline.value))),
            (None, Some(file)) => Ok(Some(Pem::File(self.folder.join(file.value)))),
            (None, None) => Ok(None),
        }
    }
}

/// A value as a message shows it: one line, and no more than a name may have.
fn shown(value: &str) -> String {
    value.chars().take(64).flat_map(char::escape_debug).collect()
}

/// Reads the text of a web configuration file; `name` is its path.
///
/// # Errors
/// What is wrong, where, and what to write instead. Never holds a password, a hash or a key.
pub fn parse(text: &str, name: &str) -> Result<Settings, Invalid> {
    let folder = Path::new(name).parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let origin = Origin { name, folder: &folder };
    let file: File = config::parse(text, name)?;
    let http = file.http_server_config.unwrap_or_default();
    Ok(Settings {
        tls: file.tls_server_config.map(|tls| self::tls(&origin, tls.unwrap_or_default())).transpose()?,
        http2: http.http2.unwrap_or(true),
        headers: http.headers.map_or_else(|| Ok(Vec::new()), |named| self::headers(&origin, named))?,
        users: file.basic_auth_users.map_or_else(|| Ok(Vec::new()), |named| users(&origin, named))?,
        rate: file.rate_limit.map_or(Ok(None), |rate| self::rate(&origin, rate))?,
    })
}

fn tls(origin: &Origin<'_>, file: TlsFile) -> Result<TlsSettings, Invalid> {
    let cert = origin.pem("cert", file.cert, file.cert_file)?;
    let key = origin.pem("key", file.key, file.key_file)?;
    let client_ca = origin.pem("client_ca", file.client_ca, file.client_ca_file)?;
    let (Some(cert), Some(key)) = (cert, key) else {
        return Err(origin
            .refuse(codes::INCOMPLETE, "tls_server_config: TLS needs both a certificate and its key")
            .hint("write cert_file and key_file; `tls-init` makes both, with this file"));
    };
    let client_auth = match &file.client_auth_type {
        None => ClientAuth::None,
        Some(given) if given.value.is_empty() => ClientAuth::None,
        Some(given) if matches!(given.value.as_str(), "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert") => {
            return Err(origin
                .at(given, codes::INSECURE, format_args!("client_auth_type: {} asks for a certificate and lets any pass", given.value))
                .hint("write `client_auth_type: RequireAndVerifyClientCert` and client_ca_file"));
        }
        Some(given) => origin.choose("client_auth_type", given, choices::CLIENT_AUTH, "is not known")?,
    };
    match (&client_ca, client_auth) {
        (Some(_), ClientAuth::None) => {
            return Err(origin
                .refuse(codes::INCOMPLETE, "tls_server_config: there is a client_ca, but clients are not asked for a certificate")
                .hint("write `client_auth_type: RequireAndVerifyClientCert`"));
        }
        (None, ClientAuth::IfGiven | ClientAuth::Required) => {
            return Err(origin
                .refuse(codes::INCOMPLETE, "tls_server_config: the certificates of clients are to be verified, but no authority is named")
                .hint("write client_ca_file: the authority that signs your clients' certificates, never a public one"));
        }
        _ => {}
    }
    let sans = file.client_allowed_sans.unwrap_or_default();
    if let Some(first) = sans.first().filter(|_| client_auth != ClientAuth::Required) {
        return Err(origin
            .at(first, codes::INCOMPLETE, "client_allowed_sans: a client without a certificate has no name to compare")
            .hint("write `client_auth_type: RequireAndVerifyClientCert`"));
    }
    if let Some(empty) = sans.iter().find(|san| san.value.is_empty()) {
        return Err(origin
            .at(empty, codes::INCOMPLETE, "client_allowed_sans: there is no name")
            .hint("write a DNS name, address, e-mail or URI"));
    }
    let version = |key: &str, value: &Option<Text>, default| match value {
        None => Ok(default),
        Some(old) if matches!(old.value.as_str(), "TLS10" | "TLS11") => Err(origin
            .at(old, codes::INSECURE, format_args!("{key}: {} is broken and not spoken: only TLS 1.2 and 1.3 are", old.value))
            .hint(format!("write `{key}: {}`, or remove the line", if key == "min_version" { "TLS12" } else { "TLS13" }))),
        Some(value) => origin.choose(key, value, choices::VERSIONS, "is not known"),
    };
    let (oldest, newest) = (version("min_version", &file.min_version, 2)?, version("max_version", &file.max_version, 3)?);
    if oldest > newest {
        return Err(origin.refuse(codes::CONFLICT, "tls_server_config: max_version is older than min_version").hint("remove max_version"));
    }
    let not_spoken = "is not known, or not safe enough to be spoken";
    let suites = file.cipher_suites.filter(|list| !list.is_empty());
    let curves = file.curve_preferences.filter(|list| !list.is_empty());
    Ok(TlsSettings {
        cert,
        key,
        client_ca,
        client_auth,
        allowed_sans: sans.into_iter().map(|san| san.value).collect(),
        versions: (oldest, newest),
        suites: suites.map(|list| origin.all("cipher_suites", &list, choices::SUITES, not_spoken)).transpose()?,
        server_order: file.prefer_server_cipher_suites.unwrap_or(true),
        curves: curves.map(|list| origin.all("curve_preferences", &list, choices::CURVES, not_spoken)).transpose()?,
    })
}

fn headers(origin: &Origin<'_>, named: Named<Option<Text>>) -> Result<Vec<(HeaderName, HeaderValue)>, Invalid> {
    let mut found = Vec::new();
    for (name, value) in named.0 {
        // The format says: not set if blank.
        let Some(value) = value.filter(|v| !v.value.is_empty()) else { continue };
        let placed = |error: Invalid| Invalid { message: format!("{}{}", origin.place(&value), error.message), ..error };
        found.push(headers::read(&name, &value.value).map_err(placed)?);
    }
    Ok(found)
}

fn users(origin: &Origin<'_>, named: Spanned<Option<Named<Option<Text>>>>) -> Result<Vec<(String, Hash)>, Invalid> {
    let given = named.value.as_ref().map_or(0, |users| users.0.len());
    if given == 0 {
        return Err(origin
            .at(&named, codes::INSECURE, "basic_auth_users: there is no user, so that everybody would be let in")
            .hint("remove basic_auth_users, or write a user: `name: bcrypt hash`"));
    }
    let mut users = Vec::new();
    for (name, value) in named.value.unwrap_or_default().0 {
        let named_user = shown(&name);
        let Some(value) = value else {
            return Err(origin.refuse(codes::INCOMPLETE, &format!("basic_auth_users: {named_user} has no password")).hint(HASH_HINT));
        };
        if name.is_empty() || name.contains(':') {
            return Err(origin
                .at(&value, codes::FORM, format_args!("basic_auth_users: no client can send {named_user:?} as the name of a user"))
                .hint("a name is not empty and has no colon"));
        }
        match Hash::parse(&value.value) {
            Ok(hash) => users.push((name, hash)),
            Err((code, why)) => {
                return Err(origin.at(&value, code, format_args!("basic_auth_users: the password of {named_user} {why}")).hint(HASH_HINT));
            }
        }
    }
    Ok(users)
}

/// How to make a hash that is taken; the program asks for the password.
const HASH_HINT: &str = r#"make a hash with: htpasswd -nBC 10 "" | tr -d ':\n'"#;

fn rate(origin: &Origin<'_>, file: RateFile) -> Result<Option<(Duration, u32)>, Invalid> {
    let hint = "write both: `interval: 100ms` is ten requests a second, `burst: 20` what may come at once";
    let interval = match &file.interval {
        None => Duration::ZERO,
        Some(text) if text.value == "0" => Duration::ZERO,
        Some(text) => {
            text.value
                .parse::<Span>()
                .map_err(|e| origin.at(text, codes::DURATION, format_args!("rate_limit: interval: {e}")).hint(hint))?
                .0
        }
    };
    let burst = match &file.burst {
        None => 0,
        Some(text) => text.value.parse::<u32>().map_err(|_| {
            origin
                .at(text, codes::WRONG_KIND, format_args!("rate_limit: burst: `{}` is not a whole number, 0 or more", shown(&text.value)))
                .hint(hint)
        })?,
    };
    match (interval.is_zero(), burst) {
        (true, 0) => Ok(None),
        (true, _) if file.interval.is_some() => Ok(None),
        (true, _) => Err(origin.refuse(codes::INCOMPLETE, "rate_limit: a burst without an interval limits nothing").hint(hint)),
        (false, 0) => Err(origin.refuse(codes::RANGE, "rate_limit: with a burst of 0 every request would be refused").hint(hint)),
        (false, burst) => Ok(Some((interval, burst))),
    }
}
