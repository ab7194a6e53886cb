//! The limits that the server is set to.
//!
//! From CONFIG GET of a few settings by name; never all of them, since some are passwords. Where CONFIG has been renamed or
//! is not ours to run, the collector says so, and nothing is guessed.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// Limit of used memory in bytes; 0 means none (CONFIG GET maxmemory).
    MAX_MEMORY: Gauge legacy "redis_config_maxmemory" [];
    /// Client connections that the server takes at most (CONFIG GET maxclients).
    MAX_CLIENTS: Gauge legacy "redis_config_maxclients" [];
    /// Threads for the input and output of clients (CONFIG GET io-threads).
    IO_THREADS: Gauge legacy "redis_config_io_threads" [];
    /// 1 when the server writes snapshots by itself (CONFIG GET save is not empty).
    SAVES: Gauge "redis_config_save_enabled" [];
    /// Commands that take longer than this are slow, in seconds; absent when none is (CONFIG GET slowlog-log-slower-than).
    SLOWER_THAN: Gauge "redis_config_slowlog_log_slower_than_seconds" [];
}

/// What is asked for. Redis 7 takes all names in one command, older ones a pattern: so it is one command for each.
const SETTINGS: [&[u8]; 6] = [b"maxmemory", b"maxclients", b"io-threads", b"save", b"slowlog-log-slower-than", b"databases"];

/// See the file.
pub struct Config;

impl Collector for Config {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "The limits that the server is set to (CONFIG GET of a few settings).";
    const GRANTS: &'static [Grant] = &[grants::CONFIG];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("config|get", "ACL SETUSER the monitoring user +config|get")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        // The first by itself: where it is refused, the others are not tried.
        let Some(first) = session.command("config|get", &[b"CONFIG", b"GET", b"maxmemory"]).await? else { return Ok(()) };
        let rest: Vec<Vec<&[u8]>> = SETTINGS.iter().skip(1).map(|name| vec![b"CONFIG".as_slice(), b"GET", name]).collect();
        let answers = session.exchange("config|get", &rest).await?;
        let all: Vec<Value> = std::iter::once(first).chain(answers.into_iter().flatten()).collect();
        let setting = |name: &str| all.iter().find_map(|answer| answer.field(name));
        let number = |name: &str| setting(name).and_then(Value::number);
        put!(out, MAX_MEMORY {} = number("maxmemory"));
        put!(out, MAX_CLIENTS {} = number("maxclients"));
        put!(out, IO_THREADS {} = number("io-threads"));
        put!(out, SAVES {} = setting("save").and_then(Value::text).map(|save| !save.is_empty()));
        put!(out, SLOWER_THAN {} = number("slowlog-log-slower-than").filter(|usec| *usec >= 0.0).map(|usec| usec / 1e6));
        session.state.learn_databases(number("databases").map(|n| n as u32));
        Ok(())
    }
}
