//! Why a configuration is refused, in the words of those who write the file: the place, what is wrong there, and what was
//! probably meant. Values that read themselves use words of their own (`refused`); all else is told from the library's error.

use serde::de;

use crate::codes::{self, Code};
use crate::error::Invalid;

/// Stands before the hint of a refusal that had to become one line.
const HINT: &str = "; hint: ";
/// And before its number.
const CODE: &str = "; code: ";

/// A refusal as an error of serde, whose errors are one line of text: what reads the file makes parts of it again.
pub fn refused<E: de::Error>(refusal: Invalid) -> E {
    E::custom(format_args!("{}{HINT}{}{CODE}{}", refusal.message, refusal.advice(), refusal.code))
}

fn parts(line: &str) -> Option<Invalid> {
    let (message, rest) = line.rsplit_once(HINT)?;
    let (hint, code) = rest.rsplit_once(CODE)?;
    Some(Invalid::new(message).hint(hint).code(codes::find(code)?))
}

/// The refusal of a text that came from `origin`.
pub(crate) fn of(error: &serde_saphyr::Error, origin: &str) -> Invalid {
    let error = wording(error, origin);
    // A key may hold line ends, and a message is one line of the log.
    let line = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Invalid { message: error.message.chars().map(line).collect(), ..error }
}

fn wording(error: &serde_saphyr::Error, origin: &str) -> Invalid {
    use serde_saphyr::Error as Yaml;
    let place = error.location().map_or_else(|| origin.to_owned(), |l| format!("{origin}:{}:{}", l.line(), l.column()));
    match error {
        Yaml::SerdeUnknownField { field, expected, .. } => unknown(&format!("{place}: unknown key `{field}`"), field, expected),
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            unknown_value(&format!("{place}: unknown value `{variant}`"), variant, expected)
        }
        Yaml::SerdeMissingField { field, .. } => Invalid::new(format!("{place}: `{field}:` is missing among these settings"))
            .hint(format!("write `{field}:` and its value; example.yml shows how"))
            .code(codes::INCOMPLETE),
        Yaml::UnknownAnchor { .. } => Invalid::new(format!("{place}: no anchor of this name stands above"))
            .hint("write `&NAME` before the settings that `*NAME` repeats; a text that begins with * wants quotes")
            .code(codes::UNKNOWN_NAME),
        other => {
            let text = plain(other);
            parts(&text).unwrap_or_else(|| Invalid::new(text).code(code(other))).within(place)
        }
    }
}

/// The number of what is wrong.
fn code(error: &serde_saphyr::Error) -> Code {
    use serde_saphyr::Error as Yaml;
    match error {
        Yaml::Unexpected { .. }
        | Yaml::NullIntoString { .. }
        | Yaml::InvalidScalar { .. }
        | Yaml::InvalidBooleanStrict { .. }
        | Yaml::SerdeInvalidType { .. } => codes::WRONG_KIND,
        Yaml::DuplicateMappingKey { .. } | Yaml::MultipleDocuments { .. } => codes::TWICE,
        _ => codes::SYNTAX,
    }
}

/// What is wrong, in the words of those who write the file; the library's own are for those who write code.
fn plain(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as Yaml;
    match error {
        Yaml::Unexpected { expected: "mapping start", .. } => {
            "settings are expected here (`key: value`, one a line, indented), not a list, a single value or nothing".to_owned()
        }
        Yaml::Unexpected { expected: "sequence start", .. } => {
            "a list is expected here: `[a, b]`, or `- a` on lines of their own".to_owned()
        }
        Yaml::SerdeInvalidType { expected, .. } => format!("{expected} is expected here"),
        Yaml::Unexpected { expected: "string scalar", .. } => "a single value is expected here".to_owned(),
        Yaml::NullIntoString { .. } => "there is no value: write one, or leave the line out to get the default".to_owned(),
        Yaml::InvalidScalar { ty: "boolean", .. } | Yaml::InvalidBooleanStrict { .. } => "true or false is expected here".to_owned(),
        Yaml::InvalidScalar { ty: "u16", .. } => "a whole number from 0 to 65535 is expected here".to_owned(),
        Yaml::InvalidScalar { ty: "u32" | "u64" | "usize", .. } => "a whole number, 0 or more, is expected here".to_owned(),
        Yaml::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` stands here a second time"),
        Yaml::MultipleDocuments { .. } => "a second YAML document begins here (`---`); a configuration is one".to_owned(),
        other => {
            let text = other.to_string();
            // The place stands in front; the library's own suffix would repeat it.
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        }
    }
}

/// As `unknown`, of a value that is one of certain words.
pub fn unknown_value(message: &str, given: &str, known: &[&str]) -> Invalid {
    unknown(message, given, known).code(codes::UNKNOWN_VALUE)
}

/// As `unknown`, of the name of a thing.
pub fn unknown_name(message: &str, given: &str, known: &[&str]) -> Invalid {
    unknown(message, given, known).code(codes::UNKNOWN_NAME)
}

/// A refusal of `given`, with the known word that it resembles, or all of them.
pub fn unknown(message: &str, given: &str, known: &[&str]) -> Invalid {
    if given == "password" && known.contains(&"password_file") {
        return Invalid::new(message)
            .hint("a secret does not stand in this file: write `password_file: /path/to/file` and put it there")
            .code(codes::SECRET_IN_FILE);
    }
    // YAML takes a line that is indented deeper for more of the value before it.
    if known.iter().any(|word| given.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '))) {
        return Invalid::new(message)
            .hint("is the next line indented deeper? then both are one value: give lines that belong together the same indentation")
            .code(codes::UNKNOWN_KEY);
    }
    let near = known.iter().map(|k| (strsim::jaro_winkler(given, k), *k)).max_by(|a, b| a.0.total_cmp(&b.0));
    Invalid::new(message).code(codes::UNKNOWN_KEY).hint(match near {
        Some((likeness, word)) if likeness > 0.8 => format!("did you mean `{word}`?"),
        _ => format!("known here: {}", known.join(", ")),
    })
}
