//! The text of INFO: `key:value` lines under `# Section` headings, and the macro that makes metrics of its fields.

use std::ops::Range;

use sage_common::desc::Desc;
use sage_common::sink::Sink;

/// The fields of one INFO answer, sorted by name.
#[derive(Debug, Default)]
pub struct Info {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Info {
    /// Reads an answer. What is no field is left out.
    pub fn parse(text: String) -> Self {
        let mut fields: Vec<(Range<usize>, Range<usize>)> = Vec::with_capacity(256);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim_end_matches(['\r', '\n']);
            // From the right where a name may hold a colon, as that of a command of a module.
            let colon = if trimmed.starts_with("cmdstat_") { trimmed.find(":calls=") } else { trimmed.find(':') };
            if let Some(colon) = colon
                && !trimmed.starts_with('#')
            {
                fields.push((start..start + colon, start + colon + 1..start + trimmed.len()));
            }
            start += line.len();
        }
        fields.sort_by(|a, b| text.get(a.0.clone()).cmp(&text.get(b.0.clone())));
        Self { text, fields }
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.fields.binary_search_by(|(key, _)| self.at(key).cmp(name)).ok()?;
        self.fields.get(at).map(|(_, value)| self.at(value))
    }

    /// The value of a field as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        number(self.get(name)?)
    }

    /// Fields whose names begin with `prefix`: the rest of the name, and the value.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let first = self.fields.partition_point(|(key, _)| self.at(key) < prefix);
        let rest = self.fields.iter().skip(first);
        rest.map_while(move |(key, value)| Some((self.at(key).strip_prefix(prefix)?, self.at(value))))
    }
}

fn number(text: &str) -> Option<f64> {
    text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|n: &f64| n.is_finite())
}

/// The parts of a value like `keys=1,expires=0`.
pub fn parts(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|part| part.split_once('='))
}

/// One part of such a value.
pub fn part<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    parts(value).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// One part of such a value as a number.
pub fn part_number(value: &str, name: &str) -> Option<f64> {
    number(part(value, name)?)
}

/// How the text of a field becomes a value.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// As it is.
    Plain,
    /// Microseconds; the metric has seconds.
    Micros,
    /// Milliseconds; the metric has seconds.
    Millis,
    /// `ok` is 1, anything else 0.
    Ok,
    /// A negative number means that there is none.
    Known,
}

/// A field and the metric made of it.
pub struct Field {
    /// Name of the field.
    pub name: &'static str,
    /// How its text becomes a value.
    pub how: How,
    /// The metric.
    pub metric: &'static Desc<0>,
}

/// Writes the metrics of those fields that the answer has.
pub fn write(fields: &'static [Field], info: &Info, out: &mut Sink) {
    for field in fields {
        let Some(text) = info.get(field.name) else { continue };
        let value = match field.how {
            How::Ok => Some(f64::from(u8::from(text == "ok"))),
            How::Plain => number(text),
            How::Micros => number(text).map(|n| n / 1e6),
            How::Millis => number(text).map(|n| n / 1e3),
            How::Known => number(text).filter(|n| *n >= 0.0),
        };
        out.push(field.metric, [], value);
    }
}

/// Declares metrics made of fields of INFO, and after `more` others, as `metrics!` does; makes `FIELDS` for `write`.
macro_rules! info_metrics {
    ($($(#[doc = $help:literal])+ $field:literal $how:ident $name:ident : $kind:ident $($legacy:ident)? $full:literal;)* more { $($more:tt)* }) => {
        sage_common::metrics! {
            $($(#[doc = $help])+ $name: $kind $($legacy)? $full [];)*
            $($more)*
        }
        const FIELDS: &[$crate::info::Field] = &[
            $($crate::info::Field { name: $field, how: $crate::info::How::$how, metric: $name }),*
        ];
    };
}
pub(crate) use info_metrics;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1 x86_64\r\n\r\n# Stats\r\ncmdstat_config|get:calls=1,usec=228,usec_per_call=228.00\r\n\
        cmdstat_ft:search:calls=2,usec=3\r\ndb0:keys=10,expires=1,avg_ttl=5\r\nexpired_stale_perc:1.50%\r\nbroken\r\nlast:1";

    #[test]
    fn fields_parts_and_prefixes() {
        let info = Info::parse(TEXT.to_owned());
        assert_eq!(info.get("redis_version"), Some("7.0.15"));
        assert_eq!(info.get("os"), Some("Linux 6.1 x86_64"));
        assert_eq!((info.get("broken"), info.get("none"), info.get("last")), (None, None, Some("1")));
        assert_eq!(info.number("expired_stale_perc"), Some(1.5));
        let commands: Vec<_> = info.below("cmdstat_").map(|(name, value)| (name, part_number(value, "usec"))).collect();
        assert_eq!(commands, [("config|get", Some(228.0)), ("ft:search", Some(3.0))]);
        assert_eq!(info.below("db").map(|(db, v)| (db, part(v, "expires"))).collect::<Vec<_>>(), [("0", Some("1"))]);
        assert_eq!(part_number("keys=x,expires=-", "keys"), None);
    }

    #[test]
    fn nonsense_is_no_field_and_no_number() {
        for text in ["", "\n\n", ":", "#:x", "\u{fffd}:\u{fffd}", "a:inf", "a:NaN"] {
            let info = Info::parse(text.to_owned());
            assert_eq!(info.number("a"), None, "{text:?}");
        }
    }
}
