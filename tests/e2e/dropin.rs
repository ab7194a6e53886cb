//! What runs the exporters that ours replace runs ours: each one that replaces another brings units, variables, configuration and
//! scrape job of it below `tests/fixtures/dropin`, and all are replayed at a real server and a real Prometheus.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::any::Any;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use e2e::dropin::{copy, expected, folder, unit};
use e2e::exporter;
use e2e::http::{self, encode};
use e2e::page::Page;
use e2e::poll;
use e2e::process::{self, Process};
use e2e::said::{prints, says};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::PostgresOptions;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::free_port;
use e2e::watched::{CANARY, LIMIT, MONITOR, server, tells};

/// `postgres` of `sage-postgres-exporter`.
fn short(binary: &str) -> &str {
    binary.trim_start_matches("sage-").trim_end_matches("-exporter")
}

/// A server of the product with the login of the tests, and its port.
fn product(exporter: &str) -> (u16, Box<dyn Any>) {
    match exporter {
        "postgres" => {
            let server = server(PostgresOptions::default());
            (server.port(), Box::new(server))
        }
        "redis" => {
            let quoted = CANARY.replace('\\', "\\\\").replace('"', "\\\"");
            let server = Redis::start_with(RedisOptions { settings: vec![format!("requirepass \"{quoted}\"")], ..RedisOptions::default() });
            (server.port(), Box::new(server))
        }
        "apache" => {
            let server = Apache::start(&ApacheOptions::default());
            (server.address().port(), Box::new(server))
        }
        // Free targets are pages of any web server.
        "nginx" | "http" => {
            let server = Nginx::start(&NginxOptions::default());
            (server.address().port(), Box::new(server))
        }
        other => panic!("no server is started for {other}: add it here"),
    }
}

/// All that stands in the folder of one exporter.
fn replay(binary: &str) {
    let name = short(binary);
    let (port, _server) = product(name);
    let mut last = None;
    for case in expected(name) {
        drop(last.take());
        let own = free_port();
        let secret = serde_json::to_string(CANARY).unwrap();
        let places = [
            ("PORT", own.to_string()),
            ("SERVER", port.to_string()),
            ("USER", MONITOR.to_owned()),
            ("PASSWORD", encode(CANARY)),
            ("SECRET", CANARY.to_owned()),
            ("SECRET_JSON", secret.trim_matches('"').to_owned()),
        ];
        let folder = copy(name, &places);
        let unit = unit(&fs::read_to_string(folder.join(&case.unit)).unwrap());
        // Nothing is added: where it listens is said by the unit alone.
        let mut command = process::command(exporter::binary(binary), folder.path());
        command.args(&unit.args).envs(&unit.env);
        let mut exporter = Process::start(binary, command, folder.path());
        let (at, path) = (SocketAddr::from(([127, 0, 0, 1], own)), case.path.replace("{SERVER}", &port.to_string()));
        exporter.wait_ready(LIMIT, || http::get(at, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == 200));
        let mut text = String::new();
        // At the address of the unit; the first page has a login behind it.
        let page = poll::within(LIMIT, || {
            text = http::get(at, &path, &[], Duration::from_secs(20)).ok()?.text();
            let page = Page::parse(&text).ok()?;
            case.wanted.iter().all(|family| page.has(family)).then_some(page)
        });
        let page = page.unwrap_or_else(|| panic!("{name} {}: not all of {:?} are in\n{text}\n{}", case.unit, case.wanted, exporter.logs()));
        let ups = ["sage_up", "probe_success"].into_iter().find(|family| page.has(family)).unwrap();
        assert_eq!(page.value(ups, &[]), Some(1.0), "{name} {}: {}", case.unit, exporter.logs());
        for family in &case.unwanted {
            assert!(!page.has(family), "{name} {}: {family} is there", case.unit);
        }
        assert!(!tells(&exporter.logs()) && !tells(&text), "{name} {}: the password is shown", case.unit);
        last = Some((exporter, folder));
    }
    // The job that Prometheus had for the peer, at what the last unit has started.
    let (exporter, folder) = last.unwrap();
    let job = serde_json::from_str(&fs::read_to_string(folder.join("job.json")).unwrap()).unwrap();
    let job = Job { name: name.to_owned(), access: job, ..Job::default() };
    let prometheus = Prometheus::start(&PrometheusOptions { jobs: vec![job], ..PrometheusOptions::default() });
    let value = |query: &str| prometheus.query(query).first().map(|(_, value)| *value);
    let up = || value(&format!("up{{job=\"{name}\"}}")) == Some(1.0) && value("max({__name__=~\"sage_up|probe_success\"})") == Some(1.0);
    assert!(poll::within(LIMIT, || up().then_some(())).is_some(), "{name}: the job does not work\n{}", exporter.logs());
}

/// The exporters that replace another one: they have a table of its flags.
fn replacing() -> Vec<String> {
    let mut binaries = exporter::all();
    binaries.retain(|binary| !prints(binary, &["peer-flags"]).trim().is_empty());
    assert!(binaries.len() >= 5, "{binaries:?}");
    binaries
}

#[test]
fn units_variables_configuration_and_jobs_of_the_peers_work() {
    let binaries = replacing();
    thread::scope(|scope| {
        let running: Vec<_> = binaries.iter().map(|binary| scope.spawn(move || replay(binary))).collect();
        running.into_iter().for_each(|one| one.join().unwrap());
    });
    for entry in fs::read_dir(folder("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(binaries.iter().any(|binary| short(binary) == name), "no exporter that replaces one is called {name}");
    }
}

#[test]
fn each_flag_of_a_peer_is_taken_or_refused_with_the_line_to_write() {
    for binary in &replacing() {
        let table = says(binary, &["peer-flags"], &[]);
        let rows: Vec<&str> = table.out.lines().skip(2).collect();
        assert!(table.code == Some(0) && rows.len() > 10, "{binary} has no table of its peer's flags: {}", table.out);
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').splitn(3, " | ").map(str::trim).collect();
            let (flag, variable) = (cells[0].trim_matches('`').trim_end_matches("=…"), cells[1].trim_matches('`'));
            // What is refused is refused whatever it says; the rest is started by the units above and the products' own tests.
            let Some(line) = cells[2].strip_prefix("refused").and_then(|rest| Some(rest.split_once(": ")?.1)) else { continue };
            let given = if cells[0].contains("=…") { format!("{flag}=k=v") } else { flag.to_owned() };
            let mut ways = vec![(vec![given.as_str(), "print-config"], vec![])];
            if !variable.is_empty() {
                ways.push((vec!["print-config"], vec![(variable, if cells[0].contains("=…") { "k=v" } else { "true" })]));
            }
            for (args, env) in ways {
                let ended = says(binary, &args, &env);
                let want = format!("hint: {line}\ncode: SG-0115\n");
                assert!(ended.code == Some(2) && ended.err.ends_with(&want), "{binary} {args:?} {env:?}: {want}{}", ended.err);
            }
        }
    }
}
