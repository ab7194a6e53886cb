//! What the settings of a server's place have in common, whatever the product: what is refused of them.

use crate::codes;
use crate::error::Invalid;

/// Refuses what no server can be reached by: an empty setting, port 0, several servers in one `host`.
///
/// # Errors
/// Which setting; a host is not shown, since it may be a connection string with a password.
pub fn check(host: &str, port: u16, named: &[(&str, Option<&str>)]) -> Result<(), Invalid> {
    let all = [("host", Some(host))];
    if let Some((name, _)) = all.iter().chain(named).find(|(_, value)| *value == Some("")) {
        return Err(Invalid::new(format!("{name} is empty")).hint("leave it out to get its default").code(codes::RANGE));
    }
    if port == 0 {
        return Err(Invalid::new("port: there is no port 0").hint("leave it out to get its default").code(codes::RANGE));
    }
    if host.contains(',') {
        return Err(Invalid::new("host names several servers").hint("name each server as a target of its own").code(codes::ADDRESS));
    }
    // An address of IPv6 has several colons, a socket is a path.
    if !host.starts_with('/') && (host.matches(':').count() == 1 || host.contains(char::is_whitespace)) {
        let wrong = Invalid::new("host holds a port or a blank");
        return Err(wrong.hint("write `host:` and `port:` each on a line of its own").code(codes::ADDRESS));
    }
    Ok(())
}

/// Refuses one of two files of a client's certificate without the other; their names are those of the settings.
///
/// # Errors
/// They belong together.
pub fn pair(names: &str, cert: bool, key: bool) -> Result<(), Invalid> {
    if cert == key {
        return Ok(());
    }
    Err(Invalid::new(format!("{names} belong together")).hint("name both files, or neither").code(codes::INCOMPLETE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_is_wrong_is_named() {
        let told = |host, port, user| check(host, port, &[("user", user)]).map_err(|e| e.message);
        assert_eq!((told("a", 1, None), told("a", 1, Some("u"))), (Ok(()), Ok(())));
        assert_eq!(told("", 1, None).unwrap_err(), "host is empty");
        assert_eq!(told("a", 1, Some("")).unwrap_err(), "user is empty");
        assert_eq!(told("a", 0, None).unwrap_err(), "port: there is no port 0");
        for host in ["::1", "2001:db8::7", "[::1]", "/run/a b", "db-1.example"] {
            assert_eq!(told(host, 1, None), Ok(()), "{host}");
        }
        for host in ["a:5432", "a b", "p@ss:x"] {
            assert!(told(host, 1, None).is_err_and(|message| message.starts_with("host holds") && !message.contains("p@ss")), "{host}");
        }
        assert!(told("a:p@ss,b", 1, None).is_err_and(|message| !message.contains("p@ss")));
        assert!(pair("cert and key", true, true).is_ok() && pair("cert and key", false, false).is_ok());
        assert_eq!(pair("cert and key", false, true).unwrap_err().message, "cert and key belong together");
    }
}
