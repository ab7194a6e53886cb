//! Where a target is and as whom to log in: file, environment (libpq's PG* and postgres_exporter's DATA_SOURCE_*), flags.
//!
//! Host, user and password are separate fields. A flag goes before the environment, the environment before the file;
//! within the environment DATA_SOURCE_* goes before PG*.

use std::path::PathBuf;

use sage_common::codes;
use sage_common::config::credentials::{Credentials, fill};
use sage_common::config::secret::{Secret, credential};
use sage_common::error::Invalid;
use sage_common::net::place;
use sage_common::net::tls::{TlsOptions, Verify};
use sage_common::service::TargetOptions;
use serde::{Deserialize, Serialize};

use crate::dsn::{self, Dsn};

/// The name that DBAs see in pg_stat_activity.
pub const APPLICATION_NAME: &str = "sage-postgres-exporter";

/// One server, as the configuration file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Host name, address, or the folder of the Unix socket.
    pub host: String,
    /// Port; it also names the socket.
    pub port: u16,
    /// Role to log in as.
    pub user: String,
    /// Name of a login below `credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// Database of the warm session.
    pub database: String,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The password from the environment; it cannot be written in the file.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// TLS: disable, prefer, require, verify-ca, verify-full; nothing said means verify-full, but prefer on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<PathBuf>,
    /// PEM file of our client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslcert: Option<PathBuf>,
    /// PEM file of our client key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslkey: Option<PathBuf>,
    /// The server's log file, where the server cannot tell (Debian's clusters log outside the server's knowledge).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_file: Option<PathBuf>,
    /// File of custom queries, in postgres_exporter's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_queries: Option<PathBuf>,
    /// Whether custom queries that are not `master` run in every database.
    pub custom_queries_everywhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        let socket = "/var/run/postgresql";
        Self {
            host: if std::path::Path::new(socket).is_dir() { socket.to_owned() } else { "localhost".to_owned() },
            port: 5432,
            user: "sage".to_owned(),
            credentials: None,
            database: "postgres".to_owned(),
            password_file: None,
            password: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            log_file: None,
            custom_queries: None,
            custom_queries_everywhere: false,
        }
    }
}

/// How much TLS is asked for, in libpq's words.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server has it, unchecked.
    Prefer,
    /// TLS, unchecked.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host.
    VerifyFull,
}

impl std::str::FromStr for SslMode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "disable" => Self::Disable,
            // libpq's `allow` differs only in what is tried first.
            "prefer" | "allow" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => {
                return Err(Invalid::new(format!("unknown sslmode {other:?}"))
                    .hint("one of disable, prefer, require, verify-ca, verify-full")
                    .code(codes::UNKNOWN_VALUE));
            }
        })
    }
}

/// Flags of the first target. There is none for the password: every user of a machine can list its processes.
#[derive(clap::Args, Clone, Debug)]
pub struct Flags {
    /// Host name, address or socket folder of the server
    #[arg(long = "postgres.host", value_name = "HOST", global = true)]
    host: Option<String>,
    /// Port of the server
    #[arg(long = "postgres.port", value_name = "PORT", global = true)]
    port: Option<u16>,
    /// Role to log in as
    #[arg(long = "postgres.user", value_name = "ROLE", global = true)]
    user: Option<String>,
    /// Database of the kept session
    #[arg(long = "postgres.database", value_name = "NAME", global = true)]
    database: Option<String>,
    /// File with the password
    #[arg(long = "postgres.password-file", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// disable, prefer, require, verify-ca or verify-full
    #[arg(long = "postgres.sslmode", value_name = "MODE", global = true)]
    sslmode: Option<SslMode>,
    /// Log file of the server, where the server cannot tell
    #[arg(long = "postgres.log-file", value_name = "FILE", global = true)]
    log_file: Option<PathBuf>,
    /// File of custom queries (also PG_EXPORTER_EXTEND_QUERY_PATH)
    #[arg(long = "extend.query-path", value_name = "FILE", global = true)]
    custom_queries: Option<PathBuf>,
    /// Run custom queries that are not `master` in every database (also PG_EXPORTER_AUTO_DISCOVER_DATABASES=true)
    #[arg(long = "auto-discover-databases", global = true)]
    everywhere: bool,
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

    /// The mode in force.
    pub fn ssl_mode(&self) -> SslMode {
        self.sslmode.unwrap_or(if self.is_local() { SslMode::Prefer } else { SslMode::VerifyFull })
    }

    /// The TLS client's options in force.
    pub fn tls(&self) -> TlsOptions {
        let verify = match self.ssl_mode() {
            SslMode::VerifyFull => Verify::Full,
            SslMode::VerifyCa => Verify::Chain,
            // As libpq: an authority given with `require` is checked.
            SslMode::Require if self.sslrootcert.is_some() => Verify::Chain,
            _ => Verify::Nothing,
        };
        TlsOptions { verify, ca_file: self.sslrootcert.clone(), cert_file: self.sslcert.clone(), key_file: self.sslkey.clone() }
    }

    /// Where the password is, if there is one: environment, file, systemd credential.
    pub fn secret(&self) -> Option<Secret> {
        let file = || self.password_file.clone().map(Secret::File);
        self.password.clone().or_else(file).or_else(|| credential("postgres.password"))
    }

    /// Puts environment (`var`) and flags over these options.
    ///
    /// # Errors
    /// A variable that cannot be read; never with its value where that may hold a password.
    pub fn overlay(&mut self, flags: &Flags, var: impl Fn(&'static str) -> Option<String>) -> Result<(), Invalid> {
        for (name, key) in PG_VARIABLES {
            if let Some(value) = var(name) {
                self.set(key, value, name)?;
            }
        }
        self.overlay_data_source(&var)?;
        let Flags { host, port, user, database, password_file, sslmode, log_file, custom_queries, everywhere } = flags.clone();
        self.host = host.unwrap_or_else(|| self.host.clone());
        self.port = port.unwrap_or(self.port);
        self.user = user.unwrap_or_else(|| self.user.clone());
        self.database = database.unwrap_or_else(|| self.database.clone());
        self.sslmode = sslmode.or(self.sslmode);
        self.log_file = log_file.or_else(|| self.log_file.take());
        let named = || var("PG_EXPORTER_EXTEND_QUERY_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.custom_queries = custom_queries.or_else(named).or_else(|| self.custom_queries.take());
        let asked = var("PG_EXPORTER_AUTO_DISCOVER_DATABASES").map(|text| matches!(text.as_str(), "true" | "1"));
        self.custom_queries_everywhere = everywhere || asked.unwrap_or(self.custom_queries_everywhere);
        if password_file.is_some() {
            self.password = None;
            self.password_file = password_file;
        }
        Ok(())
    }

    /// DATA_SOURCE_NAME, or DATA_SOURCE_URI with _USER and _PASS; each of the three also as `_FILE`.
    fn overlay_data_source(&mut self, var: &impl Fn(&'static str) -> Option<String>) -> Result<(), Invalid> {
        let read = |name: &'static str, file: &'static str| -> Result<Option<String>, Invalid> {
            let Some(path) = var(file) else { return Ok(var(name)) };
            let text =
                std::fs::read_to_string(&path).map_err(|e| Invalid::unreadable(format_args!("{file}: {path}"), path.as_ref(), &e))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        };
        let explain = |name: &'static str| move |e: Invalid| e.within(name);
        // Packages ship it set to nothing.
        if let Some(text) = var("DATA_SOURCE_NAME").filter(|text| !text.is_empty()) {
            let servers = dsn::servers(&text);
            if servers > 1 {
                return Err(Invalid::new(format!("DATA_SOURCE_NAME names {servers} servers; a page tells of one"))
                    .hint(SEVERAL)
                    .code(codes::ADDRESS));
            }
            let dsn = dsn::parse(&text).map_err(explain("DATA_SOURCE_NAME"))?;
            return self.apply(dsn, "DATA_SOURCE_NAME");
        }
        if let Some(text) = read("DATA_SOURCE_URI", "DATA_SOURCE_URI_FILE")? {
            let bare = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")).unwrap_or(&text);
            self.apply(dsn::parse_uri(bare).map_err(explain("DATA_SOURCE_URI"))?, "DATA_SOURCE_URI")?;
        }
        if let Some(user) = read("DATA_SOURCE_USER", "DATA_SOURCE_USER_FILE")? {
            self.user = user;
        }
        if let Some(path) = var("DATA_SOURCE_PASS_FILE") {
            self.password = None;
            self.password_file = Some(path.into());
        } else if let Some(password) = var("DATA_SOURCE_PASS") {
            self.password = Some(Secret::Environment("DATA_SOURCE_PASS", password.into()));
        }
        Ok(())
    }

    fn apply(&mut self, dsn: Dsn, origin: &'static str) -> Result<(), Invalid> {
        for (key, value) in dsn.params {
            self.set(&key, value, origin)?;
        }
        Ok(())
    }

    /// Sets what libpq calls `key`.
    fn set(&mut self, key: &str, value: String, origin: &'static str) -> Result<(), Invalid> {
        match key {
            "host" | "hostaddr" if value.contains(',') => {
                return Err(Invalid::new(format!("{origin}: several hosts in one connection string"))
                    .hint("name each server as a target of its own")
                    .code(codes::ADDRESS));
            }
            "host" | "hostaddr" => self.host = value,
            "port" => {
                self.port = value
                    .parse()
                    .map_err(|_| Invalid::new(format!("{origin}: the port is not a number from 1 to 65535")).code(codes::ADDRESS))?
            }
            "user" => self.user = value,
            "password" => self.password = Some(Secret::Environment(origin, value.into())),
            "dbname" => self.database = value,
            "sslmode" => self.sslmode = Some(value.parse()?),
            "sslrootcert" => self.sslrootcert = Some(value.into()),
            "sslcert" => self.sslcert = Some(value.into()),
            "sslkey" => self.sslkey = Some(value.into()),
            // Timeouts follow the scrape's deadline, and our name is our own.
            "connect_timeout" | "application_name" | "fallback_application_name" | "binary_parameters" => {}
            other => {
                let known = "host, port, user, password, dbname, sslmode, sslrootcert, sslcert, sslkey";
                // What is none of libpq's may be a part of a password that holds a blank and lacks its quotes.
                let named = if LIBPQ.contains(&other) { format!("the parameter {other:?}") } else { "a parameter".to_owned() };
                return Err(Invalid::new(format!("{origin}: {named} is not supported"))
                    .hint(format!("known here: {known}; a value with a blank needs quotes"))
                    .code(codes::UNKNOWN_KEY));
            }
        }
        Ok(())
    }
}

/// What to write instead of several servers in one variable.
const SEVERAL: &str = "write each as a target in the file of --config.file, \
    `targets: {one: {host: db1, user: sage, password_file: FILE}, two: {host: db2, user: sage, password_file: FILE}}`, \
    and let Prometheus ask /probe?target=one and /probe?target=two";

/// Parameters of libpq that are not for us.
const LIBPQ: [&str; 18] = [
    "channel_binding",
    "client_encoding",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "passfile",
    "replication",
    "require_auth",
    "service",
    "ssl_min_protocol_version",
    "sslcrl",
    "sslpassword",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// libpq's variables and the parameters they stand for.
const PG_VARIABLES: [(&str, &str); 10] = [
    ("PGHOSTADDR", "hostaddr"),
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
];

impl TargetOptions for Options {
    fn budget_key(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.user)
    }

    fn describe(&self) -> String {
        let at = if self.is_socket() { format!("{}/.s.PGSQL.{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) };
        format!("{at} database {} as {}", self.database, self.user)
    }

    fn is_at(&self, address: &str) -> bool {
        let bare = address.strip_prefix("postgresql://").or_else(|| address.strip_prefix("postgres://")).unwrap_or(address);
        let Ok(Dsn { params }) = dsn::parse_uri(bare) else { return false };
        let said = |key: &str| params.iter().any(|(name, _)| name == key);
        let same = |(key, value): &(String, String)| match key.as_str() {
            "host" => value.eq_ignore_ascii_case(&self.host),
            "port" => *value == self.port.to_string(),
            "dbname" => *value == self.database,
            "user" => *value == self.user,
            // What else it says would be without effect.
            _ => false,
        };
        said("host") && params.iter().all(same) && (said("port") || self.port == Options::default().port)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.custom_queries.iter().cloned().collect()
    }

    fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    fn log_in_with(&mut self, login: &Credentials) -> Result<(), &'static str> {
        // The default counts for nothing said.
        let mut user = Some(&self.user).filter(|user| **user != Self::default().user).cloned();
        fill(&mut user, login.user.as_ref(), "user")?;
        self.user = user.unwrap_or_else(|| self.user.clone());
        fill(&mut self.password_file, login.password_file.as_ref(), "password_file")?;
        fill(&mut self.sslcert, login.tls_cert_file.as_ref(), "sslcert")?;
        fill(&mut self.sslkey, login.tls_key_file.as_ref(), "sslkey")
    }

    fn validate(&self) -> Result<(), Invalid> {
        // The message does not show the value: a connection string may hold a password.
        if self.host.contains(['@', '=']) || self.host.contains("://") {
            return Err(Invalid::new("host is a connection string, not a host")
                .hint("write host, port, user and database apart")
                .code(codes::ADDRESS));
        }
        place::check(&self.host, self.port, &[("user", Some(&self.user)), ("database", Some(&self.database))])?;
        place::pair("sslcert and sslkey", self.sslcert.is_some(), self.sslkey.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FLAGS: Flags = Flags {
        host: None,
        port: None,
        user: None,
        database: None,
        password_file: None,
        sslmode: None,
        log_file: None,
        custom_queries: None,
        everywhere: false,
    };

    fn with(vars: &[(&'static str, &str)], flags: &Flags) -> Result<Options, Invalid> {
        let mut options = Options::default();
        options.overlay(flags, |name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))?;
        Ok(options)
    }

    #[test]
    fn flags_before_data_source_before_pg() {
        let vars = [("PGHOST", "a"), ("PGPORT", "1"), ("PGUSER", "u"), ("DATA_SOURCE_NAME", "host=b user=v")];
        let o = with(&vars, &Flags { user: Some("w".into()), ..NO_FLAGS }).unwrap();
        assert_eq!((o.host.as_str(), o.port, o.user.as_str()), ("b", 1, "w"));
    }

    #[test]
    fn the_peer_s_three_variables() {
        let o =
            with(&[("DATA_SOURCE_URI", "db:5433/app?sslmode=disable"), ("DATA_SOURCE_USER", "u"), ("DATA_SOURCE_PASS", "p@#/")], &NO_FLAGS)
                .unwrap();
        assert_eq!((o.host.as_str(), o.port, o.database.as_str(), o.sslmode), ("db", 5433, "app", Some(SslMode::Disable)));
        assert_eq!(o.secret().unwrap().read().unwrap(), "p@#/");
        assert_eq!(o.describe(), "db:5433 database app as u");
    }

    #[test]
    fn nothing_is_no_data_source_and_several_are_refused() {
        let o = with(&[("DATA_SOURCE_NAME", ""), ("DATA_SOURCE_URI", "db:5433/app")], &NO_FLAGS).unwrap();
        assert_eq!((o.host.as_str(), o.port), ("db", 5433));
        for text in ["postgresql://u:canary@a/x,postgresql://u:canary@b/x", "host=a password=canary,host=b password=canary"] {
            let e = with(&[("DATA_SOURCE_NAME", text)], &NO_FLAGS).unwrap_err();
            assert!(e.message.contains("2 servers") && !e.to_string().contains("canary"), "{e}");
            assert!(e.hint.unwrap().contains("/probe?target=one"));
        }
    }

    #[test]
    fn a_target_is_known_by_its_address() {
        let o = Options { host: "Db.example".to_owned(), port: 5433, database: "app".to_owned(), ..Options::default() };
        for address in ["db.example:5433", "db.example:5433/app", "postgresql://db.example:5433/app", "sage@db.example:5433"] {
            assert!(o.is_at(address), "{address}");
        }
        let others = ["", "app", "db.example", "db.example:5432", "db.example:5433/other", "root@db.example:5433", "x:y@db.example:5433"];
        for address in others.into_iter().chain(["db.example:5433/app?sslmode=disable", "db.example:5433?hostaddr=10.0.0.1"]) {
            assert!(!o.is_at(address), "{address}");
        }
        assert!(Options { port: 5432, ..o.clone() }.is_at("db.example"));
        assert!(Options { host: "::1".to_owned(), ..o }.is_at("[::1]:5433"));
    }

    #[test]
    fn errors_name_the_variable_and_hold_no_secret() {
        for (var, text) in
            [("DATA_SOURCE_NAME", "host=a password='canary"), ("DATA_SOURCE_NAME", "canary=1"), ("PGPORT", "canary"), ("PGSSLMODE", "nope")]
        {
            let e = with(&[(var, text)], &NO_FLAGS).unwrap_err();
            assert!(e.message.contains(var) || e.message.contains("sslmode"), "{e}");
            assert!(!e.message.contains("canary"), "{e}");
        }
    }

    #[test]
    fn a_connection_string_is_no_host_and_is_not_shown() {
        for (host, want) in [
            ("postgresql://u:canary@db/x", "connection string"),
            ("u:canary@db", "connection string"),
            ("host=db password=canary", "connection string"),
            ("canary,db", "several servers"),
        ] {
            let e = Options { host: host.to_owned(), ..Options::default() }.validate().unwrap_err();
            assert!(e.message.contains(want) && !e.to_string().contains("canary"), "{host}: {e}");
        }
        for host in ["db.example", "10.0.0.1", "::1", "/var/run/postgresql"] {
            let valid = Options { host: host.to_owned(), ..Options::default() }.validate();
            assert_eq!(valid, Ok(()), "{host}");
        }
    }

    #[test]
    fn remote_servers_are_verified_unless_told_otherwise() {
        assert_eq!(with(&[("PGHOST", "db.example")], &NO_FLAGS).unwrap().ssl_mode(), SslMode::VerifyFull);
        assert_eq!(with(&[("PGHOST", "127.0.0.1")], &NO_FLAGS).unwrap().ssl_mode(), SslMode::Prefer);
    }
}
