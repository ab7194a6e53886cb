//! Size, memory and numeric value of keys that the target's `checks` name, by name or by pattern.
//!
//! From TYPE, then STRLEN, LLEN, SCARD, ZCARD, HLEN or XLEN, MEMORY USAGE, and the first 32 bytes of a string; patterns by SCAN. On
//! the timer, within a time and a number of keys; see `keys/`. The value of a key is never a label.

use std::time::Duration;

use sage_common::collector::{Collector, Grant, Support};
use sage_common::config::Span;
use sage_common::desc::{Desc, Info};
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::keys::ask::{self, Question};
use crate::keys::checks::Named;
use crate::keys::label::label;
use crate::keys::run::{self, Look};
use crate::keys::scan::{Limits, Scan};
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// Bytes of a string, or elements of any other value; 0 for a key named in full that is not there (STRLEN, LLEN, SCARD...).
    SIZE: Gauge legacy "redis_key_size" [db, key];
    /// The value of a string that is a number (GETRANGE).
    VALUE: Gauge legacy "redis_key_value" [db, key];
    /// Bytes of memory that key and value take, an estimate from five elements (MEMORY USAGE).
    MEMORY: Gauge legacy "redis_key_memory_usage_bytes" [db, key];
    /// Share of the database that the present search for this pattern has looked at; 1 when the last run ended it (SCAN).
    PROGRESS: Gauge "redis_key_search_ratio" [db, key];
    /// When the last whole search for this pattern ended, as a Unix time; absent before the first (SCAN).
    ENDED: Gauge "redis_key_search_timestamp_seconds" [db, key];
}

sage_common::options! {
    /// Options of `keys`.
    pub struct Options {
        /// Keys with series; further ones that match are only counted.
        pub max_keys: usize = 200,
        /// Keys that the server looks at in one run of a search; the next run goes on there.
        pub keys_per_run: u64 = 500_000,
        /// Shortest pause between two batches; in any case it is three times as long as the batch took.
        pub pause: Span = Span(Duration::from_millis(1)),
    }
}

/// See the file.
pub struct Keys {
    options: Options,
}

/// Longest text of a number.
const NUMBER: usize = 32;

/// The command that tells how large a value of this type is; `None` for types of modules.
fn size_command(kind: &[u8]) -> Option<(&'static str, &'static [u8])> {
    Some(match kind {
        b"string" => ("strlen", b"STRLEN"),
        b"list" => ("llen", b"LLEN"),
        b"set" => ("scard", b"SCARD"),
        b"zset" => ("zcard", b"ZCARD"),
        b"hash" => ("hlen", b"HLEN"),
        b"stream" => ("xlen", b"XLEN"),
        _ => return None,
    })
}

/// The number that a text is.
fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok().filter(|_| text.len() <= NUMBER)?.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

impl Look for Keys {
    const COLLECTOR: &'static str = "keys";
    const FAMILY: &'static str = "redis_key_size";

    fn told(&self, named: &Named, scan: &Scan, out: &mut Sink) {
        let (db, key) = (named.db_label(), label(&named.key));
        put!(out, PROGRESS { db, key } = scan.progress);
        put!(out, ENDED { db, key } = scan.timestamp());
    }

    async fn look(&self, at: &Redis, keys: &[(Named, bool)], out: &mut Sink) -> Result<(), CollectError> {
        let types: Vec<Question> = keys.iter().map(|(named, _)| ("type", vec![b"TYPE".as_slice(), &named.key])).collect();
        let types = ask::each(at, &types).await?;
        let memory = at.may("memory|usage", "");
        if matches!(memory, Support::Denied(_)) {
            out.lacks("ACL SETUSER the monitoring user +memory|usage");
        }
        let (mut questions, mut meant): (Vec<Question>, Vec<(&Named, &'static Desc<2>)>) = (Vec::new(), Vec::new());
        for ((named, whole), kind) in keys.iter().zip(types) {
            let Some(Value::Text(kind)) = kind else { continue };
            if kind == b"none" {
                put!(out, SIZE { db: named.db_label(), key: label(&named.key) } = whole.then_some(0));
                continue;
            }
            let mut ask = |command, words, metric| {
                questions.push((command, words));
                meant.push((named, metric));
            };
            if let Some((command, word)) = size_command(&kind) {
                ask(command, vec![word, &named.key], SIZE);
            }
            if memory == Support::Yes {
                ask("memory|usage", vec![b"MEMORY", b"USAGE", &named.key], MEMORY);
            }
            if kind == b"string" {
                ask("getrange", vec![b"GETRANGE", &named.key, b"0", b"32"], VALUE);
            }
        }
        for ((named, metric), answer) in meant.into_iter().zip(ask::each(at, &questions).await?) {
            let value = answer.and_then(|answer| if let Value::Text(text) = answer { number(&text) } else { answer.number() });
            out.push(metric, [&named.db_label(), &label(&named.key)], value);
        }
        Ok(())
    }
}

impl Collector for Keys {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Size, memory and value of keys that are named (TYPE, STRLEN, LLEN..., MEMORY USAGE; SCAN).";
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = grants::KEYS;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Redis) -> Support {
        let checks = &session.state.options.checks;
        run::supports(session, &checks.keys, &checks.single_keys)
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let (checks, options) = (&session.state.options.checks, &self.options);
        let limits = Limits::new(options.timeout.map(|t| t.0), options.keys_per_run, options.max_keys, options.pause.0);
        run::run(self, session, (&checks.keys, &checks.single_keys), options.max_keys, limits, out).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_short() {
        assert_eq!((number(b"42"), number(b" -1.5e3\n")), (Some(42.0), Some(-1500.0)));
        for text in [b"".as_slice(), b"x", b"inf", b"NaN", b"\xff1", &[b'1'; 33]] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert!(size_command(b"ReJSON-RL").is_none());
    }
}
