//! What is said over a connection: the steps of `query_response`, shared by the tcp and unix probers, and what comes before.

use sage_common::codes;
use sage_common::error::Invalid;
use serde::{Deserialize, Serialize};

use super::types::{Pattern, length_only};

/// One step of a dialogue.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Lines are read until one matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
    /// As many bytes are read, and must be these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_bytes: Option<String>,
    /// Labels of `probe_expect_info`; `${1}` is the first group of the match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// Line that is sent then; `${1}` is the first group of the match.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "length_only")]
    pub send: Option<String>,
    /// Whether TLS begins then.
    pub starttls: bool,
}

/// One label that is made from an answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value, with `${1}`.
    pub value: String,
}

/// Most labels that a module makes.
const MAX_LABELS: usize = 16;

/// Names that Prometheus or its configuration gives to targets.
const TAKEN: [&str; 2] = ["job", "instance"];

/// How TLS is asked for before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 9051.
    Imap,
    /// RFC 2595.
    Pop3,
    /// RFC 4217.
    Ftp,
    /// RFC 4511.
    Ldap,
    /// SSLRequest.
    Postgres,
    /// CLIENT_SSL.
    Mysql,
}

/// The protocol that a server is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// That of the port.
    Auto,
    /// PostgreSQL, also behind PgBouncer.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
    /// SQL Server.
    Mssql,
    /// Redis and Valkey.
    Redis,
    /// MongoDB.
    Mongodb,
    /// Kafka.
    Kafka,
    /// LDAP version 3.
    Ldap,
    /// AMQP 0-9-1.
    Amqp,
}

impl Protocol {
    /// Its name; none where the port decides.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Postgresql => Some("postgresql"),
            Self::Mysql => Some("mysql"),
            Self::Mssql => Some("mssql"),
            Self::Redis => Some("redis"),
            Self::Mongodb => Some("mongodb"),
            Self::Kafka => Some("kafka"),
            Self::Ldap => Some("ldap"),
            Self::Amqp => Some("amqp"),
        }
    }
}

/// What is said, in order.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// TLS from the first byte.
    pub tls: bool,
    /// TLS after this protocol's way of asking for it.
    pub starttls: Option<StartTls>,
    /// The server is recognised.
    pub protocol: Option<Protocol>,
    /// What is expected and sent, in turn.
    pub steps: &'a [Step],
}

impl Script<'_> {
    /// Whether TLS begins anywhere.
    pub fn needs_tls(&self) -> bool {
        self.handshakes() > 0
    }

    fn handshakes(&self) -> usize {
        usize::from(self.tls) + usize::from(self.starttls.is_some()) + self.steps.iter().filter(|step| step.starttls).count()
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.handshakes() > 1 {
            return Err(Invalid::new("TLS begins more than once")
                .code(codes::CONFLICT)
                .hint("write either `tls: true`, `starttls: PROTOCOL` or one step with `starttls: true`"));
        }
        if self.starttls == Some(StartTls::Mysql) && self.protocol.is_some() {
            return Err(Invalid::new("protocol: what a server of MySQL says of itself comes before TLS, and is read for it")
                .code(codes::CONFLICT)
                .hint("write two modules, one with `starttls: mysql` and one with `protocol: mysql`"));
        }
        if self.protocol.is_some() && !self.steps.is_empty() {
            return Err(Invalid::new("protocol and query_response are given; the connection ends when the server is recognised")
                .code(codes::CONFLICT)
                .hint("write one of them"));
        }
        let mut names: Vec<&str> = Vec::new();
        for step in self.steps {
            if step.expect.is_some() && step.expect_bytes.is_some() {
                return Err(Invalid::new("query_response: a step has expect and expect_bytes")
                    .hint("write one of them")
                    .code(codes::CONFLICT));
            }
            if !step.labels.is_empty() && step.expect.is_none() {
                return Err(Invalid::new("query_response: labels are made from what `expect` matches")
                    .hint("write `expect:` to that step")
                    .code(codes::INCOMPLETE));
            }
            for Label { name, .. } in &step.labels {
                let mut letters = name.chars();
                let legal = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                    && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !name.starts_with("__");
                if !legal || TAKEN.contains(&name.as_str()) {
                    return Err(Invalid::new(format!("labels: {name:?} cannot be the name of a label of probe_expect_info"))
                        .hint("a name is letters, digits and underscores, and neither `job` nor `instance`")
                        .code(codes::FORM));
                }
                if names.contains(&name.as_str()) {
                    return Err(Invalid::new(format!("labels: {name} is given twice"))
                        .hint("give each label once in a module")
                        .code(codes::TWICE));
                }
                names.push(name);
            }
        }
        if names.len() > MAX_LABELS {
            return Err(Invalid::new(format!("labels: {} are more than {MAX_LABELS}", names.len())).hint("remove some").code(codes::RANGE));
        }
        Ok(())
    }
}
