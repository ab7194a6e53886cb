//! The harness proved against the real servers: what every other end-to-end test relies on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::fault::{FaultProxy, Mode};
use e2e::page::Page;
use e2e::servers::alertmanager::Alertmanager;
use e2e::servers::postgres::{Postgres, PostgresOptions, Version, identifier};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::{http, poll, process};

const LIMIT: Duration = Duration::from_secs(20);

fn postgres(settings: &[&str]) -> Postgres {
    let settings = settings.iter().map(|s| (*s).to_owned()).collect();
    Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() })
}

#[test]
fn postgres_answers_logs_and_leaves_nothing() {
    let slow_query = Some(Duration::from_millis(10));
    let server = Postgres::start(PostgresOptions { settings: vec!["max_connections = 33".to_owned()], slow_query, ..Default::default() });
    assert_eq!(server.psql("show max_connections").unwrap(), "33");
    assert_eq!(server.psql("select 1; select 'a|b', null").unwrap(), "1\na|b|");
    let error = server.psql("select nothing").unwrap_err();
    assert!(error.contains("column \"nothing\" does not exist"), "{error}");

    server.psql("select pg_sleep(0.02)").unwrap();
    poll::until("the slow statement is logged", LIMIT, || server.log().contains("pg_sleep(0.02)").then_some(()));
    let log = server.log();
    let line = log.lines().find(|l| l.contains("pg_sleep(0.02)")).unwrap();
    assert!(line.contains("postgres@postgres/harness LOG:  duration: "), "{line}");

    let (pid, data) = (server.pid(), server.data());
    let children = process::children(pid);
    assert!(children.len() >= 5, "{children:?}");
    drop(server);
    assert!(!process::runs(pid) && !children.iter().any(|c| process::runs(*c)));
    assert!(!data.exists());
}

#[test]
fn a_crashed_server_restarts_with_its_data_and_port() {
    let server = postgres(&[]);
    server.psql("create table kept as select 7 as n").unwrap();
    let (pid, port) = (server.pid(), server.port());
    server.kill();
    assert!(!process::runs(pid));
    assert!(server.psql("select 1").is_err());
    server.restart();
    assert_eq!(server.port(), port);
    assert_eq!(server.psql("select n from kept").unwrap(), "7");
    assert!(server.log().contains("database system was not properly shut down"));

    // Killed and dropped: its System V segment must not stay behind.
    let shown = fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
    let segment = shown.lines().nth(6).unwrap().split_whitespace().last().unwrap().to_owned();
    let segments = || fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let listed = |text: String| text.lines().any(|l| l.split_whitespace().nth(1) == Some(segment.as_str()));
    assert!(listed(segments()));
    server.kill();
    drop(server);
    assert!(!listed(segments()));
}

#[test]
fn a_standby_streams() {
    let primary = postgres(&[]);
    let standby = Postgres::start_standby(&primary, PostgresOptions::default());
    assert_eq!(standby.psql("select pg_is_in_recovery()").unwrap(), "t");
    primary.psql("create table streamed as select 42 as n").unwrap();
    let n = poll::until("the row arrives", LIMIT, || standby.psql("select n from streamed").ok());
    assert_eq!(n, "42");
}

#[test]
fn a_frozen_server_is_silent_until_thawed() {
    let server = postgres(&[]);
    let mut session = server.session("postgres");
    assert_eq!(session.query("select 1").unwrap(), ["1"]);
    server.freeze();
    // The kernel still accepts; an SSLRequest gets no answer.
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0];
    assert_eq!(socket.read(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.thaw();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    assert_eq!(session.query("select 2").unwrap(), ["2"]);
    server.freeze();
    drop(session);
    drop(server); // a frozen server can be stopped
}

#[test]
fn locks_are_held_and_released() {
    let server = postgres(&[]);
    server.psql("create table t (n int)").unwrap();
    let mut holder = server.session("postgres");
    holder.query("begin; lock table t in access exclusive mode").unwrap();
    let mut waiter = server.spawn_psql("postgres", "select count(*) from t");
    let waiting = "select count(*) from pg_locks where not granted";
    poll::until("the reader waits", LIMIT, || (server.psql(waiting).unwrap() == "1").then_some(()));
    assert!(!waiter.ended());
    drop(waiter);
    poll::until("the cancelled reader is gone", LIMIT, || (server.psql(waiting).unwrap() == "0").then_some(()));
    drop(holder);
    let held = "select count(*) from pg_locks where relation = 't'::regclass";
    poll::until("the lock is released", LIMIT, || (server.psql(held).unwrap() == "0").then_some(()));
}

#[test]
fn connections_are_counted_on_the_server() {
    let server = Arc::new(postgres(&[]));
    let (user, password) = ("mon'i\"tor", "p@$$w0rd#=?{%}'\"\\ :/");
    server.create_monitor(user, password, 2);
    assert_eq!(server.count_connections(user), 0);
    let watcher = server.watch_connections(user);
    let seen = |least| poll::until("samples", LIMIT, || (watcher.samples() > least).then(|| watcher.samples()));
    seen(0);
    let become_it = format!("set session authorization {}; select pg_sleep(1000)", identifier(user));
    // pg_stat_activity shows who logged in, so this superuser in disguise must not count...
    let disguised = server.spawn_psql("postgres", &become_it);
    seen(seen(0) + 10);
    assert_eq!(server.count_connections(user), 0);
    drop(disguised);
    // ...and a real login must, with the connection limit enforced by the server.
    let login = || {
        let mut command = process::command("/usr/bin/psql", &server.socket_folder());
        command.args(["-AtXq", "-c", "select pg_sleep(1000)"]).env("PGPASSWORD", password);
        command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", user, "-d", "postgres"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let mut logins = [login(), login()];
    poll::until("two logins", LIMIT, || (server.count_connections(user) == 2).then_some(()));
    assert!(!login().wait().unwrap().success());
    // The log collector is a process of its own.
    poll::until("the refusals are logged", LIMIT, || server.log().contains("too many connections for role").then_some(()));

    // The watcher survives a crash of the server and is stopped while the server is frozen.
    server.kill();
    for child in &mut logins {
        assert!(!child.wait().unwrap().success());
    }
    server.restart();
    assert_eq!(server.count_connections(user), 0);
    seen(seen(0) + 10);
    server.freeze();
    assert_eq!(watcher.stop(), 2);
}

#[test]
fn pgbench_makes_load() {
    let server = postgres(&[]);
    server.psql("create database bench").unwrap();
    server.pgbench_init("bench", 1);
    assert_eq!(server.psql_in("bench", "select count(*) from pgbench_accounts").unwrap(), "100000");
    let load = server.pgbench_run("bench", 2, 50);
    let rows = || server.psql_in("bench", "select count(*) from pgbench_history").unwrap().parse::<u32>().unwrap();
    poll::until("transactions are written", LIMIT, || (rows() > 20).then_some(()));
    drop(load);
    let clients = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
    poll::until("pgbench has gone", LIMIT, || (server.psql(clients).unwrap() == "0").then_some(()));
}

#[test]
fn a_killed_harness_leaves_nothing() {
    const VICTIM: &str = "SAGE_HARNESS_VICTIM";
    if let Some(file) = std::env::var_os(VICTIM) {
        // The process that will be killed: tells where its server is and waits.
        let server = postgres(&[]);
        let partial = std::path::Path::new(&file).with_extension("partial");
        fs::write(&partial, format!("{} {}", server.pid(), server.data().display())).unwrap();
        fs::rename(partial, file).unwrap();
        loop {
            std::thread::park();
        }
    }
    let folder = e2e::temp::TempFolder::new("victim");
    let file = folder.join("told");
    let mut victim = process::command(std::env::current_exe().unwrap(), folder.path())
        .args(["--exact", "a_killed_harness_leaves_nothing"])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let told = poll::until("the victim's server runs", LIMIT, || fs::read_to_string(&file).ok());
    let (pid, data) = told.split_once(' ').unwrap();
    let (pid, data) = (pid.parse().unwrap(), std::path::PathBuf::from(data));
    assert!(process::runs(pid) && data.exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    poll::until("the guardian has cleaned up", LIMIT, || (!process::runs(pid) && !data.exists()).then_some(()));
}

/// A server that answers each byte with `answer`, and the proxy before it.
fn behind_proxy(answer: &'static [u8]) -> (SocketAddr, FaultProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(answer).is_ok() {}
            });
        }
    });
    (address, FaultProxy::start(address))
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream
}

/// Sends one byte and reads what comes within the stream's read timeout.
fn ask(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    if let Err(e) = stream.write_all(b"?") {
        return (Vec::new(), Some(e.kind()));
    }
    let (mut all, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(e) => return (all, Some(e.kind())),
        }
        if all.len() > 100_000 {
            return (all, None);
        }
    }
}

#[test]
fn the_proxy_breaks_new_connections() {
    let (_, proxy) = behind_proxy(b"D\0\0\0\x06ab");
    let silent = Some(ErrorKind::WouldBlock);
    assert_eq!(ask(&mut connect(&proxy)), (b"D\0\0\0\x06ab".to_vec(), silent));

    proxy.set(Mode::BlackHole);
    assert_eq!(ask(&mut connect(&proxy)), (vec![], silent));

    proxy.set(Mode::Garbage);
    let (bytes, end) = ask(&mut connect(&proxy));
    assert_eq!((bytes.len(), end), (4096, silent));

    proxy.set(Mode::HostileLength);
    assert_eq!(ask(&mut connect(&proxy)), (b"R\x7f\xff\xff\xff".to_vec(), silent));

    proxy.set(Mode::ResetMidAnswer(3));
    assert_eq!(ask(&mut connect(&proxy)), (b"D\0\0".to_vec(), Some(ErrorKind::ConnectionReset)));

    proxy.set(Mode::EndlessRows);
    let (bytes, _) = ask(&mut connect(&proxy));
    assert!(bytes.len() > 100_000 && bytes.starts_with(b"D\0\0\0\x06abD\0\0\0\x06ab"));

    proxy.set(Mode::CloseAtOnce);
    let mut stream = connect(&proxy);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);

    proxy.set(Mode::Reset);
    let mut stream = connect(&proxy);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    let accepted = proxy.accepted();
    proxy.set(Mode::Refuse);
    assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.set(Mode::Pass);
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream).0, b"D\0\0\0\x06ab");
    assert_eq!((proxy.accepted(), proxy.open()), (accepted + 1, 1));
    drop(stream);
    poll::until("the proxy sees the close", LIMIT, || (proxy.open() == 0).then_some(()));
}

#[test]
fn the_proxy_breaks_open_connections() {
    let (_, proxy) = behind_proxy(b"abc");
    let silent = Some(ErrorKind::WouldBlock);
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream), (b"abc".to_vec(), silent));

    proxy.set(Mode::BlackHole);
    assert_eq!(ask(&mut stream), (vec![], silent));
    proxy.set(Mode::Pass); // both questions are answered now
    let (mut bytes, _) = ask(&mut stream);
    bytes.extend(ask(&mut stream).0);
    assert_eq!(bytes, b"abcabcabc");

    proxy.set(Mode::Drip);
    stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let begin = Instant::now();
    assert_eq!(ask(&mut stream).0, b"abc");
    assert!(begin.elapsed() >= Duration::from_secs(3), "{:?}", begin.elapsed());

    proxy.set(Mode::Refuse);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    poll::until("the proxy has closed", LIMIT, || (proxy.open() == 0).then_some(()));
}

#[test]
fn postgres_works_through_the_proxy() {
    let server = postgres(&[]);
    let proxy = FaultProxy::start(server.address());
    let psql = || {
        let mut command = process::command("/usr/bin/psql", &server.socket_folder());
        command.args(["-AtXq", "-h", "127.0.0.1", "-U", "postgres", "-c", "select 1"]);
        command.env("PGPORT", proxy.port().to_string()).env("PGPASSWORD", e2e::servers::postgres::PASSWORD);
        command.output().unwrap()
    };
    let output = psql();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{}", String::from_utf8_lossy(&output.stderr));
    proxy.set(Mode::Refuse);
    let output = psql();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Connection refused"));
}

#[test]
fn prometheus_scrapes_evaluates_and_alerts() {
    let alertmanager = Alertmanager::start();
    let folder = e2e::temp::TempFolder::new("rules");
    let rules = folder.write(
        "demo.yml",
        "groups: [{name: g, rules: [{alert: Always, expr: up == 1, labels: {severity: info}}, {record: two, expr: vector(2)}]}]",
    );
    let job = Job {
        name: "self".to_owned(),
        address: alertmanager.address().to_string(),
        labels: vec![("client".to_owned(), "it's \"acme\"".to_owned())],
        ..Job::default()
    };
    let options = PrometheusOptions {
        jobs: vec![job],
        rules: vec![rules],
        alertmanager: Some(alertmanager.address()),
        ..PrometheusOptions::default()
    };
    let prometheus = Prometheus::start(&options);
    let up = poll::until("up is 1", LIMIT, || prometheus.query("up == 1").pop());
    assert_eq!(up.1, 1.0);
    assert_eq!(up.0["client"], "it's \"acme\"");
    assert_eq!(prometheus.query("scalar(vector(3))")[0].1, 3.0);
    let rules = poll::until("the rules are evaluated", LIMIT, || {
        let rules = prometheus.rules();
        rules.iter().all(|r| r.health == "ok").then_some(rules)
    });
    let names: Vec<_> = rules.iter().map(|r| (r.group.as_str(), r.name.as_str(), r.kind.as_str())).collect();
    assert_eq!(names, [("g", "Always", "alerting"), ("g", "two", "recording")]);
    let alert = poll::until("the alert fires", LIMIT, || prometheus.alerts().pop());
    assert_eq!((alert.state.as_str(), alert.labels["severity"].as_str()), ("firing", "info"));
    let received = poll::until("Alertmanager has it", LIMIT, || alertmanager.alerts().pop());
    assert_eq!(received["labels"]["alertname"], "Always");

    // Its own page through our client and parser.
    let page = http::get(prometheus.address(), "/metrics", &[], LIMIT).unwrap();
    let page = Page::parse(&page.text()).unwrap();
    assert_eq!(page.types["prometheus_build_info"], "gauge");
    assert_eq!(page.value("prometheus_build_info", &[]), Some(1.0));
}

#[test]
fn a_refused_expression_is_told() {
    let prometheus = Prometheus::start(&PrometheusOptions::default());
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prometheus.query("sum(")));
    let message = told.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("parse error"), "{message}");
}

#[test]
fn every_version_starts_with_a_standby_that_follows() {
    std::thread::scope(|scope| {
        for version in Version::ALL {
            scope.spawn(move || {
                let primary = Postgres::start(PostgresOptions::of(version));
                let number: u32 = primary.psql("show server_version_num").unwrap().parse().unwrap();
                assert_eq!(number / 10_000, version.major());
                let standby = Postgres::start_standby(&primary, PostgresOptions::default());
                assert_eq!(standby.psql("select pg_is_in_recovery()").unwrap(), "t");
                primary.psql("create table sent as select 42 as n").unwrap();
                let came = || (standby.psql("select n from sent").as_deref() == Ok("42")).then_some(());
                poll::until(&format!("{version:?}: the standby follows"), LIMIT, came);
            });
        }
    });
}
