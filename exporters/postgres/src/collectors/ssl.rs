//! Client sessions with and without TLS.
//!
//! From the function below pg_stat_ssl and pg_stat_activity; all versions. Needs pg_read_all_stats: without it others'
//! sessions are `unknown`. The end of the server's certificate is in `certificate`.

use std::collections::BTreeMap;

use sage_common::collector::{Collector, Grant, NoOptions};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::grants::MONITOR;
use crate::session::{GRANT, Pg};

sage_common::metrics! {
    /// Client sessions by version of TLS: none is TCP without TLS, socket the Unix socket (pg_stat_ssl).
    SESSIONS: Gauge "pg_ssl_sessions" [protocol];
    /// 1 when the server offers TLS, else 0 (ssl).
    ENABLED: Gauge "pg_ssl_enabled" [];
}

/// The type of a session that we may not look at is NULL; it has a database, which the server's own processes have not.
const SQL: &str = "
SELECT CASE WHEN backend_type IS NULL THEN 'unknown' WHEN ssl THEN coalesce(sslversion, 'unknown') WHEN client_port = -1 THEN 'socket'
       ELSE 'none' END, count(*), current_setting('ssl') = 'on'
FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid <> 0 GROUP BY 1";

/// See the file.
pub struct Ssl;

impl Collector for Ssl {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Client sessions by version of TLS (pg_stat_ssl).";
    const GRANTS: &'static [Grant] = &[MONITOR];
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        if !session.facts.reads_stats {
            out.lacks(GRANT);
        }
        // These are always there, so that a panel has a line for each.
        let mut by_protocol: BTreeMap<String, i64> = ["TLSv1.2", "TLSv1.3", "none", "socket"].map(|v| (v.to_owned(), 0)).into();
        let rows = session.rows(SQL).await?;
        for row in &rows {
            by_protocol.insert(row.get(0)?, row.get(1)?);
        }
        // Our own session is always among them.
        if let Some(row) = rows.first() {
            put!(out, ENABLED {} = row.get::<bool>(2)?);
        }
        for (protocol, count) in &by_protocol {
            put!(out, SESSIONS { protocol } = *count);
        }
        Ok(())
    }
}
