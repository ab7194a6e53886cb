//! Values of a blackbox.yml: regular expressions, sizes, address families.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};
use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A regular expression over bytes: answers need not be UTF-8. Matching takes time linear in the answer.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

/// Largest compiled expression, in bytes.
const MAX_COMPILED: usize = 4 << 20;

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        RegexBuilder::new(&text).size_limit(MAX_COMPILED).build().map(Self).map_err(|error| {
            // The library shows the expression on several lines; its last one tells what is wrong.
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            refused(
                Invalid::new(format!("{text:?} is not a regular expression: {last}"))
                    .hint("write it in RE2 syntax, in single quotes so that YAML leaves backslashes alone")
                    .code(codes::PATTERN),
            )
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// A number of bytes: `10MB`, `512KiB` or plain `4096`. Units are powers of 1024 in either spelling, as the peer's are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let power = match unit.trim() {
            "" | "B" => 0,
            "KB" | "KiB" => 1,
            "MB" | "MiB" => 2,
            "GB" | "GiB" => 3,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power)).map(Self)
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("{text:?} is not a size; write it as 512KB or 10MB"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 10MB")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Size, E> {
                Ok(Size(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| {
                    refused(Invalid::new(format!("{text:?} is not a size")).hint("write it as 512KB or 10MB").code(codes::WRONG_KIND))
                })
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B", self.0))
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IpProtocol {
    /// IPv4.
    Ip4,
    /// IPv6, the peer's default.
    #[default]
    Ip6,
}

/// Which addresses of a name are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// One, by the family that the module prefers.
    #[default]
    First,
    /// One after the other, until one is well.
    Any,
    /// Each of that family; all must be well.
    All,
}

/// Reads an address of this machine.
///
/// # Errors
/// It is none.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let read = |text: String| {
        text.parse().map_err(|_| {
            let wrong = Invalid::new(format!("{text:?} is not an address"));
            refused(wrong.hint("write an IPv4 or IPv6 address of this machine, without a port: ip -brief address").code(codes::ADDRESS))
        })
    };
    Option::<String>::deserialize(deserializer)?.map(read).transpose()
}

/// For `print-config`: how much there is, since a body or a line that is sent may hold a password.
///
/// # Errors
/// Those of the serializer.
pub fn length_only<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => serializer.collect_str(&format_args!("<{} bytes>", text.len())),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, want) in [("0", Some(0)), ("10MB", Some(10 << 20)), ("3KiB", Some(3072)), ("1 GB", Some(1 << 30)), ("7B", Some(7))] {
            assert_eq!(Size::parse(text), want.map(Size), "{text}");
        }
        for bad in ["", "MB", "1TBx", "-1", "99999999999GB"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn expressions_are_bounded_and_their_fault_is_one_line() {
        #[derive(Debug, Deserialize)]
        struct One {
            #[serde(rename = "p")]
            _p: Pattern,
        }
        let refused = |text: &str| sage_common::config::parse::<One>(text, "x.yml").unwrap_err().message;
        assert!(refused("p: '('").contains("unclosed group"), "{}", refused("p: '('"));
        assert!(refused("p: '\\w{1000}{1000}'").contains("not a regular expression"));
    }
}
