//! `hostname=` of a request: what the target is called in Host header and TLS, where it is asked by its address.
//!
//! It chooses who gets the request at that address. So where a module has `allowed_targets`, the name must stand in them,
//! as the target must.

use std::borrow::Cow;

use url::Host;

use crate::config::ModuleConfig;
use crate::config::http::HttpConfig;
use crate::connection::{bare, place};
use crate::probes::request::configured_host;

/// Refuses what is no name, and a second name beside that of the module.
///
/// # Errors
/// What is wrong.
pub fn accept(hostname: &str, module: &ModuleConfig) -> Result<(), String> {
    if place(hostname).is_none() {
        return Err("the parameter hostname is no HOST or HOST:PORT".to_owned());
    }
    let own = module.http.as_ref().and_then(configured_host);
    if own.is_some_and(|own| !own.eq_ignore_ascii_case(hostname)) {
        return Err("the module has a Host header, and the parameter hostname is another one: leave one of them out".to_owned());
    }
    Ok(())
}

/// The host of a hostname, as it is looked for among the allowed targets.
pub fn host(hostname: &str) -> Option<Host> {
    place(hostname).map(|(host, _)| host)
}

/// The settings of a module for a target of that name.
pub fn http<'a>(http: &'a HttpConfig, hostname: Option<&str>) -> Cow<'a, HttpConfig> {
    let Some(hostname) = hostname.filter(|_| configured_host(http).is_none()) else { return Cow::Borrowed(http) };
    let mut http = http.clone();
    // The name of the certificate follows the header, unless the module says which one it has.
    http.headers.insert("Host".to_owned(), hostname.to_owned());
    Cow::Owned(http)
}

/// The name that a certificate must have where no Host header says so.
pub fn certificate(hostname: &str) -> Option<String> {
    host(hostname).map(|host| bare(&host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::module;

    #[test]
    fn a_hostname_is_a_host_and_no_second_one() {
        let plain = module("prober: http");
        assert!(accept("www.example.com", &plain).is_ok() && accept("www.example.com:8443", &plain).is_ok());
        for bad in ["a b", "x\r\ny: z", "http://a/", "a@b", ""] {
            assert!(accept(bad, &plain).is_err(), "{bad:?}");
        }
        let named = module("prober: http\nhttp: {headers: {host: a.example}}");
        assert!(accept("A.example", &named).is_ok() && accept("b.example", &named).is_err());
        assert_eq!(
            configured_host(&http(plain.http.as_ref().unwrap_or(&HttpConfig::default()), Some("b.example:81"))),
            Some("b.example:81")
        );
        assert_eq!(certificate("b.example:81").as_deref(), Some("b.example"));
    }
}
