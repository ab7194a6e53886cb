//! Strict YAML configuration: unknown keys are refused with file:line:column and the key that was probably meant.
//!
//! Precedence: flag, environment, file, default. Durations are written with a unit (`5s`, `1m`). Secrets stand elsewhere
//! (secret.rs); the file only names where.

pub mod credentials;
pub(crate) mod refusal;
pub mod secret;
pub mod tree;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codes;
use crate::collector::Table;
use crate::config::credentials::Credentials;
use crate::error::Invalid;
use crate::service::Service;
use crate::service::module::Module;

pub use self::refusal::{refused, unknown, unknown_name, unknown_value};

/// A duration as written in a file or flag: a number with a unit, such as `500ms`, `5s`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|_| format!("{text:?} is not a duration with a unit, such as 5s or 1m"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |why: String| refused(Invalid::new(why).code(codes::DURATION));
        String::deserialize(deserializer)?.parse().map_err(wrong)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A mapping whose order counts: the first target is the one that `/metrics` shows.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// True when nothing is named.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from names to settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Named(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(std::marker::PhantomData))
    }
}

/// What a page may take and how long it may last: one named way of scraping.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct ModuleConfig<S: Service> {
    /// Longest scrape, whatever the scraper allows; default 60s.
    pub timeout: Span,
    /// Time between two fresh logins; default 30s.
    pub probe_interval: Span,
    /// Time between two writes of the write probe; nothing said means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_interval: Option<Span>,
    /// Most series of one page; default 15000.
    pub max_series: usize,
    /// Collectors and their options.
    pub collectors: S::Collectors,
}

impl<S: Service> Default for ModuleConfig<S> {
    fn default() -> Self {
        Self {
            timeout: Span(Duration::from_secs(60)),
            probe_interval: Span(Duration::from_secs(30)),
            write_interval: None,
            max_series: 15_000,
            collectors: S::Collectors::default(),
        }
    }
}

/// Logins more often than this would only fill the server's log.
const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_secs(1);

impl<S: Service> ModuleConfig<S> {
    /// Makes the module.
    ///
    /// # Errors
    /// An option that makes no sense.
    pub fn build(&self, name: &str) -> Result<Module<S>, Invalid> {
        if self.timeout.0.is_zero() || self.max_series == 0 {
            return Err(Invalid::new(format!("module {name}: timeout and max_series must be greater than 0"))
                .hint("leave them out to get the defaults")
                .code(codes::RANGE));
        }
        if self.probe_interval.0 < SHORTEST_PROBE_INTERVAL {
            return Err(Invalid::new(format!("module {name}: probe_interval must be at least 1s"))
                .hint("each probe is a login, and a line in the server's log: 30s is the default")
                .code(codes::RANGE));
        }
        if self.write_interval.is_some_and(|span| span.0 < SHORTEST_PROBE_INTERVAL) {
            return Err(Invalid::new(format!("module {name}: write_interval must be at least 1s"))
                .hint("each write is a login and a commit: 30s is often enough")
                .code(codes::RANGE));
        }
        if self.write_interval.is_some() && !S::WRITES {
            return Err(Invalid::new(format!("module {name}: the exporter for {} has no write probe", S::META.product))
                .hint("leave write_interval out")
                .code(codes::NOT_HERE));
        }
        Ok(Module {
            name: name.to_owned(),
            timeout: self.timeout.0,
            probe_interval: self.probe_interval.0,
            write_interval: self.write_interval.map(|span| span.0),
            max_series: self.max_series,
            entries: self.collectors.build().map_err(|e| e.within(format_args!("module {name}")))?,
        })
    }
}

/// The configuration file of an exporter of a product.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct ServiceConfig<S: Service> {
    /// Targets by name; the first is the one of `/metrics`.
    pub targets: Named<S::Options>,
    /// Logins by name, for targets that share one.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub credentials: Named<Credentials>,
    /// Modules by name; `default` is used where a request names none.
    pub modules: Named<ModuleConfig<S>>,
}

impl<S: Service> Default for ServiceConfig<S> {
    fn default() -> Self {
        Self { targets: Named::default(), credentials: Named::default(), modules: Named::default() }
    }
}

/// Reads a YAML file.
///
/// # Errors
/// The place, the reason, and the key or value that was probably meant.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Invalid> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Invalid::unreadable(&shown, path, &e))?;
    parse(&text, &shown.to_string())
}

/// Puts the place in front of a refusal that was met after the file was read, where it is about something in it.
pub fn placed(error: Invalid, file: Option<&Path>) -> Invalid {
    let Some(file) = file else { return error };
    let origin = file.display().to_string();
    if error.message.starts_with(&origin) {
        return error;
    }
    let tree = std::fs::read_to_string(file).ok().and_then(|text| tree::parse(&text, &origin).ok());
    match tree.as_ref().and_then(|tree| tree.about(&error.message)) {
        Some(key) => error.within(key.place(&origin)),
        None => error,
    }
}

/// Parses YAML text that came from `origin`.
///
/// # Errors
/// As `load`.
pub fn parse<T: DeserializeOwned>(text: &str, origin: &str) -> Result<T, Invalid> {
    serde_saphyr::from_str(text).map_err(|error| refusal::of(error.without_snippet(), origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        targets: Named<Inner>,
        timeout: Option<Span>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        host: String,
        password_file: Option<String>,
    }

    fn refused(text: &str) -> Invalid {
        parse::<Sample>(text, "x.yml").unwrap_err()
    }

    #[test]
    fn order_and_durations_are_kept() {
        let s: Sample = parse("targets: {b: {host: x}, a: {}}\ntimeout: 1m 30s\n", "x.yml").unwrap();
        assert_eq!(s.targets.0.iter().map(|(n, t)| (n.as_str(), t.host.as_str())).collect::<Vec<_>>(), [("b", "x"), ("a", "")]);
        assert_eq!(s.timeout, Some(Span(Duration::from_secs(90))));
        assert_eq!(s.targets.0[0].1.password_file, None);
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        assert!(parse::<Sample>("", "x.yml").unwrap().targets.0.is_empty());
    }

    /// What the fuzz target asserts of refusals, over the files that it began with and found.
    #[test]
    fn replays_the_corpus() {
        let (mut taken, mut refused) = (0, 0);
        for entry in std::fs::read_dir("../fuzz/corpus/configuration").unwrap() {
            let Ok(text) = String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()) else { continue };
            match parse::<Sample>(&text, "folder/x.yml") {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert!(error.message.starts_with("folder/x.yml") && !error.message.contains('\n'), "{error}");
                    assert!(!error.hint.as_deref().unwrap_or_default().contains('\n'), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(taken + refused >= 7 && refused >= 4, "{taken} taken, {refused} refused");
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_guess() {
        let e = refused("targets:\n  main:\n    hots: a\n");
        assert_eq!(e.message, "x.yml:3:5: unknown key `hots`");
        assert_eq!(e.hint.as_deref(), Some("did you mean `host`?"));
        let e = refused("targets:\n  main:\n    password: canary\n");
        assert!(e.hint.as_deref().unwrap().contains("password_file") && !e.to_string().contains("canary"), "{e}");
        assert_eq!(refused("\"a\\nb\": 1\n").message, "x.yml:1:1: unknown key `a\\nb`");
        assert_eq!(refused("zzz: 1\n").hint.as_deref(), Some("known here: targets, timeout"));
    }

    #[test]
    fn bad_values_are_refused_with_their_place() {
        let e = refused("timeout: 5\n");
        assert!(e.message.starts_with("x.yml:1:10: ") && e.message.contains("with a unit"), "{e}");
        let e = refused("targets: [a]\n");
        assert!(e.message.starts_with("x.yml:1:10: "), "{e}");
        let e = refused("targets: {a: {host: [}\n");
        assert!(e.message.starts_with("x.yml:1:"), "{e}");
    }

    #[test]
    fn refusals_are_about_the_file_and_not_about_the_library() {
        for (text, want) in [
            ("targets: [a]\n", "x.yml:1:10: settings are expected here"),
            ("targets:\n  a:\n    host:\n", "x.yml:3:9: there is no value"),
            ("targets:\n  a: {}\n  a: {}\n", "x.yml:3:3: the key `a` stands here a second time"),
            ("targets: {}\n---\ntargets: {}\n", "x.yml:3:1: a second YAML document begins here"),
        ] {
            let e = refused(text);
            assert!(e.message.starts_with(want), "{e}");
        }
    }

    #[test]
    fn a_file_of_another_encoding_says_so() {
        let file = std::env::temp_dir().join(format!("sage-latin1-{}.yml", std::process::id()));
        std::fs::write(&file, b"# caf\xe9\n").unwrap();
        let refused = load::<Sample>(&file).unwrap_err();
        std::fs::remove_file(&file).unwrap();
        assert!(refused.message.contains("UTF-8") && refused.hint.is_some_and(|hint| hint.contains("iconv")), "{}", refused.message);
        let missing = load::<Sample>(&file).unwrap_err();
        assert_eq!(
            (missing.code, missing.hint),
            (codes::FILE_MISSING, Some(format!("the service user must be able to read it: ls -l {}", file.display())))
        );
    }
}
