//! Flags and environment of the first target: the variables of nginx-prometheus-exporter, and our own for the password.

use std::path::PathBuf;

use sage_common::codes;
use sage_common::error::Invalid;
use sage_common::net::tls::Verify;
use sage_common::page::{Given, PageOptions, Product};

/// One server, as the configuration file has it.
pub type Options = PageOptions<Nginx>;

/// What the framework for status pages has to know of NGINX.
#[derive(Clone, Debug)]
pub struct Nginx;

impl Product for Nginx {
    const AGENT: &'static str = concat!("sage-nginx-exporter/", env!("CARGO_PKG_VERSION"));
    const URL: &'static str = "http://127.0.0.1:8080/stub_status";
    const CREDENTIAL: &'static str = "nginx.password";
    const PID_FILES: &'static [&'static str] = &["/run/nginx.pid", "/var/run/nginx.pid", "/usr/local/nginx/logs/nginx.pid"];
    const PROGRAMS: &'static [&'static str] = &["nginx", "openresty", "tengine"];
    const FORBIDDEN: &'static str = "write `allow ADDRESS;` with the exporter's address into the location of stub_status, and reload nginx";
    const MISSING: &'static str = "write `location = /stub_status { stub_status; allow 127.0.0.1; deny all; }` into the server block that \
        answers here, and reload nginx; or set url (--nginx.scrape-uri) to where the page is";
}

/// Flags of the first target. There is none for the password: every user of a machine can list its processes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Address of the status page or API: http://HOST:PORT/PATH, https://..., unix:SOCKET:PATH
    #[arg(long = "nginx.scrape-uri", value_name = "ADDRESS", global = true)]
    url: Vec<String>,
    /// User of basic authentication
    #[arg(long = "nginx.user", value_name = "USER", global = true)]
    user: Option<String>,
    /// File with the password
    #[arg(long = "nginx.password-file", value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// How the certificate of an https address is checked
    #[arg(long = "nginx.tls", value_name = "MODE", global = true, value_enum)]
    tls: Option<Verify>,
    /// PEM file of the authorities to trust
    #[arg(long = "nginx.ssl-ca-cert", value_name = "FILE", global = true)]
    tls_ca_file: Option<PathBuf>,
    /// PEM file of our client certificate
    #[arg(long = "nginx.ssl-client-cert", value_name = "FILE", global = true)]
    tls_cert_file: Option<PathBuf>,
    /// PEM file of our client key
    #[arg(long = "nginx.ssl-client-key", value_name = "FILE", global = true)]
    tls_key_file: Option<PathBuf>,
    /// File in which a server on this machine keeps the number of its main process
    #[arg(long = "nginx.pid-file", value_name = "FILE", global = true)]
    pid_file: Option<PathBuf>,
    /// Path of a page of the users' to ask for at each scrape
    #[arg(long = "nginx.probe-path", value_name = "PATH", global = true)]
    probe_path: Option<String>,
}

/// Puts environment (`var`) and flags over these options.
///
/// # Errors
/// An address that cannot be read, or several.
pub fn overlay(options: &mut Options, flags: &Flags, var: impl Fn(&'static str) -> Option<String>) -> Result<(), Invalid> {
    let var = |name| var(name).filter(|value| !value.is_empty());
    // An empty value is none, as a unit file of the peer may have it.
    let file = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| var(name).map(PathBuf::from)).filter(|f| !f.as_os_str().is_empty());
    if flags.url.len() > 1 {
        return Err(Invalid::new("--nginx.scrape-uri is given several times")
            .hint("write each server below targets in the file of --config.file, `targets: {web1: {url: ...}, web2: {url: ...}}`")
            .code(codes::ADDRESS));
    }
    let url = flags.url.first().map(|url| ("--nginx.scrape-uri", url.clone()));
    options.overlay(Given {
        url: url.or_else(|| var("SCRAPE_URI").map(|url| ("SCRAPE_URI", url))),
        host_header: None,
        user: flags.user.clone().or_else(|| var("NGINX_USER")),
        password_file: flags.password_file.clone().or_else(|| var("NGINX_PASSWORD_FILE").map(PathBuf::from)),
        password: var("NGINX_PASSWORD").map(|password| ("NGINX_PASSWORD", password)),
        tls: flags.tls,
        tls_ca_file: file(&flags.tls_ca_file, "SSL_CA_CERT"),
        tls_cert_file: file(&flags.tls_cert_file, "SSL_CLIENT_CERT"),
        tls_key_file: file(&flags.tls_key_file, "SSL_CLIENT_KEY"),
        pid_file: flags.pid_file.clone(),
        probe_path: flags.probe_path.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sage_common::service::TargetOptions as _;

    fn with(vars: &[(&'static str, &str)], flags: &Flags) -> Result<Options, Invalid> {
        let mut options = Options::default();
        overlay(&mut options, flags, |name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))?;
        options.validate()?;
        Ok(options)
    }

    #[test]
    fn the_peer_s_variables_and_flags() {
        assert_eq!(with(&[], &Flags::default()).unwrap().describe(), "http://127.0.0.1:8080/stub_status");
        let vars = [("SCRAPE_URI", "https://web/api"), ("SSL_CA_CERT", "/ca"), ("SSL_CLIENT_CERT", "")];
        let o = with(&vars, &Flags::default()).unwrap();
        assert_eq!((o.describe().as_str(), o.tls_ca_file, o.tls_cert_file), ("https://web/api", Some("/ca".into()), None));
        let flags = Flags { url: vec!["unix:/run/n:/s".into()], ..Flags::default() };
        let o = with(&[("SCRAPE_URI", "http://web/x")], &flags).unwrap();
        assert_eq!(o.socket, Some("/run/n".into()));
        let flags = Flags { url: vec!["http://a/".into(), "http://b/".into()], ..Flags::default() };
        assert!(with(&[], &flags).unwrap_err().hint.unwrap().contains("targets"));
    }
}
