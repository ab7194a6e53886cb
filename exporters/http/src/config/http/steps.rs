//! `steps`: several requests, one after the other, as a user would make them.
//!
//! `${name}` in an url, header, form or JSON body is what an earlier step captured, or a secret, whose file `secrets` names.
//! A secret does not go into an url: urls stand in others' logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hyper::Method;
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderName, TRANSFER_ENCODING};
use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{HttpConfig, refuse};
use crate::config::types::Pattern;
use crate::json::Path;

/// Most steps of a module.
pub const MOST: usize = 20;
/// Longest name of a step: it is a label value.
const LONGEST_NAME: usize = 64;

/// One request and what its answer must be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, the label value.
    pub name: String,
    /// Request method; GET, or POST where there is a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Where to, relative to the target.
    #[serde(default = "target_itself")]
    pub url: Template,
    /// Request headers.
    #[serde(default, serialize_with = "names_only")]
    pub headers: BTreeMap<String, Template>,
    /// Fields of a form.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "form_names_only")]
    pub form: Option<BTreeMap<String, Template>>,
    /// A JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "hidden")]
    pub json: Option<Value>,
    /// Whether redirects are followed, where not as the module says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_redirects: Option<bool>,
    /// What is kept of the answer, by name.
    #[serde(default)]
    pub capture: BTreeMap<String, Capture>,
    /// What the answer must be.
    #[serde(default)]
    pub expect: Expect,
    /// Whether it runs also after a step that failed, to log out.
    #[serde(default)]
    pub always: bool,
}

/// What is kept of an answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Capture {
    /// The first group of an expression over the body, or all that it matches.
    Regexp(Pattern),
    /// A place in a JSON body.
    Json(Path),
    /// A header.
    Header(String),
}

/// What an answer must be.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Its status; none given means that of the module.
    pub status: Vec<u16>,
    /// Each matches the body.
    pub regexp: Vec<Pattern>,
    /// None matches the body.
    pub not_regexp: Vec<Pattern>,
    /// Places in a JSON body.
    pub json: Vec<JsonMatch>,
}

/// A place in a JSON body and what stands there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JsonMatch {
    /// Where.
    pub path: Path,
    /// What matches it.
    pub regexp: Pattern,
}

/// A text with `${name}` in it; `$$` is a dollar sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A variable that does not end.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(inside) = after.strip_prefix('{') {
                let (name, behind) = inside.split_once('}').ok_or_else(|| {
                    Invalid::new("a `${` is not closed").hint("write `${name}`, and `$$` for a dollar sign").code(codes::FORM)
                })?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Variable(name.trim().to_owned()));
                rest = behind;
            } else {
                plain.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The names in it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with values for the names.
    pub fn fill(&self, values: &BTreeMap<String, String>, escape: fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => values.get(name).map(|value| escape(value)).unwrap_or_default(),
        };
        self.0.iter().map(part).collect()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Variable(name) => write!(f, "${{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(refused)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

fn target_itself() -> Template {
    Template(Vec::new())
}

fn names_only<S: Serializer>(headers: &BTreeMap<String, Template>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.keys().map(|name| (name, "<hidden>")))
}

fn form_names_only<S: Serializer>(form: &Option<BTreeMap<String, Template>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(form.iter().flatten().map(|(name, _)| (name, "<hidden>")))
}

fn hidden<S: Serializer>(_: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("<hidden>")
}

/// Calls `each` with every text of a document.
fn texts(document: &Value, each: &mut impl FnMut(&str) -> Result<(), Invalid>) -> Result<(), Invalid> {
    match document {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().try_for_each(|item| texts(item, each)),
        Value::Object(fields) => fields.values().try_for_each(|item| texts(item, each)),
        _ => Ok(()),
    }
}

/// Refuses steps that cannot be made.
///
/// # Errors
/// What is wrong and what to write instead.
pub fn validate(http: &HttpConfig) -> Result<(), Invalid> {
    if http.steps.is_empty() {
        if http.secrets.is_empty() {
            return Ok(());
        }
        return refuse(codes::INCOMPLETE, "secrets: there are no steps that use them", "write `steps:`, or remove `secrets:`");
    }
    if http.steps.len() > MOST {
        return refuse(codes::RANGE, format!("steps: more than {MOST}"), "split them over several modules");
    }
    let answers = http.fail_if_body_matches_regexp.len() + http.fail_if_body_not_matches_regexp.len() + http.fail_if_header_matches.len();
    let rules =
        answers + http.fail_if_header_not_matches.len() + http.fail_if_body_json_matches.len() + http.fail_if_body_json_not_matches.len();
    if rules > 0 || http.body.is_some() || http.body_file.is_some() || http.method != "GET" {
        return refuse(
            codes::CONFLICT,
            "steps: method, body and rules for the answer belong to a step",
            "write `method:`, `form:` or `json:`, and `expect:` into it",
        );
    }
    let (mut names, mut known) = (BTreeSet::new(), http.secrets.keys().map(String::as_str).collect::<BTreeSet<_>>());
    for step in &http.steps {
        one(step, http, &known).map_err(|e| e.within(format_args!("step {}", step.name)))?;
        if !names.insert(&step.name) {
            return refuse(codes::TWICE, format!("steps: there are two of the name {}", step.name), "give each its own name");
        }
        known.extend(step.capture.keys().map(String::as_str));
    }
    Ok(())
}

fn one(step: &Step, http: &HttpConfig, known: &BTreeSet<&str>) -> Result<(), Invalid> {
    if step.name.is_empty() || step.name.len() > LONGEST_NAME {
        return refuse(codes::RANGE, "the name must have 1 to 64 characters", "write `name: login`");
    }
    if step.method.as_ref().is_some_and(|m| Method::from_bytes(m.as_bytes()).is_err() || m == "CONNECT") {
        return refuse(codes::FORM, "method is not a request method", "write `method: POST`");
    }
    if step.form.is_some() && step.json.is_some() {
        return refuse(codes::CONFLICT, "form and json are given", "write one of them");
    }
    let is_known = |name: &str| {
        if known.contains(name) {
            return Ok(());
        }
        refuse(
            codes::UNKNOWN_NAME,
            format!("`${{{name}}}` is neither a secret nor captured by an earlier step"),
            "write `secrets: {name: /path/to/file}` or `capture:`",
        )
    };
    if let Some(secret) = step.url.variables().find(|name| http.secrets.contains_key(*name)) {
        return refuse(
            codes::INSECURE,
            format!("url: the secret {secret} would stand in others' logs"),
            "send it in `form:`, `json:` or `headers:`",
        );
    }
    let form = step.form.iter().flatten().map(|(_, template)| template);
    std::iter::once(&step.url).chain(step.headers.values()).chain(form).flat_map(Template::variables).try_for_each(is_known)?;
    if let Some(json) = &step.json {
        texts(json, &mut |text| Template::parse(text)?.variables().try_for_each(is_known))?;
    }
    for name in step.headers.keys() {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(CONTENT_LENGTH | TRANSFER_ENCODING | HOST | COOKIE) => {
                return refuse(codes::CONFLICT, format!("headers: {name} is set by the exporter"), "remove it");
            }
            Ok(_) => {}
            Err(_) => {
                return refuse(codes::FORM, format!("headers: {name:?} is not a header name"), "a name is letters, digits and hyphens");
            }
        }
    }
    if let Some(name) = step.capture.keys().find(|name| http.secrets.contains_key(*name)) {
        return refuse(codes::TWICE, format!("capture: {name} is the name of a secret"), "choose another name");
    }
    if let Some(code) = step.expect.status.iter().find(|code| !(100..=599).contains(*code)) {
        return refuse(codes::RANGE, format!("expect: {code} is no status code"), "codes are 100 to 599");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_dollars_stay() {
        let values = BTreeMap::from([("a".to_owned(), "x y".to_owned())]);
        let fill = |text: &str| Template::parse(text).unwrap().fill(&values, str::to_owned);
        assert_eq!(fill("/p?q=${a}&r=${ a }"), "/p?q=x y&r=x y");
        assert_eq!(fill("5$ and $${a} $"), "5$ and ${a} $");
        assert_eq!(Template::parse("${a}-${b}").unwrap().variables().collect::<Vec<_>>(), ["a", "b"]);
        assert!(Template::parse("${a").is_err());
    }
}
