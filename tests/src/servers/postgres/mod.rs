//! A real PostgreSQL in a temp folder on a free port and a socket in that folder, with SCRAM passwords and the log
//! collector on: start, standby, ask, load, freeze, kill, restart, and count the connections on the server itself.
//! It runs under the `postgres` user when we are root (the server refuses root), else as ourselves.

mod identity;
mod options;
mod programs;
mod session;
mod standby;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

pub use options::{PostgresOptions, Version};
pub use session::{Background, Session, Watcher};

use self::programs::{as_server, client_path, give_to_server, template};
use self::session::PSQL_FLAGS;
use super::INSTALL_HINT;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

/// The superuser's name.
pub const SUPERUSER: &str = "postgres";
/// The superuser's password.
pub const PASSWORD: &str = "demo-superuser";

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    /// `None` while it is stopped.
    postmaster: Mutex<Option<Child>>,
    counter: Mutex<Option<Session>>,
    version: Version,
    port: u16,
    folder: TempFolder,
}

impl Postgres {
    /// Starts a fresh cluster and waits until it answers.
    ///
    /// # Panics
    /// With the server's log when it does not.
    pub fn start(options: PostgresOptions) -> Self {
        let server = Self::prepare(options.version);
        let copy = Command::new("cp").arg("-a").arg(template(options.version)).arg(server.data()).status();
        assert!(copy.is_ok_and(|s| s.success()), "cannot copy the initdb template");
        identity::renew(&server.data());
        if options.checksums && options.version != Version::V18 {
            let enabled =
                as_server(server.folder.path(), server.version, "pg_checksums").arg("--enable").arg("-D").arg(server.data()).output();
            assert!(enabled.as_ref().is_ok_and(|o| o.status.success()), "pg_checksums: {enabled:?}");
        }
        server.configure(&options);
        server.launch();
        server
    }

    /// An empty folder tree for a server.
    fn prepare(version: Version) -> Self {
        let folder = TempFolder::new("pg");
        for name in ["log", "sock"] {
            fs::create_dir(folder.join(name)).unwrap();
            give_to_server(&folder.join(name));
        }
        // The data folder is made by cp or tar, as the server's user.
        give_to_server(folder.path());
        Self { postmaster: Mutex::default(), counter: Mutex::default(), version, port: free_port(), folder }
    }

    fn configure(&self, options: &PostgresOptions) {
        let slow = options.slow_query.map_or("-1".to_owned(), |d| d.as_millis().to_string());
        let mut lines = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{sock}'\n\
             fsync = off\nfull_page_writes = off\nshared_buffers = 16MB\n\
             dynamic_shared_memory_type = mmap\n\
             logging_collector = on\nlog_directory = '{log}'\nlog_filename = 'postgresql.log'\n\
             log_rotation_age = 0\nlog_rotation_size = 0\nlog_file_mode = 0644\n\
             log_line_prefix = '%m [%p] %q%u@%d/%a '\nlog_min_duration_statement = {slow}\n",
            port = self.port,
            sock = self.folder.join("sock").display(),
            log = self.log_folder().display(),
        );
        for line in &options.settings {
            writeln!(lines, "{line}").expect("to a string");
        }
        self.append_settings(&lines);
    }

    fn append_settings(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let file = OpenOptions::new().append(true).open(&path);
        file.and_then(|mut f| f.write_all(lines.as_bytes())).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    fn launch(&self) {
        let log = self.folder.join("start.log");
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("the folder is ours");
        let mut command = as_server(self.folder.path(), self.version, "postgres");
        command.arg("-D").arg(self.data());
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        let mut child = command.spawn().expect("postgres starts");
        let ready = poll::within(START_LIMIT, || {
            let ended = child.try_wait().expect("our own child").is_some();
            (ended || self.psql("select 1").is_ok()).then_some(!ended)
        });
        *self.postmaster.lock().unwrap() = Some(child);
        if ready != Some(true) {
            let early = fs::read_to_string(log).unwrap_or_default();
            panic!("PostgreSQL did not come up:\n{early}\n{}", self.log());
        }
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// TCP address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Folder of the unix socket.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The log's folder, readable by all.
    pub fn log_folder(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The log's only file.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log/postgresql.log")
    }

    /// The whole log.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// The postmaster's pid.
    ///
    /// # Panics
    /// When the server is stopped.
    pub fn pid(&self) -> u32 {
        self.postmaster.lock().unwrap().as_ref().expect("the server runs").id()
    }

    /// Runs SQL in the database `postgres` as superuser: unaligned rows, `|` between columns, no last newline.
    ///
    /// # Errors
    /// psql's messages when a statement fails or there is no connection.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        self.psql_in("postgres", sql)
    }

    /// As [`Self::psql`], in another database.
    ///
    /// # Errors
    /// As [`Self::psql`].
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.client("psql", database);
        command.args(PSQL_FLAGS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("psql: {e}: {INSTALL_HINT}"))?;
        let mut stdin = child.stdin.take().expect("piped");
        // psql that cannot connect ends without reading: its message says why, not our broken pipe.
        let _ = stdin.write_all(sql.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    /// A client program (psql, pgbench) as superuser through the socket.
    fn client(&self, program: &str, database: &str) -> Command {
        let mut command = process::command(client_path(program), self.folder.path());
        command
            .env("PGHOST", self.socket_folder())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", database)
            .env("PGCONNECT_TIMEOUT", "10")
            .env("PGAPPNAME", "harness");
        command
    }

    /// A session that stays open: its transaction and locks live until it is dropped.
    ///
    /// # Panics
    /// When psql cannot be started.
    pub fn session(&self, database: &str) -> Session {
        Session::start(self.client("psql", database))
    }

    /// Runs SQL in the background, e.g. a statement that will wait for a lock; dropped: cancelled and closed.
    ///
    /// # Panics
    /// When psql cannot be started.
    pub fn spawn_psql(&self, database: &str, sql: &str) -> Background {
        let mut command = self.client("psql", database);
        command.args(PSQL_FLAGS).args(["-c", sql]);
        Background { process: Process::start("background-psql", command, self.folder.path()) }
    }

    /// Creates pgbench's tables at a scale (100,000 accounts each).
    ///
    /// # Panics
    /// With pgbench's messages when it fails.
    pub fn pgbench_init(&self, database: &str, scale: u32) {
        let mut command = self.client("pgbench", database);
        command.args(["-i", "-q", "-s", &scale.to_string()]).stderr(Stdio::piped());
        let output = command.output().expect("pgbench starts");
        assert!(output.status.success(), "pgbench -i: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs pgbench's own load until dropped: `clients` connections, together `rate` transactions a second.
    ///
    /// # Panics
    /// When pgbench cannot be started.
    pub fn pgbench_run(&self, database: &str, clients: u32, rate: u32) -> Background {
        self.pgbench(database, clients, f64::from(rate), &["-b", "tpcb-like"])
    }

    /// Runs a script of pgbench's in one connection until dropped, `rate` times a second.
    ///
    /// # Panics
    /// When pgbench cannot be started.
    pub fn pgbench_script(&self, database: &str, script: &str, rate: f64) -> Background {
        let file = self.folder.write("script.sql", script);
        self.pgbench(database, 1, rate, &["-f", &file.to_string_lossy()])
    }

    /// Runs a script of pgbench's in `clients` connections until dropped, as often as each of them can.
    ///
    /// # Panics
    /// When pgbench cannot be started.
    pub fn pgbench_crowd(&self, database: &str, clients: u32, script: &str) -> Background {
        let file = self.folder.write("crowd.sql", script);
        self.pgbench(database, clients, f64::from(clients) * 100.0, &["-f", &file.to_string_lossy()])
    }

    fn pgbench(&self, database: &str, clients: u32, rate: f64, script: &[&str]) -> Background {
        let mut command = self.client("pgbench", database);
        command.env("PGAPPNAME", "pgbench").args(["-n", "-T", "864000"]).args(script);
        command.args(["-c", &clients.to_string(), "-R", &rate.to_string()]);
        Background { process: Process::start("pgbench", command, self.folder.path()) }
    }

    /// Creates a login with pg_monitor and CONNECTION LIMIT `limit`, as the grants shipped with the exporter do.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn create_monitor(&self, user: &str, password: &str, limit: u32) {
        let (name, secret) = (identifier(user), literal(password));
        let sql = format!(
            "create role {name} login password {secret} connection limit {limit}; \
             grant pg_monitor to {name}"
        );
        self.psql(&sql).unwrap_or_else(|e| panic!("create role {user}: {e}"));
    }

    /// Offers TLS with a new certificate of its own that ends in so many days.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn offer_tls(&self, days: u32) {
        let make = format!(
            "copy (select 1) to program 'umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -days {days} -subj /CN=localhost -keyout server.key -out server.crt 2>/dev/null'"
        );
        for sql in [make.as_str(), "alter system set ssl = on", "select pg_reload_conf()"] {
            self.psql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    }

    /// Ends postmaster and children with SIGKILL, as a crash or the OOM killer does.
    ///
    /// # Panics
    /// When some process outlives that by five seconds.
    pub fn kill(&self) {
        let Some(mut postmaster) = self.postmaster.lock().unwrap().take() else {
            return;
        };
        // Stopped first, so that it cannot start a child while its children are listed.
        process::signal("STOP", &[postmaster.id()]);
        let mut all = process::children(postmaster.id());
        all.push(postmaster.id());
        process::signal("KILL", &all);
        let _ = postmaster.wait();
        poll::until("the killed server is gone", Duration::from_secs(5), || (!all.iter().any(|pid| process::runs(*pid))).then_some(()));
    }

    /// Stops at once without a checkpoint (SIGQUIT), as `pg_ctl -m immediate` does; SIGKILL if that takes five seconds.
    pub fn stop(&self) {
        self.thaw();
        let Some(mut postmaster) = self.postmaster.lock().unwrap().take() else {
            return;
        };
        let children = process::children(postmaster.id());
        process::signal("QUIT", &[postmaster.id()]);
        let limit = Duration::from_secs(5);
        if poll::within(limit, || postmaster.try_wait().ok().flatten()).is_none() {
            let _ = postmaster.kill();
            let _ = postmaster.wait();
        }
        let gone = || (!children.iter().any(|pid| process::runs(*pid))).then_some(());
        if poll::within(limit, gone).is_none() {
            process::signal("KILL", &children);
        }
    }

    /// Starts it again with its data, port and log, stopping it first if it runs.
    ///
    /// # Panics
    /// With the server's log when it does not come up.
    pub fn restart(&self) {
        self.stop();
        self.launch();
    }

    /// Stops postmaster and all children with SIGSTOP: the kernel goes on accepting connections, nobody answers.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn freeze(&self) {
        let postmaster = self.postmaster.lock().unwrap();
        let postmaster = postmaster.as_ref().expect("the server runs").id();
        process::signal("STOP", &[postmaster]); // first: it can start no more children
        process::signal("STOP", &process::children(postmaster));
    }

    /// Lets a frozen server go on, by whomever it was frozen.
    pub fn thaw(&self) {
        if let Some(postmaster) = self.postmaster.lock().unwrap().as_ref() {
            process::signal("CONT", &process::children(postmaster.id()));
            process::signal("CONT", &[postmaster.id()]);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        *self.counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.postmaster.clear_poison();
        self.stop();
        // SIGKILL leaves the one System V segment that a stopping server removes itself.
        if let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid"))
            && let Some(id) = text.lines().nth(6).and_then(|l| l.split_whitespace().last())
        {
            let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
        }
    }
}

/// An SQL string literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A quoted SQL identifier.
pub fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
