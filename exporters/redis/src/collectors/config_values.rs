//! All settings of the server, as text and, where they are numbers, as values.
//!
//! From CONFIG GET *, on request and on a timer of ten minutes, since settings hardly change. The server answers with its passwords as
//! well; what can be one is dropped here, by name, before anything else is done with it.

use std::time::Duration;

use sage_common::collector::{Collector, Enabled, Grant, Support};
use sage_common::desc::Info;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::session::Redis;

sage_common::metrics! {
    /// Always 1; a setting and its text. What can be a password has none (CONFIG GET).
    KEY_VALUE: Gauge legacy "redis_config_key_value" [key, value];
    /// The value of a setting that is a number (CONFIG GET).
    VALUE: Gauge legacy "redis_config_value" [key];
    /// Settings that are not shown because they can be passwords (CONFIG GET).
    HIDDEN: Gauge "redis_config_hidden" [];
}

sage_common::options! {
    /// Options of `config_values`.
    pub struct Options {
        /// Settings that are not shown, beside those that can be passwords.
        pub hide: Vec<String> = Vec::new(),
    }
}

/// See the file.
pub struct ConfigValues {
    hide: Vec<String>,
}

/// Settings at most; servers have about 250, and modules add theirs.
const MOST: usize = 600;

/// Parts of names that make a setting a secret: requirepass, masterauth, primaryauth, tls-key-file-pass, and what modules may add.
const SECRET: [&str; 6] = ["pass", "auth", "secret", "token", "credential", "masteruser"];
/// Names with such a part that are none.
const HARMLESS: [&str; 4] = ["tls-auth-clients", "tls-auth-clients-user", "acl-pubsub-default", "cluster-allow-replica-migration"];

/// Whether a setting can be a password or a user's name.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "primaryuser" || SECRET.iter().any(|part| name.contains(part)) && !HARMLESS.contains(&name.as_str())
}

impl Collector for ConfigValues {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "All settings but passwords (CONFIG GET *).";
    const ENABLED: Enabled = Enabled::OnRequest;
    const EVERY: Option<Duration> = Some(Duration::from_secs(600));
    const GRANTS: &'static [Grant] = &[grants::CONFIG];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { hide: options.hide }
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("config|get", "ACL SETUSER the monitoring user +config|get")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let Some(settings) = session.command("config|get", &[b"CONFIG", b"GET", b"*"]).await? else {
            out.not_here("the server has no CONFIG, or under another name");
            return Ok(());
        };
        let (mut hidden, mut shown) = (0, 0);
        for (key, value) in settings.pairs() {
            let (Some(key), Some(text)) = (key.text(), value.text()) else {
                return Err(CollectError::new(ErrorKind::Decode, "the answer to CONFIG GET is not Redis'"));
            };
            if is_secret(&key) || self.hide.iter().any(|name| *name == key) {
                hidden += 1;
                continue;
            }
            shown += 1;
            if shown > MOST {
                out.drop_series("redis_config_key_value", 1);
                continue;
            }
            put!(out, KEY_VALUE { key, value: text } = 1);
            put!(out, VALUE { key } = value.number().filter(|n| n.is_finite()));
        }
        put!(out, HIDDEN {} = hidden);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_password_is_told_by_its_name() {
        let secret = [
            "requirepass",
            "masterauth",
            "masteruser",
            "primaryauth",
            "primaryuser",
            "tls-key-file-pass",
            "tls-client-key-file-pass",
            "REQUIREPASS",
            "sentinel-pass",
            "search.oauth-token",
        ];
        assert!(secret.iter().all(|name| is_secret(name)));
        for name in ["tls-auth-clients", "maxmemory", "save", "acl-pubsub-default", "tls-key-file", "aclfile"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
