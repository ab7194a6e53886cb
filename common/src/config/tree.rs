//! A YAML text as it stands, with the place of each value: for files whose form is another program's, or of which one
//! part may be wrong without spoiling the rest. Our own configuration is read strictly instead (mod.rs).

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::config;
use crate::error::Invalid;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// The value.
    pub value: Value,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Null, or nothing at all.
    Nothing,
    /// Text, number or switch, as text.
    Scalar(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys and values in their order; a key may stand there twice.
    Map(Vec<(Tree, Tree)>),
}

/// Reads one YAML document that came from `origin`.
///
/// # Errors
/// What is no YAML, with its place.
pub fn parse(text: &str, origin: &str) -> Result<Tree, Invalid> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| config::refusal::of(error.without_snippet(), origin))
}

impl Tree {
    /// `origin:line:column`.
    pub fn place(&self, origin: &str) -> String {
        format!("{origin}:{}:{}", self.line, self.column)
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The innermost key that `message` is about: messages name settings from the outermost inwards, `target main: host ...`,
    /// and leave some levels out.
    pub fn about(&self, message: &str) -> Option<&Self> {
        let words: Vec<&str> = message.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).collect();
        let (mut key, mut here) = self.named(&words)?;
        while let Some((inner, value)) = here.named(&words).or_else(|| here.parts().find_map(|part| part.named(&words))) {
            (key, here) = (inner, value);
        }
        Some(key)
    }

    /// The pair whose key is the first of these words; `target` means what stands below `targets`.
    fn named(&self, words: &[&str]) -> Option<(&Self, &Self)> {
        let is = |key: &str, word: &str| key == word || key.strip_suffix('s') == Some(word);
        let at = |key: &Self| words.iter().position(|word| key.text().is_some_and(|key| is(key, word)));
        let found = self.pairs()?.iter().filter_map(|(key, value)| Some((at(key)?, key, value)));
        found.min_by_key(|(at, ..)| *at).map(|(_, key, value)| (key, value))
    }

    /// The values of a mapping or a list.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        let list: &[Self] = if let Value::List(list) = &self.value { list } else { &[] };
        list.iter().chain(self.pairs().unwrap_or_default().iter().map(|(_, value)| value))
    }

    /// The pairs of a mapping.
    pub fn pairs(&self) -> Option<&[(Self, Self)]> {
        match &self.value {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), column: referenced.column(), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        macro_rules! scalars {
            ($($visit:ident: $type:ty),*) => { $(fn $visit<E>(self, v: $type) -> Result<Value, E> { Ok(Value::Scalar(v.to_string())) })* };
        }
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str);

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Value::Map(pairs))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_places_and_keys_may_stand_twice() {
        let tree = parse("a:\n  b: [1, x, true]\n  c:\na: 'y'\n5: 1.5\n", "x.yml").unwrap();
        let pairs = tree.pairs().unwrap();
        let keys: Vec<_> = pairs.iter().map(|(key, _)| (key.text().unwrap(), key.line, key.column)).collect();
        assert_eq!(keys, [("a", 1, 1), ("a", 4, 1), ("5", 5, 1)]);
        assert_eq!((pairs[1].1.text(), pairs[2].1.text()), (Some("y"), Some("1.5")));
        let inner = pairs[0].1.pairs().unwrap();
        let Value::List(list) = &inner[0].1.value else { panic!("{inner:?}") };
        assert_eq!(list.iter().map(|item| item.text().unwrap()).collect::<Vec<_>>(), ["1", "x", "true"]);
        assert_eq!((list[1].place("x.yml"), &inner[1].1.value), ("x.yml:2:10".to_owned(), &Value::Nothing));
    }

    #[test]
    fn a_message_leads_to_its_key() {
        let text =
            "targets:\n  main:\n    host: a\nmodules:\n  own:\n    http:\n      method: x\n  host: {timeout: 1s}\nping:\n  - {count: 0}\n";
        let tree = parse(text, "x.yml").unwrap();
        let at = |message: &str| tree.about(message).map(|key| (key.text().unwrap(), key.line));
        assert_eq!(at("target main: host names several servers"), Some(("host", 3)));
        assert_eq!(at("module own: method: \"x\" is none"), Some(("method", 7)));
        assert_eq!(at("module own: nothing of this"), Some(("own", 5)));
        assert_eq!(at("ping: count: 0 pings"), Some(("count", 10)));
        assert_eq!(at("DATA_SOURCE_NAME: the host is not one"), None);
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_place() {
        for text in ["a: [", "a: b: c", "a: 'x", "a: 1\n---\nb: 1"] {
            let error = parse(text, "x.yml").unwrap_err();
            assert!(error.message.starts_with("x.yml:"), "{text:?}: {error}");
        }
    }
}
