//! `allowed_targets`: for whom a module may be used. Whoever may ask `/probe` names the target; a module that shows
//! credentials says itself who may see them.
//!
//! Hosts are compared as the URL parser reads them, so that no spelling of a name or address makes a difference. Networks
//! are compared with the very address that is connected to, after the name was looked up.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use sage_common::codes;
use sage_common::config;
use sage_common::error::{CollectError, Invalid};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Host;

use crate::connection::place;
use crate::network::Network;
use crate::reason::Reason;

/// What one line of the list stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// A name or an address.
    Host(Host),
    /// All names below one, without itself.
    Below(String),
    /// Addresses.
    Network(Network),
    /// The path of a socket.
    Socket(String),
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    who: Who,
    port: Option<u16>,
    /// Whether TLS must be spoken.
    tls: bool,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTargets(Vec<Line>);

/// The host as it is compared: a name without the dot at its end, an IPv4 address in its own form.
fn plain(host: &Host) -> Host {
    match host {
        Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_ascii_lowercase()),
        Host::Ipv4(ip) => Host::Ipv4(*ip),
        Host::Ipv6(ip) => match ip.to_canonical() {
            IpAddr::V4(ip) => Host::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        },
    }
}

fn literal(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
    }
}

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |hint: &str| Invalid::new(format!("{text:?} is no target")).hint(hint).code(codes::ADDRESS);
        let line = |who, port, tls| Ok(Self { text: text.to_owned(), who, port, tls });
        if text.starts_with('/') {
            return line(Who::Socket(text.to_owned()), None, false);
        }
        if text.contains('*') {
            return Err(wrong("write `.example.com` for all names below example.com, and `10.0.0.0/8` for addresses"));
        }
        let (rest, tls) = text.strip_prefix("https://").map_or((text, false), |rest| (rest, true));
        if let Ok(network) = rest.parse() {
            return line(Who::Network(network), None, tls);
        }
        if let Ok(ip) = rest.parse::<Ipv6Addr>() {
            return line(Who::Host(plain(&Host::Ipv6(ip))), None, tls);
        }
        let usage = "write a host (`www.example.com`), HOST:PORT, `https://HOST` for TLS alone, `.example.com` or `10.0.0.0/8`";
        let (below, rest) = rest.strip_prefix('.').map_or((false, rest), |rest| (true, rest));
        match place(rest) {
            Some((host, port)) => match (plain(&host), below) {
                (Host::Domain(name), true) if !name.is_empty() => line(Who::Below(name), port, tls),
                (host, false) => line(Who::Host(host), port, tls),
                _ => Err(wrong(usage)),
            },
            None => Err(wrong(usage)),
        }
    }
}

impl<'de> Deserialize<'de> for AllowedTargets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read(Line);
        impl<'de> Deserialize<'de> for Read {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map(Self).map_err(config::refused)
            }
        }
        Vec::<Read>::deserialize(deserializer).map(|lines| Self(lines.into_iter().map(|Read(line)| line).collect()))
    }
}

impl Serialize for AllowedTargets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|line| &line.text))
    }
}

impl Line {
    fn names(&self, host: &Host) -> bool {
        match (&self.who, host) {
            (Who::Host(own), host) => own == host,
            (Who::Below(suffix), Host::Domain(name)) => name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.')),
            (Who::Network(network), host) => literal(host).is_some_and(|ip| network.contains(ip)),
            _ => false,
        }
    }

    /// Whether it is known by the address alone.
    fn has(&self, ip: IpAddr) -> bool {
        match &self.who {
            Who::Host(host) => literal(host) == Some(ip.to_canonical()),
            Who::Network(network) => network.contains(ip),
            Who::Below(_) | Who::Socket(_) => false,
        }
    }
}

impl AllowedTargets {
    /// Whether nobody is allowed.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What stands between a module and its targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fence<'a> {
    list: Option<&'a AllowedTargets>,
    tls: bool,
}

impl<'a> Fence<'a> {
    /// No list: every target may be asked.
    pub const OPEN: Self = Self { list: None, tls: false };

    /// The list of a module, if it has one; `tls` where TLS is spoken with the target.
    pub const fn new(list: Option<&'a AllowedTargets>, tls: bool) -> Self {
        Self { list, tls }
    }

    /// The same for a target with which TLS is spoken, or is not.
    pub const fn by(self, tls: bool) -> Self {
        Self { list: self.list, tls }
    }

    fn lines(self, port: u16) -> impl Iterator<Item = &'a Line> {
        let fits = move |line: &&Line| line.port.is_none_or(|own| own == port) && (self.tls || !line.tls);
        self.list.into_iter().flat_map(|list| &list.0).filter(fits)
    }

    /// Whether the list has the host itself: what is asked where no address will be known.
    pub fn knows(self, host: &Host, port: u16) -> bool {
        let host = plain(host);
        self.list.is_none() || self.lines(port).any(|line| line.names(&host))
    }

    /// Refuses a host that cannot be among the allowed ones, whatever address it has.
    ///
    /// # Errors
    /// `target_not_allowed`.
    pub fn may_be(self, host: &Host, port: u16) -> Result<(), CollectError> {
        let by_address = matches!(host, Host::Domain(_))
            && self.lines(port).any(|line| matches!(line.who, Who::Network(_) | Who::Host(Host::Ipv4(_) | Host::Ipv6(_))));
        if by_address || self.knows(host, port) { Ok(()) } else { Err(refused(&format!("{host}:{port}"))) }
    }

    /// Refuses a host that is not among the allowed ones, by itself or by the address that is connected to.
    ///
    /// # Errors
    /// `target_not_allowed`.
    pub fn is(self, host: &Host, port: u16, ip: IpAddr) -> Result<(), CollectError> {
        if self.knows(host, port) || self.lines(port).any(|line| line.has(ip)) {
            return Ok(());
        }
        Err(refused(&format!("{host}:{port} ({ip})")))
    }

    /// Refuses a host that the list does not have itself.
    ///
    /// # Errors
    /// `target_not_allowed`.
    pub fn is_named(self, host: &Host, port: u16) -> Result<(), CollectError> {
        if self.knows(host, port) { Ok(()) } else { Err(refused(&format!("{host}:{port}"))) }
    }

    /// Refuses the path of a socket that is not in the list.
    ///
    /// # Errors
    /// `target_not_allowed`.
    pub fn is_socket(self, path: &str) -> Result<(), CollectError> {
        let known = |list: &AllowedTargets| list.0.iter().any(|line| matches!(&line.who, Who::Socket(own) if own == path));
        if self.list.is_none_or(known) { Ok(()) } else { Err(refused(path)) }
    }
}

fn refused(what: &str) -> CollectError {
    Reason::TARGET_NOT_ALLOWED
        .error(format!("{what} is not in `allowed_targets` of the module, and was not asked"))
        .hint("if it may see what the module sends, add it there, as HOST, HOST:PORT, `https://HOST`, `.example.com` or `10.0.0.0/8`")
}

/// Words that tell of a header's name that its value is a credential.
const TELLING: [&str; 16] = [
    "apikey",
    "assertion",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// Whether a header of this name holds a credential, as its name tells: Authorization, Cookie, X-Api-Key, Private-Token.
pub fn is_secret(name: &str) -> bool {
    name.to_ascii_lowercase().split(['-', '_']).any(|word| TELLING.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[&str]) -> AllowedTargets {
        AllowedTargets(lines.iter().map(|line| line.parse().unwrap()).collect())
    }

    fn asked(line: &str, target: &str, ip: &str) -> bool {
        let (tls, target) = target.strip_prefix("https://").map_or((false, target), |rest| (true, rest));
        let ((host, port), list) = (place(target).unwrap(), list(&[line]));
        let (fence, port) = (Fence::new(Some(&list), tls), port.unwrap_or(80));
        fence.may_be(&host, port).is_ok() && fence.is(&host, port, ip.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_target_is_allowed_by_name_suffix_address_network_port_and_tls() {
        for (line, target, ip, want) in [
            ("a.example", "a.example", "192.0.2.1", true),
            ("a.example", "A.EXAMPLE.:8080", "192.0.2.1", true),
            ("A.Example.", "a.example", "192.0.2.1", true),
            ("a.example", "b.a.example", "192.0.2.1", false),
            ("a.example", "a.example.evil.example", "192.0.2.1", false),
            ("bücher.example", "xn--bcher-kva.example", "192.0.2.1", true),
            ("a.example:443", "a.example:443", "192.0.2.1", true),
            ("a.example:443", "a.example", "192.0.2.1", false),
            (".a.example", "b.a.example", "192.0.2.1", true),
            (".a.example", "c.b.A.example.", "192.0.2.1", true),
            (".a.example", "a.example", "192.0.2.1", false),
            (".a.example", "ba.example", "192.0.2.1", false),
            (".a.example:81", "b.a.example:81", "192.0.2.1", true),
            (".a.example:81", "b.a.example", "192.0.2.1", false),
            ("https://a.example", "https://a.example", "192.0.2.1", true),
            ("https://a.example", "a.example", "192.0.2.1", false),
            ("https://10.0.0.0/8", "https://10.1.2.3", "10.1.2.3", true),
            ("https://10.0.0.0/8", "10.1.2.3", "10.1.2.3", false),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "0xc0.0.0x201", "192.0.2.1", true),
            ("192.0.2.1", "3221225985:99", "192.0.2.1", true),
            ("192.0.2.1", "[::ffff:192.0.2.1]", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", "192.0.2.2", false),
            // A name counts by the address that is connected to.
            ("192.0.2.1", "any.example", "192.0.2.1", true),
            ("192.0.2.0/24", "any.example", "192.0.2.77", true),
            ("192.0.2.0/24", "any.example", "198.51.100.1", false),
            ("192.0.2.0/24", "192.0.2.9:5432", "192.0.2.9", true),
            ("192.0.2.0/24", "198.51.100.1", "198.51.100.1", false),
            ("2001:db8::/32", "[2001:db8::1]", "2001:db8::1", true),
            ("2001:db8::1", "[2001:0db8:0::1]", "2001:db8::1", true),
            ("[2001:db8::1]:81", "[2001:db8::1]:81", "2001:db8::1", true),
            ("[2001:db8::1]:81", "[2001:db8::1]", "2001:db8::1", false),
        ] {
            assert_eq!(asked(line, target, ip), want, "{line} {target} {ip}");
        }
    }

    #[test]
    fn what_is_left_to_a_proxy_must_stand_in_the_list_itself() {
        let list = list(&["192.0.2.0/24", "a.example"]);
        let fence = Fence::new(Some(&list), false);
        let named = |text: &str| fence.is_named(&place(text).unwrap().0, 80).is_ok();
        assert!(named("192.0.2.5") && named("a.example") && !named("b.example"));
        assert!(Fence::OPEN.is_named(&place("b.example").unwrap().0, 80).is_ok());
    }

    #[test]
    fn a_socket_is_allowed_by_its_path() {
        let list = list(&["/run/a.sock"]);
        let fence = Fence::new(Some(&list), false);
        assert!(fence.is_socket("/run/a.sock").is_ok() && fence.is_socket("/run/../run/a.sock").is_err());
        let refused = fence.is_socket("/run/b.sock").unwrap_err();
        assert_eq!(Reason::of(&refused), Reason::TARGET_NOT_ALLOWED);
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for (bad, hint) in [
            ("*.example.com", "`.example.com`"),
            ("http://a.example", "HOST:PORT"),
            ("https://a.example/x", "HOST:PORT"),
            ("a.example:0", "HOST:PORT"),
            ("a b", "HOST:PORT"),
            ("", "HOST:PORT"),
            (".", "HOST:PORT"),
            (".10.0.0.1", "HOST:PORT"),
            ("10.0.0.0/33", "HOST:PORT"),
        ] {
            let refused = bad.parse::<Line>().unwrap_err();
            assert!(refused.hint.as_deref().unwrap_or_default().contains(hint), "{bad}: {refused}");
        }
    }

    #[test]
    fn names_of_headers_tell_of_credentials() {
        for name in ["Authorization", "Cookie", "X-Api-Key", "PRIVATE-TOKEN", "X-Auth-User", "x_session_id", "Proxy-Authorization"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["Host", "Accept", "X-Probe", "User-Agent", "Content-Type", "X-Keyboard", "Author"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
