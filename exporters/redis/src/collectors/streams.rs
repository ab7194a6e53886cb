//! Streams that the target's `checks` name, their groups and consumers.
//!
//! From XINFO STREAM, GROUPS and CONSUMERS, on the timer; patterns by SCAN (`keys/`). The entries that XINFO STREAM shows are
//! dropped. Of a group's consumers those with most pending entries have series, the rest is consumer `_other`.

use std::time::Duration;

use sage_common::collector::{Collector, Grant, Support};
use sage_common::config::Span;
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::keys::checks::Named;
use crate::keys::label::label;
use crate::keys::run::{self, Look};
use crate::keys::scan::{Limits, Scan};
use crate::keys::xinfo::{self, Consumer, Group, Stream};
use crate::session::Redis;

sage_common::metrics! {
    /// Entries in the stream; 0 for one named in full that is not there (XINFO STREAM, length).
    LENGTH: Gauge legacy "redis_stream_length" [db, stream];
    /// Keys of the tree that holds the entries (XINFO STREAM, radix-tree-keys).
    TREE_KEYS: Gauge legacy "redis_stream_radix_tree_keys" [db, stream];
    /// Nodes of that tree (XINFO STREAM, radix-tree-nodes).
    TREE_NODES: Gauge legacy "redis_stream_radix_tree_nodes" [db, stream];
    /// Milliseconds in the id of the latest entry ever, with ids made by the server its Unix time (XINFO STREAM, last-generated-id).
    LAST_GENERATED: Gauge legacy "redis_stream_last_generated_id" [db, stream];
    /// Milliseconds in the largest id that was deleted (XINFO STREAM, max-deleted-entry-id).
    MAX_DELETED: Gauge legacy "redis_stream_max_deleted_entry_id" [db, stream];
    /// Milliseconds in the id of the oldest entry; absent where there is none (XINFO STREAM, first-entry).
    FIRST: Gauge legacy "redis_stream_first_entry_id" [db, stream];
    /// Milliseconds in the id of the newest entry; absent where there is none (XINFO STREAM, last-entry).
    LAST: Gauge legacy "redis_stream_last_entry_id" [db, stream];
    /// Consumer groups of the stream (XINFO STREAM, groups).
    GROUPS: Gauge legacy "redis_stream_groups" [db, stream];
    /// Consumers of the group (XINFO GROUPS, consumers).
    CONSUMERS: Gauge legacy "redis_stream_group_consumers" [db, stream, group];
    /// Entries that consumers of the group have taken and not acknowledged (XINFO GROUPS, pending).
    PENDING: Gauge legacy "redis_stream_group_messages_pending" [db, stream, group];
    /// Milliseconds in the id of the entry that the group got last (XINFO GROUPS, last-delivered-id).
    DELIVERED: Gauge legacy "redis_stream_group_last_delivered_id" [db, stream, group];
    /// Entries that the group has read since it exists; absent where the server cannot tell (XINFO GROUPS, entries-read; 7.0).
    READ: Gauge legacy "redis_stream_group_entries_read" [db, stream, group];
    /// Entries that the group has not read yet; absent where the server cannot tell (XINFO GROUPS, lag; 7.0).
    LAG: Gauge legacy "redis_stream_group_lag" [db, stream, group];
    /// Entries that the consumer has taken and not acknowledged (XINFO CONSUMERS, pending).
    CONSUMER_PENDING: Gauge legacy "redis_stream_group_consumer_messages_pending" [db, stream, group, consumer];
    /// Time since the consumer last asked for entries, in seconds; none for _other (XINFO CONSUMERS, idle).
    CONSUMER_IDLE: Gauge legacy "redis_stream_group_consumer_idle_seconds" [db, stream, group, consumer];
    /// Share of the database that the present search for this pattern has looked at; 1 when the last run ended it (SCAN).
    PROGRESS: Gauge "redis_stream_search_ratio" [db, stream];
    /// When the last whole search for this pattern ended, as a Unix time; absent before the first (SCAN).
    ENDED: Gauge "redis_stream_search_timestamp_seconds" [db, stream];
}

sage_common::options! {
    /// Options of `streams`.
    pub struct Options {
        /// Streams with series; further ones that match are only counted.
        pub max_streams: usize = 100,
        /// Groups of a stream with series.
        pub max_groups: usize = 20,
        /// Consumers of a group with series of their own.
        pub top_consumers: usize = 10,
        /// Above this number of consumers of a group their list is not asked for.
        pub max_consumers: usize = 1000,
        /// Keys that the server looks at in one run of a search; the next run goes on there.
        pub keys_per_run: u64 = 500_000,
        /// Shortest pause between two batches; in any case it is three times as long as the batch took.
        pub pause: Span = Span(Duration::from_millis(1)),
    }
}

/// See the file.
pub struct Streams {
    options: Options,
}

impl Look for Streams {
    const COLLECTOR: &'static str = "streams";
    const FAMILY: &'static str = "redis_stream_length";
    const KIND: Option<&'static [u8]> = Some(b"stream");

    fn told(&self, named: &Named, scan: &Scan, out: &mut Sink) {
        let (db, stream) = (named.db_label(), label(&named.key));
        put!(out, PROGRESS { db, stream } = scan.progress);
        put!(out, ENDED { db, stream } = scan.timestamp());
    }

    async fn look(&self, at: &Redis, keys: &[(Named, bool)], out: &mut Sink) -> Result<(), CollectError> {
        let o = &self.options;
        let found = xinfo::read(at, keys, (o.max_groups, o.top_consumers, o.max_consumers)).await?;
        for Named { db, key } in found.gone {
            put!(out, LENGTH { db: format!("db{db}"), stream: label(&key) } = 0);
        }
        for Stream { db, stream, told } in found.streams {
            put!(out, LENGTH { db, stream } = told.number("length"));
            put!(out, TREE_KEYS { db, stream } = told.number("radix-tree-keys"));
            put!(out, TREE_NODES { db, stream } = told.number("radix-tree-nodes"));
            put!(out, GROUPS { db, stream } = told.number("groups"));
            put!(out, LAST_GENERATED { db, stream } = told.id("last-generated-id"));
            put!(out, MAX_DELETED { db, stream } = told.id("max-deleted-entry-id"));
            put!(out, FIRST { db, stream } = told.id("first-entry"));
            put!(out, LAST { db, stream } = told.id("last-entry"));
        }
        for Group { db, stream, group, told } in &found.groups {
            put!(out, CONSUMERS { db, stream, group } = told.number("consumers"));
            put!(out, PENDING { db, stream, group } = told.number("pending"));
            put!(out, DELIVERED { db, stream, group } = told.id("last-delivered-id"));
            put!(out, READ { db, stream, group } = told.number("entries-read"));
            put!(out, LAG { db, stream, group } = told.number("lag"));
        }
        for Consumer { of, name, pending, idle } in found.consumers {
            let Some(Group { db, stream, group, .. }) = found.groups.get(of) else { continue };
            put!(out, CONSUMER_PENDING { db, stream, group, consumer: name } = pending);
            put!(out, CONSUMER_IDLE { db, stream, group, consumer: name } = idle);
        }
        out.drop_series(PENDING.info().name, found.groups_left);
        out.drop_series(CONSUMER_PENDING.info().name, found.consumers_left);
        Ok(())
    }
}

impl Collector for Streams {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Streams that are named, their groups and consumers (XINFO; SCAN).";
    const EVERY: Option<Duration> = Some(Duration::from_secs(60));
    const GRANTS: &'static [Grant] = grants::STREAMS;
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Redis) -> Support {
        let checks = &session.state.options.checks;
        run::supports(session, &checks.streams, &checks.single_streams)
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let (checks, options) = (&session.state.options.checks, &self.options);
        let limits = Limits::new(options.timeout.map(|t| t.0), options.keys_per_run, options.max_streams, options.pause.0);
        run::run(self, session, (&checks.streams, &checks.single_streams), options.max_streams, limits, out).await
    }
}
