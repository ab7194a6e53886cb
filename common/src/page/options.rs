//! Where a status page is and as whom to ask for it: the strict struct of a target, laid over by environment and flags.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

use super::Product;
use crate::codes;
use crate::config::secret::{Secret, credential};
use crate::error::{CollectError, Invalid};
use crate::net::place;
use crate::net::tls::{TlsOptions, Verify};
use crate::service::TargetOptions;

/// One server, as the configuration file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct PageOptions<P: Product> {
    /// Address of the status page; never with a user.
    pub url: String,
    /// Path of a Unix socket to connect to instead of the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Host header, where it is not the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_header: Option<String>,
    /// User of basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The password from the environment; it cannot be written in the file.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Further request headers.
    #[serde(serialize_with = "names_only")]
    pub headers: BTreeMap<String, String>,
    /// How the certificate is checked where the address is https: insecure, verify-ca, verify-full.
    pub tls: Verify,
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
    /// File in which a server on this machine keeps the number of its main process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// Path of a page of the users' that is asked for at each scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_path: Option<String>,
    /// Host header of that question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_host: Option<String>,
    /// The product that the defaults are of; nothing to set.
    #[serde(skip)]
    pub product: PhantomData<P>,
}

/// Headers may hold a token, so `print-config` shows their names.
fn names_only<S: Serializer>(headers: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.keys().map(|name| (name, "<hidden>")))
}

impl<P: Product> Default for PageOptions<P> {
    fn default() -> Self {
        Self {
            url: P::URL.to_owned(),
            socket: None,
            host_header: None,
            user: None,
            password_file: None,
            password: None,
            headers: BTreeMap::new(),
            tls: Verify::default(),
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_server_name: None,
            pid_file: None,
            probe_path: None,
            probe_host: None,
            product: PhantomData,
        }
    }
}

/// What flags and environment say of the first target; what they leave out is `None`.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Address, as the peer takes it: a URL, or `unix:SOCKET:PATH`; and the flag or variable that says so.
    pub url: Option<(&'static str, String)>,
    /// See `PageOptions`.
    pub host_header: Option<String>,
    /// See `PageOptions`.
    pub user: Option<String>,
    /// See `PageOptions`.
    pub password_file: Option<PathBuf>,
    /// The variable that holds the password, and its value.
    pub password: Option<(&'static str, String)>,
    /// See `PageOptions`.
    pub tls: Option<Verify>,
    /// See `PageOptions`.
    pub tls_ca_file: Option<PathBuf>,
    /// See `PageOptions`.
    pub tls_cert_file: Option<PathBuf>,
    /// See `PageOptions`.
    pub tls_key_file: Option<PathBuf>,
    /// See `PageOptions`.
    pub pid_file: Option<PathBuf>,
    /// See `PageOptions`.
    pub probe_path: Option<String>,
}

impl<P: Product> PageOptions<P> {
    /// Lays what is given over these options.
    ///
    /// # Errors
    /// An address that cannot be read, without its text: it may hold a password.
    pub fn overlay(&mut self, given: Given) -> Result<(), Invalid> {
        fn over<T>(ours: &mut Option<T>, given: Option<T>) {
            *ours = given.or(ours.take());
        }
        if let Some((origin, text)) = given.url {
            self.apply(&text, origin).map_err(|e| e.within(origin))?;
        }
        over(&mut self.host_header, given.host_header);
        over(&mut self.user, given.user);
        if given.password_file.is_some() {
            (self.password, self.password_file) = (None, given.password_file);
        } else if let Some((name, value)) = given.password {
            self.password = Some(Secret::Environment(name, value.into()));
        }
        self.tls = given.tls.unwrap_or(self.tls);
        over(&mut self.tls_ca_file, given.tls_ca_file);
        over(&mut self.tls_cert_file, given.tls_cert_file);
        over(&mut self.tls_key_file, given.tls_key_file);
        over(&mut self.pid_file, given.pid_file);
        over(&mut self.probe_path, given.probe_path);
        Ok(())
    }

    fn apply(&mut self, text: &str, origin: &'static str) -> Result<(), Invalid> {
        self.socket = None;
        let Some(rest) = text.strip_prefix("unix:") else {
            let mut url = parse(text)?;
            if let Some(password) = url.password() {
                self.password = Some(Secret::Environment(origin, decode(password).into()));
            }
            if !url.username().is_empty() {
                self.user = Some(decode(url.username()));
            }
            // An http address has a host, so both can be taken away.
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return Err(Invalid::new("the address names no host").code(codes::ADDRESS));
            }
            self.url = url.into();
            return Ok(());
        };
        let (socket, path) = rest.rsplit_once(':').filter(|(_, path)| path.starts_with('/')).unwrap_or((rest, ""));
        if !socket.starts_with('/') {
            return Err(Invalid::new("the path of the socket does not begin with /")
                .hint("write unix:/run/nginx.sock:/stub_status")
                .code(codes::ADDRESS));
        }
        self.socket = Some(socket.into());
        let path = if path.is_empty() { parse(P::URL)?.path().to_owned() } else { path.to_owned() };
        self.url = format!("http://localhost{path}");
        Ok(())
    }

    /// The address of the status page.
    ///
    /// # Errors
    /// It is no address; refused when the configuration was loaded.
    pub fn address(&self) -> Result<Url, Invalid> {
        let mut url = parse(&self.url)?;
        P::complete(&mut url);
        Ok(url)
    }

    /// True when the server runs on this machine, as far as its address tells.
    pub fn is_local(&self) -> bool {
        let local = |url: Url| match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        self.socket.is_some() || parse(&self.url).is_ok_and(local)
    }

    /// The TLS client's options in force.
    pub fn tls(&self) -> TlsOptions {
        TlsOptions {
            verify: self.tls,
            ca_file: self.tls_ca_file.clone(),
            cert_file: self.tls_cert_file.clone(),
            key_file: self.tls_key_file.clone(),
        }
    }

    /// The password, if there is one: environment, file, systemd credential.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_password(&self) -> Result<Option<String>, CollectError> {
        let file = || self.password_file.clone().map(Secret::File);
        self.password.clone().or_else(file).or_else(|| credential(P::CREDENTIAL)).map(|secret| secret.read()).transpose()
    }
}

/// Reads an address. No message shows it: it may hold a password.
fn parse(text: &str) -> Result<Url, Invalid> {
    let hint = "write it as http://HOST:PORT/PATH or https://HOST/PATH";
    let url = Url::parse(text).map_err(|e| Invalid::new(format!("the address is not a URL ({e})")).hint(hint).code(codes::ADDRESS))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Invalid::new("the address is neither http nor https").hint(hint).code(codes::ADDRESS));
    }
    Ok(url)
}

/// Percent-decoding; what is no UTF-8 afterwards is replaced.
fn decode(text: &str) -> String {
    // A query decodes `+` as well, which stands for itself in a user or password.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

impl<P: Product> TargetOptions for PageOptions<P> {
    fn budget_key(&self) -> String {
        format!("{}/{}", self.describe(), self.user.as_deref().unwrap_or_default())
    }

    fn describe(&self) -> String {
        let Ok(mut url) = parse(&self.url) else { return "an address that cannot be read".to_owned() };
        // A query may hold a token.
        url.set_query(None);
        self.socket.as_ref().map_or_else(|| url.to_string(), |socket| format!("{url} over {}", socket.display()))
    }

    fn validate(&self) -> Result<(), Invalid> {
        let refuse = |code, message: &str, hint: &str| Err(Invalid::new(message).hint(hint).code(code));
        let url = self.address()?;
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(codes::SECRET_IN_FILE, "url holds a user or password", "write user and password_file apart");
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.contains(':')) {
            return refuse(codes::FORM, "user is empty or holds a colon", "leave a setting out to get its default");
        }
        if self.user.is_none() && (self.password_file.is_some() || self.password.is_some()) {
            return refuse(codes::INCOMPLETE, "there is a password and no user", "write user as well");
        }
        place::pair("tls_cert_file and tls_key_file", self.tls_cert_file.is_some(), self.tls_key_file.is_some())?;
        let tls = [self.tls_ca_file.is_some(), self.tls_cert_file.is_some(), self.tls_server_name.is_some()];
        if url.scheme() == "http" && tls.contains(&true) {
            return refuse(codes::CONFLICT, "files or names for TLS are given and url is http", "write url with https://");
        }
        if self.probe_path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(|c: char| c == ' ' || c.is_control())) {
            return refuse(codes::FORM, "probe_path is no path", "write it as /PATH, without host and blanks");
        }
        for host in [&self.host_header, &self.probe_host].into_iter().flatten() {
            if host.is_empty() || host.contains(['/', ' ', '@']) || HeaderValue::from_str(host).is_err() {
                return refuse(codes::FORM, "host_header or probe_host is no host", "write it as HOST or HOST:PORT");
            }
        }
        for (name, value) in &self.headers {
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                return refuse(codes::FORM, &format!("headers: {name:?} is not a header name"), "a name is letters, digits and hyphens");
            };
            if HeaderValue::from_str(value).is_err() {
                return refuse(
                    codes::FORM,
                    &format!("headers: the value of {name} cannot be sent"),
                    "a value is one line of printable characters",
                );
            }
            if header == AUTHORIZATION {
                return refuse(codes::SECRET_IN_FILE, "headers: a secret does not stand in this file", "write user and password_file");
            }
            if [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
                return refuse(codes::CONFLICT, &format!("headers: {name} is set by the exporter"), "for the host there is host_header");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Plain;
    use super::*;

    type Options = PageOptions<Plain>;

    fn with(text: &str) -> Result<Options, Invalid> {
        let mut options = Options::default();
        options.overlay(Given { url: Some(("--url", text.to_owned())), ..Given::default() })?;
        options.validate()?;
        Ok(options)
    }

    #[test]
    fn addresses_as_the_peers_take_them() {
        let o = with("http://127.0.0.1:8080/stub_status").unwrap();
        assert_eq!((o.describe().as_str(), o.is_local()), ("http://127.0.0.1:8080/stub_status", true));
        let o = with("unix:/run/n.sock:/status").unwrap();
        assert_eq!((o.describe().as_str(), o.is_local()), ("http://localhost/status over /run/n.sock", true));
        assert_eq!(with("unix:/run/n.sock").unwrap().describe(), "http://localhost/plain over /run/n.sock");
        let o = with("https://u:p%40%2B+@web.example/s?token=canary").unwrap();
        assert_eq!((o.user.as_deref(), o.read_password().unwrap().as_deref(), o.is_local()), (Some("u"), Some("p@++"), false));
        assert_eq!((o.url.as_str(), o.describe().as_str()), ("https://web.example/s?token=canary", "https://web.example/s"));
        assert!(with("http://[::1]/s").unwrap().is_local() && with("http://localhost/").unwrap().is_local());
    }

    #[test]
    fn what_cannot_work_is_refused_without_the_value() {
        for (text, want) in [
            ("ftp://canary/", "neither http nor https"),
            ("canary", "--url: the address is not a URL"),
            ("unix:canary", "does not begin with /"),
            ("http://can ary/", "not a URL"),
        ] {
            let error = with(text).unwrap_err();
            assert!(error.message.contains(want) && !error.to_string().contains("canary"), "{text}: {error}");
        }
        let refused = |options: Options| options.validate().unwrap_err().message;
        let o = Options::default;
        assert!(refused(Options { url: "http://u:canary@h/".into(), ..o() }).starts_with("url holds"));
        assert!(refused(Options { tls_ca_file: Some("/x".into()), ..o() }).contains("url is http"));
        assert!(refused(Options { password_file: Some("/x".into()), ..o() }).contains("no user"));
        assert!(refused(Options { probe_path: Some("http://h/".into()), ..o() }).contains("no path"));
        assert!(refused(Options { host_header: Some("h/x".into()), ..o() }).contains("no host"));
        for name in ["authorization", "Host", "a b", "Content-Length"] {
            assert!(refused(Options { headers: [(name.to_owned(), "canary".to_owned())].into(), ..o() }).starts_with("headers:"), "{name}");
        }
    }

    #[test]
    fn a_flag_s_file_goes_before_the_environment_s_password() {
        let mut o = Options { user: Some("u".into()), ..Options::default() };
        o.overlay(Given { password: Some(("X", "a".into())), ..Given::default() }).unwrap();
        assert_eq!(o.read_password().unwrap().as_deref(), Some("a"));
        o.overlay(Given { password: Some(("X", "a".into())), password_file: Some("/nowhere".into()), ..Given::default() }).unwrap();
        assert!(o.password.is_none() && o.read_password().is_err());
    }

    #[test]
    fn headers_are_not_shown() {
        let o = Options { headers: [("x-token".to_owned(), "canary".to_owned())].into(), ..Options::default() };
        let text = serde_json::to_string(&o).unwrap();
        assert!(text.contains("x-token") && !text.contains("canary"), "{text}");
    }
}
