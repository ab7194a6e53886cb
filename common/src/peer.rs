//! The command line and variables of the exporter that one of ours replaces, as data.
//!
//! A unit file that was written for it goes on working where we can do the same, and where we cannot it ends with the
//! line to write instead, never with a setting that is silently without effect. The README's table is made from it too.

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::codes;
use crate::collector::About;
use crate::error::Invalid;

/// The flags of another exporter.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its name, as people write it.
    pub name: &'static str,
    /// Its flags, in the order of the README.
    pub flags: &'static [Flag],
    /// Keys of its own configuration file, and what to write instead.
    pub keys: &'static [(&'static str, &'static str)],
}

/// One flag of it.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// Whether a value follows; a switch without value also has a form with `no-`.
    pub value: bool,
    /// The variable that says the same.
    pub variable: Option<&'static str>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// We have the same one; what differs, or nothing.
    Same(&'static str),
    /// A switch that stands for these arguments.
    Becomes(&'static [&'static str]),
    /// We have it under another name.
    Named(&'static str),
    /// A switch for what we do in any case: how; and where it must not be switched off, the line to write instead.
    Done(&'static str, &'static str),
    /// A switch that leaves these collectors alone on, and those that have a `--collector.` of their own.
    Only(&'static [&'static str]),
    /// Not here.
    Refused {
        /// The value that asks for what we do anyway; it is dropped.
        unless: &'static str,
        /// The line to write instead.
        instead: &'static str,
    },
}

/// A flag without a value.
pub const fn switch(name: &'static str, fate: Fate) -> Flag {
    Flag { name, value: false, variable: None, fate }
}

/// A flag with a value.
pub const fn value(name: &'static str, fate: Fate) -> Flag {
    Flag { name, value: true, variable: None, fate }
}

/// Not here, whatever its value.
pub const fn never(instead: &'static str) -> Fate {
    Fate::Refused { unless: "", instead }
}

impl Flag {
    /// The same, with the variable that says it too.
    #[must_use]
    pub const fn or(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }
}

impl Peer {
    /// The arguments (without the program's name) in our words; `var` reads the environment.
    ///
    /// # Errors
    /// The flag or variable that is refused, with what to write instead.
    pub fn translate(
        &self,
        args: impl IntoIterator<Item = OsString>,
        var: impl Fn(&'static str) -> Option<String>,
        collectors: &[&'static About],
    ) -> Result<Vec<OsString>, Invalid> {
        let args: Vec<OsString> = args.into_iter().collect();
        let mut front = Vec::new();
        for flag in self.flags {
            let Some((variable, text)) = flag.variable.and_then(|name| Some((name, var(name)?))) else { continue };
            if text.is_empty() || args.iter().any(|arg| self.is(flag, arg)) {
                continue;
            }
            let place = Place { peer: self, flag, origin: variable, collectors, args: &args };
            match (flag.value, truth(&text)) {
                (true, _) => front.extend(place.put(true, Some(text))?),
                (false, Some(on)) => front.extend(place.put(on, None)?),
                (false, None) => return Err(not_boolean(variable)),
            }
        }
        let mut out = Vec::with_capacity(args.len());
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                out.push(arg.clone());
                out.extend(rest.cloned());
                break;
            }
            let Some((flag, on, value)) = arg.to_str().and_then(|text| self.find(text)) else {
                out.push(arg.clone());
                continue;
            };
            // A switch may have a value, as in the flags of Go.
            let (on, value) = match (flag.value, value) {
                (false, Some(text)) => match truth(text) {
                    Some(said) => (said == on, None),
                    None => return Err(not_boolean(&format!("--{}", flag.name))),
                },
                (_, value) => (on, value),
            };
            // What is the same here is read by the parser proper, with its own errors.
            if matches!(flag.fate, Fate::Same(_)) {
                // Of our switches only those of collectors have a form with `no-`; the others are off anyway, and an empty
                // value is none.
                if (on && value != Some("")) || flag.name.starts_with("collector.") {
                    let no = if on { "" } else { "no-" };
                    out.push(value.map_or_else(|| format!("--{no}{}", flag.name), |value| format!("--{}={value}", flag.name)).into());
                }
                continue;
            }
            let value = match value {
                None if flag.value => rest.next().map(|next| next.to_string_lossy().into_owned()),
                value => value.map(str::to_owned),
            };
            let origin = format!("--{}", flag.name);
            let place = Place { peer: self, flag, origin: &origin, collectors, args: &args };
            // What is off needs no place of its own; collectors come first, so that what is said of one goes over it.
            front.extend(place.put(on, value)?);
        }
        front.append(&mut out);
        Ok(front)
    }

    /// A refusal of a key that is the peer's, with what to write instead.
    pub fn explain(&self, error: Invalid) -> Invalid {
        let key = self.keys.iter().find(|(key, _)| error.message.ends_with(&format!("unknown key `{key}`")));
        key.map_or_else(|| error.clone(), |(_, instead)| error.clone().hint(*instead).code(codes::NOT_HERE))
    }

    /// The flag that an argument names, whether it is on, and its value after `=`. One dash does, too, for names of more than a letter.
    fn find<'a>(&self, arg: &'a str) -> Option<(&'static Flag, bool, Option<&'a str>)> {
        let text = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-').filter(|text| text.len() > 1))?;
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if let Some(flag) = self.flags.iter().find(|flag| flag.name == name) {
            return Some((flag, true, value));
        }
        let name = name.strip_prefix("no-")?;
        self.flags.iter().find(|flag| flag.name == name && !flag.value).map(|flag| (flag, false, value))
    }

    fn is(&self, flag: &Flag, arg: &OsString) -> bool {
        arg.to_str().and_then(|text| self.find(text)).is_some_and(|(found, _, _)| found.name == flag.name)
    }

    /// The table of the README.
    pub fn markdown(&self, collectors: &[&'static About]) -> String {
        let mut out = format!("| {} | variable | here |\n| --- | --- | --- |\n", self.name);
        for flag in self.flags {
            let here = match flag.fate {
                Fate::Same("") => own_name(flag, collectors).unwrap_or_else(|| "the same".to_owned()),
                Fate::Same(remark) => format!("the same; {remark}"),
                Fate::Becomes(args) => format!("`{}`", args.join(" ")),
                Fate::Named(ours) => format!("`--{ours}`"),
                Fate::Done(how, _) => format!("always: {how}"),
                Fate::Only(names) => {
                    format!("all collectors off but `{}`, and those with a `--collector.` of their own", names.join("`, `"))
                }
                Fate::Refused { unless: "", instead } => format!("refused: {instead}"),
                Fate::Refused { unless, instead } => format!("refused unless it is `{unless}`: {instead}"),
            };
            let (value, variable) = (if flag.value { "=…" } else { "" }, flag.variable.map(|v| format!("`{v}`")).unwrap_or_default());
            let _ = writeln!(out, "| `--{}{value}` | {variable} | {} |", flag.name, here.replace('|', "\\|"));
        }
        out
    }
}

/// Our switches of what a flag of a collector is about.
fn own_name(flag: &Flag, collectors: &[&'static About]) -> Option<String> {
    let name = flag.name.strip_prefix("collector.")?;
    let ours = collectors.iter().filter(|about| about.is_called(name));
    Some(ours.map(|about| format!("`--collector.{}`", about.name)).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

fn not_boolean(setting: &str) -> Invalid {
    Invalid::new(format!("{setting}: true or false is expected")).hint(format!("write {setting}=true")).code(codes::FLAG_VALUE)
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Some(true),
        "false" | "FALSE" | "False" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

/// A flag where it was found.
struct Place<'a> {
    peer: &'a Peer,
    flag: &'static Flag,
    origin: &'a str,
    collectors: &'a [&'static About],
    args: &'a [OsString],
}

impl Place<'_> {
    /// Our arguments for it.
    fn put(&self, on: bool, value: Option<String>) -> Result<Vec<OsString>, Invalid> {
        let name = self.flag.name;
        Ok(match self.flag.fate {
            Fate::Same(_) if self.flag.value => vec![format!("--{name}={}", value.unwrap_or_default()).into()],
            Fate::Same(_) if on => vec![format!("--{name}").into()],
            Fate::Same(_) => Vec::new(),
            Fate::Named(ours) => vec![format!("--{ours}={}", value.unwrap_or_default()).into()],
            Fate::Done(_, instead) if !on && !instead.is_empty() => {
                return Err(Invalid::new(format!("{}: it cannot be switched off here", self.origin)).hint(instead).code(codes::NOT_HERE));
            }
            Fate::Done(..) => Vec::new(),
            Fate::Becomes(_) | Fate::Only(_) | Fate::Refused { .. } if !on => Vec::new(),
            Fate::Becomes(args) => args.iter().map(Into::into).collect(),
            Fate::Only(names) => {
                let off = self.collectors.iter().filter(|about| !names.contains(&about.name) && !self.asked(about));
                off.map(|about| format!("--no-collector.{}", about.name).into()).collect()
            }
            Fate::Refused { unless, .. } if value.as_ref().is_some_and(|value| value == unless || value.is_empty()) => Vec::new(),
            Fate::Refused { instead, .. } => {
                let message = format!("{}: this setting of {} is not taken here", self.origin, self.peer.name);
                return Err(Invalid::new(message).hint(instead).code(codes::NOT_HERE));
            }
        })
    }

    /// Whether a collector is switched on by one of its names.
    fn asked(&self, about: &About) -> bool {
        let name = |arg: &OsString| arg.to_str().and_then(|text| text.strip_prefix("--collector.")).is_some_and(|n| about.is_called(n));
        self.args.iter().any(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        value("path", Fate::Same("")).or("X_PATH"),
        switch("no-x", Fate::Becomes(&["--no-collector.x"])).or("X_NO"),
        value("labels", Fate::Refused { unless: "a=b", instead: "write c" }).or("X_LABELS"),
        switch("dump", never("run metrics")),
        value("log-format", Fate::Named("log.format")).or("X_FORMAT"),
        switch("redact", Fate::Done("passwords are never shown", "leave it out")).or("X_REDACT"),
        switch("ping", Fate::Done("each login pings", "")),
        switch("fast", Fate::Same("")),
    ];
    const PEER: Peer = Peer { name: "other", flags: FLAGS, keys: &[("logins", "write targets")] };

    fn ours(args: &[&str], vars: &[(&str, &str)]) -> Result<Vec<String>, Invalid> {
        let var = |name: &'static str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let args = PEER.translate(args.iter().map(Into::into), var, &[])?;
        Ok(args.iter().map(|arg| arg.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn what_is_the_same_stays_and_what_is_mapped_is_written_anew() {
        assert_eq!(ours(&["--path", "/m", "--unknown"], &[]).unwrap(), ["--path", "/m", "--unknown"]);
        assert_eq!(ours(&["check", "--no-x"], &[]).unwrap(), ["--no-collector.x", "check"]);
        assert_eq!(ours(&["--no-no-x", "--no-dump"], &[]).unwrap(), [""; 0]);
        assert_eq!(ours(&["--path="], &[]).unwrap(), [""; 0]);
        assert_eq!(ours(&["--", "--dump"], &[]).unwrap(), ["--", "--dump"]);
    }

    #[test]
    fn variables_count_where_no_flag_is_given() {
        assert_eq!(ours(&["run"], &[("X_PATH", "/m"), ("X_NO", "true")]).unwrap(), ["--path=/m", "--no-collector.x", "run"]);
        assert_eq!(ours(&["--path=/n"], &[("X_PATH", "/m"), ("X_NO", "false"), ("X_LABELS", "")]).unwrap(), ["--path=/n"]);
        assert!(ours(&[], &[("X_NO", "perhaps")]).unwrap_err().message.starts_with("X_NO: true or false"));
        assert_eq!(
            ours(&[], &[("X_LABELS", "k=v")]).unwrap_err().to_string(),
            "X_LABELS: this setting of other is not taken here\nhint: write c"
        );
    }

    #[test]
    fn flags_of_go_have_one_dash_and_switches_values() {
        assert_eq!(
            ours(&["-path", "/m", "-fast=true", "-log-format=json", "-h"], &[]).unwrap(),
            ["--log.format=json", "--path", "/m", "--fast", "-h"]
        );
        assert_eq!(ours(&["--fast=false", "-dump=false", "--no-x=0", "-ping", "-ping=false", "--redact=1"], &[]).unwrap(), [""; 0]);
        assert_eq!(ours(&["-redact=false"], &[]).unwrap_err().hint.as_deref(), Some("leave it out"));
        assert!(ours(&[], &[("X_REDACT", "false")]).unwrap_err().message.starts_with("X_REDACT: it cannot"));
        assert!(ours(&["--fast=perhaps"], &[]).unwrap_err().message.starts_with("--fast: true or false"));
        assert_eq!(ours(&[], &[("X_FORMAT", "txt")]).unwrap(), ["--log.format=txt"]);
    }

    #[test]
    fn refused_ones_name_what_to_write() {
        for args in [&["--labels=k=v"][..], &["--labels", "k=v"]] {
            assert_eq!(ours(args, &[]).unwrap_err().to_string(), "--labels: this setting of other is not taken here\nhint: write c");
        }
        assert_eq!(ours(&["--dump"], &[]).unwrap_err().hint.as_deref(), Some("run metrics"));
        for args in [&["--labels=a=b"][..], &["--labels", "a=b"], &["--labels="]] {
            assert_eq!(ours(args, &[]).unwrap(), [""; 0]);
        }
    }

    #[test]
    fn keys_of_its_file_are_explained() {
        let hint = |key: &str| PEER.explain(Invalid::new(format!("x.yml:1:1: unknown key `{key}`")).hint("known here: a")).hint.unwrap();
        assert_eq!((hint("logins").as_str(), hint("other").as_str()), ("write targets", "known here: a"));
    }

    #[test]
    fn the_table_has_a_row_a_flag() {
        let text = PEER.markdown(&[]);
        assert_eq!(text.lines().count(), 2 + FLAGS.len());
        assert!(text.contains("| `--labels=…` | `X_LABELS` | refused unless it is `a=b`: write c |\n"), "{text}");
    }
}
