//! Keys by database.
//!
//! From the section Keyspace of INFO, which costs the server nothing, and the number of databases from the setting
//! `databases` where CONFIG may be read: of those that INFO does not name it is known that they are empty. Where the number
//! is not known, only the databases with keys are there, and no zeros are made up.

use sage_common::collector::{Collector, Grant};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants;
use crate::info::part_number;
use crate::session::Redis;

sage_common::metrics! {
    /// Keys in the database (INFO keyspace, keys).
    KEYS: Gauge legacy "redis_db_keys" [db];
    /// Keys in the database that expire (INFO keyspace, expires).
    EXPIRING: Gauge legacy "redis_db_keys_expiring" [db];
    /// Average time to live of the keys that expire, in seconds, an estimate; absent where none does (INFO keyspace, avg_ttl).
    TTL: Gauge legacy "redis_db_avg_ttl_seconds" [db];
    /// Keys in all databases (INFO keyspace).
    TOTAL: Gauge "redis_keys" [];
}

sage_common::options! {
    /// Options of `keyspace`.
    pub struct Options {
        /// Whether databases without keys have series.
        pub empty_databases: bool = true,
    }
}

/// See the file.
pub struct Keyspace {
    empty: bool,
}

/// Databases with series at most; servers have 16 unless told otherwise.
const MOST: u32 = 256;

impl Collector for Keyspace {
    type Session = Redis;
    type Options = Options;
    const HELP: &'static str = "Keys by database (INFO keyspace).";
    const GRANTS: &'static [Grant] = &[grants::INFO];
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { empty: options.empty_databases }
    }

    async fn collect(&self, session: &Redis, out: &mut Sink) -> Result<(), CollectError> {
        let info = session.info().await?;
        if info.get("redis_mode") == Some("sentinel") {
            return Ok(());
        }
        let (mut total, mut shown, mut full) = (0.0, 0, Vec::new());
        for (number, value) in info.below("db") {
            let (Ok(number), Some(keys), Some(expiring)) =
                (number.parse::<u32>(), part_number(value, "keys"), part_number(value, "expires"))
            else {
                continue;
            };
            total += keys;
            full.push(number);
            shown += 1;
            if shown > MOST {
                out.drop_series("redis_db_keys", 1);
                continue;
            }
            let db = format!("db{number}");
            put!(out, KEYS { db } = keys);
            put!(out, EXPIRING { db } = expiring);
            put!(out, TTL { db } = part_number(value, "avg_ttl").filter(|_| expiring > 0.0).map(|ms| ms / 1e3));
        }
        put!(out, TOTAL {} = total);
        let known = if info.get("cluster_enabled") == Some("1") { Some(1) } else { session.state.databases() };
        for number in (0..known.filter(|_| self.empty).unwrap_or(0).min(MOST)).filter(|n| !full.contains(n)) {
            let db = format!("db{number}");
            put!(out, KEYS { db } = 0);
            put!(out, EXPIRING { db } = 0);
        }
        Ok(())
    }
}
