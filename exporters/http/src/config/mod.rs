//! The modules of a blackbox.yml: every documented key of the probers that are here is honoured, or refused by name.
//!
//! A prober has a section of its own name: a line below, a file of settings, and a line in `probes::PROBERS`.

pub mod dialogue;
pub mod dns;
pub mod file;
pub mod grpc;
pub mod http;
pub mod icmp;
pub mod refused;
pub mod tcp;
pub mod tls;
pub mod types;
pub mod unix;

use std::time::Duration;

use sage_common::codes;
use sage_common::config::Span;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use crate::allowed::{AllowedTargets, Fence};
use crate::probes::Kind;

/// Settings of one prober.
pub trait Section: Default {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    fn validate(&self) -> Result<(), Invalid>;

    /// The key by which it shows targets a credential, if it does.
    fn credentials(&self) -> Option<String>;

    /// Asks IPv4 first, as the modules do that there are without a file of settings: nobody asked for IPv6.
    fn prefer_ip4(&mut self);
}

/// Declares `ModuleConfig`: the sections of the probers, then those that are refused by name.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident: $settings:ty,)* $(; $refused:ident refused $refusal:literal)* $(;)?) => {
        /// One named way of probing.
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct ModuleConfig {
            /// Which prober asks.
            pub prober: Kind,
            /// Whom it may ask; one that shows credentials must say so.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub allowed_targets: Option<AllowedTargets>,
            /// Longest probe, whatever the scraper allows.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub timeout: Option<Span>,
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$settings>,
            )*
            $(
                #[expect(dead_code, reason = "a key that is refused holds nothing")]
                #[serde(default, skip_serializing, deserialize_with = $refusal)]
                $refused: (),
            )*
        }

        impl ModuleConfig {
            /// A module with all defaults, but IPv4 first.
            pub fn plain(name: &str) -> Option<Self> {
                let mut module = Self { prober: Kind::find(name)?, allowed_targets: None, timeout: None, $($name: None,)* $($refused: (),)* };
                $(
                    if name == stringify!($name) {
                        let mut settings = <$settings>::default();
                        settings.prefer_ip4();
                        module.$name = Some(settings);
                    }
                )*
                Some(module)
            }

            /// The sections that are given, each with what is wrong with it.
            fn given(&self) -> impl Iterator<Item = (&'static str, Result<(), Invalid>)> {
                [$((stringify!($name), self.$name.as_ref().map(Section::validate)),)*].into_iter().filter_map(|(n, v)| Some((n, v?)))
            }

            /// The key by which it shows targets a credential, if it does.
            fn credentials(&self) -> Option<String> {
                [$(self.$name.as_ref().and_then(Section::credentials),)*].into_iter().flatten().next()
            }
        }
    };
}

sections! {
    /// How the dns prober asks.
    dns: dns::DnsConfig,
    /// How the grpc prober asks.
    grpc: grpc::GrpcConfig,
    /// How the http prober asks.
    http: http::HttpConfig,
    /// How the icmp prober asks.
    icmp: icmp::IcmpConfig,
    /// How the tcp prober asks.
    tcp: tcp::TcpConfig,
    /// How the unix prober asks.
    unix: unix::UnixConfig,
    ; websocket refused "refused::websocket"
}

impl ModuleConfig {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.timeout.is_some_and(|t| t.0 == Duration::ZERO) {
            return Err(Invalid::new("timeout must be greater than 0").hint("write `timeout: 5s`").code(codes::RANGE));
        }
        let name = self.prober.name();
        if let Some((section, _)) = self.given().find(|(section, _)| *section != name) {
            return Err(Invalid::new(format!("the prober is {name}, but there are settings for {section}"))
                .hint(format!("write `prober: {section}`, or remove `{section}:`"))
                .code(codes::CONFLICT));
        }
        self.given().try_for_each(|(_, wrong)| wrong)?;
        self.validate_targets()?;
        // What is left out must be fine too: dns has a key that must be there.
        match self.given().next() {
            None => Self::plain(name).map_or(Ok(()), |module| module.given().try_for_each(|(_, wrong)| wrong)),
            Some(_) => Ok(()),
        }
    }

    fn validate_targets(&self) -> Result<(), Invalid> {
        const LINES: &str =
            "write `allowed_targets: [www.example.com, .example.org, 10.0.0.0/8]` beside `prober:`, with those who may see it";
        match (&self.allowed_targets, self.credentials()) {
            (None, Some(key)) => {
                Err(Invalid::new(format!("{key} would be shown to whatever target a request names")).hint(LINES).code(codes::INSECURE))
            }
            (Some(list), _) if list.is_empty() => {
                Err(Invalid::new("allowed_targets: nobody is allowed").hint(LINES).code(codes::INCOMPLETE))
            }
            _ => Ok(()),
        }
    }

    /// Who may be asked.
    pub const fn fence(&self) -> Fence<'_> {
        Fence::new(self.allowed_targets.as_ref(), false)
    }
}

#[cfg(test)]
mod refusals;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::IpProtocol;

    #[test]
    fn the_plain_modules_are_valid_and_ask_ipv4_first() {
        let http = ModuleConfig::plain("http").unwrap();
        http.validate().unwrap();
        assert_eq!(http.http.unwrap().preferred_ip_protocol, IpProtocol::Ip4);
        assert!(http.tcp.is_none());
        let tcp = ModuleConfig::plain("tcp").unwrap();
        tcp.validate().unwrap();
        assert_eq!(tcp.tcp.unwrap().preferred_ip_protocol, IpProtocol::Ip4);
        assert!(ModuleConfig::plain("websocket").is_none());
    }
}
