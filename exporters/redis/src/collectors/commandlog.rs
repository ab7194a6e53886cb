//! How many slow commands, large requests and large replies the server keeps, and from which limits on.
//!
//! From COMMANDLOG LEN (Valkey 8.1 and newer) and, where CONFIG may be read, CONFIG GET commandlog-*. Entries are not read: they hold
//! the arguments of commands. The latest slow command is in `slowlog`, which Valkey has as well.

use sage_common::collector::{Collector, Grant, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::resp::Value;
use crate::session::Redis;

sage_common::metrics! {
    /// Slow commands that the server keeps (COMMANDLOG LEN slow).
    SLOW: Gauge legacy "redis_commandlog_slow_length" [];
    /// Large requests that the server keeps (COMMANDLOG LEN large-request).
    REQUESTS: Gauge legacy "redis_commandlog_large_request_length" [];
    /// Large replies that the server keeps (COMMANDLOG LEN large-reply).
    REPLIES: Gauge legacy "redis_commandlog_large_reply_length" [];
    /// Commands that take more microseconds than this are slow; negative when none is (commandlog-execution-slower-than).
    SLOWER: Gauge legacy "redis_commandlog_execution_slower_than" [];
    /// Requests with more bytes than this are large; negative when none is (commandlog-request-larger-than).
    REQUEST_LARGER: Gauge legacy "redis_commandlog_request_larger_than" [];
    /// Replies with more bytes than this are large; negative when none is (commandlog-reply-larger-than).
    REPLY_LARGER: Gauge legacy "redis_commandlog_reply_larger_than" [];
    /// Slow commands that the server keeps at most (commandlog-slow-execution-max-len).
    SLOW_MAX: Gauge legacy "redis_commandlog_slow_execution_max_len" [];
    /// Large requests that the server keeps at most (commandlog-large-request-max-len).
    REQUESTS_MAX: Gauge legacy "redis_commandlog_large_request_max_len" [];
    /// Large replies that the server keeps at most (commandlog-large-reply-max-len).
    REPLIES_MAX: Gauge legacy "redis_commandlog_large_reply_max_len" [];
}

/// See the file.
pub struct Commandlog;

impl Collector for Commandlog {
    type Session = Redis;
    type Options = NoOptions;
    const HELP: &'static str = "Slow commands, large requests and large replies kept (COMMANDLOG LEN).";
    const GRANTS: &'static [Grant] = &[grants::COMMANDLOG];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, session: &Redis) -> Support {
        session.may("commandlog|len", "ACL SETUSER the monitoring user +commandlog|len")
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        for (kind, metric) in [("slow", SLOW), ("large-request", REQUESTS), ("large-reply", REPLIES)] {
            let words: [&[u8]; 3] = [b"COMMANDLOG", b"LEN", kind.as_bytes()];
            let Some(length) = session.command("commandlog|len", &words).await? else {
                out.not_here("the server has no COMMANDLOG: Valkey 8.1 and newer have");
                return Ok(());
            };
            out.push(metric, [], length.number());
        }
        if session.may("config|get", "") != Support::Yes {
            return Ok(()); // the collector config says so
        }
        let Some(settings) = session.command("config|get", &[b"CONFIG", b"GET", b"commandlog-*"]).await? else { return Ok(()) };
        let number = |name: &str| settings.field(name).and_then(Value::number);
        put!(out, SLOWER {} = number("commandlog-execution-slower-than"));
        put!(out, REQUEST_LARGER {} = number("commandlog-request-larger-than"));
        put!(out, REPLY_LARGER {} = number("commandlog-reply-larger-than"));
        put!(out, SLOW_MAX {} = number("commandlog-slow-execution-max-len"));
        put!(out, REQUESTS_MAX {} = number("commandlog-large-request-max-len"));
        put!(out, REPLIES_MAX {} = number("commandlog-large-reply-max-len"));
        Ok(())
    }
}
