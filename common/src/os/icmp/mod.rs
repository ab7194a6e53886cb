//! ICMP echo: packets, and the socket that sends and receives them.
//!
//! Linux has two ways: a datagram socket, for the groups of net.ipv4.ping_group_range, and a raw one for CAP_NET_RAW. The
//! first is tried first: its kernel side hands us our own replies alone. Elsewhere an open says that there is none.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use crate::error::{CollectError, ErrorKind};

#[cfg(not(target_os = "linux"))]
use elsewhere::Socket;
#[cfg(target_os = "linux")]
use linux::Socket;

/// Most bytes of payload: what is left of an IPv4 packet after both headers.
pub const MAX_PAYLOAD: usize = 65_507;
/// Bytes in front of the payload of a reply: the longest IPv4 header, and that of ICMP.
const ROOM: usize = 60 + HEADER;
const HEADER: usize = 8;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address; an IPv4 address in an IPv6 one is IPv4.
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// How requests leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Time to live or hop limit; none: the system's.
    pub ttl: Option<u8>,
    /// A packet that is too big for the way is refused instead of being cut into fragments.
    pub dont_fragment: bool,
    /// Address of this machine to send from.
    pub source: Option<IpAddr>,
}

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its kernel side chooses the identifier and hands over nothing but replies to it.
    Datagram,
    /// It hears every echo reply that this machine gets.
    Raw,
}

/// An open socket for echo requests and their replies.
#[derive(Debug)]
pub struct Echo {
    socket: Socket,
    family: Family,
    kind: Kind,
    ident: u16,
}

/// An echo reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Who sent it.
    pub from: IpAddr,
    /// When it came in: by the kernel's clock, so that neither the scheduler nor our own queue counts.
    pub at: Instant,
    /// Time to live or hop limit that it had left.
    pub hop_limit: Option<u8>,
    /// The sequence number of the request.
    pub sequence: u16,
    /// The payload of the request, if the other end is honest.
    pub payload: &'a [u8],
}

/// What a socket has received, before anybody looked at it.
struct Raw {
    from: IpAddr,
    at: Instant,
    hop_limit: Option<u8>,
    length: usize,
}

impl Echo {
    /// Opens a socket. `ident` stands for us in the requests of a raw socket.
    ///
    /// # Errors
    /// `Permission` with what to run when neither kind may be opened; `Connect` when the machine does not have the family
    /// or the source address.
    pub fn open(family: Family, options: &Options, ident: u16) -> Result<Self, CollectError> {
        if options.source.is_some_and(|source| Family::of(source) != family) {
            return Err(CollectError::new(ErrorKind::Connect, "the source address is of the other family than the target"));
        }
        let (socket, kind) = Socket::open(family, options)?;
        Ok(Self { socket, family, kind, ident })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Sends one request at once, and says when.
    ///
    /// # Errors
    /// Those of the system; nothing has left then.
    pub fn send(&self, to: IpAddr, sequence: u16, payload: &[u8]) -> io::Result<Instant> {
        let packet = request(self.family, self.ident, sequence, payload);
        let at = Instant::now();
        self.socket.send(to, &packet)?;
        Ok(at)
    }

    /// Waits for the next reply to a request of ours. `buffer` is from `buffer()`.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Reply<'a>> {
        let (raw, reply) = loop {
            let raw = self.socket.receive(buffer).await?;
            let got = buffer.get(..raw.length).unwrap_or_default();
            if let Some(reply) = parse(self.family, self.kind, got)
                && (self.kind == Kind::Datagram || reply.ident == self.ident)
            {
                break (raw, reply);
            }
        };
        let payload = buffer.get(reply.from..raw.length).unwrap_or_default();
        Ok(Reply { from: raw.from, at: raw.at, hop_limit: raw.hop_limit, sequence: reply.sequence, payload })
    }
}

/// Room for replies to requests with this much payload.
pub fn buffer(payload: usize) -> Vec<u8> {
    vec![0; payload.saturating_add(ROOM)]
}

/// The reason of a failed send, from a closed set: `unreachable`, `too_big`, `permission`, `overloaded` or `send`.
pub fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => "unreachable",
        io::ErrorKind::PermissionDenied => "permission",
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => "overloaded",
        _ if too_big(error) => "too_big",
        _ => "send",
    }
}

#[cfg(target_os = "linux")]
fn too_big(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

#[cfg(not(target_os = "linux"))]
fn too_big(_: &io::Error) -> bool {
    false
}

/// An echo request. The checksum of IPv6 covers the addresses, and the kernel writes it.
fn request(family: Family, ident: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let kind = if family == Family::V4 { 8 } else { 128 };
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    packet.extend([kind, 0, 0, 0]);
    packet.extend(ident.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(payload);
    if family == Family::V4
        && let Some(place) = packet.get(2..4).map(|_| checksum(&packet).to_be_bytes())
    {
        packet.splice(2..4, place);
    }
    packet
}

/// The sum of the Internet protocols (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let mut sum: u32 = words.sum::<u32>() + rest.first().map_or(0, |last| u32::from(*last) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What `parse` finds in a reply.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    ident: u16,
    sequence: u16,
    /// Where the payload begins.
    from: usize,
}

/// Reads an echo reply. A raw socket of IPv4 has the IP header in front; anything else than a reply is nothing.
fn parse(family: Family, kind: Kind, bytes: &[u8]) -> Option<Parsed> {
    let start = match (family, kind) {
        (Family::V4, Kind::Raw) => {
            let [first, .., protocol] = bytes.first_chunk::<10>()?;
            let length = usize::from(first & 0x0f) * 4;
            (first >> 4 == 4 && length >= 20 && *protocol == 1).then_some(length)?
        }
        _ => 0,
    };
    let [kind, code, _, _, ident @ .., s1, s2] = bytes.get(start..)?.first_chunk::<HEADER>()?;
    let wanted = if family == Family::V4 { 0 } else { 129 };
    let ident = u16::from_be_bytes(*ident.first_chunk()?);
    (*kind == wanted && *code == 0).then_some(Parsed { ident, sequence: u16::from_be_bytes([*s1, *s2]), from: start + HEADER })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel answers to `request`.
    fn answer(request: &[u8], kind: u8) -> Vec<u8> {
        let mut packet = request.to_vec();
        packet[0] = kind;
        packet
    }

    #[test]
    fn a_request_has_a_sum_that_checks() {
        for payload in [&b""[..], b"x", b"0123456789"] {
            let packet = request(Family::V4, 0x1234, 7, payload);
            assert_eq!((checksum(&packet), &packet[..2], &packet[4..8]), (0, &[8, 0][..], &[0x12, 0x34, 0, 7][..]));
        }
        // A full packet of ones does not overflow.
        assert_eq!(checksum(&vec![0xff; MAX_PAYLOAD + HEADER]), 0xff);
        assert_eq!(request(Family::V6, 1, 2, b"p"), [128, 0, 0, 0, 0, 1, 0, 2, b'p']);
    }

    #[test]
    fn replies_are_read_with_and_without_the_ip_header() {
        let bare = answer(&request(Family::V4, 9, 8, b"abc"), 0);
        assert_eq!(parse(Family::V4, Kind::Datagram, &bare), Some(Parsed { ident: 9, sequence: 8, from: 8 }));
        let six = answer(&request(Family::V6, 9, 8, b"abc"), 129);
        assert_eq!(parse(Family::V6, Kind::Raw, &six), Some(Parsed { ident: 9, sequence: 8, from: 8 }));
        for words in [5_u8, 15] {
            let mut header = vec![0; usize::from(words) * 4];
            (header[0], header[9]) = (0x40 | words, 1);
            let packet = [header, bare.clone()].concat();
            let from = usize::from(words) * 4 + 8;
            assert_eq!(parse(Family::V4, Kind::Raw, &packet), Some(Parsed { ident: 9, sequence: 8, from }));
            for cut in 0..from {
                assert_eq!(parse(Family::V4, Kind::Raw, &packet[..cut]), None, "{words} {cut}");
            }
        }
    }

    #[test]
    fn nothing_but_replies_is_taken() {
        let request = request(Family::V4, 9, 8, b"");
        let mut header = vec![0; 20];
        (header[0], header[9]) = (0x45, 1);
        let reply = answer(&request, 0);
        assert_eq!(parse(Family::V4, Kind::Datagram, &request), None, "a request");
        assert_eq!(parse(Family::V6, Kind::Datagram, &reply), None, "of the other family");
        assert_eq!(parse(Family::V4, Kind::Datagram, &[vec![0, 1], reply[2..].to_vec()].concat()), None, "code 1");
        for (at, value) in [(0, 0x44), (0, 0x65), (0, 0x4f), (9, 17)] {
            let mut bad = [header.clone(), reply.clone()].concat();
            bad[at] = value;
            assert_eq!(parse(Family::V4, Kind::Raw, &bad), None, "{at} {value}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn loopback_answers_both_families_with_the_kernels_time() {
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let echo = Echo::open(Family::of(ip), &Options { ttl: Some(7), dont_fragment: true, source: None }, 4711).unwrap();
            let payload = [0xa5; 1000];
            // Late to the socket on purpose: the time is that of the kernel, not of our reading. It begins to stamp packets
            // a moment after the first socket of the machine has asked for it.
            let late = std::time::Duration::from_millis(80);
            let mut buffer = buffer(payload.len());
            let mut hop_limit = None;
            for sequence in 0..20 {
                let sent = echo.send(ip, sequence, &payload).unwrap();
                tokio::time::sleep(late).await;
                let reply = tokio::time::timeout(late * 50, echo.receive(&mut buffer)).await.unwrap().unwrap();
                assert_eq!((reply.from, reply.sequence, reply.payload), (ip, sequence, &payload[..]));
                assert!(reply.at >= sent);
                if reply.at - sent < late / 2 {
                    hop_limit = reply.hop_limit;
                    break;
                }
            }
            // The reply is a packet of the other end's own, with the system's limit.
            assert!(hop_limit.is_some_and(|left| left > 7), "{hop_limit:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_source_is_ours_or_an_error() {
        let from = |source: &str| Options { source: Some(source.parse().unwrap()), ..Options::default() };
        let echo = Echo::open(Family::V4, &from("127.0.0.9"), 1).unwrap();
        echo.send("127.0.0.1".parse().unwrap(), 1, b"").unwrap();
        let mut buffer = buffer(0);
        assert_eq!(echo.receive(&mut buffer).await.unwrap().sequence, 1);
        assert_eq!(Echo::open(Family::V4, &from("192.0.2.1"), 1).unwrap_err().kind, ErrorKind::Connect);
        assert_eq!(Echo::open(Family::V6, &from("127.0.0.1"), 1).unwrap_err().kind, ErrorKind::Connect);
    }

    #[test]
    fn reasons_are_a_closed_set() {
        assert_eq!(reason(&io::ErrorKind::NetworkUnreachable.into()), "unreachable");
        assert_eq!(reason(&io::ErrorKind::PermissionDenied.into()), "permission");
        assert_eq!(reason(&io::ErrorKind::WouldBlock.into()), "overloaded");
        assert_eq!(reason(&io::ErrorKind::Other.into()), "send");
        #[cfg(target_os = "linux")]
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EMSGSIZE)), "too_big");
    }
}
