//! The table of contests: a further exporter joins by one entry here.
//!
//! A contest is measured once for each of its loads, that is for each choice of collectors; the first load is the one
//! that the aims are judged by, so it must ask both sides for the same things.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::measure::idle_share;
use crate::bench::peer::Peer;
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::temp::TempFolder;

/// One exporter, its peer and the server that both watch.
pub struct Contest {
    /// The exporter's folder below `exporters/`; its binary is `sage-<name>-exporter`.
    pub name: &'static str,
    /// The program that it is measured beside.
    pub peer: Peer,
    /// Starts and fills the server.
    pub server: fn() -> Stage,
    /// What both sides are asked for.
    pub loads: &'static [Load],
}

/// A choice of collectors on both sides.
pub struct Load {
    /// Heading of its table.
    pub title: &'static str,
    /// Ours.
    pub ours: Setup,
    /// The peer's.
    pub peer: Setup,
}

/// How one side is started, and what it then reads at each scrape, in words.
pub struct Setup {
    /// Collectors to switch off; those that a program does not have are left out of its command line, since the peer's
    /// collectors differ between its versions.
    pub without: &'static [&'static str],
    /// What it reads, for the reader of the figures.
    pub reads: &'static str,
}

/// A running server.
pub struct Stage {
    /// Its first process: the tree below it is what the server's CPU time is read from.
    pub pid: u32,
    /// The CPU share that it takes on its own.
    pub idle: f64,
    /// What it is, for the reader of the figures.
    pub about: String,
    /// Environment of both exporters.
    pub env: Vec<(&'static str, String)>,
    /// Stops it when dropped.
    _server: Postgres,
    _folder: TempFolder,
}

/// Every contest.
pub const CONTESTS: &[Contest] = &[Contest {
    name: "postgres",
    peer: Peer { built: "postgres_exporter", packaged: "prometheus-postgres-exporter" },
    server: postgres,
    loads: &[
        Load {
            title: "the same collectors",
            ours: Setup {
                without: &["database_size", "footprint", "slow_queries", "tables"],
                reads: "sessions, databases, locks, replication, settings; a fresh login every 30 s",
            },
            peer: Setup {
                without: &[
                    "bgwriter",
                    "database",
                    "process_idle",
                    "replication_slot",
                    "stat_bgwriter",
                    "stat_user_tables",
                    "statio_user_tables",
                    "stat_statements",
                    "wal",
                ],
                reads: "the same; also conflicts, archiver and slots, which cannot be switched off alone",
            },
        },
        Load {
            title: "as installed",
            ours: Setup { without: &[], reads: "also the server's processes and log; sizes and tables every 5 min" },
            peer: Setup { without: &[], reads: "also sizes and the background writer" },
        },
    ],
}];

const USER: &str = "bench";
const PASSWORD: &str = "bench-password";
const TABLES: u32 = 10;

fn postgres() -> Stage {
    // Autovacuum would come at its own times and be counted against whoever is measured then.
    let server = Postgres::start(PostgresOptions { settings: vec!["autovacuum = off".to_owned()], ..PostgresOptions::default() });
    server.psql("create database shop").expect("a database");
    server.pgbench_init("shop", 1);
    let rows = "select i as id, md5(i::text) as text from generate_series(1, 1000) i";
    let tables: String = (1..=TABLES).map(|n| format!("create table t{n} as {rows};")).collect();
    server.psql_in("shop", &(tables + "vacuum analyze; checkpoint;")).expect("tables");
    server.create_monitor(USER, PASSWORD, 10);
    let version = server.psql("show server_version").expect("an answer");
    let folder = TempFolder::new("bench");
    let password = folder.write("password", PASSWORD);
    // Ours refuses a secret that others can read.
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("our own file");
    Stage {
        pid: server.pid(),
        idle: idle_share(server.pid()),
        about: format!("PostgreSQL {version}, a database with pgbench's tables and {TABLES} others, no load of its own"),
        env: vec![
            ("DATA_SOURCE_URI", format!("127.0.0.1:{}/postgres?sslmode=disable", server.port())),
            ("DATA_SOURCE_USER", USER.to_owned()),
            ("DATA_SOURCE_PASS_FILE", password.display().to_string()),
        ],
        _server: server,
        _folder: folder,
    }
}
