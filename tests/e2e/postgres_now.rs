//! `now` against real servers: who blocks whom on what, without a value; in time with many sessions, without a slot, at a
//! server that hangs, on a standby, without pg_monitor.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::time::{Duration, Instant};

use e2e::exporter::run;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
/// What `now` may take at most: its own five seconds and the start of a process on a busy machine.
const IN_TIME: Duration = Duration::from_secs(7);
const PASSWORD: &str = "monitor";
/// Stands in every statement of these tests as a value.
const SECRET: &str = "Geheim7351";

fn server(options: PostgresOptions) -> Postgres {
    let server = Postgres::start(options);
    server.create_monitor("sage", PASSWORD, 4);
    server
}

#[track_caller]
fn now(server: &Postgres, args: &[&str]) -> (i32, String, String) {
    let port = server.port().to_string();
    let env = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", "sage"), ("PGPASSWORD", PASSWORD)];
    let env: Vec<(&str, &str)> =
        env.into_iter().chain(args.iter().filter_map(|a| a.strip_prefix("COLUMNS=")).map(|v| ("COLUMNS", v))).collect();
    let args: Vec<&str> = ["now"].into_iter().chain(args.iter().copied().filter(|a| !a.starts_with("COLUMNS="))).collect();
    let begun = Instant::now();
    let output = run("sage-postgres-exporter", &args, &env);
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!out.contains(SECRET) && !err.contains(SECRET) && !out.contains("7351"), "shows a value:\n{out}{err}");
    (output.status.code().unwrap(), out, err)
}

#[track_caller]
fn json(server: &Postgres, args: &[&str]) -> Value {
    let (code, out, err) = now(server, &[&["--json"], args].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

#[test]
fn a_tree_shows_who_blocks_whom_on_which_row_and_table() {
    std::thread::scope(|scope| {
        for version in Version::ALL {
            scope.spawn(move || blocked(version));
        }
    });
}

fn blocked(version: Version) {
    let server = server(PostgresOptions::of(version));
    server.psql("create database shop").unwrap();
    server.psql_in("shop", "create table orders(id int, v text); insert into orders values (1, 'x')").unwrap();
    let calm = json(&server, &[]);
    assert_eq!((calm["blocked"]["waiting"].as_i64(), calm["running"].as_array().unwrap().len()), (Some(0), 0), "{calm}");
    assert_eq!(calm["server"]["role"], "primary");
    assert!(calm["server"]["version"].as_str().unwrap().starts_with(&version.major().to_string()), "{calm}");

    let mut holder = server.session("shop");
    let pid: i64 = holder.query(&format!("begin; update orders set v = '{SECRET}' /* {SECRET} */; select pg_backend_pid()")).unwrap()[0]
        .parse()
        .unwrap();
    let _first = server.spawn_psql("shop", &format!("update orders set v = $$ {SECRET} $$ where id = 7351 or true"));
    poll::until("one waits", LIMIT, || (json(&server, &[])["blocked"]["waiting"] == 1).then_some(()));
    let _second = server.spawn_psql("shop", &format!("alter table orders add column \"w\"\"x\" text default '{SECRET}'"));
    poll::until("two wait", LIMIT, || (json(&server, &[])["blocked"]["waiting"] == 2).then_some(()));
    let found = json(&server, &[]);
    let tree = found["blocked"]["tree"].as_array().unwrap();
    let (root, row, table) = (&tree[0], &tree[1], &tree[2]);
    assert_eq!((root["depth"].as_i64(), root["session"]["pid"].as_i64()), (Some(0), Some(pid)), "{found}");
    assert!(root.get("waits_for").is_none() && root["session"]["state"] == "idle in transaction", "{found}");
    for (node, kind, mode) in [(row, "transactionid", "ShareLock"), (table, "relation", "AccessExclusiveLock")] {
        let lock = &node["waits_for"];
        assert_eq!((node["depth"].as_i64(), &lock["kind"], &lock["mode"]), (Some(1), &Value::from(kind), &Value::from(mode)), "{found}");
        assert_eq!((&lock["relation"], &lock["database"]), (&Value::from("public.orders"), &Value::from("shop")), "{found}");
        assert!(lock["seconds"].as_f64().unwrap() > 0.0, "{found}");
    }
    assert_eq!(row["session"]["sql"], "update orders set v = ? where id = ? or true");
    assert_eq!(table["session"]["sql"], "alter table orders add column \"w\"\"x\" text default ?");
    assert_eq!(found["idle_in_transaction"][0]["pid"].as_i64(), Some(pid), "{found}");
    assert_eq!(found["transactions"][0]["pid"].as_i64(), Some(pid), "the oldest first: {found}");
    assert_eq!(found["running"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(found["problems"], Value::Array(Vec::new()));
    for columns in [80, 120, 160] {
        let (code, text, _) = now(&server, &[&format!("COLUMNS={columns}")]);
        assert!(code == 0 && text.lines().all(|line| line.chars().count() <= columns), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("2 wait for a lock") && words.contains("for ShareLock on a row of public.orders"), "{text}");
        assert!(
            words.contains("for AccessExclusiveLock on public.orders, behind 2") && words.contains("update orders set v = ? where"),
            "{text}"
        );
    }
    let short = json(&server, &["--limit", "1"]);
    assert_eq!((short["running"].as_array().unwrap().len(), short["blocked"]["left_out"].as_i64()), (1, Some(1)), "{short}");

    // What happened just now is the last deadlock.
    drop(holder);
    poll::until("nobody waits", LIMIT, || (json(&server, &[])["blocked"]["waiting"] == 0).then_some(()));
    server.psql_in("shop", "create table a as select 1 as i; create table b as select 1 as i").unwrap();
    let (mut one, mut two) = (server.session("shop"), server.session("shop"));
    one.query("set deadlock_timeout = '100ms'; begin; update a set i = 2").unwrap();
    two.query("set deadlock_timeout = '100ms'; begin; update b set i = 2").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(one.query("update b set i = 3")));
        scope.spawn(move || drop(two.query("update a set i = 3")));
    });
    let told = poll::until("the deadlock is counted", LIMIT, || {
        let found = json(&server, &[]);
        (found["deadlocks"]["count"] == 1).then_some(found)
    });
    assert_eq!(told["deadlocks"]["databases"][0], "shop", "{told}");
    assert!(told["deadlocks"]["last_in_log"].as_str().unwrap().starts_with("20"), "{told}");
}

#[test]
fn without_pg_monitor_it_says_what_is_hidden() {
    let server = server(PostgresOptions::default());
    let mut other = server.session("postgres");
    other.query("begin; select 7351").unwrap();
    assert!(json(&server, &[]).get("hidden").is_none());
    server.psql("revoke pg_monitor from sage").unwrap();
    let (code, text, _) = now(&server, &[]);
    assert!(code == 0 && text.contains("hidden: states and statements of other roles; hint: GRANT pg_monitor"), "{text}");
    let found = json(&server, &[]);
    assert_eq!(found["connections"]["unknown"], 1, "{found}");
    assert_eq!((&found["running"][0]["user"], &found["running"][0]["sql"]), (&Value::from("postgres"), &Value::Null), "{found}");
}

#[test]
fn a_standby_tells_that_it_is_one() {
    let primary = server(PostgresOptions::default());
    let standby = Postgres::start_standby(&primary, PostgresOptions::default());
    primary.psql("create table sent(i int)").unwrap();
    let found = poll::until("the standby replays", LIMIT, || {
        let found = json(&standby, &[]);
        found["replication"]["last_replayed_seconds"].as_f64().map(|_| found)
    });
    assert_eq!(
        (&found["server"]["role"], &found["replication"]["receiver"]),
        (&Value::from("standby"), &Value::from("streaming")),
        "{found}"
    );
    assert_eq!(found["replication"]["replay_paused"], false);
    let of_primary = json(&primary, &[]);
    assert_eq!(of_primary["replication"]["standbys"][0]["state"], "streaming", "{of_primary}");
    standby.psql("select pg_wal_replay_pause()").unwrap();
    let (_, text, _) = now(&standby, &[]);
    assert!(text.contains("standby, receiver streaming, replay PAUSED"), "{text}");
}

#[test]
fn hundreds_of_sessions_cost_no_more_time_than_there_is() {
    let settings = ["max_connections = 520".to_owned(), "shared_buffers = 32MB".to_owned()].to_vec();
    let server = server(PostgresOptions { settings, ..PostgresOptions::default() });
    server.psql("create table busy as select 1 as i").unwrap();
    let mut holder = server.session("postgres");
    holder.query("begin; lock table busy").unwrap();
    // One pgbench holds 500 connections, which wait for one table.
    let script = server.pgbench_crowd("postgres", 500, "update busy set i = 7351;");
    poll::until("all wait", Duration::from_secs(120), || {
        (server.psql("select count(*) from pg_locks where not granted").as_deref() == Ok("500")).then_some(())
    });
    let found = json(&server, &["--limit", "5"]);
    assert_eq!((found["blocked"]["waiting"].as_i64(), found["blocked"]["left_out"].as_i64()), (Some(500), Some(495)), "{found}");
    assert_eq!((found["running"].as_array().unwrap().len(), found["problems"].as_array().unwrap().len()), (5, 0), "{found}");
    assert_eq!(found["blocked"]["tree"].as_array().unwrap().len(), 6, "{found}");
    drop(script);
}

#[test]
fn a_server_without_a_slot_and_one_that_hangs_are_told_in_time() {
    let settings = ["max_connections = 8".to_owned()].to_vec();
    let server = server(PostgresOptions { settings, ..PostgresOptions::default() });
    server.psql("alter role sage connection limit -1").unwrap();
    // The superuser's sessions may take the reserved slots, too, so that none is left for others.
    let mut sessions: Vec<_> = (0..6).map(|_| server.session("postgres")).collect();
    for session in &mut sessions {
        session.query("select 1").unwrap();
    }
    let (code, out, err) = now(&server, &[]);
    assert!(code == 1 && out.is_empty() && err.contains("hint: all connection slots are taken"), "{code} {out}{err}");
    drop(sessions);
    poll::until("there is room again", LIMIT, || (now(&server, &[]).0 == 0).then_some(()));
    server.freeze();
    let (code, out, err) = now(&server, &[]);
    server.thaw();
    assert!(code == 1 && out.is_empty() && err.contains("no answer in time"), "{code} {out}{err}");
    assert!(err.contains("hint: the server accepts connections but does not answer"), "{err}");
    poll::until("no session is left", LIMIT, || (server.count_connections("sage") == 0).then_some(()));
    server.stop();
    let (code, _, err) = now(&server, &[]);
    assert!(code == 1 && err.contains("hint: nobody listens there"), "{err}");
    let (code, _, err) = now(&server, &["--limit", "0"]);
    assert!(code == 2 && err.contains("--limit"), "{err}");
}

#[test]
fn a_locked_catalogue_costs_one_part() {
    let server = server(PostgresOptions::default());
    let mut holder = server.session("postgres");
    holder.query("begin; lock table pg_catalog.pg_locks in access exclusive mode").unwrap();
    let (code, out, _) = now(&server, &["--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1, "{found}");
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(
        (problems.len(), &problems[0]["part"], &problems[0]["reason"]),
        (1, &Value::from("locks"), &Value::from("timeout")),
        "{found}"
    );
    assert_eq!(found["idle_in_transaction"].as_array().unwrap().len(), 1, "{found}");
}
