//! postgres_exporter and ours at one PostgreSQL: small, with many databases, with many tables.

use super::{Contest, Load, Setup, Stage, silent};
use crate::bench::figures;
use crate::bench::fleet::{Fleet, FleetStage, Member};
use crate::bench::measure::{BRIEF, USUAL};
use crate::bench::peer::Peer;
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::temp::TempFolder;

/// 50 databases with 50 tables each.
pub const DATABASES_50: Contest = Contest { name: "postgres-50", server: || large(50, 50), ..MANY };
/// 200 databases with 50 tables each.
pub const DATABASES_200: Contest = Contest { name: "postgres-200", server: || large(200, 50), ..MANY };
/// One database with 10,000 tables.
pub const TABLES: Contest = Contest { name: "postgres-tables", server: || large(1, 10_000), ..MANY };

const PEER: Peer = Peer { built: "postgres_exporter", packaged: "prometheus-postgres-exporter", up: "pg_up" };

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
    aims: figures::aims_of_large,
};

/// A small database, as most are.
pub const SMALL: Contest = Contest {
    name: "postgres-small",
    exporter: "postgres",
    effort: USUAL,
    peer: PEER,
    server: postgres,
    loads: &[
        Load {
            title: "the same collectors",
            ours: Setup {
                args: &[],
                without: &[
                    "backups",
                    "bgwriter",
                    "certificate",
                    "checkpointer",
                    "cluster",
                    "custom_queries",
                    "custom_queries_each",
                    "database_size",
                    "footprint",
                    "indexes",
                    "long_running_transactions",
                    "maintenance",
                    "memory",
                    "postmaster",
                    "prepared_transactions",
                    "progress_vacuum",
                    "roles",
                    "sequences",
                    "slow_queries",
                    "slru",
                    "ssl",
                    "statio",
                    "subscriptions",
                    "tables",
                    "wal",
                    "wal_receiver",
                    "wraparound",
                    "xmin_horizon",
                ],
                reads: "sessions, databases, locks, replication, slots, archiver, settings; a fresh login every 30 s",
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
                reads: "the same; also conflicts, which cannot be switched off alone",
            },
        },
        Load {
            title: "as installed",
            ours: Setup {
                args: &[],
                without: &[],
                reads: "all of the instance, the server's processes and log; sizes, tables, indexes and sequences every 5 min",
            },
            peer: Setup { args: &[], without: &[], reads: "also sizes and the background writer" },
        },
    ],
    aims: figures::aims,
};

/// A few targets on real servers beside ports that accept and never answer.
pub const ISOLATION: Fleet = Fleet {
    name: "postgres-isolation",
    exporter: "postgres",
    peer: None,
    up: PEER.up,
    targets: 4,
    hung: &[0, 8, 64],
    start: fleet,
    aims: None,
};

const USER: &str = "bench";
const PASSWORD: &str = "bench-password";
const OTHERS: u32 = 10;

fn postgres() -> Stage {
    let server = start();
    server.psql("create database shop").expect("a database");
    server.pgbench_init("shop", 1);
    server.psql_in("shop", &(tables(OTHERS, 1000) + "vacuum analyze; checkpoint;")).expect("tables");
    stage(server, &format!("a database with pgbench's tables and {OTHERS} others"))
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

/// One server on as many addresses of the loopback network: two targets with one address would be one server for us.
fn fleet(healthy: usize, hung: usize) -> FleetStage {
    let addresses: Vec<String> = (1..=healthy).map(|n| format!("127.0.0.{n}")).collect();
    let settings = vec!["autovacuum = off".to_owned(), format!("listen_addresses = '{}'", addresses.join(","))];
    let server = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() });
    server.create_monitor(USER, PASSWORD, 50);
    let folder = TempFolder::new("bench");
    let password = folder.write_secret("password", PASSWORD);
    let member = |host: &str, port: u16| {
        let name = format!("t-{}-{port}", host.replace('.', "-"));
        let login = format!("user: {USER}, password_file: {}, sslmode: disable", password.display());
        let config = format!("  {name}: {{host: {host}, port: {port}, {login}}}\n");
        Member { config, ours: format!("/probe?target={name}"), peer: String::new() }
    };
    let silent = silent(hung);
    let members = addresses.iter().map(|host| member(host, server.port())).collect();
    let hung = silent.iter().map(|listener| member("127.0.0.1", listener.local_addr().expect("bound").port())).collect();
    let version = server.psql("show server_version").expect("an answer");
    FleetStage::new(format!("PostgreSQL {version} on {healthy} addresses"), members, hung, (server, folder, silent))
}

fn tables(count: u32, rows: u32) -> String {
    let rows = format!("select i as id, md5(i::text) as text from generate_series(1, {rows}) i");
    (1..=count).map(|n| format!("create table t{n} as {rows};")).collect()
}

fn stage(server: Postgres, what: &str) -> Stage {
    server.create_monitor(USER, PASSWORD, 300);
    let version = server.psql("show server_version").expect("an answer");
    let folder = TempFolder::new("bench");
    // Ours refuses a secret that others can read.
    let password = folder.write_secret("password", PASSWORD);
    let queries = folder.write("queries.yaml", &queries());
    let env = vec![
        ("DATA_SOURCE_URI", format!("127.0.0.1:{}/postgres?sslmode=disable", server.port())),
        ("DATA_SOURCE_USER", USER.to_owned()),
        ("DATA_SOURCE_PASS_FILE", password.display().to_string()),
    ];
    let about = format!("PostgreSQL {version}, {what}, no load of its own");
    Stage { queries: queries.display().to_string(), ..Stage::new(server.pid(), about, env, (server, folder)) }
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
