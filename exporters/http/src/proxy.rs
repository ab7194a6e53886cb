//! Which proxy leads to a host, if any: by the module, or by the environment as other programs read it.
//!
//! The rules of exceptions are those of Go, which blackbox_exporter has: names with their subdomains, `.suffix` without the
//! name itself, addresses, CIDR, each with a port where wanted, `*` for all.

use std::net::IpAddr;

use sage_common::error::CollectError;
use url::{Host, Url};

use crate::config::http::HttpConfig;
use crate::config::http::auth::BasicAuth;
use crate::config::http::proxy::ProxyUrl;
use crate::network::Network;
use crate::reason::Reason;

/// Who named the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The module.
    Config,
    /// The environment of the process.
    Environment,
}

impl Source {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Environment => "environment",
        }
    }
}

/// A user and how their password is had.
#[derive(Clone)]
pub enum User {
    /// By the module's files.
    Files(BasicAuth),
    /// By the URL in the environment.
    Known(String, String),
}

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Where it is; http or https.
    pub url: Url,
    /// Who we are to it.
    pub user: Option<User>,
    /// Who named it.
    pub source: Source,
}

/// The proxy for `url`; `variable` reads the environment.
///
/// # Errors
/// `proxy_failed` when the environment names none that can be used.
pub fn choose(http: &HttpConfig, url: &Url, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, CollectError> {
    if let Some(proxy) = &http.proxy_url {
        let user = http.proxy_basic_auth.clone().map(User::Files);
        let exempt = http.no_proxy.as_ref().is_some_and(|list| is_exempt(list, url));
        return Ok((!exempt).then(|| Proxy { url: proxy.0.clone(), user, source: Source::Config }));
    }
    if !http.proxy_from_environment {
        return Ok(None);
    }
    let either = |upper: &str| variable(upper).or_else(|| variable(&upper.to_ascii_lowercase())).filter(|text| !text.is_empty());
    let name = if url.scheme() == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let Some(text) = either(name) else { return Ok(None) };
    if is_exempt(&either("NO_PROXY").unwrap_or_default(), url) {
        return Ok(None);
    }
    let (proxy, user) =
        ProxyUrl::parse(&text).map_err(|e| Reason::PROXY_FAILED.error(format!("{name} of the environment: {}", e.message)))?;
    let user = http.proxy_basic_auth.clone().map(User::Files).or(user.map(|(name, password)| User::Known(name, password)));
    Ok(Some(Proxy { url: proxy.0, user, source: Source::Environment }))
}

/// Whether the host of `url` is reached without a proxy: this machine always is, where a list can be given.
fn is_exempt(list: &str, url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
    let (name, ip) = match host {
        Host::Domain(name) => (name.trim_end_matches('.').to_ascii_lowercase(), None),
        Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(ip))),
        Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(ip))),
    };
    if name == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).filter(|rule| !rule.is_empty()).any(|rule| matches(&rule.to_ascii_lowercase(), &name, ip, port))
}

fn matches(rule: &str, name: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let Ok(network) = rule.parse::<Network>() {
        return ip.is_some_and(|ip| network.contains(ip));
    }
    let (rule, wanted) = match rule.rsplit_once(':') {
        Some((rule, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => (rule, digits.parse::<u16>().ok()),
        _ => (rule, None),
    };
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let bare = rule.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return ip.is_some_and(|ip| ip.to_canonical() == address.to_canonical());
    }
    let rule = rule.trim_start_matches('*').trim_end_matches('.');
    match rule.strip_prefix('.') {
        Some(suffix) => name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')),
        None => name == rule || name.strip_suffix(rule).is_some_and(|rest| rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempt(list: &str, url: &str) -> bool {
        is_exempt(list, &Url::parse(url).unwrap())
    }

    #[test]
    fn exceptions_are_names_suffixes_addresses_networks_and_ports() {
        for (list, url, want) in [
            ("", "http://a.example/", false),
            ("", "http://localhost:8080/", true),
            ("", "http://127.0.0.9/", true),
            ("", "http://[::1]/", true),
            ("*", "http://a.example/", true),
            ("a.example", "http://A.example./", true),
            ("a.example", "http://b.a.example/", true),
            ("a.example", "http://ba.example/", false),
            (".a.example", "http://a.example/", false),
            (".a.example", "http://b.a.example/", true),
            ("*.a.example", "http://b.a.example/", true),
            ("x, a.example:8080 ,y", "http://a.example:8080/", true),
            ("a.example:8080", "http://a.example/", false),
            ("a.example:443", "https://a.example/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.0.0.0/8", "http://ten.example/", false),
            ("2001:db8::/32", "http://[2001:db8::7]:81/", true),
            ("10.1.2.3", "http://10.1.2.3:99/", true),
            ("10.1.2.3:98", "http://10.1.2.3:99/", false),
            ("[2001:db8::7]:81", "http://[2001:db8::7]:81/", true),
        ] {
            assert_eq!(exempt(list, url), want, "{list} {url}");
        }
    }

    #[test]
    fn the_environment_is_read_in_both_spellings_and_its_user_too() {
        let http: HttpConfig = sage_common::config::parse("proxy_from_environment: true", "test.yml").unwrap();
        let pick = |url: &str, set: &[(&str, &str)]| {
            let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            choose(&http, &Url::parse(url).unwrap(), get)
        };
        let set = [("http_proxy", "u:canary@plain:1"), ("HTTPS_PROXY", "https://secure:2"), ("no_proxy", "off.example")];
        let plain = pick("http://a.example/", &set).unwrap().unwrap();
        assert_eq!((plain.url.as_str(), plain.source), ("http://plain:1/", Source::Environment));
        assert!(matches!(plain.user, Some(User::Known(user, password)) if user == "u" && password == "canary"));
        assert_eq!(pick("https://a.example/", &set).unwrap().unwrap().url.as_str(), "https://secure:2/");
        assert!(pick("http://off.example/", &set).unwrap().is_none() && pick("http://a.example/", &[]).unwrap().is_none());
        let error = pick("http://a.example/", &[("HTTP_PROXY", "socks5://u:canary@x")]).err().unwrap();
        assert!(Reason::of(&error) == Reason::PROXY_FAILED && !error.to_string().contains("canary"), "{error}");
    }
}
