//! The table of contests: a further exporter joins by one entry here.
//!
//! A contest is measured once for each of its loads, that is for each choice of collectors; the first load is the one
//! that the aims are judged by, so it must ask both sides for the same things.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::measure::{BRIEF, Effort, USUAL, idle_share};
use crate::bench::peer::Peer;
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::temp::TempFolder;

/// One exporter, its peer and the server that both watch.
pub struct Contest {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The exporter's folder below `exporters/`; its binary is `sage-<exporter>-exporter`.
    pub exporter: &'static str,
    /// How often both sides are scraped.
    pub effort: Effort,
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
    /// Further arguments; `{queries}` stands for the stage's file of custom queries.
    pub args: &'static [&'static str],
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
    /// A file of custom queries: one with a row for each table.
    pub queries: String,
    /// Stops it when dropped.
    _server: Postgres,
    _folder: TempFolder,
}

/// Every contest.
pub const CONTESTS: &[Contest] = &[
    SMALL,
    Contest { name: "postgres-50", server: || large(50, 50), ..MANY },
    Contest { name: "postgres-200", server: || large(200, 50), ..MANY },
    Contest { name: "postgres-tables", server: || large(1, 10_000), ..MANY },
];

const PEER: Peer = Peer { built: "postgres_exporter", packaged: "prometheus-postgres-exporter" };

/// Databases from one template, each with tables of its own, and the peer also as it reads them: by a query for each table.
const MANY: Contest = Contest {
    name: "",
    exporter: "postgres",
    effort: BRIEF,
    peer: PEER,
    server: || large(1, 1),
    loads: &[
        Load {
            title: "as installed",
            ours: Setup { args: &[], without: &[], reads: "all of the instance; sizes, tables, indexes and sequences every 5 min" },
            peer: Setup { args: &[], without: &[], reads: "the instance and database sizes, no table" },
        },
        Load {
            title: "with the tables",
            ours: Setup { args: &[], without: &[], reads: "the same: the 50 largest tables and indexes, the others summed up" },
            peer: Setup {
                args: &["--auto-discover-databases", "--extend.query-path={queries}"],
                without: &[],
                reads: "also every table of every database, by a custom query",
            },
        },
    ],
};

const SMALL: Contest = Contest {
    name: "postgres",
    exporter: "postgres",
    effort: USUAL,
    peer: PEER,
    server: postgres,
    loads: &[
        Load {
            title: "the same collectors",
            ours: Setup {
                args: &[],
                without: &["database_size", "footprint", "slow_queries", "tables"],
                reads: "sessions, databases, locks, replication, settings; a fresh login every 30 s",
            },
            peer: Setup {
                args: &[],
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
            ours: Setup { args: &[], without: &[], reads: "also the server's processes and log; sizes and tables every 5 min" },
            peer: Setup { args: &[], without: &[], reads: "also sizes and the background writer" },
        },
    ],
};

const USER: &str = "bench";
const PASSWORD: &str = "bench-password";
const TABLES: u32 = 10;

fn postgres() -> Stage {
    let server = start();
    server.psql("create database shop").expect("a database");
    server.pgbench_init("shop", 1);
    server.psql_in("shop", &(tables(TABLES, 1000) + "vacuum analyze; checkpoint;")).expect("tables");
    stage(server, &format!("a database with pgbench's tables and {TABLES} others"))
}

/// As many databases from one template, with as many small tables each.
fn large(databases: u32, each: u32) -> Stage {
    let server = start();
    server.psql("create database d1").expect("a database");
    for first in (0..each).step_by(500) {
        let sql = (first..each.min(first + 500)).map(|n| format!("create table t{n} as select {n} as id; create index on t{n} (id);"));
        server.psql_in("d1", &sql.collect::<String>()).expect("tables");
    }
    server.psql_in("d1", "analyze").expect("statistics");
    for n in 2..=databases {
        server.psql(&format!("create database d{n} template d1 strategy file_copy")).expect("a database");
    }
    server.psql("checkpoint").expect("a checkpoint");
    stage(server, &format!("{databases} databases with {each} tables each"))
}

fn start() -> Postgres {
    // Autovacuum would come at its own times and be counted against whoever is measured then.
    // Room for one connection to each database: the peer opens as many when it is to find them by itself.
    let settings = ["autovacuum = off", "max_locks_per_transaction = 256", "max_connections = 400"].map(str::to_owned).to_vec();
    Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() })
}

fn tables(count: u32, rows: u32) -> String {
    let rows = format!("select i as id, md5(i::text) as text from generate_series(1, {rows}) i");
    (1..=count).map(|n| format!("create table t{n} as {rows};")).collect()
}

fn stage(server: Postgres, what: &str) -> Stage {
    server.create_monitor(USER, PASSWORD, 300);
    let version = server.psql("show server_version").expect("an answer");
    let folder = TempFolder::new("bench");
    let password = folder.write("password", PASSWORD);
    // Ours refuses a secret that others can read.
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("our own file");
    let queries = folder.write("queries.yaml", &queries());
    Stage {
        pid: server.pid(),
        idle: idle_share(server.pid()),
        about: format!("PostgreSQL {version}, {what}, no load of its own"),
        env: vec![
            ("DATA_SOURCE_URI", format!("127.0.0.1:{}/postgres?sslmode=disable", server.port())),
            ("DATA_SOURCE_USER", USER.to_owned()),
            ("DATA_SOURCE_PASS_FILE", password.display().to_string()),
        ],
        queries: queries.display().to_string(),
        _server: server,
        _folder: folder,
    }
}

/// A custom query with a row for each table, as such files mostly have one.
fn queries() -> String {
    let labels = ["datname", "schemaname", "relname"];
    let counters = ["seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd", "n_tup_del", "n_tup_hot_upd"];
    let gauges = ["n_live_tup", "n_dead_tup", "n_mod_since_analyze"];
    let counts = ["vacuum_count", "autovacuum_count", "analyze_count", "autoanalyze_count"];
    let columns = |names: &[&str], usage: &str| {
        names.iter().map(|n| format!("    - {n}: {{usage: {usage}, description: {n}}}\n")).collect::<String>()
    };
    let values = [&counters[..], &gauges, &counts].concat().join(", ");
    format!(
        "table_statistics:\n  query: \"SELECT current_database() AS datname, schemaname, relname, {values} FROM pg_stat_user_tables\"\n  metrics:\n{}{}{}{}",
        columns(&labels, "LABEL"),
        columns(&counters, "COUNTER"),
        columns(&gauges, "GAUGE"),
        columns(&counts, "COUNTER")
    )
}
