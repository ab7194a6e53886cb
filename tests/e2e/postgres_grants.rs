//! The role that `grants` prints, made through psql: enough for every collector, and no more; what is taken from it is
//! missed by name; what it has too much is warned of.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::{BTreeMap, BTreeSet};

use e2e::exporter::run;
use e2e::servers::postgres::{Postgres, PostgresOptions, SUPERUSER, Version};
use serde_json::Value;

const ROLE: &str = "Sage's";
const PASSWORD: &str = "of the role";

/// Runs a command as `role` and returns code, standard output, standard error.
#[track_caller]
fn says(server: &Postgres, role: &str, args: &[&str]) -> (i32, String, String) {
    let port = server.port().to_string();
    let password = if role == SUPERUSER { e2e::servers::postgres::PASSWORD } else { PASSWORD };
    let env = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", role), ("PGPASSWORD", password)];
    let output = run("sage-postgres-exporter", args, &env);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Exit code of `check`, result and note of each collector, and the warnings.
fn check(server: &Postgres, role: &str) -> (i32, BTreeMap<String, (String, String)>, Vec<String>) {
    let (code, out, err) = says(server, role, &["check", "--json"]);
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let (warnings, rows): (Vec<&Value>, Vec<&Value>) = value["rows"].as_array().unwrap().iter().partition(|r| r["result"] == "warning");
    let rows = rows.into_iter().map(|r| (text(r, "collector"), (text(r, "result"), text(r, "note")))).collect();
    (code, rows, warnings.into_iter().map(|r| text(r, "note")).collect())
}

/// What the printed SQL says needs each grant: the line above `GRANT ...` begins with the names of the collectors.
fn declared(sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lines: Vec<&str> = sql.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let grant = pair[1].strip_prefix("GRANT ")?.split(" TO ").next()?;
        let names = pair[0].strip_prefix("-- ")?.split(':').next()?;
        Some((grant.to_owned(), names.split(", ").map(str::to_owned).collect()))
    });
    pairs.collect()
}

fn make(server: &Postgres, args: &[&str]) -> String {
    // Nobody can log in with the role before it is there, so that the version is said.
    let version = server.version().major().to_string();
    let (code, sql, err) = says(server, ROLE, &[&["grants", "--server-version", &version], args].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{sql}");
    server.psql(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    server.psql(&format!("alter role \"{ROLE}\" password '{PASSWORD}'")).unwrap();
    sql
}

#[test]
fn the_printed_role_is_enough_and_each_grant_is_missed_by_name() {
    std::thread::scope(|scope| {
        for version in Version::ALL {
            scope.spawn(move || enough(version));
        }
    });
}

fn enough(version: Version) {
    let server = Postgres::start(PostgresOptions::of(version));
    server.psql("revoke create on schema public from public").unwrap();
    let sql = make(&server, &[]);
    let (code, rows, warnings) = check(&server, ROLE);
    assert_eq!(code, 0, "{version:?}: {rows:?}");
    assert!(rows.len() > 9, "{rows:?}");
    for (name, (result, note)) in &rows {
        assert!(matches!(result.as_str(), "ok" | "empty" | "not here"), "{version:?}: {name} {result}: {note}");
        assert!(!note.contains("GRANT"), "{version:?}: {name}: {note}");
    }
    assert_eq!(warnings, [""; 0], "{version:?}");
    assert_eq!(server.psql(&format!("select rolconnlimit from pg_roles where rolname = $${ROLE}$$")).unwrap(), "4");

    // Each grant taken away: those that declare it, and only those, miss it, by name where they say so.
    let grants = declared(&sql);
    assert!(grants.contains_key("pg_monitor"), "{sql}");
    for (grant, names) in &grants {
        server.psql(&format!("revoke {grant} from \"{ROLE}\"")).unwrap();
        let (code, without, _) = check(&server, ROLE);
        server.psql(&format!("grant {grant} to \"{ROLE}\"")).unwrap();
        assert_eq!(code, 1, "{version:?} without {grant}: {without:?}");
        let misses: BTreeSet<String> =
            without.iter().filter(|(name, (result, _))| *result != rows[*name].0).map(|(n, _)| n.clone()).collect();
        assert!(!misses.is_empty() && misses.is_subset(names), "{version:?} without {grant}: {misses:?}, declared by {names:?}");
        for name in &misses {
            assert!(without[name].1.contains(&format!("GRANT {grant}")), "{version:?} without {grant}: {name}: {:?}", without[name]);
        }
    }

    // It can be made less by switching collectors off, and taken away again.
    let off: Vec<String> = grants.values().flatten().map(|name| format!("--no-collector.{name}")).collect();
    let off: Vec<&str> = ["grants"].into_iter().chain(off.iter().map(String::as_str)).collect();
    let (code, less, _) = says(&server, ROLE, &off);
    assert_eq!((code, declared(&less).len()), (0, 0), "{less}");
    let says_version = format!("for PostgreSQL {}, as the server says", version.major());
    assert!(less.contains(&says_version) && !less.contains("\nGRANT "), "{less}");
    let (_, sql, _) = says(&server, ROLE, &["grants", "--remove"]);
    server.psql(&sql).unwrap();
    assert_eq!(server.psql(&format!("select count(*) from pg_roles where rolname = $${ROLE}$$")).unwrap(), "0");
}

#[test]
fn databases_that_are_not_open_to_all_are_granted_by_name() {
    let server = Postgres::start(PostgresOptions::default());
    server.psql("create database \"Shop's\"").unwrap();
    server.psql("revoke connect on database \"Shop's\" from public").unwrap();
    make(&server, &[]);
    let (_, sql, _) = says(&server, ROLE, &["grants"]);
    let line = format!("GRANT CONNECT ON DATABASE \"Shop's\" TO \"{ROLE}\";");
    assert!(sql.contains(&line), "{sql}");
    server.psql(&line).unwrap();
    assert_eq!(server.psql(&format!("select has_database_privilege($${ROLE}$$, $$Shop's$$, 'connect')")).unwrap(), "t");
}

#[test]
fn check_warns_of_each_power_that_the_role_does_not_need() {
    let server = Postgres::start(PostgresOptions::default());
    make(&server, &[]);
    let role = format!("\"{ROLE}\"");
    for (power, without, says_so) in [
        ("alter role {} superuser", "alter role {} nosuperuser", "is superuser"),
        ("alter role {} createrole", "alter role {} nocreaterole", "can create roles"),
        ("alter role {} createdb", "alter role {} nocreatedb", "can create databases"),
        ("alter role {} replication", "alter role {} noreplication", "can replicate"),
        ("alter role {} bypassrls", "alter role {} nobypassrls", "passes row level security"),
        ("alter role {} connection limit -1", "alter role {} connection limit 4", "has no connection limit"),
        ("grant pg_write_all_data to {}", "revoke pg_write_all_data from {}", "is a member of pg_write_all_data"),
        ("grant pg_read_all_data to {}", "revoke pg_read_all_data from {}", "is a member of pg_read_all_data"),
        ("grant pg_execute_server_program to {}", "revoke pg_execute_server_program from {}", "is a member of pg_execute_server_program"),
        ("grant pg_write_server_files to {}", "revoke pg_write_server_files from {}", "is a member of pg_write_server_files"),
        ("grant pg_read_server_files to {}", "revoke pg_read_server_files from {}", "is a member of pg_read_server_files"),
        ("create role boss superuser; grant boss to {}", "revoke boss from {}", "is a member of boss"),
        ("grant create on schema public to {}", "revoke create on schema public from {}", "can create tables in schema public"),
        ("create table mine(); alter table mine owner to {}", "drop table mine", "owns 1 tables"),
    ] {
        server.psql(&power.replace("{}", &role)).unwrap();
        let (code, rows, warnings) = check(&server, ROLE);
        assert_eq!(code, 0, "a warning changes no exit code: {rows:?}");
        assert!(warnings.len() == 1 && warnings[0].starts_with(&format!("{ROLE} {says_so}")), "{power}: {warnings:?}");
        // What it says to run is what takes the power away, where it is one statement.
        if let Some((_, line)) =
            warnings[0].split_once("; hint: ").filter(|(_, line)| line.starts_with(['A', 'R']) && !line.contains(" TO another"))
        {
            server.psql(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(check(&server, ROLE).2, [""; 0], "{line}");
        }
        server.psql(&without.replace("{}", &role)).unwrap();
        assert_eq!(check(&server, ROLE).2, [""; 0], "{without}");
    }
    // The first superuser is not told to take its own power away.
    let (_, out, _) = says(&server, SUPERUSER, &["check"]);
    let warnings: Vec<&str> = out.lines().filter(|line| line.contains(" warning ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("grants --role sage") && !out.contains("NOSUPERUSER"), "{out}");
}

#[test]
fn the_role_of_maintenance_is_another_one() {
    let (old, new) = (Postgres::start(PostgresOptions::default()), Postgres::start(PostgresOptions::of(Version::V17)));
    for server in [&old, &new] {
        server.psql("create role shop; create database shop owner shop").unwrap();
        let (_, sql, _) = says(server, SUPERUSER, &["grants", "--maintain"]);
        server.psql(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
        let powers = "select rolsuper, rolconnlimit, pg_has_role(oid, 'shop', 'usage') from pg_roles where rolname = 'sage_maintain'";
        let member = server.version() != Version::V17;
        assert_eq!(server.psql(powers).unwrap(), format!("f|3|{}", if member { "t" } else { "f" }), "{sql}");
        assert_eq!(sql.contains("superuser postgres"), member, "{sql}");
        let (_, sql, _) = says(server, SUPERUSER, &["grants", "--maintain", "--remove"]);
        server.psql(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    }
    let (code, out, err) = says(&old, "sage", &["grants", "--maintain", "--role", "sage"]);
    assert!(code == 2 && out.is_empty() && err.contains("sage is the role that scrapes"), "{out}{err}");
    for args in [["--server-version", "9"], ["--role", ""], ["--target", "nothing"]] {
        let (code, out, err) = says(&old, "sage", &[&["grants"][..], &args].concat());
        assert!(code == 2 && out.is_empty() && err.starts_with("error: "), "{args:?}: {code} {out}{err}");
    }
}
