//! Names of hosts by the system's resolver, with its code told: the standard library keeps only its text, and a name that
//! does not exist is another matter than a resolver that does not answer.

use std::io;
use std::net::SocketAddr;

/// Why a name has no address.
#[derive(Debug)]
pub enum Unresolved {
    /// The resolver says that there is no such name, or no address of it.
    NoSuchName(io::Error),
    /// The resolver could not say.
    Failed(io::Error),
}

/// Addresses of `host`, in the resolver's order; blocks until the resolver has answered.
///
/// # Errors
/// What the resolver says.
#[cfg(unix)]
#[expect(unsafe_code, reason = "getaddrinfo, whose code std does not hand out")]
pub fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    use std::ffi::{CStr, CString};

    let Ok(name) = CString::new(host) else { return Err(Unresolved::NoSuchName(io::ErrorKind::InvalidInput.into())) };
    // SAFETY: all-zero is the documented empty value of addrinfo.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = std::ptr::null_mut();
    // SAFETY: the name ends with NUL, hints and list live during the call, no service is asked for.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) };
    match code {
        0 => {}
        libc::EAI_SYSTEM => return Err(Unresolved::Failed(io::Error::last_os_error())),
        code => {
            // SAFETY: gai_strerror returns a static text for every code.
            let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy().into_owned();
            return Err(if is_no_such_name(code) {
                Unresolved::NoSuchName(io::Error::other(text))
            } else {
                Unresolved::Failed(io::Error::other(text))
            });
        }
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: getaddrinfo gave a list that ends with null; each entry lives until freeaddrinfo.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(address(entry, port));
        next = entry.ai_next;
    }
    // SAFETY: the list is the one that getaddrinfo gave, and nothing of it is used any more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the address's layout follows from its family")]
fn address(entry: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

    match entry.ai_family {
        libc::AF_INET => {
            // SAFETY: an entry of this family has a sockaddr_in.
            let v4 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().as_ref() }?;
            Some((Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), port).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an entry of this family has a sockaddr_in6.
            let v6 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().as_ref() }?;
            Some(SocketAddrV6::new(Ipv6Addr::from(v6.sin6_addr.s6_addr), port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Whether the resolver knows that there is nothing. glibc says EAI_NODATA (-5) where a name exists without an address.
#[cfg(unix)]
const fn is_no_such_name(code: libc::c_int) -> bool {
    code == libc::EAI_NONAME || cfg!(target_os = "linux") && code == -5
}

/// As above; the system's code is not told apart.
///
/// # Errors
/// What the resolver says.
#[cfg(not(unix))]
pub fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    use std::net::ToSocketAddrs as _;
    (host, port).to_socket_addrs().map(Iterator::collect).map_err(Unresolved::Failed)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn literals_and_the_own_name_resolve() {
        assert_eq!(lookup("127.0.0.1", 80).unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(lookup("::1", 81).unwrap(), ["[::1]:81".parse().unwrap()]);
        assert!(lookup("localhost", 1).unwrap().iter().all(|a| a.ip().is_loopback() && a.port() == 1));
    }

    #[test]
    fn codes_tell_what_is_not_there_from_what_failed() {
        assert!(is_no_such_name(libc::EAI_NONAME) && !is_no_such_name(libc::EAI_AGAIN) && !is_no_such_name(libc::EAI_FAIL));
        // A name with a space is no name; the resolver says so without asking anybody.
        assert!(matches!(lookup("no such name", 1), Err(Unresolved::NoSuchName(_))), "{:?}", lookup("no such name", 1));
    }
}
