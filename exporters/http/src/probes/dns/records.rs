//! Records as text, in the form that regular expressions for blackbox_exporter expect: name, TTL, class, type and data as in
//! a zone file, with tabs between them. What is not known here takes the form of RFC 3597.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hickory_proto::rr::{RData, Record, RecordType};

/// One record on one line.
pub fn show(record: &Record) -> String {
    let kind = match record.record_type() {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    };
    format!("{}\t{}\t{}\t{kind}\t{}", record.name.to_ascii(), record.ttl, record.dns_class, data(&record.data))
}

fn data(data: &RData) -> String {
    match data {
        RData::NS(name) => name.0.to_ascii(),
        RData::CNAME(name) => name.0.to_ascii(),
        RData::PTR(name) => name.0.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::TXT(txt) => txt.txt_data.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" "),
        RData::HINFO(info) => format!("{} {}", quoted(&info.cpu), quoted(&info.os)),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            soa.mname.to_ascii(),
            soa.rname.to_ascii(),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.to_ascii()),
        RData::CAA(caa) => {
            let flags = u8::from(caa.issuer_critical) << 7 | caa.reserved_flags;
            format!("{flags} {} {}", caa.tag, quoted(&caa.value))
        }
        RData::NAPTR(to) => format!(
            "{} {} {} {} {} {}",
            to.order,
            to.preference,
            quoted(&to.flags),
            quoted(&to.services),
            quoted(&to.regexp),
            to.replacement.to_ascii()
        ),
        RData::SSHFP(key) => {
            format!("{} {} {}", u8::from(key.algorithm), u8::from(key.fingerprint_type), hex(&key.fingerprint).to_uppercase())
        }
        RData::Unknown { code, rdata } => raw(*code, &rdata.anything),
        RData::NULL(null) => raw(RecordType::NULL, &null.anything),
        other => other.to_string(),
    }
}

/// Data that the library leaves as bytes.
fn raw(kind: RecordType, bytes: &[u8]) -> String {
    let shown = match (kind, bytes) {
        (RecordType::DS | RecordType::CDS, [a, b, algorithm, digest, rest @ ..]) => {
            Some(format!("{} {algorithm} {digest} {}", u16::from_be_bytes([*a, *b]), hex(rest).to_uppercase()))
        }
        (RecordType::DNSKEY | RecordType::CDNSKEY, [a, b, protocol, algorithm, rest @ ..]) => {
            Some(format!("{} {protocol} {algorithm} {}", u16::from_be_bytes([*a, *b]), BASE64.encode(rest)))
        }
        _ => None,
    };
    shown.unwrap_or_else(|| format!("\\# {} {}", bytes.len(), hex(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A string of a record in quotes, with what cannot be printed as its number (RFC 1035, 5.1).
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{CNAME, MX, NULL, SOA, SRV, TXT};
    use hickory_proto::rr::{DNSClass, Name};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn records_stand_as_in_a_zone_file() {
        let mut record = Record::from_rdata(name("Www.example.com."), 3600, RData::A("192.0.2.1".parse().unwrap()));
        assert_eq!(show(&record), "Www.example.com.\t3600\tIN\tA\t192.0.2.1");
        record.dns_class = DNSClass::CH;
        record.data = RData::TXT(TXT::from_bytes(vec![b"v=spf1 \"x\"", b"\xff;"]));
        assert_eq!(show(&record), "Www.example.com.\t3600\tCH\tTXT\t\"v=spf1 \\\"x\\\"\" \"\\255;\"");
        for (rdata, text) in [
            (RData::AAAA("2001:db8::1".parse().unwrap()), "2001:db8::1"),
            (RData::CNAME(CNAME(name("x.example."))), "x.example."),
            (RData::MX(MX::new(10, name("mail.example."))), "10 mail.example."),
            (RData::SRV(SRV::new(1, 2, 389, name("ldap.example."))), "1 2 389 ldap.example."),
            (RData::SOA(SOA::new(name("ns."), name("root."), 2026, 1, 2, 3, 4)), "ns. root. 2026 1 2 3 4"),
        ] {
            assert_eq!(data(&rdata), text);
        }
    }

    #[test]
    fn bytes_of_other_types() {
        let of = |kind, bytes: &[u8]| data(&RData::Unknown { code: kind, rdata: NULL::with(bytes.to_vec()) });
        assert_eq!(of(RecordType::DS, &[0x30, 0x39, 8, 2, 0xab, 0xcd]), "12345 8 2 ABCD");
        assert_eq!(of(RecordType::DNSKEY, &[1, 1, 3, 8, 1, 2, 3]), "257 3 8 AQID");
        assert_eq!(of(RecordType::DS, &[1]), "\\# 1 01");
        let unknown = RData::Unknown { code: RecordType::Unknown(65280), rdata: NULL::with(vec![1]) };
        assert_eq!(show(&Record::from_rdata(name("a."), 1, unknown)), "a.\t1\tIN\tTYPE65280\t\\# 1 01");
    }
}
