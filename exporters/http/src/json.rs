//! Places in a JSON document, as one writes them: `user.name`, `$.items[0].id`, `$['odd key']`.

use std::fmt;

use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    Index(usize),
}

/// Where in a document.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    parts: Vec<Part>,
}

impl Path {
    /// Reads a place.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(format!("{text:?} is no place in JSON")).hint("write it as `user.name` or `$.items[0].id`").code(codes::PATTERN)
        };
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut parts = Vec::new();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (index, after) = inside.split_once(']').ok_or_else(wrong)?;
                let quoted = ['\'', '"'].iter().find_map(|quote| index.strip_prefix(*quote)?.strip_suffix(*quote));
                parts.push(match quoted {
                    Some(key) => Part::Key(key.to_owned()),
                    None => Part::Index(index.parse().map_err(|_| wrong())?),
                });
                rest = after;
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at_checked(end).filter(|(key, _)| !key.is_empty()).ok_or_else(wrong)?;
                parts.push(Part::Key(key.to_owned()));
                rest = after;
            }
        }
        if parts.is_empty() && text != "$" { Err(wrong()) } else { Ok(Self { text: text.to_owned(), parts }) }
    }

    /// What stands there, as text: a string without its quotes, all else as JSON.
    pub fn find(&self, document: &Value) -> Option<String> {
        let found = self.parts.iter().try_fold(document, |at, part| match part {
            Part::Key(key) => at.get(key),
            Part::Index(index) => at.get(index),
        })?;
        Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(refused)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_odd_ones_refused() {
        let document: Value = serde_json::from_str(r#"{"a": {"b": [1, {"c d": "x"}], "n": null}, "t": true}"#).unwrap();
        for (path, want) in [
            ("a.b[0]", Some("1")),
            ("$.a.b[1]['c d']", Some("x")),
            ("$['a'].n", Some("null")),
            ("t", Some("true")),
            ("a.b", Some(r#"[1,{"c d":"x"}]"#)),
            ("a.b[2]", None),
            ("a.x.y", None),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&document).as_deref(), want, "{path}");
        }
        for bad in ["", "a..b", "a[", "a[x]", "a.", "a[-1]"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
