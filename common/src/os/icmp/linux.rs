//! The sockets of Linux: icmp(7), raw(7), ip(7), ipv6(7); time stamps by SO_TIMESTAMPNS (socket(7)).

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Family, Kind, Options, Raw};
use crate::error::{CollectError, ErrorKind};

#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

/// Room for the control messages of one packet: a time stamp and a hop limit, each with its header.
const CONTROL: usize = 128;
/// Replies that wait until we come to them; the kernel doubles it and may allow less.
const QUEUE: c_int = 512 << 10;
/// Echo replies alone; the mask names what is kept out.
const ONLY_REPLIES: u32 = !1;
/// The same for ICMPv6: 8 words with a bit for each type.
const ONLY_REPLIES_V6: [u32; 8] = [u32::MAX, u32::MAX, u32::MAX, u32::MAX, !(1 << (129 - 128)), u32::MAX, u32::MAX, u32::MAX];
/// ICMP_FILTER of linux/icmp.h and ICMPV6_FILTER of linux/icmpv6.h.
const FILTER: c_int = 1;

impl Socket {
    pub fn open(family: Family, options: &Options) -> Result<(Self, Kind), CollectError> {
        let (domain, protocol) = match family {
            Family::V4 => (AddressFamily::INET, ipproto::ICMP),
            Family::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = |kind| socket_with(domain, kind, flags, Some(protocol)).map_err(io::Error::from);
        let (fd, kind) = match open(SocketType::DGRAM) {
            Ok(fd) => (fd, Kind::Datagram),
            Err(first) => match open(SocketType::RAW) {
                Ok(fd) => (fd, Kind::Raw),
                Err(second) => return Err(closed(family, first, second)),
            },
        };
        prepare(&fd, family, kind, options).map_err(|e| CollectError::io("prepare the ICMP socket", e))?;
        if let Some(source) = options.source {
            let at = SocketAddr::new(source, 0);
            bind(&fd, &at).map_err(|e| {
                let text = format!("the source address {source} cannot be used");
                CollectError::new(ErrorKind::Connect, text)
                    .caused_by(io::Error::from(e))
                    .hint("it must be an address of this machine: ip -brief address shows those that are")
            })?;
        }
        // SAFETY: the descriptor is owned by the value that watches it, and is closed after it is watched no more.
        #[allow(unsafe_code, reason = "the safe way is deprecated")]
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let watched = watched.map_err(|e| CollectError::io("watch the ICMP socket", e.into()))?;
        Ok((Self(watched), kind))
    }

    pub fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        // The port of a raw socket of IPv6 is the protocol, and 0 is the only one that is not refused.
        sendto(self.0.get_ref(), packet, SendFlags::DONTWAIT, &SocketAddr::new(to, 0))?;
        Ok(())
    }

    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Raw> {
        self.0.async_io(Interest::READABLE, |fd| receive(fd, buffer)).await
    }
}

/// Neither kind of socket may be opened.
fn closed(family: Family, first: io::Error, second: io::Error) -> CollectError {
    let no_family = |e: &io::Error| e.raw_os_error() == Some(libc::EAFNOSUPPORT);
    if no_family(&first) && no_family(&second) {
        let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
        return CollectError::new(ErrorKind::Connect, format!("this machine does not speak {name}")).caused_by(second);
    }
    let program = std::env::current_exe().map_or_else(|_| "PROGRAM".to_owned(), |path| path.display().to_string());
    CollectError::new(ErrorKind::Permission, "no ICMP socket may be opened here").caused_by(second).hint(format!(
        "let the service's group ping (sysctl -w net.ipv4.ping_group_range='0 2147483647', the same line in /etc/sysctl.d/), \
         or give it the right: AmbientCapabilities=CAP_NET_RAW in its unit, or setcap cap_net_raw+ep {program}"
    ))
}

fn prepare(fd: &OwnedFd, family: Family, kind: Kind, options: &Options) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &QUEUE)?;
    let hops = options.ttl.map(c_int::from);
    match family {
        Family::V4 => {
            set(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &1)?;
            hops.map_or(Ok(()), |hops| set(fd, libc::IPPROTO_IP, libc::IP_TTL, &hops))?;
            if options.dont_fragment {
                set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO)?;
            }
            if kind == Kind::Raw {
                set(fd, libc::SOL_RAW, FILTER, &ONLY_REPLIES)?;
            }
        }
        Family::V6 => {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1)?;
            hops.map_or(Ok(()), |hops| set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &hops))?;
            if options.dont_fragment {
                set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IPV6_PMTUDISC_DO)?;
            }
            if kind == Kind::Raw {
                set(fd, libc::IPPROTO_ICMPV6, FILTER, &ONLY_REPLIES_V6)?;
            }
        }
    }
    Ok(())
}

/// Sets an option of a socket. `T` is a number or an array of numbers, as the option wants it.
fn set<T: Copy>(fd: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: pointer and length are those of `value`, which lives until the call is over; the kernel only reads it.
    #[allow(unsafe_code, reason = "rustix has no time stamps, hop limits of replies and filters")]
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one packet with its control messages.
fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Raw> {
    /// As aligned as the header of a control message wants it.
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    // SAFETY: both are plain numbers and pointers, for which all zeros is a value.
    #[allow(unsafe_code, reason = "recvmsg has no other way")]
    let (mut from, mut message): (libc::sockaddr_storage, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut slices = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    message.msg_name = std::ptr::from_mut(&mut from).cast();
    message.msg_namelen = libc::socklen_t::try_from(size_of_val(&from)).unwrap_or_default();
    message.msg_iov = &raw mut slices;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    // SAFETY: every pointer in `message` is to a local or to `buffer`, with its true length, and all outlive the call.
    #[allow(unsafe_code, reason = "rustix hands over no control messages but descriptors")]
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let now = (Instant::now(), SystemTime::now());
    let (mut stamp, mut hop_limit) = (None, None);
    // SAFETY: the kernel has filled `message`; the macros stay within msg_controllen, and what they point to is read
    // unaligned and only as far as cmsg_len says that it is there.
    #[allow(unsafe_code, reason = "control messages are read by macros on pointers")]
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(head) = next.as_ref() {
            let data = libc::CMSG_DATA(next);
            #[allow(clippy::unnecessary_cast, reason = "it is shorter with musl")]
            let has = |size: usize| head.cmsg_len as usize >= libc::CMSG_LEN(size as _) as usize;
            match (head.cmsg_level, head.cmsg_type) {
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) if has(size_of::<libc::timespec>()) => {
                    stamp = Some(data.cast::<libc::timespec>().read_unaligned());
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) if has(size_of::<c_int>()) => {
                    hop_limit = u8::try_from(data.cast::<c_int>().read_unaligned()).ok();
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(&raw const message, next);
        }
    }
    let from = address(&from).ok_or(io::ErrorKind::InvalidData)?;
    let stamp =
        stamp.and_then(|t| Some(SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(t.tv_sec).ok()?, u32::try_from(t.tv_nsec).ok()?)));
    Ok(Raw { from, at: came_in(now, stamp), hop_limit, length })
}

/// When a packet came in, by our own clock, which nobody sets: now, less the time that it lay in the socket. A clock that
/// was set meanwhile, as the kernel's stamp then shows, counts for nothing.
fn came_in((now, clock): (Instant, SystemTime), stamp: Option<SystemTime>) -> Instant {
    const LONGEST: Duration = Duration::from_secs(60);
    let waited = stamp.and_then(|stamp| clock.duration_since(stamp).ok()).filter(|waited| *waited < LONGEST);
    now.checked_sub(waited.unwrap_or_default()).unwrap_or(now)
}

fn address(from: &libc::sockaddr_storage) -> Option<IpAddr> {
    // SAFETY: sockaddr_storage has room for both and is aligned for both; ss_family says which one the kernel has written.
    #[allow(unsafe_code, reason = "the address comes as one of two structures")]
    match c_int::from(from.ss_family) {
        libc::AF_INET => {
            let v4 = unsafe { &*std::ptr::from_ref(from).cast::<libc::sockaddr_in>() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            let v6 = unsafe { &*std::ptr::from_ref(from).cast::<libc::sockaddr_in6>() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_counts_for_nothing() {
        let now = (Instant::now(), SystemTime::now());
        let ago = |time| came_in(now, Some(now.1 - time));
        assert_eq!(ago(Duration::from_millis(3)), now.0 - Duration::from_millis(3));
        assert_eq!(ago(Duration::from_secs(3600)), now.0);
        assert_eq!(came_in(now, Some(now.1 + Duration::from_secs(1))), now.0);
        assert_eq!(came_in(now, None), now.0);
    }

    #[test]
    fn who_may_not_is_told_both_ways() {
        let error = closed(Family::V4, io::Error::from_raw_os_error(libc::EACCES), io::Error::from_raw_os_error(libc::EPERM));
        let hint = error.hint.unwrap();
        assert_eq!(error.kind, ErrorKind::Permission);
        assert!(hint.contains("net.ipv4.ping_group_range='0 2147483647'") && hint.contains("AmbientCapabilities=CAP_NET_RAW"), "{hint}");
        let none = || io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
        assert_eq!(closed(Family::V6, none(), none()).to_string().split(':').next(), Some("this machine does not speak IPv6"));
    }
}
