//! A standby made from a running primary, by the low-level backup that all versions have: the smaller builds come
//! without pg_basebackup. Source: PostgreSQL documentation, making a base backup using the low level API.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::programs::{give_to_server, under_server_user};
use super::{PASSWORD, Postgres, PostgresOptions, START_LIMIT, SUPERUSER, Version};
use crate::poll;
use crate::process;

/// What of a data folder is the running server's own, or comes to the standby with the stream.
const LEFT_OUT: [&str; 9] = [
    "pg_wal/*",
    "pg_replslot/*",
    "pg_dynshmem/*",
    "pg_notify/*",
    "pg_serial/*",
    "pg_snapshots/*",
    "pg_stat_tmp/*",
    "pg_subtrans/*",
    "postmaster.*",
];

impl Postgres {
    /// Starts a streaming standby of `primary`, of the same version whatever the options say, and waits until the primary
    /// sees it stream. It calls itself `standby<port>` there (application_name).
    ///
    /// # Panics
    /// With the server's log when it does not.
    pub fn start_standby(primary: &Self, options: PostgresOptions) -> Self {
        Self::start_standby_through(primary, primary.address(), options)
    }

    /// As [`Self::start_standby`], but the standby reaches its primary at `address`: that of a proxy, for instance.
    ///
    /// # Panics
    /// As `start_standby`.
    pub fn start_standby_through(primary: &Self, address: SocketAddr, options: PostgresOptions) -> Self {
        let server = Self::prepare(primary.version);
        let name = server.standby_name();
        server.copy_of(primary);
        server.write_data("standby.signal", "");
        let conninfo = format!("host=127.0.0.1 port={} user={SUPERUSER} password={PASSWORD} application_name={name}", address.port());
        server.write_data("postgresql.auto.conf", &format!("primary_conninfo = '{conninfo}'\n"));
        server.configure(&options);
        server.launch();
        let sql = format!("select 1 from pg_stat_replication where application_name='{name}' and state='streaming'");
        poll::until("the standby streams", START_LIMIT, || (primary.psql(&sql).as_deref() == Ok("1")).then_some(()));
        server
    }

    /// Starts a log-shipping standby of `primary`: it never connects to it, but fetches WAL from the folder `archive`.
    ///
    /// # Panics
    /// With the server's log when it does not start.
    pub fn start_log_shipping(primary: &Self, archive: &Path, options: PostgresOptions) -> Self {
        let server = Self::prepare(primary.version);
        server.copy_of(primary);
        primary.psql("select pg_switch_wal()").expect("the end of the backup goes to the archive");
        server.write_data("standby.signal", "");
        server.write_data("postgresql.auto.conf", &format!("restore_command = 'cp {}/%f %p'\n", archive.display()));
        server.configure(&options);
        server.launch();
        server
    }

    /// What it is called at its primary, if it is a standby (application_name).
    pub fn standby_name(&self) -> String {
        format!("standby{}", self.port)
    }

    /// A folder that the server may write, for an archive or a tablespace.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        give_to_server(&folder);
        folder
    }

    /// Copies a running server's data between the calls that begin and end a backup.
    fn copy_of(&self, primary: &Self) {
        let (begin, end) = match primary.version {
            Version::V13 => ("pg_start_backup('standby', true, false)", "pg_stop_backup(false, false)"),
            _ => ("pg_backup_start('standby', true)", "pg_backup_stop(false)"),
        };
        let mut session = primary.session("postgres");
        session.query(&format!("select {begin}")).expect("the backup begins");
        let mut shell = process::command("/bin/sh", self.folder.path());
        let left_out: Vec<String> = LEFT_OUT.iter().map(|name| format!("--exclude=./{name}")).collect();
        // tar says 1 for a file that changed or went while it was read, as the files of a running server do.
        let script =
            r#"mkdir -m 700 "$1" && from=$0 to=$1 && shift && { tar -C "$from" "$@" -cf - . || [ $? -eq 1 ]; } | tar -C "$to" -xf -"#;
        shell.args(["-c", script]).arg(primary.data()).arg(self.data()).args(left_out);
        let output = under_server_user(shell).output().expect("sh starts");
        assert!(output.status.success(), "copy: {}", String::from_utf8_lossy(&output.stderr));
        let label = session.query(&format!("select labelfile from {end}")).expect("the backup ends");
        self.write_data("backup_label", &(label.join("\n").trim_end().to_owned() + "\n"));
    }

    /// Writes a file of the data folder, as the server's user owns it.
    fn write_data(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        give_to_server(&path);
    }
}
