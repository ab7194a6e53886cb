//! A session of the maintenance role: statements whose warnings are told by SQLSTATE, and that can be cancelled.

use std::future::poll_fn;
use std::time::Duration;

use sage_common::error::CollectError;
use sage_common::service::Phases;
use sage_common::tasks::Driver;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};

use crate::error::convert;
use crate::options::Options;
use crate::session;
use crate::wire;

/// The name in pg_stat_activity and in the log. It begins with the exporter's, whose own statements the count of slow
/// queries leaves out.
const APPLICATION: &str = "sage-postgres-exporter maintain";

/// Longest connect, question and farewell.
pub const SHORT: Duration = Duration::from_secs(10);

/// An open session.
pub struct Worker {
    client: Client,
    driver: Driver,
    options: Options,
    /// SQLSTATEs of warnings, as they came.
    warnings: UnboundedReceiver<String>,
    /// Its process on the server.
    pub pid: i32,
}

impl Worker {
    /// Connects to `database` and sets what all statements need.
    ///
    /// # Errors
    /// Why there is no session.
    pub async fn connect(options: &Options, database: &str) -> Result<Self, CollectError> {
        // VACUUM and ANALYZE are allowed in read-only sessions. Not every version has idle_session_timeout.
        const BEGIN: &str = "SET default_transaction_read_only = on; SET client_min_messages = warning; SET statement_timeout = '10s';
            SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";
        let connect = async {
            let (client, mut connection) =
                session::login(options, database, APPLICATION, wire::open(options, &mut Phases::default()).await?).await?;
            let (told, warnings) = unbounded_channel();
            let driver = Driver::start(async move {
                // Errors and the end of the connection reach whoever waits for an answer.
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notice(notice) = message {
                        let _ = told.send(notice.code().code().to_owned());
                    }
                }
            });
            client.batch_execute(BEGIN).await.map_err(|e| convert("begin the session", e))?;
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(|e| convert("begin the session", e))?;
            let pid = row.try_get(0).map_err(|e| convert("begin the session", e))?;
            Ok(Self { client, driver, options: options.clone(), warnings, pid })
        };
        tokio::time::timeout(SHORT, connect)
            .await
            .unwrap_or_else(|_| Err(CollectError::timeout(format!("connect to database {database} as {}: no answer", options.user))))
    }

    /// Rows of a short question.
    ///
    /// # Errors
    /// The server's, or no answer in time.
    pub async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, CollectError> {
        match tokio::time::timeout(SHORT, self.client.query(sql, params)).await {
            Ok(rows) => rows.map_err(|e| convert("ask the server", e)),
            Err(_) => Err(CollectError::timeout("ask the server: no answer")),
        }
    }

    /// Runs statements without rows; no limit but the server's own.
    ///
    /// # Errors
    /// The library's, which has the SQLSTATE.
    pub async fn execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// The SQLSTATEs of warnings since the last call.
    pub fn warnings(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.warnings.try_recv().ok()).collect()
    }

    /// True while the session can take another statement.
    pub fn usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Asks the server to end the running statement, over a connection of its own as the protocol has it.
    pub async fn cancel(&self) {
        let token = self.client.cancel_token();
        let cancel = async {
            let stream = wire::open(&self.options, &mut Phases::default()).await?;
            token.cancel_query_raw(stream, NoTls).await.map_err(|e| convert("cancel", e))
        };
        if let Ok(Err(error)) | Err(error) = tokio::time::timeout(SHORT, cancel).await.map_err(|_| CollectError::timeout("cancel")) {
            tracing::error!(%error, "the running statement could not be cancelled");
        }
    }

    /// Ends the session and waits until the server has let go of it.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        driver.ended(SHORT).await;
    }
}
