//! Which of a name's addresses is asked, and which are never asked.
//!
//! A prober takes its targets from requests. It must not be the way to what only this machine may ask: link-local
//! neighbours and the metadata services of clouds, which hand out credentials.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sage_common::error::CollectError;

use crate::config::types::IpProtocol;
use crate::reason::Reason;

/// Metadata services outside of the link-local networks: Alibaba, Oracle, Azure's agent.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// The same in IPv6: AWS, Google, Scaleway.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// True for an address that no target may have.
pub fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            let local = v6.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80);
            local || METADATA_V6.contains(&v6) || embedded(v6).is_some_and(|v4| is_forbidden(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address that a network would make of an IPv6 address: mapped, compatible, NAT64 or 6to4.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let [high, low] = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => [g, h],
        (0x2002, ..) => [b, c],
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

/// The one address that is asked: the first of the preferred family, else the first there is, if the module falls back.
///
/// # Errors
/// `Resolve` when no address of the family is there, `forbidden` when the address is one we never ask.
pub fn choose(host: &str, found: &[SocketAddr], preferred: IpProtocol, fallback: bool) -> Result<SocketAddr, CollectError> {
    let other = found.first().filter(|_| fallback);
    let chosen = found.iter().find(|a| is_of(a.ip(), preferred)).or(other).copied().ok_or_else(|| none_of(host, preferred))?;
    permitted(host, chosen.ip())?;
    Ok(chosen)
}

/// All addresses that are asked: those of the preferred family, else the others, if the module falls back; with `both`
/// the others come behind.
///
/// # Errors
/// As `choose`; `forbidden` when one of them is an address that we never ask.
pub fn several(host: &str, found: &[SocketAddr], preferred: IpProtocol, fallback: bool, both: bool) -> Result<Vec<IpAddr>, CollectError> {
    let (mut wanted, other): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().map(SocketAddr::ip).partition(|ip| is_of(*ip, preferred));
    if fallback && (both || wanted.is_empty()) {
        wanted.extend(other);
    }
    let mut seen = BTreeSet::new();
    wanted.retain(|ip| seen.insert(*ip));
    if wanted.is_empty() {
        return Err(none_of(host, preferred));
    }
    wanted.iter().try_for_each(|ip| permitted(host, *ip))?;
    Ok(wanted)
}

fn is_of(ip: IpAddr, family: IpProtocol) -> bool {
    ip.to_canonical().is_ipv4() == (family == IpProtocol::Ip4)
}

fn none_of(host: &str, preferred: IpProtocol) -> CollectError {
    let family = if preferred == IpProtocol::Ip4 { "IPv4" } else { "IPv6" };
    Reason::NO_FAMILY.error(format!("{host} has no {family} address")).hint("write `ip_protocol_fallback: true` to take the other family")
}

fn permitted(host: &str, ip: IpAddr) -> Result<(), CollectError> {
    if is_forbidden(ip) {
        return Err(Reason::FORBIDDEN.error(format!("{host} is {ip}: link-local and metadata addresses are never probed")));
    }
    Ok(())
}

/// 4 or 6.
pub fn protocol(ip: IpAddr) -> u8 {
    if ip.to_canonical().is_ipv4() { 4 } else { 6 }
}

/// FNV-1a of the address's bytes, 32 bits.
pub fn hash(ip: IpAddr) -> u32 {
    let fnv = |bytes: &[u8]| bytes.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    match ip.to_canonical() {
        IpAddr::V4(v4) => fnv(&v4.octets()),
        IpAddr::V6(v6) => fnv(&v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use sage_common::error::ErrorKind;

    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_forbidden_in_every_disguise() {
        for bad in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_forbidden(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "2001:db8::1", "169.253.1.1", "::ffff:10.0.0.1"] {
            assert!(!is_forbidden(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn the_preferred_family_wins_and_the_fallback_is_the_first() {
        let (four, six): (SocketAddr, SocketAddr) = ("192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let both = [four, six];
        assert_eq!(choose("x", &both, IpProtocol::Ip6, false).unwrap(), six);
        assert_eq!(choose("x", &both, IpProtocol::Ip4, false).unwrap(), four);
        assert_eq!(choose("x", &[four], IpProtocol::Ip6, true).unwrap(), four);
        let none = choose("x", &[four], IpProtocol::Ip6, false).unwrap_err();
        assert_eq!((none.kind, none.context.as_str()), (ErrorKind::Resolve, "x has no IPv6 address"));
        let bad = choose("x", &["169.254.169.254:80".parse().unwrap()], IpProtocol::Ip4, true).unwrap_err();
        assert_eq!(Reason::of(&bad), Reason::FORBIDDEN);
    }

    #[test]
    fn several_are_of_the_family_or_behind_it() {
        let found = ["192.0.2.1:80", "[2001:db8::1]:80", "192.0.2.1:80", "192.0.2.2:80"].map(|a| a.parse::<SocketAddr>().unwrap());
        let of = |preferred, fallback, both| {
            let several = several("x", &found, preferred, fallback, both).unwrap();
            several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(IpProtocol::Ip4, true, false), "192.0.2.1 192.0.2.2");
        assert_eq!(of(IpProtocol::Ip4, true, true), "192.0.2.1 192.0.2.2 2001:db8::1");
        assert_eq!(of(IpProtocol::Ip4, false, true), "192.0.2.1 192.0.2.2");
        assert_eq!(of(IpProtocol::Ip6, true, true), "2001:db8::1 192.0.2.1 192.0.2.2");
        let four = &found[..1];
        assert_eq!(super::several("x", four, IpProtocol::Ip6, true, false).unwrap().len(), 1);
        assert_eq!(Reason::of(&super::several("x", four, IpProtocol::Ip6, false, true).unwrap_err()), Reason::NO_FAMILY);
        let bad = ["192.0.2.1:80", "169.254.169.254:80"].map(|a| a.parse::<SocketAddr>().unwrap());
        let refused = super::several("x", &bad, IpProtocol::Ip4, true, false).unwrap_err();
        assert_eq!(Reason::of(&refused), Reason::FORBIDDEN);
    }

    #[test]
    fn the_hash_is_that_of_the_peer() {
        assert_eq!(hash("127.0.0.1".parse().unwrap()), 3_668_918_509);
        assert_eq!(hash("::ffff:127.0.0.1".parse().unwrap()), 3_668_918_509);
        assert_eq!(protocol("::1".parse().unwrap()), 6);
    }
}
