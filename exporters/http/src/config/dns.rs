//! Settings of the dns prober.

use std::net::IpAddr;
use std::str::FromStr as _;

use hickory_proto::rr::{DNSClass, Name, RecordType};
use sage_common::codes;
use sage_common::config::{refused, unknown_value};
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Section;
use super::tls::TlsConfig;
use super::types::{IpProtocol, Pattern, address};

/// How the dns prober asks, and which answers it takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// The name that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_name: Option<QueryName>,
    /// The type of record that is asked for.
    pub query_type: QueryType,
    /// Its class.
    pub query_class: QueryClass,
    /// Datagrams or a connection.
    pub transport_protocol: Transport,
    /// TLS on that connection.
    pub dns_over_tls: bool,
    /// Its settings.
    pub tls_config: TlsConfig,
    /// Whether the server shall ask others.
    pub recursion_desired: bool,
    /// Response codes that are fine; none given means NOERROR.
    pub valid_rcodes: Vec<Rcode>,
    /// What the answer section must look like.
    pub validate_answer_rrs: Validator,
    /// What the authority section must look like.
    pub validate_authority_rrs: Validator,
    /// What the additional section must look like.
    pub validate_additional_rrs: Validator,
    /// Address family that is taken where the server's name has both.
    pub preferred_ip_protocol: IpProtocol,
    /// Whether the other family will do.
    pub ip_protocol_fallback: bool,
    /// Address of this machine to ask from.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "address")]
    pub source_ip_address: Option<IpAddr>,
}

/// What the records of one section must look like, each written as in a zone file with tabs between its fields.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validator {
    /// No record may match any of these.
    pub fail_if_matches_regexp: Vec<Pattern>,
    /// Every record must match all of these: the peer's reading, whatever the name says.
    pub fail_if_all_match_regexp: Vec<Pattern>,
    /// There must be records, and every one must match all of these.
    pub fail_if_not_matches_regexp: Vec<Pattern>,
    /// Some record must match one of these.
    pub fail_if_none_matches_regexp: Vec<Pattern>,
}

/// UDP or TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams; an answer that does not fit is fetched over TCP.
    #[default]
    Udp,
    /// A connection.
    Tcp,
}

/// Declares a value that is written as text.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $read:expr, $show:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $inner);

        impl $name {
            fn read(text: &str) -> Result<Self, Invalid> {
                let read: fn(&str) -> Result<$inner, Invalid> = $read;
                read(text).map(Self)
            }

            fn text(&self) -> String {
                let show: fn(&$inner) -> String = $show;
                show(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::read(&String::deserialize(deserializer)?).map_err(refused)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text())
            }
        }
    };
}

text!(
    /// A domain name; always a full one.
    QueryName(Name),
    |text| {
        let wrong = |_| Invalid::new(format!("{text:?} is not a domain name")).hint("write `query_name: www.example.com`").code(codes::FORM);
        let mut name = Name::from_ascii(text).or_else(|_| Name::from_utf8(text)).map_err(wrong)?;
        name.set_fqdn(true);
        Ok(name)
    },
    |name| name.to_ascii()
);

text!(
    /// A type of record by name, or by number as `TYPE65280`.
    QueryType(RecordType),
    |text| {
        let upper = text.to_ascii_uppercase();
        let number = upper.strip_prefix("TYPE").and_then(|n| n.parse::<u16>().ok()).map(RecordType::from);
        let other = OTHER_TYPES.iter().find(|(name, _)| *name == upper).map(|(_, n)| RecordType::from(*n));
        number.or(other).or_else(|| RecordType::from_str(&upper).ok()).ok_or_else(|| {
            unknown_value(&format!("query_type: unknown type `{text}`"), &upper, &TYPES).hint("write `query_type: A`, or a number as TYPE257")
        })
    },
    |kind| kind.to_string()
);

text!(
    /// A class of records.
    QueryClass(DNSClass),
    |text| {
        let upper = text.to_ascii_uppercase();
        DNSClass::from_str(&upper).map_err(|_| unknown_value(&format!("query_class: unknown class `{text}`"), &upper, &CLASSES))
    },
    |class| class.to_string()
);

text!(
    /// A response code by name.
    Rcode(u16),
    |text| {
        let upper = text.to_ascii_uppercase();
        let names: Vec<_> = RCODES.iter().map(|(name, _)| *name).collect();
        let found = RCODES.iter().find(|(name, _)| *name == upper).map(|(_, code)| *code);
        found.ok_or_else(|| unknown_value(&format!("valid_rcodes: unknown code `{text}`"), &upper, &names))
    },
    |code| rcode_name(*code)
);

/// Types that are asked for now and then and that the library has no name for.
const OTHER_TYPES: [(&str, u16); 10] = [
    ("RP", 17),
    ("AFSDB", 18),
    ("LOC", 29),
    ("DNAME", 39),
    ("APL", 42),
    ("SPF", 99),
    ("EUI48", 108),
    ("EUI64", 109),
    ("URI", 256),
    ("DLV", 32769),
];

/// For the hint to a name that is not known.
const TYPES: [&str; 17] =
    ["A", "AAAA", "ANY", "CAA", "CNAME", "DNSKEY", "DS", "HINFO", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "TLSA", "TXT"];

const CLASSES: [&str; 5] = ["IN", "CH", "HS", "NONE", "ANY"];

/// Response codes (IANA's registry of DNS parameters).
const RCODES: [(&str, u16); 22] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("NOTIMPL", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("DSOTYPENI", 11),
    ("BADVERS", 16),
    ("BADSIG", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
];

/// The name of a response code.
pub fn rcode_name(code: u16) -> String {
    RCODES.iter().find(|(_, c)| *c == code).map_or_else(|| format!("RCODE{code}"), |(name, _)| (*name).to_owned())
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            query_name: None,
            query_type: QueryType(RecordType::ANY),
            query_class: QueryClass(DNSClass::IN),
            transport_protocol: Transport::default(),
            dns_over_tls: false,
            tls_config: TlsConfig::default(),
            recursion_desired: true,
            valid_rcodes: Vec::new(),
            validate_answer_rrs: Validator::default(),
            validate_authority_rrs: Validator::default(),
            validate_additional_rrs: Validator::default(),
            preferred_ip_protocol: IpProtocol::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
        }
    }
}

impl Section for DnsConfig {
    fn validate(&self) -> Result<(), Invalid> {
        if self.query_name.is_none() {
            return Err(Invalid::new("dns: there is no query_name")
                .hint("write `query_name: example.com`, the name to ask for")
                .code(codes::INCOMPLETE));
        }
        if self.dns_over_tls && self.transport_protocol != Transport::Tcp {
            return Err(Invalid::new("dns_over_tls needs a connection").hint("write `transport_protocol: tcp`").code(codes::INCOMPLETE));
        }
        self.tls_config.validate()
    }

    fn credentials(&self) -> Option<String> {
        self.tls_config.credentials()
    }

    fn prefer_ip4(&mut self) {
        self.preferred_ip_protocol = IpProtocol::Ip4;
    }
}

impl Validator {
    /// Judges the records of a section.
    ///
    /// # Errors
    /// Which expression says no to which record.
    pub fn judge(&self, records: &[String]) -> Result<(), String> {
        let fits = |pattern: &Pattern, record: &String| pattern.0.is_match(record.as_bytes());
        for record in records {
            if let Some(bad) = self.fail_if_matches_regexp.iter().find(|p| fits(p, record)) {
                return Err(format!("{record:?} matches {:?}", bad.0.as_str()));
            }
            let all = self.fail_if_not_matches_regexp.iter().chain(&self.fail_if_all_match_regexp);
            if let Some(missed) = all.into_iter().find(|p| !fits(p, record)) {
                return Err(format!("{record:?} does not match {:?}", missed.0.as_str()));
            }
        }
        if let Some(missed) = self.fail_if_not_matches_regexp.first().filter(|_| records.is_empty()) {
            return Err(format!("there is no record to match {:?}", missed.0.as_str()));
        }
        let wanted = &self.fail_if_none_matches_regexp;
        match wanted.first() {
            Some(missed) if !records.iter().any(|record| wanted.iter().any(|p| fits(p, record))) => {
                Err(format!("none of {} records matches {:?} or what stands beside it", records.len(), missed.0.as_str()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(yaml: &str, records: &[&str]) -> Result<(), String> {
        let validator: Validator = sage_common::config::parse(yaml, "x.yml").unwrap();
        validator.judge(&records.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_rule_by_its_meaning() {
        let (one, two) = ("a.\t60\tIN\tA\t192.0.2.1", "a.\t60\tIN\tA\t192.0.2.2");
        for (rule, records, fine) in [
            ("fail_if_matches_regexp: ['2.2$', 'x']", &[one][..], true),
            ("fail_if_matches_regexp: ['2.2$', 'x']", &[one, two], false),
            ("fail_if_matches_regexp: ['.']", &[], true),
            ("fail_if_all_match_regexp: ['192', 'IN']", &[one, two], true),
            ("fail_if_all_match_regexp: ['2.1$']", &[one, two], false),
            ("fail_if_all_match_regexp: ['2.1$']", &[], true),
            ("fail_if_not_matches_regexp: ['192']", &[one, two], true),
            ("fail_if_not_matches_regexp: ['192', '2.2$']", &[one, two], false),
            ("fail_if_not_matches_regexp: ['192']", &[], false),
            ("fail_if_none_matches_regexp: ['x', '2.2$']", &[one, two], true),
            ("fail_if_none_matches_regexp: ['x', 'y']", &[one, two], false),
            ("fail_if_none_matches_regexp: ['x']", &[], false),
            ("{}", &[one], true),
        ] {
            assert_eq!(judge(rule, records).is_ok(), fine, "{rule}: {:?}", judge(rule, records));
        }
        let said = judge("fail_if_matches_regexp: ['2.1$']", &[one]).unwrap_err();
        assert_eq!(said, r#""a.\t60\tIN\tA\t192.0.2.1" matches "2.1$""#);
    }

    #[test]
    fn names_types_classes_and_codes() {
        let kind = |text: &str| QueryType::read(text).map(|t| u16::from(t.0));
        for (text, number) in
            [("A", 1), ("mx", 15), ("ANY", 255), ("TYPE257", 257), ("DNSKEY", 48), ("DS", 43), ("DNAME", 39), ("AXFR", 252)]
        {
            assert_eq!(kind(text), Ok(number), "{text}");
        }
        assert!(kind("AAA").unwrap_err().message.contains("unknown type `AAA`"));
        let name = QueryName::read("_sip._tcp.Example.com").unwrap();
        assert_eq!(name.text(), "_sip._tcp.Example.com.");
        assert!(QueryName::read("a..b").is_err());
        assert_eq!(Rcode::read("nxdomain").unwrap().0, 3);
        assert_eq!((rcode_name(0), rcode_name(4), rcode_name(3000)), ("NOERROR".to_owned(), "NOTIMP".to_owned(), "RCODE3000".to_owned()));
    }
}
