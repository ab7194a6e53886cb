//! Names of keys as label values: what is text stays as it is, what is not is escaped, and no two names become the same.
//!
//! A name in Redis is any bytes. A backslash is doubled, a byte that is no UTF-8 or a control character (but newline and tab,
//! which pages can hold) is `\xNN`. A name that is too long for a label keeps its beginning, followed by `\~` and a hash of the
//! whole; nothing else gives a backslash before a tilde.

use std::fmt::Write as _;

use sage_common::sink::MAX_LABEL_BYTES;

/// Bytes of the mark of a shortened name.
const MARK: usize = 2 + 16;

/// The label value of a name.
pub fn label(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len().min(MAX_LABEL_BYTES));
    // Where to cut if the whole does not fit.
    let mut cut = 0;
    for chunk in name.utf8_chunks() {
        let valid = chunk.valid().chars().map(Ok);
        for part in valid.chain(chunk.invalid().iter().map(|byte| Err(*byte))) {
            match part {
                Ok('\\') => out.push_str("\\\\"),
                Ok(c) if c.is_control() && c != '\n' && c != '\t' => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| escaped(&mut out, b)),
                Ok(c) => out.push(c),
                Err(byte) => escaped(&mut out, byte),
            }
            if out.len() <= MAX_LABEL_BYTES - MARK {
                cut = out.len();
            }
            if out.len() > MAX_LABEL_BYTES {
                out.truncate(cut);
                // Writing to a String cannot fail.
                let _ = write!(out, "\\~{:016x}", hash(name));
                return out;
            }
        }
    }
    out
}

fn escaped(out: &mut String, byte: u8) {
    let _ = write!(out, "\\x{byte:02x}");
}

/// FNV-1a of 64 bits: the same in every version of ours, which a series' name must be.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn text_stays_and_bytes_are_escaped() {
        for (name, want) in [
            (b"cart:42".as_slice(), "cart:42"),
            ("größe \"x\"".as_bytes(), "größe \"x\""),
            (b"a\nb\tc", "a\nb\tc"),
            (b"a\\nb", "a\\\\nb"),
            (b"\xff\x00\x1b[2J", "\\xff\\x00\\x1b[2J"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
            (b"", ""),
        ] {
            assert_eq!(label(name), want);
        }
    }

    #[test]
    fn no_two_names_become_the_same() {
        let long = "k".repeat(128);
        let names: Vec<Vec<u8>> = [
            b"\xff".to_vec(),
            b"\\xff".to_vec(),
            "\u{fffd}".as_bytes().to_vec(),
            b"\xfe".to_vec(),
            b"a\x01".to_vec(),
            b"a\x02".to_vec(),
            long.clone().into_bytes(),
            format!("{long}1").into_bytes(),
            format!("{long}2").into_bytes(),
            label(format!("{long}1").as_bytes()).into_bytes(),
            [b"\xff".repeat(500), b"1".to_vec()].concat(),
            [b"\xff".repeat(500), b"2".to_vec()].concat(),
            "ä".repeat(200).into_bytes(),
            "ä".repeat(201).into_bytes(),
        ]
        .to_vec();
        let labels: BTreeSet<String> = names.iter().map(|name| label(name)).collect();
        assert_eq!(labels.len(), names.len(), "{labels:#?}");
        assert!(labels.iter().all(|l| l.len() <= MAX_LABEL_BYTES));
        assert_eq!(label(long.as_bytes()), long, "as long as a label may be");
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c, "a test vector of FNV-1a");
    }
}
