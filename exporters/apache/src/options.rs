//! Flags and environment of the first target: the flags of apache_exporter, which has no variables, and our own.

use std::path::PathBuf;

use sage_common::error::Invalid;
use sage_common::net::tls::Verify;
use sage_common::page::{Given, PageOptions, Product};
use url::Url;

/// One server, as the configuration file has it.
pub type Options = PageOptions<Apache>;

/// What the framework for status pages has to know of Apache.
#[derive(Clone, Debug)]
pub struct Apache;

impl Product for Apache {
    const AGENT: &'static str = concat!("sage-apache-exporter/", env!("CARGO_PKG_VERSION"));
    const URL: &'static str = "http://localhost/server-status?auto";
    const CREDENTIAL: &'static str = "apache.password";
    const PID_FILES: &'static [&'static str] =
        &["/run/apache2/apache2.pid", "/var/run/apache2/apache2.pid", "/run/httpd/httpd.pid", "/usr/local/apache2/logs/httpd.pid"];
    const PROGRAMS: &'static [&'static str] = &["apache2", "httpd"];
    const FORBIDDEN: &'static str = "write `Require local`, or `Require ip ADDRESS` with the exporter's address, into <Location /server-status>, \
        and reload the server";
    const MISSING: &'static str = "load mod_status (a2enmod status) and write `<Location /server-status> SetHandler server-status` into the \
        virtual host that answers here, before any rewrite; or set url (--scrape_uri) to where the page is";

    /// The page for programs, which only `?auto` asks for.
    fn complete(url: &mut Url) {
        let auto = url.query_pairs().any(|(name, _)| name == "auto");
        if !auto {
            let query = url.query().filter(|query| !query.is_empty()).map_or_else(|| "auto".to_owned(), |query| format!("{query}&auto"));
            url.set_query(Some(&query));
        }
    }
}

/// Flags of the first target. There is none for the password: every user of a machine can list its processes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Address of the status page: http://HOST:PORT/PATH, https://..., unix:SOCKET:PATH; ?auto is added
    #[arg(long = "scrape_uri", alias = "apache.url", value_name = "ADDRESS", global = true)]
    url: Option<String>,
    /// Host header, where it is not the host of the address
    #[arg(long = "host_override", alias = "apache.host-header", value_name = "HOST", global = true)]
    host_header: Option<String>,
    /// User of basic authentication
    #[arg(long = "apache.user", value_name = "USER", global = true)]
    user: Option<String>,
    /// File with the password
    #[arg(long = "apache.password-file", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// How the certificate of an https address is checked
    #[arg(long = "apache.tls", value_name = "MODE", global = true, value_enum)]
    tls: Option<Verify>,
    /// PEM file of the authorities to trust
    #[arg(long = "apache.tls-ca-file", value_name = "FILE", global = true)]
    tls_ca_file: Option<PathBuf>,
    /// PEM file of our client certificate
    #[arg(long = "apache.tls-cert-file", value_name = "FILE", global = true)]
    tls_cert_file: Option<PathBuf>,
    /// PEM file of our client key
    #[arg(long = "apache.tls-key-file", value_name = "FILE", global = true)]
    tls_key_file: Option<PathBuf>,
    /// File in which a server on this machine keeps the number of its main process
    #[arg(long = "apache.pid-file", value_name = "FILE", global = true)]
    pid_file: Option<PathBuf>,
    /// Path of a page of the users' to ask for at each scrape
    #[arg(long = "apache.probe-path", value_name = "PATH", global = true)]
    probe_path: Option<String>,
}

/// Puts environment (`var`) and flags over these options.
///
/// # Errors
/// An address that cannot be read.
pub fn overlay(options: &mut Options, flags: &Flags, var: impl Fn(&'static str) -> Option<String>) -> Result<(), Invalid> {
    let var = |name| var(name).filter(|value| !value.is_empty());
    let url = flags.url.clone().map(|url| ("--scrape_uri", url));
    options.overlay(Given {
        url: url.or_else(|| var("APACHE_URL").map(|url| ("APACHE_URL", url))),
        // An empty one is none, as with the peer.
        host_header: flags.host_header.clone().filter(|host| !host.is_empty()),
        user: flags.user.clone().or_else(|| var("APACHE_USER")),
        password_file: flags.password_file.clone().or_else(|| var("APACHE_PASSWORD_FILE").map(PathBuf::from)),
        password: var("APACHE_PASSWORD").map(|password| ("APACHE_PASSWORD", password)),
        tls: flags.tls,
        tls_ca_file: flags.tls_ca_file.clone(),
        tls_cert_file: flags.tls_cert_file.clone(),
        tls_key_file: flags.tls_key_file.clone(),
        pid_file: flags.pid_file.clone(),
        probe_path: flags.probe_path.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_programs_is_asked_for() {
        for (given, want) in [
            ("http://h/server-status", "http://h/server-status?auto"),
            ("http://h/server-status/?auto", "http://h/server-status/?auto"),
            ("http://h/server-status?refresh=5", "http://h/server-status?refresh=5&auto"),
            ("http://h/server-status?auto=", "http://h/server-status?auto="),
        ] {
            let options = Options { url: given.to_owned(), ..Options::default() };
            assert_eq!(options.address().unwrap().as_str(), want, "{given}");
        }
    }

    #[test]
    fn flags_go_before_the_environment() {
        let vars = |name| (name == "APACHE_URL").then(|| "http://a/status".to_owned());
        let mut options = Options::default();
        overlay(&mut options, &Flags { host_header: Some(String::new()), ..Flags::default() }, vars).unwrap();
        assert_eq!((options.url.as_str(), options.host_header.as_deref()), ("http://a/status", None));
        overlay(&mut options, &Flags { url: Some("http://b/".into()), ..Flags::default() }, vars).unwrap();
        assert_eq!(options.url, "http://b/");
    }
}
