//! Addresses as redis_exporter takes them: `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix://`, `host:port`.

use sage_common::codes;
use sage_common::error::Invalid;

/// What an address says; what it leaves out is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Host, or the path of a socket.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
    /// Whether the scheme asks for TLS, where there is a scheme.
    pub tls: Option<bool>,
    /// User.
    pub user: Option<String>,
    /// Password; never shown.
    pub password: Option<String>,
}

/// Reads an address.
///
/// # Errors
/// What is wrong, without the address: it may hold a password.
pub fn parse(text: &str) -> Result<Address, Invalid> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let tls = match scheme {
        Some("redis" | "valkey") => Some(false),
        Some("rediss" | "valkeys") => Some(true),
        None => None,
        Some("unix") => return Ok(Address { host: rest.to_owned(), ..Address::default() }),
        Some(_) => {
            return Err(Invalid::new("the scheme of the address is none of redis, rediss, valkey, valkeys, unix").code(codes::ADDRESS));
        }
    };
    if scheme.is_none() && rest.starts_with('/') {
        return Ok(Address { host: rest.to_owned(), ..Address::default() });
    }
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    // A database number and options may follow; neither matters to what we read.
    let place = place.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = split_port(place)?;
    let mut address = Address { host: host.to_owned(), port, tls, ..Address::default() };
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        address.user = (!user.is_empty()).then(|| decode(user)).transpose()?;
        address.password = password.filter(|p| !p.is_empty()).map(decode).transpose()?;
    }
    Ok(address)
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), Invalid> {
    let wrong = || Invalid::new("the port of the address is not a number from 1 to 65535").code(codes::ADDRESS);
    // An IPv6 address has brackets where a port follows.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let port = port.filter(|p| !p.is_empty()).map(|p| p.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(wrong)).transpose()?;
    Ok((host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port))
}

/// Percent-decoding.
fn decode(text: &str) -> Result<String, Invalid> {
    let wrong = || Invalid::new("user or password of the address has a % that two hexadecimal digits do not follow").code(codes::ADDRESS);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let a = parse("redis://app:p%40s%2fs@cache.example:6380/3?x=1").unwrap();
        assert_eq!((a.host.as_str(), a.port, a.tls), ("cache.example", Some(6380), Some(false)));
        assert_eq!((a.user.as_deref(), a.password.as_deref()), (Some("app"), Some("p@s/s")));
        let a = parse("rediss://:secret@[::1]:6379").unwrap();
        assert_eq!((a.host.as_str(), a.port, a.tls), ("::1", Some(6379), Some(true)));
        assert_eq!((a.user, a.password.as_deref()), (None, Some("secret")));
        for (text, host, port) in [
            ("cache:7000", "cache", Some(7000)),
            ("cache", "cache", None),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("valkey://h", "h", None),
            ("unix:///run/redis.sock", "/run/redis.sock", None),
            ("/run/redis.sock", "/run/redis.sock", None),
        ] {
            let a = parse(text).unwrap();
            assert_eq!((a.host.as_str(), a.port), (host, port), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        for text in ["http://canary@h", "redis://canary@h:99999", "redis://canary@h:0", "redis://u:canary%4@h", "redis://u:canary%zz@h"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
