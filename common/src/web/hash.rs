//! A bcrypt hash as a web configuration file has it: `$2y$10$`, 22 characters of salt, 31 of digest.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::codes::{self, Code};

/// Less is guessed too fast.
const CHEAPEST: u32 = 10;
/// More costs the exporter a second for each wrong password.
const DEAREST: u32 = 14;
/// What bcrypt sees of a password, with the zero at its end.
const LONGEST: usize = 72;

/// The last bits of salt and digest mean nothing, and not everybody writes zeros there.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A hash that was read; it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bcrypt hash of cost {}>", self.cost)
    }
}

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// Why it is not taken, as the end of a sentence, without any of it, and the number of that.
    pub fn parse(text: &str) -> Result<Self, (Code, String)> {
        let no_hash = || (codes::FORM, "is not a bcrypt hash; a password as it is does not stand in this file".to_owned());
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| text.strip_prefix(prefix));
        let Some(rest) = rest else {
            let old = text.starts_with("$2x$") || text.starts_with("$2$");
            return Err(if old { (codes::INSECURE, "is a hash of the broken kind of bcrypt ($2x$ or $2$)".to_owned()) } else { no_hash() });
        };
        let (cost, data) = rest.split_once('$').ok_or_else(no_hash)?;
        let cost: u32 = Some(cost)
            .filter(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|c| c.parse().ok())
            .ok_or_else(no_hash)?;
        let parts = data.is_ascii().then(|| data.split_at_checked(22)).flatten();
        let decode = |part: &str| BASE64.decode(part).ok();
        let (salt, digest) = parts.and_then(|(salt, digest)| Some((decode(salt)?, decode(digest)?))).ok_or_else(no_hash)?;
        let (Ok(salt), Ok(digest)) = (salt.try_into(), digest.try_into()) else { return Err(no_hash()) };
        let but = match cost {
            CHEAPEST..=DEAREST => return Ok(Self { cost, salt, digest }),
            ..CHEAPEST => "is guessed too fast",
            _ => "keeps the exporter busy for seconds",
        };
        Err((codes::RANGE, format!("has a bcrypt cost of {cost}, which {but}: {CHEAPEST} to {DEAREST} are taken")))
    }

    /// Hashes a password with a salt.
    pub fn make(password: &[u8], salt: [u8; 16]) -> Self {
        Self { cost: CHEAPEST, salt, digest: digest(CHEAPEST, salt, password) }
    }

    /// The hash as a web configuration file has it.
    pub fn text(&self) -> String {
        format!("$2y${:02}${}{}", self.cost, BASE64.encode(self.salt), BASE64.encode(self.digest))
    }

    /// Whether the password is the one. Takes as long as the cost says, whatever the answer.
    pub fn fits(&self, password: &[u8]) -> bool {
        verify_slices_are_equal(&digest(self.cost, self.salt, password), &self.digest).is_ok()
    }
}

fn digest(cost: u32, salt: [u8; 16], password: &[u8]) -> [u8; 23] {
    let seen: Vec<u8> = password.iter().copied().chain([0]).take(LONGEST).collect();
    let [digest @ .., _] = bcrypt::bcrypt(cost, salt, &seen);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with libxcrypt, which shares no code with ours.
    const HASHES: &[(&str, &str)] = &[
        ("secret", "$2b$10$3JAmoD9rDf5jqbSUSF3GF..z2XDGGLd7KE.wSig9Bu99Nxw4WU2nW"),
        ("", "$2b$10$b922cG.agoSVTBYPWqkPH.nNpJgv9DJMtWgwk.AqoFVl27kDwV2bG"),
        ("p@ss wörd:1", "$2b$10$GAGhZk..8LgbfGjxZTz4NevRaRQl7zD6YhmM7KfdvfCq0aZlE0p3e"),
    ];

    #[test]
    fn hashes_of_others_fit() {
        for (password, text) in HASHES {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.fits(password.as_bytes()) && !hash.fits(b"other"), "{password}");
            assert_eq!(Hash::parse(&hash.text().replace("$2y$", "$2b$")).unwrap(), hash);
        }
        // bcrypt sees 72 bytes, as it does everywhere.
        let long = Hash::make(&[b'x'; 80], [7; 16]);
        assert!(long.fits(&[b'x'; 72]) && !long.fits(&[b'x'; 71]));
        assert_eq!(format!("{long:?}"), "<bcrypt hash of cost 10>");
    }

    #[test]
    fn what_is_no_hash_or_a_bad_one_is_refused_without_showing_it() {
        let good = HASHES[0].1;
        for (text, why) in [
            ("canary", "is not a bcrypt hash"),
            ("", "is not a bcrypt hash"),
            ("$2y$10$canary", "is not a bcrypt hash"),
            ("$2y$1$canary", "is not a bcrypt hash"),
            ("$apr1$canary$canary", "is not a bcrypt hash"),
            (&good.replace("$2b$", "$2x$"), "broken kind"),
            (&good.replace("$10$", "$09$"), "a bcrypt cost of 9, which is guessed too fast"),
            (&good.replace("$10$", "$15$"), "a bcrypt cost of 15, which keeps"),
            (&good.replace("$10$", "$+9$"), "is not a bcrypt hash"),
            (&format!("{good}x"), "is not a bcrypt hash"),
            (&good[..59], "is not a bcrypt hash"),
        ] {
            let (_, refused) = Hash::parse(text).unwrap_err();
            assert!(refused.contains(why) && !refused.contains("canary"), "{text}: {refused}");
        }
    }
}
