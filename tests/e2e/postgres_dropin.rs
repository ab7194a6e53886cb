//! What runs postgres_exporter today runs ours: every spelling of the data source, every flag and every name of a collector
//! that it has, and what others' dashboards and rules select. Units are replayed by `dropin.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use e2e::dropin::lines;
use e2e::exporter::Exporter;
use e2e::http::encode;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{BRISK, CANARY, LIMIT, MONITOR, environment, says, server, watch};

/// For places that do not take every character.
const PLAIN: (&str, &str) = ("plain_monitor", "w0rd-plain");

fn shared() -> &'static Arc<Postgres> {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = server(PostgresOptions::default());
        server.create_monitor(PLAIN.0, PLAIN.1, 10);
        server
    })
}

#[test]
fn the_data_source_in_all_spellings() {
    let (port, folder) = (shared().port(), TempFolder::new("source"));
    let file = |name: &str, text: &str| {
        let path: PathBuf = folder.write(name, &format!("{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let socket = shared().socket_folder().display().to_string();
    let secret = encode(CANARY);
    let quoted = CANARY.replace('\\', r"\\").replace('\'', r"\'");
    let (plain, word) = PLAIN;
    let names = [
        format!("postgresql://{MONITOR}:{secret}@127.0.0.1:{port}/postgres?sslmode=disable"),
        format!("postgres://{plain}:{word}@localhost:{port}/?sslmode=prefer"),
        format!("postgresql://127.0.0.1:{port}/postgres?user={plain}&password={word}&connect_timeout=5&sslmode=allow"),
        format!("postgresql://{plain}:{word}@{}:{port}/postgres", encode(&socket)),
        format!("postgresql:///postgres?host={socket}&port={port}&user={plain}&password={word}"),
        format!("host=127.0.0.1 port={port} user={MONITOR} password='{quoted}' dbname=postgres sslmode=disable"),
        format!("  host = 127.0.0.1  port='{port}' user={plain} password={word} dbname=postgres application_name=x  "),
        format!("user={plain} password={word} host={socket} port={port} dbname=postgres"),
    ];
    let uri = format!("127.0.0.1:{port}/postgres?sslmode=disable");
    let with_scheme = format!("postgresql://127.0.0.1:{port}/postgres");
    let (uri_file, user_file, pass_file) = (file("uri", &uri), file("user", MONITOR), file("pass", CANARY));
    let mut ways: Vec<Vec<(&str, &str)>> = names.iter().map(|name| vec![("DATA_SOURCE_NAME", name.as_str())]).collect();
    for uri in [("DATA_SOURCE_URI", &uri), ("DATA_SOURCE_URI", &with_scheme), ("DATA_SOURCE_URI_FILE", &uri_file)] {
        for user in [("DATA_SOURCE_USER", MONITOR), ("DATA_SOURCE_USER_FILE", &user_file)] {
            for pass in [("DATA_SOURCE_PASS", CANARY), ("DATA_SOURCE_PASS_FILE", &pass_file)] {
                // Packages set it to nothing.
                ways.push(vec![("DATA_SOURCE_NAME", ""), (uri.0, uri.1.as_str()), user, pass]);
            }
        }
    }
    // One collector: that the login works is what this is about.
    for way in ways {
        let ended = says(&["check", "--disable-default-metrics", "--collector.locks"], &way);
        assert_eq!(ended.code, Some(0), "{:?}: {}{}", way[0], ended.out, ended.err);
        assert!(ended.out.contains(": up\n") && ended.out.contains("database postgres as "), "{}", ended.out);
    }
}

#[test]
fn several_servers_in_one_variable_are_refused_with_the_new_lines() {
    let (plain, word) = PLAIN;
    let port = shared().port();
    for text in [
        format!("postgresql://{plain}:{word}@127.0.0.1:{port}/a,postgresql://{plain}:{word}@127.0.0.1:{port}/b"),
        format!("port={port} password={word},port=6432 password={word}"),
    ] {
        let ended = says(&[], &[("DATA_SOURCE_NAME", &text)]);
        assert_eq!(ended.code, Some(2), "{}", ended.out);
        assert!(ended.err.starts_with("error: DATA_SOURCE_NAME names 2 servers"), "{}", ended.err);
        assert!(ended.err.contains("targets: {one: {host: db1") && ended.err.contains("/probe?target=two"), "{}", ended.err);
    }
    // The lines of the hint work: one exporter, a page a target, no address in a label.
    let folder = TempFolder::new("targets");
    let secret = folder.write_secret("password", word);
    let target = |name: &str| format!("{name}: {{host: 127.0.0.1, port: {port}, user: {plain}, password_file: {}}}", secret.display());
    let exporter = watch(port, &format!("targets: {{{}, {}}}\n", target("one"), target("two")));
    assert_eq!(exporter.page("/probe?target=two&collect[]=locks").value("pg_up", &[]), Some(1.0));
}

/// The rows of the table in the README: name, whether a value follows, variable, what becomes of it.
fn table() -> Vec<(String, bool, Option<String>, String)> {
    let ended = says(&["peer-flags"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let rows = ended.out.lines().skip(2).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').splitn(3, " | ").map(|cell| cell.trim().trim_matches('`')).collect();
        let name = cells[0].strip_prefix("--").unwrap_or_else(|| panic!("{line}"));
        let variable = Some(cells[1].to_owned()).filter(|v| !v.is_empty());
        (name.trim_end_matches("=…").to_owned(), name.ends_with("=…"), variable, cells[2].to_owned())
    });
    rows.collect()
}

#[test]
fn every_flag_is_taken_or_refused_with_the_line_to_write() {
    let rows = table();
    assert!(rows.len() > 60, "{}", rows.len());
    let folder = TempFolder::new("flags");
    let config = folder.write("ours.yml", "modules: {default: {probe_interval: 20s}}\n").display().to_string();
    let queries = folder.write("queries.yaml", "x:\n  query: SELECT 1 AS y\n  metrics:\n    - y: {usage: GAUGE, description: Y}\n");
    let queries = queries.display().to_string();
    for (name, value, variable, fate) in &rows {
        if fate.starts_with("refused") {
            let given = if *value { format!("--{name}=k=v") } else { format!("--{name}") };
            let mut ways = vec![(vec![given], vec![], format!("--{name}"))];
            if *value {
                ways.push((vec![format!("--{name}"), "k=v".to_owned()], vec![], format!("--{name}")));
            }
            if let Some(variable) = variable {
                ways.push((vec![], vec![(variable.as_str(), "k=v")], variable.clone()));
            }
            let line = fate.split_once(": ").unwrap().1;
            for (args, env, origin) in ways {
                let ended = says(&args.iter().map(String::as_str).collect::<Vec<_>>(), &env);
                assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.out);
                let first = format!("error: {origin}: this setting of postgres_exporter is not taken here\nhint: {line}\ncode: SG-0115\n");
                assert_eq!(ended.err, first, "{args:?}");
            }
        } else {
            let text = match name.as_str() {
                "web.listen-address" => "127.0.0.1:0",
                "web.telemetry-path" => "/m",
                "web.config.file" => "",
                "log.level" => "debug",
                "log.format" => "json",
                "config.file" => &config,
                "extend.query-path" => &queries,
                _ => "",
            };
            let given = if *value { format!("--{name}={text}") } else { format!("--{name}") };
            let ended = says(&[&given, "print-config"], &[]);
            assert_eq!(ended.code, Some(0), "{given}: {}", ended.err);
            if let Some(variable) = variable {
                let ended = says(&["print-config"], &[(variable, if *value { text } else { "true" })]);
                assert_eq!(ended.code, Some(0), "{variable}: {}", ended.err);
            }
        }
        if !*value {
            let ended = says(&[&format!("--no-{name}"), "print-config"], &[]);
            let known = !["version", "help"].contains(&name.as_str());
            assert!(ended.code == Some(0) || !known, "--no-{name}: {}", ended.err);
        }
        if let Some(neutral) = fate.strip_prefix("refused unless it is `").and_then(|rest| rest.split('`').next()) {
            assert_eq!(says(&[&format!("--{name}={neutral}"), "print-config"], &[]).code, Some(0), "--{name}={neutral}");
        }
    }
    // What takes the place of another one has its effect.
    let off = |args: &[&str], env: &[(&str, &str)]| {
        let out = says(&[args, &["print-config"]].concat(), env).out;
        let value = out.split("      settings:").nth(1).unwrap_or_else(|| panic!("{out}"));
        value.starts_with("\n        enabled: false\n")
    };
    assert!(!off(&[], &[]));
    assert!(off(&["--disable-settings-metrics"], &[]) && off(&["--disable-default-metrics"], &[]));
    assert!(
        off(&[], &[("PG_EXPORTER_DISABLE_SETTINGS_METRICS", "true")]) && !off(&[], &[("PG_EXPORTER_DISABLE_SETTINGS_METRICS", "false")])
    );
    assert!(!off(&["--disable-default-metrics", "--collector.settings"], &[]));
    let ended = says(&[], &[("PG_EXPORTER_DISABLE_SETTINGS_METRICS", "perhaps")]);
    assert!(ended.code == Some(2) && ended.err.contains("true or false is expected"), "{}", ended.err);
    // Its default address is refused as one that others reach, and not silently another one.
    let env = environment(shared().port(), CANARY);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ended = says(&[&format!("--web.listen-address=:{}", free_port())], &env);
    assert!(ended.code == Some(2) && ended.err.contains("--web.insecure"), "{:?} {}", ended.code, ended.err);
}

#[test]
fn every_name_of_a_collector_is_one_of_ours() {
    let exporter = watch(shared().port(), "");
    let rows = table();
    let names: Vec<&str> =
        rows.iter().filter(|row| !row.3.starts_with("refused")).filter_map(|row| row.0.strip_prefix("collector.")).collect();
    assert!(names.len() >= 28, "{names:?}");
    for name in names {
        let page = exporter.page(&format!("/metrics?collect[]={name}"));
        assert_eq!(page.value("pg_up", &[]), Some(1.0), "{name}");
        // One that is not for this server (a standby's, an extension that is not there) is there without samples.
        assert!(page.series("pg_scrape_collector_success").len() <= 1, "{name}");
    }
    assert_eq!(exporter.get("/metrics?collect[]=aurora_replica_status").status, 400);
}

#[test]
fn a_probe_by_address_asks_configured_targets_alone() {
    let (port, (user, word)) = (shared().port(), PLAIN);
    let folder = TempFolder::new("probe");
    let secret = folder.write_secret("password", word);
    let place = format!("host: 127.0.0.1, port: {port}, user: {user}, password_file: {}", secret.display());
    // The first target is another one, which the variables fill.
    let exporter = watch(port, &format!("targets: {{main: {{}}, second: {{{place}, database: template1}}}}\n"));
    let locks = "collect[]=locks&auth_module=any";
    for target in [format!("127.0.0.1:{port}"), format!("127.0.0.1:{port}/template1"), format!("postgresql://127.0.0.1:{port}/template1")] {
        let page = exporter.page(&format!("/probe?target={}&{locks}", encode(&target)));
        assert_eq!(page.value("pg_up", &[]), Some(1.0), "{target}");
    }
    // Nobody is connected to that was not written down: this one listens and is never called.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let elsewhere = trap.local_addr().unwrap().port();
    for target in [
        format!("127.0.0.1:{elsewhere}"),
        format!("127.0.0.1:{elsewhere}/postgres"),
        format!("127.0.0.1:{port}@127.0.0.1:{elsewhere}"),
        format!("127.0.0.1:{port}/template1?host=127.0.0.1&port={elsewhere}"),
        format!("127.0.0.1:{port}/template1?sslmode=disable"),
        format!("127.0.0.1:{port}/shop"),
        format!("{user}:{word}@127.0.0.1:{port}"),
    ] {
        let answer = exporter.get(&format!("/probe?target={}&{locks}", encode(&target)));
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        assert!(answer.text().contains("write it below `targets:`"), "{}", answer.text());
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn what_others_dashboards_and_rules_select_is_there() {
    let primary = server(PostgresOptions::default());
    primary.psql("create database shop").unwrap();
    primary.pgbench_init("shop", 1);
    let standby = Arc::new(Postgres::start_standby(&primary, PostgresOptions::default()));
    primary.psql("select pg_create_physical_replication_slot('spare', true)").unwrap();
    let _load = primary.pgbench_run("shop", 1, 5);
    primary.psql_in("shop", "create table gone as select 1 as n; delete from gone").unwrap();
    // Between two statements of the load no lock is held, and none is active.
    let mut locks = primary.session("shop");
    locks.query("begin; lock table pgbench_history in access share mode").unwrap();
    let _busy = primary.spawn_psql("shop", "select pg_sleep(600)");
    let exporters = [watch(primary.port(), BRISK), watch(standby.port(), BRISK)];
    let job = |(n, exporter): (usize, &Exporter)| Job {
        name: format!("postgres-{n}"),
        address: exporter.address().to_string(),
        labels: vec![("release".to_owned(), "stable".to_owned())],
        ..Job::default()
    };
    let jobs = exporters.iter().enumerate().map(job).collect();
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, ..PrometheusOptions::default() });
    let instance = exporters[0].address().to_string();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/postgres_dropin/selectors.txt")).unwrap();
    let text = text.replace("$instance", &instance).replace("$datname", "shop").replace("$release", "stable");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporters/postgres/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (mut seen, mut elsewhere) = (0, Vec::new());
    let entries = lines(&text);
    for line in entries.iter().filter(|line| !line.starts_with('[')) {
        let (selector, ours) = line.split_once(" -> ").map_or((line.as_str(), None), |(theirs, ours)| (theirs, Some(ours)));
        let wanted = ours.unwrap_or(selector);
        poll::until(wanted, LIMIT, || (!prometheus.query(wanted).is_empty()).then_some(()));
        seen += 1;
        if ours.is_some() {
            elsewhere.push(selector.split('{').next().unwrap());
            assert!(prometheus.query(selector).is_empty(), "{selector} is there: take it off the list of those that are not");
        }
    }
    assert!(seen > 80, "{seen}");
    for name in elsewhere {
        assert!(readme.contains(&format!("| `{name}` |")), "the README has no row for {name}");
    }
}
