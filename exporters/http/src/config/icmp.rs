//! Settings of the icmp prober.

use std::net::IpAddr;

use sage_common::codes;
use sage_common::error::Invalid;
use sage_common::os::icmp::{MAX_PAYLOAD, Options};
use serde::{Deserialize, Serialize};

use super::Section;
use super::types::{IpProtocol, address};

/// How the icmp prober asks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IcmpConfig {
    /// Address family that is taken where a name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
    /// Address of this machine to send from.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
    /// Bytes of payload; 0 means 56, as of ping(8).
    pub payload_size: usize,
    /// Whether a packet that is too big for the way is refused instead of being cut.
    pub dont_fragment: bool,
    /// Time to live or hop limit; 0 means the system's.
    pub ttl: u16,
}

impl Default for IcmpConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            payload_size: 0,
            dont_fragment: false,
            ttl: 64,
        }
    }
}

/// Payload where none is asked for.
pub const USUAL_PAYLOAD: usize = 56;

impl IcmpConfig {
    /// Bytes of payload.
    pub const fn payload(&self) -> usize {
        if self.payload_size == 0 { USUAL_PAYLOAD } else { self.payload_size }
    }

    /// How the packet leaves.
    pub fn options(&self) -> Options {
        Options {
            ttl: u8::try_from(self.ttl).ok().filter(|ttl| *ttl > 0),
            dont_fragment: self.dont_fragment,
            source: self.source_ip_address,
        }
    }
}

impl Section for IcmpConfig {
    fn validate(&self) -> Result<(), Invalid> {
        if self.ttl > u16::from(u8::MAX) {
            return Err(Invalid::new(format!("ttl: {} is no time to live", self.ttl))
                .hint("write 1 to 255, or 0 for that of the system")
                .code(codes::RANGE));
        }
        if self.payload_size > MAX_PAYLOAD {
            let text = format!("payload_size: {} bytes do not fit into a packet", self.payload_size);
            return Err(Invalid::new(text).hint(format!("write at most {MAX_PAYLOAD}")).code(codes::RANGE));
        }
        Ok(())
    }

    fn credentials(&self) -> Option<String> {
        None
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}
