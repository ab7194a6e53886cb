//! Connection strings as libpq reads them: `key=value` pairs and `postgresql://` URIs.
//!
//! Only for what users already have in DATA_SOURCE_NAME; our own settings are separate fields, so that no character of a
//! password needs care. Source: PostgreSQL documentation, libpq connection strings.

use sage_common::codes;
use sage_common::error::Invalid;

/// What a connection string says. The password is handed on at once and never kept as text of the string.
#[derive(Default, PartialEq, Eq)]
pub struct Dsn {
    /// Keyword and value, in order; the last one counts.
    pub params: Vec<(String, String)>,
}

/// Reads either form.
///
/// # Errors
/// What is wrong, without any part of the string, since it may hold a password.
pub fn parse(text: &str) -> Result<Dsn, Invalid> {
    let text = text.trim();
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => parse_uri(rest),
        None => parse_pairs(text),
    }
}

/// How many connection strings stand in `text`, apart by commas, as postgres_exporter takes them. A comma that no new
/// string follows is a part of a value.
pub fn servers(text: &str) -> usize {
    let begins = |part: &&str| {
        let part = part.trim_start();
        let word = part.split_once('=').map_or("", |(word, _)| word.trim_end());
        part.starts_with("postgresql://")
            || part.starts_with("postgres://")
            || ["host", "hostaddr", "port", "user", "dbname"].contains(&word)
    };
    1 + text.split(',').skip(1).filter(begins).count()
}

/// Reads what follows `postgresql://`; also the form of DATA_SOURCE_URI, which has no scheme and no user.
///
/// # Errors
/// As `parse`.
pub fn parse_uri(rest: &str) -> Result<Dsn, Invalid> {
    let mut dsn = Dsn::default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (rest, None),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let mut set = |key: &str, value: &str| -> Result<(), Invalid> {
        if !value.is_empty() {
            dsn.params.push((key.to_owned(), decode(value)?));
        }
        Ok(())
    };
    if let Some(user) = user {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        set("user", user)?;
        set("password", password)?;
    }
    // An IPv6 address stands in brackets; its colons are not the port's.
    let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or("")),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    set("host", name)?;
    set("port", port)?;
    set("dbname", database.unwrap_or(""))?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| bad("a parameter after `?` has no `=`"))?;
        set(&decode(key)?, value)?;
    }
    Ok(dsn)
}

fn parse_pairs(text: &str) -> Result<Dsn, Invalid> {
    let mut dsn = Dsn::default();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(dsn);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') || key.is_empty() {
            return Err(bad("a keyword has no `=` behind it"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        let mut closed = !quoted;
        while let Some(c) = chars.next_if(|c| quoted || !c.is_whitespace()) {
            match c {
                '\\' => value.push(chars.next().ok_or_else(|| bad("a backslash stands at the end"))?),
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                c => value.push(c),
            }
        }
        if !closed {
            return Err(bad("a quoted value has no closing quote"));
        }
        dsn.params.push((key, value));
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, Invalid> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => return Err(bad("`%` is not followed by two hexadecimal digits")),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad("a percent-encoded value is not UTF-8"))
}

fn bad(what: &str) -> Invalid {
    Invalid::new(format!("the connection string cannot be read: {what}"))
        .hint("give host, user and password apart: PGHOST, PGUSER and DATA_SOURCE_PASS_FILE need no quoting")
        .code(codes::ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).params
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn several_servers_are_counted_and_commas_in_values_are_not() {
        for (text, count) in [
            ("", 1),
            ("host=a", 1),
            ("port=5432,port=6432", 2),
            ("postgresql://a/x, postgres://b/y,postgresql://c/z", 3),
            ("postgresql://u:p,q@a/x", 1),
            ("host=a password='p,q=1'", 1),
            ("host=a,b", 1),
        ] {
            assert_eq!(servers(text), count, "{text}");
        }
    }

    #[test]
    fn uris() {
        assert_eq!(
            params("postgresql://me:p%40%24%24w0rd%23%3D@db.example:5433/app?sslmode=disable"),
            pairs(&[
                ("user", "me"),
                ("password", "p@$$w0rd#="),
                ("host", "db.example"),
                ("port", "5433"),
                ("dbname", "app"),
                ("sslmode", "disable")
            ])
        );
        assert_eq!(params("postgres://[::1]:1/"), pairs(&[("host", "::1"), ("port", "1")]));
        assert_eq!(params("postgresql://%2Frun%2Fpg/x"), pairs(&[("host", "/run/pg"), ("dbname", "x")]));
        assert_eq!(params("postgresql:///x?host=/run/pg"), pairs(&[("dbname", "x"), ("host", "/run/pg")]));
        assert_eq!(
            parse_uri("localhost:5432/postgres").unwrap().params,
            pairs(&[("host", "localhost"), ("port", "5432"), ("dbname", "postgres")])
        );
    }

    #[test]
    fn keyword_value_pairs() {
        assert_eq!(
            params(r"host=localhost  port = 5432 user='my user' password='p@$$w0rd#=?{%}\'\\ :/' dbname="),
            pairs(&[("host", "localhost"), ("port", "5432"), ("user", "my user"), ("password", r"p@$$w0rd#=?{%}'\ :/"), ("dbname", "")])
        );
        assert_eq!(params(r"password=a\ b"), pairs(&[("password", "a b")]));
        assert_eq!(params(""), pairs(&[]));
    }

    #[test]
    fn refusals_hold_no_part_of_the_string() {
        for text in [
            "canary",
            "canary=",
            "password='canary",
            "password=canary\\",
            "postgresql://u:canary%zz@h",
            "postgresql://h/d?canary",
            "= canary",
        ] {
            match parse(text) {
                Err(e) => assert!(!e.to_string().contains("canary"), "{text}: {e}"),
                Ok(dsn) => assert_eq!((text, dsn.params.len()), ("canary=", 1)),
            }
        }
    }
}
