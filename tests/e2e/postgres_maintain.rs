//! `maintain vacuum-analyze` against real servers: what is done, skipped, failed and left; one run at a time; a signal in
//! the middle; and its results on the exporter's page.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use e2e::exporter::{Exporter, run};
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version};
use e2e::temp::TempFolder;
use e2e::watched::errors;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const BINARY: &str = "sage-postgres-exporter";
const ROLE: &str = "sage_maintain";
const SECRET: &str = "of the m@intainer";

/// A server with the printed role of maintenance, a database `shop` of its own owner, and a folder for state and password.
struct Site {
    server: Postgres,
    folder: TempFolder,
}

impl Site {
    fn new(version: Version) -> Self {
        let server = Postgres::start(PostgresOptions::of(version));
        server.create_monitor("sage", "scrape", 4);
        server.psql("create role shop; create database shop owner shop").unwrap();
        let folder = TempFolder::new("maintain");
        let password = folder.write("password", SECRET);
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let site = Self { server, folder };
        let printed = run(BINARY, &["grants", "--maintain"], &site.env("sage").each_ref().map(|(k, v)| (*k, v.as_str())));
        let sql = String::from_utf8(printed.stdout).unwrap();
        site.server.psql(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
        site.server.psql(&format!("alter role {ROLE} password '{SECRET}'")).unwrap();
        site
    }

    fn env(&self, user: &str) -> [(&'static str, String); 4] {
        [
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.server.port().to_string()),
            ("PGUSER", user.to_owned()),
            ("PGPASSWORD", "scrape".to_owned()),
        ]
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let state = format!("--state-folder={}", self.folder.path().display());
        let password = format!("--role-password-file={}", self.folder.join("password").display());
        let fixed = ["maintain", "vacuum-analyze", "--log.format=json", &state, &password].map(str::to_owned);
        fixed.into_iter().chain(more.iter().map(|a| (*a).to_owned())).collect()
    }

    /// Runs it to its end.
    fn run(&self, more: &[&str]) -> Ended {
        let args = self.args(more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = run(BINARY, &args, &self.env("sage").each_ref().map(|(k, v)| (*k, v.as_str())));
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains(SECRET), "{err}");
        Ended { code: output.status.code(), lines: lines(&err), err }
    }

    /// Starts it and returns while it runs.
    fn start(&self, more: &[&str]) -> Exporter {
        let args = self.args(more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Exporter::launch(BINARY, &args, &self.env("sage").each_ref().map(|(k, v)| (*k, v.as_str())))
    }

    fn state(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.folder.join("postgres-default-maintain.json")).unwrap()).unwrap()
    }

    fn write_state(&self, text: &str) {
        self.folder.write("postgres-default-maintain.json", text);
    }

    /// How often a table of `shop` was vacuumed by hand.
    fn vacuumed(&self, table: &str) -> u32 {
        // The statistics of 13 come by messages, a little later.
        let sql = format!("select pg_stat_clear_snapshot(); select vacuum_count from pg_stat_user_tables where relname = '{table}'");
        self.server.psql_in("shop", &sql).unwrap().trim().parse().unwrap()
    }
}

struct Ended {
    code: Option<i32>,
    lines: Vec<Value>,
    err: String,
}

fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Outcome and reason of each table, by database and table.
fn outcomes(lines: &[Value]) -> BTreeMap<String, (String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let tables = lines.iter().filter(|line| line["table"].is_string() && line["outcome"].is_string());
    tables.map(|l| (format!("{}.{}", text(l, "database"), text(l, "table")), (text(l, "outcome"), text(l, "reason")))).collect()
}

fn is(outcome: &str, reason: &str) -> (String, String) {
    (outcome.to_owned(), reason.to_owned())
}

const TABLES: &str = "
    create table orders as select g as id, 'x' as v from generate_series(1, 5000) g; update orders set v = 'y';
    create table busy as select 1 as i; create table broken as select 1 as i; create table tmp_left as select 1 as i;
    create table \"Odd \"\" name\" as select 1 as i;
    create function boom(i int) returns int immutable language plpgsql as 'begin return i; end';
    create index on broken (boom(i));
    create or replace function boom(i int) returns int immutable language plpgsql as 'begin raise exception ''no''; end';
    alter table orders owner to shop; alter table busy owner to shop; alter table broken owner to shop;
    alter table \"Odd \"\" name\" owner to shop";

#[test]
fn tables_are_done_skipped_and_failed_each_with_its_line() {
    std::thread::scope(|scope| {
        for version in Version::ALL {
            scope.spawn(move || round(version));
        }
    });
}

fn round(version: Version) {
    let site = Site::new(version);
    site.server.psql_in("shop", TABLES).unwrap();
    let dead = "select n_dead_tup >= 5000 from pg_stat_user_tables where relname = 'orders'";
    poll::until("the dead rows are counted", LIMIT, || (site.server.psql_in("shop", dead).as_deref() == Ok("t")).then_some(()));
    let mut holder = site.server.session("shop");
    holder.query("begin; lock table busy in share update exclusive mode").unwrap();
    let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let ended = site.run(&["--database=sh?p", "--exclude-table=tmp_*"]);
    assert_eq!(ended.code, Some(1), "{version:?}: a table failed: {}", ended.err);
    let found = outcomes(&ended.lines);
    let want = [
        ("shop.public.orders", is("ok", "")),
        ("shop.public.busy", is("skipped-busy", "")),
        ("shop.public.broken", is("failed", "P0001")),
        ("shop.public.Odd \" name", is("ok", "")),
    ];
    assert_eq!(found, want.into_iter().map(|(name, end)| (name.to_owned(), end)).collect(), "{version:?}: {}", ended.err);
    let first = ended.lines.iter().find(|line| line["table"].is_string()).unwrap();
    assert_eq!(first["table"], "public.orders", "the neediest first: {}", ended.err);
    assert!(first["seconds"].as_f64().unwrap() > 0.0 && first["due"].as_i64().unwrap() >= 5000, "{first}");
    poll::until("the server has counted it", LIMIT, || (site.vacuumed("orders") == 1).then_some(()));
    assert_eq!((site.vacuumed("busy"), site.vacuumed("tmp_left")), (0, 0));

    // The state file, and from it the page.
    let state = &site.state()["tasks"]["vacuum-analyze"];
    assert_eq!(state["shop"]["tables"], json!({"ok": 2, "skipped_busy": 1, "failed": 1, "not_started": 0}), "{state}");
    assert!(state["shop"]["last_success"].is_null() && state.get("postgres").is_none(), "{state}");
    assert!(state["shop"]["last_run"].as_f64().unwrap() >= begun, "{state}");
    let mode = fs::metadata(site.folder.join("postgres-default-maintain.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let exporter = watch(&site);
    let page = exporter.metrics();
    let value =
        |name: &str, labels: &[(&str, &str)]| page.value(name, &[&[("task", "vacuum-analyze"), ("database", "shop")], labels].concat());
    for (result, n) in [("ok", 2.0), ("skipped_busy", 1.0), ("failed", 1.0), ("not_started", 0.0)] {
        assert_eq!(value("pg_maintenance_tables", &[("result", result)]), Some(n), "{result}");
    }
    assert!(value("pg_maintenance_last_run_timestamp_seconds", &[]).unwrap() >= begun);
    assert!(value("pg_maintenance_duration_seconds", &[]).unwrap() > 0.0);
    assert_eq!(value("pg_maintenance_last_success_timestamp_seconds", &[]), None, "it never was");
    assert!(value("pg_maintenance_first_run_timestamp_seconds", &[]).unwrap() > begun - 60.0);

    // Mended and free, all is done, and that is a success.
    drop(holder);
    site.server.psql_in("shop", "drop table broken").unwrap();
    let ended = poll::until("all is well", LIMIT, || Some(site.run(&["--database=shop"])).filter(|ended| ended.code == Some(0)));
    assert!(outcomes(&ended.lines).values().all(|(outcome, _)| outcome == "ok"), "{}", ended.err);
    let page = exporter.metrics();
    let success = page.value("pg_maintenance_last_success_timestamp_seconds", &[("database", "shop")]);
    assert!(success.unwrap() >= begun, "{success:?}");

    // What the role may not vacuum is failed with its SQLSTATE, unless the server knows the right of maintenance.
    site.server.psql("create table foreign_to_it as select 1 as i").unwrap();
    let ended = site.run(&["--database=postgres"]);
    let may = matches!(version, Version::V17 | Version::V18);
    let want = if may { is("ok", "") } else { is("failed", "42501") };
    assert_eq!(outcomes(&ended.lines)["postgres.public.foreign_to_it"], want, "{version:?}");
    assert_eq!(ended.code, Some(i32::from(!may)));
    assert_eq!(site.server.count_connections(ROLE), 0);
}

fn watch(site: &Site) -> Exporter {
    let file = site.folder.join("postgres-default-maintain.json");
    let config = format!("modules: {{default: {{collectors: {{maintenance: {{state_file: {:?}}}}}}}}}\n", file.display().to_string());
    let config = site.folder.write("exporter.yml", &config);
    let env = site.env("sage");
    Exporter::start(BINARY, &[&format!("--config.file={}", config.display())], &env.each_ref().map(|(k, v)| (*k, v.as_str())))
}

#[test]
fn a_file_that_is_broken_missing_or_of_the_future_is_said_and_never_zero() {
    let site = Site::new(Version::V15);
    site.server.psql_in("shop", "create table t(); alter table t owner to shop").unwrap();
    assert_eq!(site.run(&["--database=shop"]).code, Some(0));
    let good = site.state().to_string();
    let exporter = watch(&site);
    let told = |what: &str| {
        let page = exporter.metrics();
        assert_eq!(errors(&page).get("maintenance").map(String::as_str), Some("decode"), "{what}");
        assert!(!page.has("pg_maintenance_tables") && !page.has("pg_maintenance_last_success_timestamp_seconds"), "{what}");
    };
    assert!(errors(&exporter.metrics()).is_empty());
    site.write_state(&good[..good.len() / 2]);
    told("cut off");
    let mut future: Value = serde_json::from_str(&good).unwrap();
    future["tasks"]["vacuum-analyze"]["shop"]["last_success"] = json!(4_102_444_800.0);
    site.write_state(&future.to_string());
    told("of the future");
    fs::remove_file(site.folder.join("postgres-default-maintain.json")).unwrap();
    told("missing");
    site.write_state("not JSON");
    let ended = site.run(&["--database=shop"]);
    assert!(ended.code == Some(0) && ended.err.contains("written anew"), "{}", ended.err);
    assert!(errors(&exporter.metrics()).is_empty(), "a run mends it");

    // Where nothing is configured and nothing has run, nothing is told.
    let env = site.env("sage");
    let plain = Exporter::start(BINARY, &[], &env.each_ref().map(|(k, v)| (*k, v.as_str())));
    let page = plain.metrics();
    assert!(!page.has("pg_maintenance_tables") && errors(&page).is_empty());
}

#[test]
fn a_table_that_would_not_fit_into_the_window_is_left() {
    let site = Site::new(Version::V15);
    site.server
        .psql_in(
            "shop",
            "create table long_one as select 1 as i; create table short_one as select 1 as i; alter table long_one owner to shop",
        )
        .unwrap();
    let outcome = json!({"first_run": 1.0, "last_run": 1.0, "last_success": 1.0, "duration_seconds": 1.0,
        "tables": {"ok": 1, "skipped_busy": 0, "failed": 0, "not_started": 0}, "slow": {"public.long_one": 1800.0}});
    let before = json!({"form": 1, "tasks": {"vacuum-analyze": {"shop": outcome, "dropped": outcome}}}).to_string();
    site.write_state(&before);
    let in_an_hour = site.server.psql("select to_char(now() + interval '1 hour', 'HH24:MI')").unwrap();
    let in_minutes = site.server.psql("select to_char(now() + interval '10 minutes', 'HH24:MI')").unwrap();
    for window in ["--max-duration=10m", &format!("--until={in_minutes}")] {
        let ended = site.run(&["--database=shop", window]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let found = outcomes(&ended.lines);
        assert_eq!(found["shop.public.long_one"], is("not-started", "it would not fit into the window"), "{window}");
        assert_eq!(found["shop.public.short_one"], is("ok", ""), "{window}");
        let state = &site.state()["tasks"]["vacuum-analyze"];
        assert_eq!(
            (state["shop"]["last_success"].as_f64(), state["shop"]["tables"]["not_started"].as_i64()),
            (Some(1.0), Some(1)),
            "{state}"
        );
        assert!(state.get("dropped").is_none(), "a database that is gone is forgotten: {state}");
    }
    let ended = site.run(&["--database=shop", &format!("--until={in_an_hour}")]);
    assert_eq!(outcomes(&ended.lines)["shop.public.long_one"], is("ok", ""), "{}", ended.err);
    assert!(site.state()["tasks"]["vacuum-analyze"]["shop"]["last_success"].as_f64() > Some(1.0));

    // A table that outlasts the window is ended by the server itself.
    slow(&site);
    let ended = site.run(&["--table=pgbench_accounts", "--database=shop", "--max-duration=2s", "--cost-delay=100ms"]);
    assert_eq!(outcomes(&ended.lines)["shop.public.pgbench_accounts"], is("failed", "57014"), "{}", ended.err);
    assert_eq!(ended.code, Some(1));
}

/// Makes a table whose VACUUM takes many minutes: 100 ms of rest after each page.
fn slow(site: &Site) {
    site.server.pgbench_init("shop", 1);
    site.server.psql_in("shop", "update pgbench_accounts set abalance = 1; alter table pgbench_accounts owner to shop").unwrap();
    site.server.psql(&format!("alter role {ROLE} set vacuum_cost_limit = 1")).unwrap();
}

#[test]
fn a_second_run_is_refused_and_a_signal_ends_the_first_one_on_the_server() {
    let site = Site::new(Version::V15);
    slow(&site);
    let mut first = site.start(&["--database=shop", "--cost-delay=100ms"]);
    let vacuums = "select count(*) from pg_stat_progress_vacuum";
    poll::until("a table is being vacuumed", LIMIT, || (site.server.psql(vacuums).as_deref() == Ok("1")).then_some(()));

    let second = site.run(&[]);
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.err.contains(&format!("a run is under way on this machine: process {}, since ", first.pid())), "{}", second.err);
    // From elsewhere, by way of another database: that machine has no lock file of ours.
    let elsewhere = TempFolder::new("elsewhere");
    for database in ["postgres", "shop"] {
        let state = format!("--state-folder={}", elsewhere.path().display());
        let password = format!("--role-password-file={}", site.folder.join("password").display());
        let args = ["maintain", "vacuum-analyze", &state, &password, &format!("--postgres.database={database}")];
        let third = run(BINARY, &args, &site.env("sage").each_ref().map(|(k, v)| (*k, v.as_str())));
        let err = String::from_utf8(third.stderr).unwrap();
        assert_eq!(third.status.code(), Some(1), "{err}");
        assert!(err.contains("a run is under way on the server: process ") && err.contains(&format!("of role {ROLE}")), "{err}");
    }

    first.signal("TERM");
    let status = poll::until("the first one ends", LIMIT, || first.ended());
    let backends = site.server.psql(&format!("select count(*) from pg_stat_activity where usename = '{ROLE}'")).unwrap();
    assert_eq!((status.code(), backends.as_str()), (Some(1), "0"), "{}", first.logs());
    let found = lines(&first.logs());
    let tables = outcomes(&found);
    assert_eq!(tables["shop.public.pgbench_accounts"], is("failed", "57014"), "{}", first.logs());
    for left in ["tellers", "branches", "history"] {
        assert_eq!(tables[&format!("shop.public.pgbench_{left}")], is("not-started", "stopped by a signal"), "{}", first.logs());
    }
    assert!(found.iter().any(|line| line["message"] == "the server has ended the session"), "{}", first.logs());
    let state = &site.state()["tasks"]["vacuum-analyze"]["shop"]["tables"];
    assert_eq!((state["failed"].as_i64(), state["not_started"].as_i64()), (Some(1), Some(3)), "{state}");

    // Nothing is left that would keep the next one out.
    site.server.psql(&format!("alter role {ROLE} reset vacuum_cost_limit")).unwrap();
    let next = site.run(&["--database=shop"]);
    assert_eq!(next.code, Some(0), "{}", next.err);
}

#[test]
fn roles_that_must_not_and_servers_that_need_not_are_told_apart() {
    let site = Site::new(Version::V15);
    let ended = site.run(&["--role=sage"]);
    assert!(ended.code == Some(2) && ended.err.contains("this is the role that scrapes"), "{}", ended.err);
    site.server.psql(&format!("alter role {ROLE} superuser")).unwrap();
    let ended = site.run(&[]);
    assert!(ended.code == Some(1) && ended.err.contains(&format!("hint: ALTER ROLE {ROLE} NOSUPERUSER")), "{}", ended.err);
    assert_eq!(site.run(&["--allow-superuser"]).code, Some(0));
    site.server.psql(&format!("alter role {ROLE} nosuperuser")).unwrap();
    for bad in [&["--until=5:00"][..], &["--until=05:00", "--max-duration=1h"], &["--cost-delay=1s"], &["--target=nothing"]] {
        let ended = site.run(bad);
        assert_eq!(ended.code, Some(2), "{bad:?}: {}", ended.err);
    }
    let standby = Postgres::start_standby(&site.server, PostgresOptions::default());
    let there = Site { server: standby, folder: TempFolder::new("standby") };
    let password = there.folder.write("password", SECRET);
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let ended = there.run(&[]);
    assert!(ended.code == Some(0) && ended.err.contains("nothing to do here"), "{}", ended.err);
    assert!(!there.folder.join("postgres-default-maintain.json").exists());
    drop(there);
    site.server.stop();
    let ended = site.run(&[]);
    assert!(ended.code == Some(1) && ended.err.contains("hint: nobody listens there"), "{}", ended.err);
}
