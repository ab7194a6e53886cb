//! The commands of the shipped binary: exit codes, JSON, what is said about each bad configuration, where the password
//! may stand, and that it is never shown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use e2e::exporter::Exporter;
use e2e::fault::{FaultProxy, Mode};
use e2e::http::encode;
use e2e::poll;
use e2e::said::Ended;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{BINARY, CANARY, COLLECTORS, MONITOR, environment, keeps_its_secret, says, server, wait_fine, watch};
use serde_json::Value;

fn shared() -> &'static Arc<Postgres> {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| server(PostgresOptions::default()))
}

/// A name, arguments, and environment.
type Way<'a> = (&'a str, &'a [&'a str], Vec<(&'a str, &'a str)>);

/// As [`says`], with the peer's variables for the server behind `port`.
#[track_caller]
fn says_of(port: u16, args: &[&str]) -> Ended {
    let env = environment(port, CANARY);
    says(args, &env.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

fn rows(ended: &Ended) -> Vec<(String, String, String)> {
    let value: Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out));
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let rows = value["rows"].as_array().unwrap().iter();
    rows.map(|r| (text(&r["collector"]), text(&r["result"]), text(&r["note"]))).collect()
}

#[test]
fn check_ends_as_a_nagios_plugin_does() {
    // One of its own: the lock below would be met by the checks of other tests.
    let server = server(PostgresOptions::default());
    let fine = says_of(server.port(), &["check"]);
    assert_eq!(fine.code, Some(0), "{}{}", fine.out, fine.err);
    assert!(fine.out.starts_with(&format!("127.0.0.1:{} database postgres as {MONITOR}: up\n", server.port())), "{}", fine.out);
    assert!(!fine.out.contains('\u{1b}'), "colours without a terminal");
    let json = says_of(server.port(), &["check", "--json"]);
    assert_eq!(json.code, Some(0));
    let results = rows(&json);
    for collector in COLLECTORS {
        let row = results.iter().find(|(name, _, _)| name == collector).unwrap_or_else(|| panic!("no {collector}: {}", json.out));
        // A server without sequences and tables has nothing to tell of them.
        assert!(["ok", "empty"].contains(&row.1.as_str()), "{}", json.out);
        assert!(fine.out.lines().any(|l| l.starts_with(collector) && l.contains(&format!(" {} ", row.1))), "{}", fine.out);
    }
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()["up"], true);

    let mut holder = server.session("postgres");
    holder.query("begin; lock table pg_catalog.pg_settings in access exclusive mode").unwrap();
    let partly = says_of(server.port(), &["check", "--json"]);
    drop(holder);
    assert_eq!(partly.code, Some(1), "{}", partly.out);
    let fine = ["ok", "empty", "not here"];
    let bad: Vec<_> = rows(&partly).into_iter().filter(|(_, result, _)| !fine.contains(&result.as_str())).collect();
    assert_eq!((bad.len(), bad[0].0.as_str(), bad[0].1.as_str()), (1, "settings", "timeout"), "{}", partly.out);
    assert!(bad[0].2.contains("hint: "), "{}", partly.out);

    let down = says_of(free_port(), &["check"]);
    assert_eq!(down.code, Some(2), "{}", down.out);
    assert!(down.out.contains(": down\n") && down.out.contains("refused"), "{}", down.out);

    let proxy = FaultProxy::start(server.address());
    proxy.set(Mode::BlackHole);
    let begun = Instant::now();
    let silent = says_of(proxy.port(), &["check", "--timeout", "2s", "--json"]);
    assert_eq!(silent.code, Some(2), "{}", silent.out);
    assert!(rows(&silent).iter().any(|(part, result, _)| part == "connect" && result == "timeout"), "{}", silent.out);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let folder = TempFolder::new("config");
    let file = folder.write("bad.yml", "target: {}\n");
    let bad = says(&["check", &format!("--config.file={}", file.display())], &[]);
    assert_eq!((bad.code, bad.out.as_str()), (Some(3), ""), "{}", bad.err);
    assert!(bad.err.contains("bad.yml:1:1: unknown key `target`") && bad.err.contains("did you mean `targets`?"), "{}", bad.err);
}

#[test]
fn whoever_ends_logs_out_before() {
    let server = server(PostgresOptions::default());
    let sessions = || {
        server.psql("select pg_stat_force_next_flush()").unwrap();
        server.psql("select sum(sessions) || ' ' || sum(sessions_abandoned) from pg_stat_database").unwrap()
    };
    let lost = || {
        poll::until("the sessions have ended", Duration::from_secs(20), || (server.count_connections(MONITOR) == 0).then_some(()));
        let (seen, lost) = sessions().split_once(' ').map(|(a, b)| (a.parse::<u32>().unwrap(), b.parse::<u32>().unwrap())).unwrap();
        assert!(seen > 0);
        lost
    };
    let before = lost();
    assert_eq!(says_of(server.port(), &["check"]).code, Some(0));
    assert_eq!(lost(), before, "check has left a session");
    let mut exporter = watch(server.port(), "");
    wait_fine(&exporter);
    assert!(server.count_connections(MONITOR) > 0, "the warm session");
    assert!(exporter.stop().success());
    assert_eq!(lost(), before, "the stopped exporter has left a session");
}

#[test]
fn a_wrong_password_and_an_unknown_database_are_told_with_what_to_do() {
    let port = shared().port();
    let uri = format!("127.0.0.1:{port}/postgres");
    for (env, reason, hint) in [
        ([("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", MONITOR), ("DATA_SOURCE_PASS", "w0rd-wrong")], "auth", "ALTER ROLE"),
        ([("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", "nobody"), ("DATA_SOURCE_PASS", CANARY)], "auth", "ALTER ROLE"),
        ([("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", MONITOR), ("PGSSLMODE", "disable")], "auth", "DATA_SOURCE_PASS_FILE"),
        ([("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", MONITOR), ("PGPASSWORD", "")], "auth", "hint: "),
    ] {
        let ended = says(&["check", "--json"], &env);
        assert_eq!(ended.code, Some(2), "{}", ended.out);
        let row = rows(&ended).into_iter().find(|(part, _, _)| part == "connect").unwrap();
        assert!(row.1 == reason && row.2.contains(hint), "{env:?}: {row:?}");
    }
    let env = [("DATA_SOURCE_USER", MONITOR), ("DATA_SOURCE_PASS", CANARY)];
    let uri = format!("127.0.0.1:{port}/nothing");
    let ended = says(&["check", "--json"], &[&env[..], &[("DATA_SOURCE_URI", uri.as_str())]].concat());
    let row = rows(&ended).into_iter().find(|(part, _, _)| part == "connect").unwrap();
    assert!(ended.code == Some(2) && row.1 == "no_database" && row.2.contains("database that exists"), "{row:?}");
}

#[test]
fn the_password_may_stand_where_passwords_stand() {
    let port = shared().port().to_string();
    let folder = TempFolder::new("secrets");
    let secret = |name: &str, mode: u32| {
        let path = folder.write(name, &format!("{CANARY}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let (private, open) = (secret("private", 0o600), secret("open", 0o644));
    let uri = format!("127.0.0.1:{port}/postgres");
    let of_peer = [("DATA_SOURCE_URI", uri.as_str()), ("DATA_SOURCE_USER", MONITOR)];
    let of_libpq = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", MONITOR)];
    let config = |file: &str| {
        let text = format!("targets: {{main: {{host: 127.0.0.1, port: {port}, user: {MONITOR}, password_file: {file:?}}}}}\n");
        format!("--config.file={}", folder.write("postgres.yml", &text).display())
    };
    let url = format!("postgresql://{MONITOR}:{}@127.0.0.1:{port}/postgres?sslmode=disable", encode(CANARY));
    let escaped = CANARY.replace('\\', r"\\").replace('\'', r"\'");
    let pairs = format!("host=127.0.0.1 port={port} user={MONITOR} password='{escaped}' dbname=postgres sslmode=prefer");
    let credentials = folder.join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::copy(&private, credentials.join("postgres.password")).unwrap();
    let credentials = credentials.display().to_string();
    let file = config(&private);
    let ways: [Way; 8] = [
        ("DATA_SOURCE_PASS", &[], [&of_peer[..], &[("DATA_SOURCE_PASS", CANARY)]].concat()),
        ("DATA_SOURCE_PASS_FILE", &[], [&of_peer[..], &[("DATA_SOURCE_PASS_FILE", &private)]].concat()),
        ("PGPASSWORD", &[], [&of_libpq[..], &[("PGPASSWORD", CANARY)]].concat()),
        ("password_file", &[&file], vec![]),
        ("--postgres.password-file", &["--postgres.password-file", &private], of_libpq.to_vec()),
        ("DATA_SOURCE_NAME as URI", &[], vec![("DATA_SOURCE_NAME", &url)]),
        ("DATA_SOURCE_NAME as pairs", &[], vec![("DATA_SOURCE_NAME", &pairs)]),
        ("systemd credential", &[], [&of_libpq[..], &[("CREDENTIALS_DIRECTORY", &credentials)]].concat()),
    ];
    for (way, args, env) in &ways {
        let ended = says(&[&["check"], *args].concat(), env);
        assert_eq!(ended.code, Some(0), "{way}: {}{}", ended.out, ended.err);
        let shown = says(&[&["print-config"], *args].concat(), env);
        assert_eq!(shown.code, Some(0), "{way}: {}", shown.err);
        assert!(shown.out.contains(MONITOR) && shown.out.contains(&port), "{way}: {}", shown.out);
        let exporter = Exporter::start(BINARY, &[&["--log.level=debug"], *args].concat(), env);
        assert_eq!(exporter.metrics().value("sage_up", &[]), Some(1.0), "{way}: {}", exporter.logs());
        keeps_its_secret(&exporter);
    }
    // A secret that everybody can read is none.
    let open_config = config(&open);
    for (args, env) in [(vec![], [&of_peer[..], &[("DATA_SOURCE_PASS_FILE", &open)]].concat()), (vec![open_config.as_str()], vec![])] {
        let ended = says(&[&["check", "--json"], &args[..]].concat(), &env);
        let row = rows(&ended).into_iter().find(|(part, _, _)| part == "connect").unwrap();
        assert!(ended.code == Some(2) && row.1 == "auth", "{row:?}");
        assert!(row.2.contains("every user of this machine") && row.2.contains(&format!("chmod 640 {open}")), "{row:?}");
    }
    // A broken connection string is refused without a word of it.
    for broken in [format!("host=a password='{CANARY}"), format!("postgresql://u:{CANARY}@h/d"), format!("{CANARY}=1")] {
        let ended = says(&["check"], &[("DATA_SOURCE_NAME", &broken)]);
        assert_eq!(ended.code, Some(3), "{}{}", ended.out, ended.err);
        assert!(ended.err.contains("DATA_SOURCE_NAME") && ended.err.contains("hint: "), "{}", ended.err);
    }
}

#[test]
fn the_small_commands() {
    let version = says(&["version"], &[]);
    assert_eq!((version.code, version.out.as_str()), (Some(0), concat!("sage-postgres-exporter ", env!("CARGO_PKG_VERSION"), "\n")));
    let help = says(&["--help"], &[]);
    assert!(
        help.code == Some(0)
            && help.out.contains("--collector.tables\n")
            && help.out.contains("--no-collector.NAME")
            && help.out.contains("print-config"),
        "{}",
        help.out
    );

    let catalogue: Vec<Value> = serde_json::from_str(&says(&["metrics", "--json"], &[]).out).unwrap();
    let names: Vec<&str> = catalogue.iter().map(|m| m["name"].as_str().unwrap()).collect();
    for metric in &catalogue {
        assert!(!metric["help"].as_str().unwrap().is_empty(), "{metric}");
        assert!(["gauge", "counter", "histogram"].contains(&metric["type"].as_str().unwrap()), "{metric}");
    }
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a family is declared twice");
    let count = catalogue.iter().find(|m| m["name"] == "pg_stat_activity_count").unwrap();
    assert_eq!((&count["collector"], &count["labels"]), (&"activity".into(), &serde_json::json!(["datname", "state"])));
    let (text, markdown) = (says(&["metrics"], &[]).out, says(&["metrics", "--markdown"], &[]).out);
    for name in names {
        assert!(text.contains(&format!("  {name}")) && markdown.contains(&format!("| `{name}")), "{name}");
    }

    for (args, says_what) in [
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["nonsense"], "nonsense"),
        (vec!["--postgres.port=abc"], "--postgres.port"),
        (vec!["--web.telemetry-path=metrics"], "--web.telemetry-path=/metrics"),
        (vec!["check", "--timeout", "5"], "with a unit"),
    ] {
        let ended = says(&args, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(says_what), "{args:?}: {}", ended.err);
    }
    let off = says_of(shared().port(), &["check", "--json", "--no-collector.settings", "--no-collector.tables"]);
    assert_eq!(off.code, Some(0), "{}", off.out);
    assert!(!rows(&off).iter().any(|(name, _, _)| name == "settings" || name == "tables"), "{}", off.out);
}

#[test]
fn a_taken_port_is_told_with_who_to_ask() {
    let running = watch(shared().port(), "");
    let address = running.address();
    let ended = says_of(shared().port(), &[&format!("--web.listen-address={address}")]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&format!("--web.listen-address {address}: another process listens there")), "{}", ended.err);
    assert!(ended.err.contains(&format!("ss -ltnp 'sport = :{}'", address.port())), "{}", ended.err);
    let ended = says_of(shared().port(), &["--web.listen-address=127.0.0.1:notaport"]);
    assert!(ended.code == Some(1) && ended.err.contains("write host:port"), "{}", ended.err);
}
