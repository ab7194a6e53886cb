//! Other systems than Linux: ICMP is not there, and says so.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;

use super::{Family, Kind, Options, Raw};
use crate::error::{CollectError, ErrorKind};

/// There is none.
#[derive(Debug)]
pub(super) struct Socket(Infallible);

impl Socket {
    pub fn open(_: Family, _: &Options) -> Result<(Self, Kind), CollectError> {
        Err(CollectError::new(ErrorKind::Permission, "ICMP sockets are there on Linux alone")
            .hint("ping by TCP (`method: tcp`, with a port), or from a Linux machine"))
    }

    pub fn send(&self, _: IpAddr, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub async fn receive(&self, _: &mut [u8]) -> io::Result<Raw> {
        match self.0 {}
    }
}
