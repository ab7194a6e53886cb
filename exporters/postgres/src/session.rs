//! A session with the server: login, facts, statements prepared once, limits told to the server.
//!
//! Every session is read-only and named, waits for no lock longer than 200 ms, and has a statement timeout below the time
//! we wait ourselves, so that a slow statement ends on the server and leaves the session usable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use sage_common::codes;
use sage_common::error::{CollectError, ErrorKind};
use sage_common::service::{Phases, TargetOptions as _};
use sage_common::tasks::Driver;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Connection, NoTls, SimpleQueryMessage, Statement};

use crate::custom::Queries;
use crate::error::convert;
use crate::log::{self, LogFacts};
use crate::options::{APPLICATION_NAME, Options};
use crate::replication::replay::Memory;
use crate::wire::{self, Guard};

/// PostgreSQL versions as server_version_num has them.
pub const V14: u32 = 140_000;
pub const V15: u32 = 150_000;
pub const V16: u32 = 160_000;
pub const V17: u32 = 170_000;
pub const V18: u32 = 180_000;

/// Most rows of one answer.
const MAX_ROWS: usize = 100_000;
/// Most bytes of one answer's rows.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Time for the server to take back a cancelled or closed session.
const ENDING: Duration = Duration::from_millis(500);

/// What a monitoring role needs to see all that the collectors read.
pub const GRANT: &str = "GRANT pg_monitor TO the monitoring role";

/// What is known of the server since the login.
#[derive(Clone, Debug)]
pub struct Facts {
    /// server_version_num, such as 150018.
    pub version: u32,
    /// server_version, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version_text: String,
    /// Process of this session's backend on the server's machine.
    pub backend_pid: u32,
    /// When the server was started.
    pub started: SystemTime,
    /// Whether the role sees other sessions' queries and states (pg_read_all_stats).
    pub reads_stats: bool,
    /// Whether the role sees all settings (pg_read_all_settings).
    pub reads_settings: bool,
    /// Whether the role may ask for the present log file (pg_monitor from PostgreSQL 16 on).
    pub reads_log_file: bool,
    /// Sessions that ordinary users can have at most; it takes a restart to change.
    pub connections_max: u32,
    /// When the certificate ends that the server showed, as a Unix time; nothing without TLS.
    pub certificate_end: Option<i64>,
}

/// An open, authenticated session.
pub struct Pg {
    client: Client,
    driver: Driver,
    options: Options,
    told: AtomicU64,
    standby: AtomicBool,
    prepared: Mutex<HashMap<String, Statement>>,
    /// The database that it is in.
    pub database: String,
    /// The target's custom queries, where it has some.
    pub queries: Option<Arc<Queries>>,
    /// What is known of the server.
    pub facts: Facts,
    /// What is kept of a standby's replay beyond this session.
    pub replay: Arc<Memory>,
}

/// Sent once after login. The facts stand in one row of text.
const GREETING: &str = "
SET lock_timeout = '200ms'; SET statement_timeout = '2s'; SET idle_in_transaction_session_timeout = '30s';
SET default_transaction_read_only = on; SET extra_float_digits = 1; SET DateStyle = 'ISO';
SELECT current_setting('server_version_num'), current_setting('server_version'), pg_backend_pid(),
       extract(epoch FROM pg_postmaster_start_time()), pg_is_in_recovery(),
       pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
       pg_has_role(current_user, 'pg_read_all_settings', 'usage'), has_function_privilege('pg_catalog.pg_current_logfile(text)', 'execute'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true), '0')::int";

impl Pg {
    /// Connects to `database`, logs in and asks for the facts.
    ///
    /// # Errors
    /// The phase that failed, and why.
    pub async fn connect(options: &Options, database: &str, phases: &mut Phases) -> Result<Self, CollectError> {
        let stream = wire::open(options, phases).await?;
        let certificate_end = stream.certificate_end();
        let (client, connection) = login(options, database, APPLICATION_NAME, stream).await?;
        let driver = Driver::start(async move {
            // Its error reaches whoever waits for an answer.
            let _ = connection.await;
        });
        phases.end("login");
        let answer = greet(&client).await?;
        let (facts, standby) = read_facts(&answer, certificate_end)
            .ok_or_else(|| CollectError::new(ErrorKind::Decode, "the server does not say who it is"))?;
        phases.end("request");
        Ok(Self {
            client,
            driver,
            options: options.clone(),
            told: AtomicU64::new(2000),
            standby: AtomicBool::new(standby),
            prepared: Mutex::default(),
            database: database.to_owned(),
            queries: None,
            facts,
            replay: Arc::default(),
        })
    }

    /// True while the server is in recovery, as of the last request.
    pub fn is_standby(&self) -> bool {
        self.standby.load(Ordering::Relaxed)
    }

    /// Address and user of the server: the same for all sessions of a target.
    pub fn target(&self) -> String {
        self.options.budget_key()
    }

    /// The trivial round trip: is the server in recovery (it may have been promoted), and where and how is its log written?
    ///
    /// # Errors
    /// The server did not answer, or with an error.
    pub async fn request(&self) -> Result<LogFacts, CollectError> {
        let row = self.one(log::question(&self.facts)).await?;
        self.standby.store(row.get(0)?, Ordering::Relaxed);
        log::answer(&row, &self.facts)
    }

    /// Tells the server how long the next statements may run; a round trip only when that has changed.
    ///
    /// # Errors
    /// As `request`.
    pub async fn limit(&self, time: Duration) -> Result<(), CollectError> {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        if self.told.load(Ordering::Relaxed) == ms {
            return Ok(());
        }
        self.client
            .batch_execute(&format!("SET statement_timeout = {ms}"))
            .await
            .map_err(|e| convert("tell the server the time limit", e))?;
        self.told.store(ms, Ordering::Relaxed);
        Ok(())
    }

    /// All rows of a statement, which is prepared once per session.
    ///
    /// # Errors
    /// The server's error; `Limit` when there are more rows or bytes than we take.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>, CollectError> {
        self.rows_with(sql, &[]).await
    }

    /// As `rows`, with parameters.
    ///
    /// # Errors
    /// As `rows`.
    pub async fn rows_with(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, CollectError> {
        let statement = self.prepare(sql).await?;
        let result = async {
            let mut stream = std::pin::pin!(self.client.query_raw(&statement, params.iter().copied()).await?);
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while rows.len() <= MAX_ROWS
                && bytes <= MAX_BYTES
                && let Some(row) = stream.try_next().await?
            {
                bytes += row.raw_size_bytes();
                rows.push(Row(row));
            }
            Ok((rows, bytes))
        };
        let (rows, bytes) = result.await.map_err(|e| {
            // A changed catalogue or a pooler in between may have invalidated the statement: prepare it anew next time.
            self.prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(sql);
            convert("query", e)
        })?;
        if rows.len() > MAX_ROWS || bytes > MAX_BYTES {
            return Err(CollectError::new(ErrorKind::Limit, format!("the answer has more than {MAX_ROWS} rows or {MAX_BYTES} bytes")));
        }
        Ok(rows)
    }

    /// The only row of a statement.
    ///
    /// # Errors
    /// As `rows`; `Decode` when there is none.
    pub async fn one(&self, sql: &str) -> Result<Row, CollectError> {
        self.rows(sql).await?.into_iter().next().ok_or_else(|| CollectError::new(ErrorKind::Decode, "the answer has no row"))
    }

    /// The time that the server was told for the next statements.
    pub fn told(&self) -> Duration {
        Duration::from_millis(self.told.load(Ordering::Relaxed))
    }

    /// Names and types of the columns of a query that somebody else has written; it is not run.
    ///
    /// # Errors
    /// The server's error.
    pub async fn columns(&self, sql: &str) -> Result<Vec<(String, String)>, CollectError> {
        let statement = self.client.prepare(sql).await.map_err(|e| convert("prepare", e))?;
        Ok(statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().name().to_owned())).collect())
    }

    /// The first `most` rows of a query that somebody else has written, and how many there are beyond. It runs for at most `time`,
    /// in a transaction that it cannot make a writing one, and whatever it sets is undone.
    ///
    /// # Errors
    /// The server's error; `Limit` when there is no end of rows.
    pub async fn read_only(&self, sql: &str, time: Duration, most: usize) -> Result<(Vec<Row>, u64), CollectError> {
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", time.as_millis().max(1));
        self.client.batch_execute(&begin).await.map_err(|e| convert("begin", e))?;
        let read = async {
            let statement = self.client.prepare(sql).await?;
            let mut stream = std::pin::pin!(self.client.query_raw(&statement, std::iter::empty::<&str>()).await?);
            let (mut rows, mut bytes, mut beyond) = (Vec::new(), 0, 0);
            while let Some(row) = stream.try_next().await? {
                bytes += row.raw_size_bytes();
                if rows.len() < most && bytes <= MAX_BYTES {
                    rows.push(Row(row));
                } else {
                    beyond += 1;
                }
            }
            Ok((rows, beyond))
        };
        let result = read.await.map_err(|e| convert("query", e));
        // Advisory locks of the session are all that a rollback does not undo.
        self.client.batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()").await.map_err(|e| convert("roll back", e))?;
        result
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, CollectError> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await.map_err(|e| convert("prepare", e))?;
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement that has no rows and returns how many it changed. It is not kept prepared.
    ///
    /// # Errors
    /// As `rows`.
    pub async fn execute(&self, sql: &'static str) -> Result<u64, CollectError> {
        self.client.execute(sql, &[]).await.map_err(|e| convert("write", e))
    }

    /// True while the session can take another statement.
    pub fn usable(&self) -> bool {
        !self.client.is_closed()
    }

    /// Ends the session and waits until the server has let go of it.
    pub async fn close(self) {
        let Self { client, mut driver, prepared, .. } = self;
        // The client first: a statement that outlives it need not be closed on the server one by one.
        drop(client);
        drop(prepared);
        driver.ended(ENDING).await;
    }

    /// Cancels what runs on the server, over a connection of its own as the protocol has it, then ends the session.
    pub async fn cancel(self) {
        let token = self.client.cancel_token();
        let cancel = async {
            let stream = wire::open(&self.options, &mut Phases::default()).await?;
            token.cancel_query_raw(stream, NoTls).await.map_err(|e| convert("cancel", e))
        };
        if let Ok(Err(error)) | Err(error) = tokio::time::timeout(ENDING, cancel).await.map_err(|_| CollectError::timeout("cancel")) {
            tracing::debug!(%error, "a statement could not be cancelled; the server's own time limit ends it");
        }
        self.close().await;
    }
}

/// Logs in to `database` over the stream and calls itself `application` there. Who gets the connection moves its bytes.
///
/// # Errors
/// As `Pg::connect`.
pub async fn login(
    options: &Options,
    database: &str,
    application: &str,
    stream: Guard,
) -> Result<(Client, Connection<Guard, NoTlsStream>), CollectError> {
    let mut config = tokio_postgres::Config::new();
    config.user(&options.user).dbname(database).application_name(application);
    config.ssl_mode(tokio_postgres::config::SslMode::Disable); // TLS was negotiated below the guard
    let secret = options.secret();
    if let Some(secret) = &secret {
        config.password(secret.read()?);
    }
    let context = || format!("log in to database {database} as {}", options.user);
    config.connect_raw(stream, NoTls).await.map_err(|e| {
        let mut error = convert(context(), e);
        // The library refuses to go on when the server wants a password and there is none.
        if error.kind == ErrorKind::Decode && secret.is_none() {
            error.kind = ErrorKind::Auth;
            error = error.hint(
                "the server asks for a password and none is configured: --postgres.password-file, password_file, or DATA_SOURCE_PASS_FILE",
            );
            error = error.coded(codes::NO_PASSWORD);
        } else if error.kind == ErrorKind::Auth && secret.is_none() && options.is_socket() {
            error = error.hint(
                "over the socket pg_hba.conf mostly asks that the system's user has the role's name (peer): run it as that user, \
                 map it in pg_ident.conf, or go over TCP with a password (--postgres.host=127.0.0.1)",
            );
        }
        error
    })
}

/// One row; errors of its columns are `Decode`.
pub struct Row(tokio_postgres::Row);

impl Row {
    /// The value of a column by its place; text can be borrowed from the row.
    ///
    /// # Errors
    /// `Decode` when the column has another type.
    pub fn get<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, CollectError> {
        self.0.try_get(column).map_err(|e| CollectError::new(ErrorKind::Decode, format!("column {column}")).caused_by(e))
    }
}

/// All messages of the greeting's answer, of which there are few.
async fn greet(client: &Client) -> Result<Vec<SimpleQueryMessage>, CollectError> {
    const MOST: usize = 32;
    let fail = |e| convert("ask the server who it is", e);
    let mut stream = std::pin::pin!(client.simple_query_raw(GREETING).await.map_err(fail)?);
    let mut answer = Vec::new();
    while let Some(message) = stream.try_next().await.map_err(fail)? {
        if answer.len() == MOST {
            return Err(CollectError::new(ErrorKind::Limit, "the server does not come to an end when asked who it is"));
        }
        answer.push(message);
    }
    Ok(answer)
}

fn read_facts(answer: &[SimpleQueryMessage], certificate_end: Option<i64>) -> Option<(Facts, bool)> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let text = |column: usize| row.try_get(column).ok().flatten();
    let yes = |column: usize| text(column) == Some("t");
    let facts = Facts {
        version: text(0)?.parse().ok()?,
        version_text: text(1)?.to_owned(),
        backend_pid: text(2)?.parse().ok()?,
        started: SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(text(3)?.parse().ok()?).ok()?)?,
        reads_stats: yes(5),
        reads_settings: yes(6),
        reads_log_file: yes(7),
        connections_max: text(8)?.parse().ok()?,
        certificate_end,
    };
    Some((facts, yes(4)))
}
