//! Where a target is and as whom to log in: file, environment (redis_exporter's REDIS_*), flags.
//!
//! Host, user and password are separate fields; REDIS_ADDR may hold all of them, as the peer has it. A flag goes before
//! the environment, the environment before the file.

use std::path::PathBuf;

use sage_common::codes;
use sage_common::config::credentials::{Credentials, fill};
use sage_common::config::secret::{Secret, credential};
use sage_common::error::{CollectError, Invalid};
use sage_common::net::place;
use sage_common::net::tls::{TlsOptions, Verify};
use sage_common::service::TargetOptions;
use serde::{Deserialize, Serialize};

use crate::address;
use crate::keys::checks::{CheckFlags, Checks};

/// The name that DBAs see in CLIENT LIST.
pub const CLIENT_NAME: &str = "sage-redis-exporter";

/// One server, as the configuration file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Host name, address, or the path of the Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// ACL user; nothing said means the user `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Name of a login below `credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The password from the environment; it cannot be written in the file.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// TLS: disable, insecure, verify-ca, verify-full.
    pub tls: TlsMode,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// PEM file of our client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file of our client key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_file: Option<PathBuf>,
    /// Name that the server's certificate must have, where it is not the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Keys and streams to look at.
    #[serde(skip_serializing_if = "Checks::is_empty")]
    pub checks: Checks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 6379,
            user: None,
            credentials: None,
            password_file: None,
            password: None,
            tls: TlsMode::Disable,
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_server_name: None,
            checks: Checks::default(),
        }
    }
}

/// How much TLS is asked for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS, unchecked.
    Insecure,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// Flags of the first target. There is none for the password: every user of a machine can list its processes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Address of the server: host:port, redis://host:port, rediss://host:port, unix:///path
    #[arg(long = "redis.addr", value_name = "ADDRESS", global = true)]
    addr: Option<String>,
    /// ACL user to log in as
    #[arg(long = "redis.user", value_name = "USER", global = true)]
    user: Option<String>,
    /// File with the password
    #[arg(long = "redis.password-file", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// How the server's certificate is checked
    #[arg(long = "redis.tls", value_name = "MODE", global = true, value_enum)]
    tls: Option<TlsMode>,
    /// PEM file of the authorities to trust
    #[arg(long = "redis.tls-ca-file", value_name = "FILE", global = true)]
    tls_ca_file: Option<PathBuf>,
    /// PEM file of our client certificate
    #[arg(long = "redis.tls-cert-file", value_name = "FILE", global = true)]
    tls_cert_file: Option<PathBuf>,
    /// PEM file of our client key
    #[arg(long = "redis.tls-key-file", value_name = "FILE", global = true)]
    tls_key_file: Option<PathBuf>,
    /// Do not check the server's certificate, where there is TLS
    #[arg(long = "skip-tls-verification", global = true)]
    skip_tls_verification: bool,
    #[command(flatten)]
    checks: CheckFlags,
}

impl Options {
    /// True when the server is reached over a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// True when the server runs on this machine, as far as its address tells.
    pub fn is_local(&self) -> bool {
        self.is_socket() || self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The TLS client's options in force.
    pub fn tls(&self) -> TlsOptions {
        let verify = match self.tls {
            TlsMode::VerifyFull => Verify::Full,
            TlsMode::VerifyCa => Verify::Chain,
            TlsMode::Insecure | TlsMode::Disable => Verify::Nothing,
        };
        TlsOptions { verify, ca_file: self.tls_ca_file.clone(), cert_file: self.tls_cert_file.clone(), key_file: self.tls_key_file.clone() }
    }

    /// The password, if there is one: environment, file, systemd credential. The file may be the peer's map of addresses
    /// and passwords.
    ///
    /// # Errors
    /// The file cannot be read, or its map does not name this server.
    pub fn read_password(&self) -> Result<Option<String>, CollectError> {
        let file = || self.password_file.clone().map(Secret::File);
        let Some(secret) = self.password.clone().or_else(file).or_else(|| credential("redis.password")) else { return Ok(None) };
        let text = secret.read()?;
        let Ok(map) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(&text) else { return Ok(Some(text)) };
        let ours = |key: &String| address::parse(key).is_ok_and(|a| a.host == self.host && a.port.is_none_or(|port| port == self.port));
        let unknown = || {
            CollectError::new(sage_common::error::ErrorKind::Auth, format!("the map {secret:?} has no password for {}", self.describe()))
                .hint("write a line for this address, or only the password, into the file")
                .coded(codes::NO_PASSWORD)
        };
        map.into_iter().find(|(key, _)| ours(key)).map(|(_, password)| Some(password)).ok_or_else(unknown)
    }

    /// Puts environment (`var`) and flags over these options.
    ///
    /// # Errors
    /// A variable or flag that cannot be read; never with its value where that may hold a password.
    pub fn overlay(&mut self, flags: &Flags, var: impl Fn(&'static str) -> Option<String>) -> Result<(), Invalid> {
        let var = |name| var(name).filter(|value| !value.is_empty());
        let truth = |name| var(name).is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"));
        if let Some(text) = var("REDIS_ADDR") {
            self.apply(&text, "REDIS_ADDR")?;
        }
        if let Some(text) = &flags.addr {
            self.apply(text, "--redis.addr")?;
        }
        self.user = flags.user.clone().or_else(|| var("REDIS_USER")).or_else(|| self.user.take());
        if let Some(password) = var("REDIS_PASSWORD") {
            self.password = Some(Secret::Environment("REDIS_PASSWORD", password.into()));
        } else if let Some(file) = var("REDIS_PASSWORD_FILE") {
            self.password = None;
            self.password_file = Some(file.into());
        }
        if flags.password_file.is_some() {
            self.password = None;
            self.password_file.clone_from(&flags.password_file);
        }
        let file = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| var(name).map(PathBuf::from));
        self.tls_ca_file = file(&flags.tls_ca_file, "REDIS_EXPORTER_TLS_CA_CERT_FILE").or_else(|| self.tls_ca_file.take());
        self.tls_cert_file = file(&flags.tls_cert_file, "REDIS_EXPORTER_TLS_CLIENT_CERT_FILE").or_else(|| self.tls_cert_file.take());
        self.tls_key_file = file(&flags.tls_key_file, "REDIS_EXPORTER_TLS_CLIENT_KEY_FILE").or_else(|| self.tls_key_file.take());
        if self.tls != TlsMode::Disable && (flags.skip_tls_verification || truth("REDIS_EXPORTER_SKIP_TLS_VERIFICATION")) {
            self.tls = TlsMode::Insecure;
        }
        self.tls = flags.tls.unwrap_or(self.tls);
        self.checks.overlay(&flags.checks)
    }

    fn apply(&mut self, text: &str, origin: &'static str) -> Result<(), Invalid> {
        let said = address::parse(text).map_err(|e| e.within(origin))?;
        self.host = said.host;
        self.port = said.port.unwrap_or(6379);
        self.user = said.user.or_else(|| self.user.take());
        if let Some(password) = said.password {
            self.password = Some(Secret::Environment(origin, password.into()));
        }
        match said.tls {
            Some(true) if self.tls == TlsMode::Disable => self.tls = TlsMode::VerifyFull,
            Some(false) => self.tls = TlsMode::Disable,
            _ => {}
        }
        Ok(())
    }
}

impl TargetOptions for Options {
    fn budget_key(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.user.as_deref().unwrap_or_default())
    }

    fn describe(&self) -> String {
        let at = if self.is_socket() { self.host.clone() } else { format!("{}:{}", self.host, self.port) };
        self.user.as_ref().map_or(at.clone(), |user| format!("{at} as {user}"))
    }

    fn is_at(&self, address: &str) -> bool {
        let Ok(said) = address::parse(address) else { return false };
        // A password would be without effect, and so would options; neither is passed over.
        if said.password.is_some() || address.contains('?') {
            return false;
        }
        let place = if said.host.starts_with('/') {
            said.host == self.host
        } else {
            said.host.eq_ignore_ascii_case(&self.host) && said.port.unwrap_or(Self::default().port) == self.port
        };
        let tls = said.tls.is_none_or(|tls| tls == (self.tls != TlsMode::Disable));
        place && tls && said.user.is_none_or(|user| Some(user) == self.user)
    }

    fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    fn log_in_with(&mut self, login: &Credentials) -> Result<(), &'static str> {
        fill(&mut self.user, login.user.as_ref(), "user")?;
        fill(&mut self.password_file, login.password_file.as_ref(), "password_file")?;
        fill(&mut self.tls_cert_file, login.tls_cert_file.as_ref(), "tls_cert_file")?;
        fill(&mut self.tls_key_file, login.tls_key_file.as_ref(), "tls_key_file")
    }

    fn validate(&self) -> Result<(), Invalid> {
        // The message does not show the value: an address may hold a password.
        if self.host.contains('@') || self.host.contains("://") {
            return Err(Invalid::new("host is an address, not a host")
                .hint("write host, port and user apart, and tls: verify-full")
                .code(codes::ADDRESS));
        }
        place::check(&self.host, self.port, &[("user", self.user.as_deref())])?;
        place::pair("tls_cert_file and tls_key_file", self.tls_cert_file.is_some(), self.tls_key_file.is_some())?;
        if self.tls == TlsMode::Disable && (self.tls_ca_file.is_some() || self.tls_cert_file.is_some() || self.tls_server_name.is_some()) {
            return Err(Invalid::new("files or names for TLS are given and TLS is off")
                .hint("tls: verify-full, or rediss:// in REDIS_ADDR")
                .code(codes::CONFLICT));
        }
        self.checks.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&'static str, &str)], flags: &Flags) -> Result<Options, Invalid> {
        let mut options = Options::default();
        options.overlay(flags, |name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))?;
        options.validate()?;
        Ok(options)
    }

    #[test]
    fn flags_before_environment() {
        let vars = [("REDIS_ADDR", "redis://u:p@a:1"), ("REDIS_USER", "v"), ("REDIS_PASSWORD_FILE", "/x")];
        let o = with(&vars, &Flags { addr: Some("b:2".into()), user: Some("w".into()), ..Flags::default() }).unwrap();
        assert_eq!((o.host.as_str(), o.port, o.describe()), ("b", 2, "b:2 as w".to_owned()));
        assert_eq!(o.password_file, Some("/x".into()));
        assert_eq!(with(&[("REDIS_PASSWORD", "a"), ("REDIS_PASSWORD_FILE", "/x")], &Flags::default()).unwrap().password_file, None);
    }

    #[test]
    fn the_peer_s_addresses_and_tls() {
        let o = with(&[("REDIS_ADDR", "rediss://cache")], &Flags::default()).unwrap();
        assert_eq!((o.tls, o.port, o.is_local()), (TlsMode::VerifyFull, 6379, false));
        let vars = [("REDIS_ADDR", "rediss://cache"), ("REDIS_EXPORTER_SKIP_TLS_VERIFICATION", "true")];
        assert_eq!(with(&vars, &Flags::default()).unwrap().tls, TlsMode::Insecure);
        let o = with(&[("REDIS_ADDR", "unix:///run/r.sock")], &Flags::default()).unwrap();
        assert_eq!((o.is_socket(), o.is_local(), o.describe()), (true, true, "/run/r.sock".to_owned()));
        assert_eq!(with(&[("REDIS_ADDR", "redis://u:p%23@h")], &Flags::default()).unwrap().read_password().unwrap().as_deref(), Some("p#"));
    }

    #[test]
    fn the_peer_s_map_of_passwords() {
        let secret = |text: &str| Some(Secret::Environment("REDIS_PASSWORD", text.into()));
        let o = |text: &str| Options { password: secret(text), host: "b".into(), ..Options::default() };
        let map = r#"{"redis://a:6379": "one", "redis://b:6379": "two"}"#;
        assert_eq!(o(map).read_password().unwrap().as_deref(), Some("two"));
        assert_eq!(o("{not a map").read_password().unwrap().as_deref(), Some("{not a map"));
        let error = o(r#"{"redis://a:6379": "canary"}"#).read_password().unwrap_err();
        assert!(!format!("{error} {:?}", error.hint).contains("canary"));
    }

    #[test]
    fn a_target_is_known_by_its_address() {
        let o = Options { host: "Cache.example".to_owned(), port: 6380, user: Some("sage".to_owned()), ..Options::default() };
        for address in
            ["cache.example:6380", "redis://cache.example:6380", "redis://sage@cache.example:6380/0", "valkey://cache.example:6380"]
        {
            assert!(o.is_at(address), "{address}");
        }
        for address in [
            "",
            "cache.example",
            "other:6380",
            "rediss://cache.example:6380",
            "redis://root@cache.example:6380",
            "redis://sage:x@cache.example:6380",
            "redis://cache.example:6380?db=1",
            "cache.example:6380@other",
            "http://cache.example:6380",
        ] {
            assert!(!o.is_at(address), "{address}");
        }
        assert!(Options { port: 6379, ..o.clone() }.is_at("cache.example"));
        assert!(Options { tls: TlsMode::VerifyFull, ..o }.is_at("rediss://cache.example:6380"));
        let socket = Options { host: "/run/r.sock".to_owned(), ..Options::default() };
        assert!(socket.is_at("unix:///run/r.sock") && socket.is_at("/run/r.sock") && !socket.is_at("/run/other.sock"));
    }

    #[test]
    fn what_cannot_work_is_refused_without_the_value() {
        for (host, want) in
            [("redis://u:canary@h", "an address"), ("u:canary@h", "an address"), ("canary,b", "several servers"), ("", "empty")]
        {
            let e = Options { host: host.to_owned(), ..Options::default() }.validate().unwrap_err();
            assert!(e.message.contains(want) && !e.to_string().contains("canary"), "{host}: {e}");
        }
        let error = with(&[("REDIS_ADDR", "http://canary")], &Flags::default()).unwrap_err();
        assert!(error.message.contains("REDIS_ADDR") && !error.to_string().contains("canary"), "{error}");
        assert!(Options { tls_ca_file: Some("/x".into()), ..Options::default() }.validate().is_err());
    }
}
