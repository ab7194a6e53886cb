//! The keys and streams that somebody wants to see, as redis_exporter's flags name them: `db3=user_count`, with %XX for bytes
//! that cannot be written, separated by commas.

use std::fmt::Write as _;

use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize};

/// A key, or a pattern for SCAN, in a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Named {
    /// Number of the database.
    pub db: u32,
    /// The key; a name is bytes, not text.
    pub key: Vec<u8>,
}

/// What to look at in a target's keys; nothing by default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// Patterns of keys, searched for with SCAN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Named>,
    /// Keys by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub single_keys: Vec<Named>,
    /// Patterns of streams, searched for with SCAN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Named>,
    /// Streams by their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub single_streams: Vec<Named>,
    /// Patterns of keys to count, with SCAN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub count_keys: Vec<Named>,
    /// COUNT of SCAN: the server looks at about as many keys at once.
    pub batch_size: u32,
    /// Whether a primary may be asked at all.
    pub on_primary: bool,
    /// Whether a primary's replica, found in its INFO replication, is asked in its place; it gets the same user and password.
    pub find_replica: bool,
    /// Whether the consumers of streams have series.
    pub consumers: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            single_keys: Vec::new(),
            streams: Vec::new(),
            single_streams: Vec::new(),
            count_keys: Vec::new(),
            batch_size: 1000,
            on_primary: true,
            find_replica: false,
            consumers: true,
        }
    }
}

/// redis_exporter's flags of keys and streams, for the first target.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct CheckFlags {
    /// Patterns of keys to look at, separated by commas: db3=user_*
    #[arg(long = "check-keys", value_name = "PATTERNS", global = true)]
    keys: Option<String>,
    /// Keys to look at, separated by commas: db3=user_count
    #[arg(long = "check-single-keys", value_name = "KEYS", global = true)]
    single_keys: Option<String>,
    /// Patterns of streams to look at, separated by commas
    #[arg(long = "check-streams", value_name = "PATTERNS", global = true)]
    streams: Option<String>,
    /// Streams to look at, separated by commas
    #[arg(long = "check-single-streams", value_name = "KEYS", global = true)]
    single_streams: Option<String>,
    /// Patterns of keys to count, separated by commas
    #[arg(long = "count-keys", value_name = "PATTERNS", global = true)]
    count_keys: Option<String>,
    /// Keys that the server looks at in one step of a search [default: 1000]
    #[arg(long = "check-keys-batch-size", value_name = "N", global = true)]
    batch_size: Option<u32>,
    /// Look at keys and streams on replicas only
    #[arg(long = "skip-checkkeys-for-role-master", global = true)]
    replicas_only: bool,
    /// No series for the consumers of streams
    #[arg(long = "streams-exclude-consumer-metrics", global = true)]
    no_consumers: bool,
}

/// Most keys of one step: the server does nothing else meanwhile.
const LARGEST_BATCH: u32 = 10_000;

impl Checks {
    /// Puts the flags over these.
    ///
    /// # Errors
    /// A list that cannot be read.
    pub fn overlay(&mut self, flags: &CheckFlags) -> Result<(), Invalid> {
        for (flag, text, list) in [
            ("--check-keys", &flags.keys, &mut self.keys),
            ("--check-single-keys", &flags.single_keys, &mut self.single_keys),
            ("--check-streams", &flags.streams, &mut self.streams),
            ("--check-single-streams", &flags.single_streams, &mut self.single_streams),
            ("--count-keys", &flags.count_keys, &mut self.count_keys),
        ] {
            let Some(text) = text else { continue };
            let names = text.split(',').filter(|name| !name.trim().is_empty());
            *list = names.map(|name| Named::try_from(name.to_owned())).collect::<Result<_, _>>().map_err(|e| e.within(flag))?;
        }
        self.batch_size = flags.batch_size.unwrap_or(self.batch_size);
        self.on_primary &= !flags.replicas_only;
        self.consumers &= !flags.no_consumers;
        Ok(())
    }

    /// Refuses a step that would keep the server from its work.
    ///
    /// # Errors
    /// The batch size is out of its range.
    pub fn validate(&self) -> Result<(), Invalid> {
        if (1..=LARGEST_BATCH).contains(&self.batch_size) {
            return Ok(());
        }
        Err(Invalid::new(format!("checks: batch_size must be from 1 to {LARGEST_BATCH}"))
            .hint("the server does nothing else while it looks at a batch: 1000 takes it less than a millisecond")
            .code(codes::RANGE))
    }

    /// Whether this collector has something to do; true for all that do not look at keys.
    pub fn wants(&self, collector: &str) -> bool {
        match collector {
            "keys" => !self.keys.is_empty() || !self.single_keys.is_empty(),
            "keys_count" => !self.count_keys.is_empty(),
            "streams" => !self.streams.is_empty() || !self.single_streams.is_empty(),
            _ => true,
        }
    }

    /// All whose values are read.
    pub fn seen(&self) -> impl Iterator<Item = &Named> {
        [&self.keys, &self.single_keys, &self.streams, &self.single_streams].into_iter().flatten()
    }

    /// True when nothing is named.
    pub fn is_empty(&self) -> bool {
        [&self.keys, &self.single_keys, &self.streams, &self.single_streams, &self.count_keys].iter().all(|list| list.is_empty())
    }
}

impl Named {
    /// True when SCAN has to search for it.
    pub fn is_pattern(&self) -> bool {
        self.key.iter().any(|b| b"?*[]^".contains(b))
    }

    /// The database as a label value.
    pub fn db_label(&self) -> String {
        format!("db{}", self.db)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(refused)
    }
}

impl TryFrom<String> for Named {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let wrong = |what: &str| {
            Invalid::new(format!("{text:?}: {what}")).hint("write db3=user_count, and %3D for an equals sign in a name").code(codes::FORM)
        };
        let (db, key) = match text.trim().split_once('=') {
            Some((db, key)) => (db.trim(), key.trim()),
            None => ("0", text.trim()),
        };
        if key.contains('=') {
            return Err(wrong("more than one equals sign"));
        }
        let db = db.strip_prefix("db").unwrap_or(db).parse().map_err(|_| wrong("before the equals sign stands no database"))?;
        let key = decode(key).ok_or_else(|| wrong("a % is not followed by two hexadecimal digits"))?;
        if key.is_empty() { Err(wrong("no name of a key")) } else { Ok(Self { db, key }) }
    }
}

impl From<Named> for String {
    fn from(named: Named) -> Self {
        let mut text = named.db_label() + "=";
        for byte in named.key {
            if byte.is_ascii_graphic() && !b"=,%+".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    }
}

/// Percent-decoding where a plus sign is a blank, as redis_exporter has it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?, 16).ok()?
            }
            b'+' => b' ',
            byte => *byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_peer_s_flags_have_them() {
        for (text, db, key, pattern) in [
            ("user_count", 0, "user_count".as_bytes(), false),
            (" db3=user:* ", 3, b"user:*", true),
            ("3=a+b%2Cc%3D%ff", 3, b"a b,c=\xff", false),
            ("db0=h[ae]llo", 0, b"h[ae]llo", true),
        ] {
            let named = Named::try_from(text.to_owned()).unwrap();
            assert_eq!((named.db, named.key.as_slice(), named.is_pattern()), (db, key, pattern), "{text}");
            assert_eq!(Named::try_from(String::from(named.clone())).unwrap(), named, "there and back");
        }
        for text in ["", "db0=", "dbx=a", "-1=a", "a=b=c", "%4", "%zz", "%+1"] {
            assert!(Named::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_go_over_the_file() {
        let mut checks = Checks { keys: vec![Named { db: 1, key: b"old".to_vec() }], ..Checks::default() };
        let flags = CheckFlags { keys: Some("a,,db2=b*".into()), replicas_only: true, no_consumers: true, ..CheckFlags::default() };
        checks.overlay(&flags).unwrap();
        assert_eq!(checks.keys, [Named { db: 0, key: b"a".to_vec() }, Named { db: 2, key: b"b*".to_vec() }]);
        assert!(!checks.on_primary && !checks.consumers && !checks.is_empty() && checks.validate().is_ok());
        let error = checks.overlay(&CheckFlags { count_keys: Some("x=1".into()), ..CheckFlags::default() }).unwrap_err();
        assert!(error.message.starts_with("--count-keys: \"x=1\""), "{error}");
        for batch_size in [0, 10_001] {
            assert!(Checks { batch_size, ..Checks::default() }.validate().is_err());
        }
    }
}
