//! A changed configuration is taken by SIGHUP and by `POST /-/reload`, a bad one is not: every exporter of the workspace
//! keeps the last good one and says so. With a real PostgreSQL: what has not changed keeps its session and its results.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use e2e::exporter::{self, Exporter, run};
use e2e::http::{Connection, Response};
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::temp::TempFolder;
use e2e::watched::{BINARY, BUDGET, CANARY, LIMIT, MONITOR, server, tells};

const SUCCESS: &str = "sage_config_last_reload_success";
const TIME: &str = "sage_config_last_reload_timestamp_seconds";
const REFUSED: &str = "the configuration is refused; the last good one stays in force";
const TAKEN: &str = "the configuration was read anew and is in force";

fn post(address: SocketAddr, method: &str, headers: &[(&str, &str)]) -> Response {
    Connection::open(address, LIMIT).unwrap().send(method, "/-/reload", headers, LIMIT).unwrap()
}

/// Sends SIGHUP and waits until the log has said `what` once more.
fn hang_up(exporter: &Exporter, what: &str) {
    let before = exporter.logs().matches(what).count();
    exporter.signal("HUP");
    poll::until(what, LIMIT, || (exporter.logs().matches(what).count() > before).then_some(()));
}

#[test]
fn every_exporter_keeps_the_last_good_configuration() {
    for binary in exporter::all() {
        let name = binary.as_str();
        let folder = TempFolder::new("reload");
        // What an exporter prints as its configuration it also reads.
        let printed = run(name, &["print-config"], &[]);
        let good = String::from_utf8(printed.stdout).unwrap();
        let file = folder.write("config.yml", &good);
        let config = format!("--config.file={}", file.display());
        let exporter = Exporter::start(name, &[&config, "--web.enable-lifecycle"], &[]);
        let state = |exporter: &Exporter| {
            let page = exporter.metrics();
            (page.value(SUCCESS, &[]).unwrap(), page.value(TIME, &[]).unwrap())
        };
        let (success, started) = state(&exporter);
        assert_eq!(success, 1.0, "{name}");

        fs::write(&file, format!("{good}nonsense: 1\n")).unwrap();
        hang_up(&exporter, REFUSED);
        let line = good.lines().count() + 1;
        let logs = exporter.logs();
        let told = logs.lines().find(|line| line.contains(REFUSED)).unwrap_or_default();
        assert!(told.contains(&format!("config.yml:{line}:1: unknown key `nonsense`")) && told.contains("hint="), "{name}: {told}");
        assert_eq!(state(&exporter), (0.0, started), "{name}");
        let refused = post(exporter.address(), "POST", &[]);
        assert_eq!(refused.status, 500, "{name}: {}", refused.text());
        assert!(refused.text().contains(&format!("config.yml:{line}:1: unknown key")), "{name}: {}", refused.text());

        fs::write(&file, &good).unwrap();
        let taken = post(exporter.address(), "POST", &[]);
        assert_eq!((taken.status, taken.text().as_str()), (200, "reloaded\n"), "{name}");
        let (success, taken) = state(&exporter);
        assert!(success == 1.0 && taken > started, "{name}: {taken} {started}");
        hang_up(&exporter, TAKEN);
        let (success, again) = state(&exporter);
        assert!(success == 1.0 && again > taken, "{name}: {again} {taken}");
        let other = post(exporter.address(), "GET", &[]);
        assert_eq!((other.status, other.header("Allow")), (405, Some("POST, PUT")), "{name}");
        assert_eq!(exporter.get("/-/ready").status, 200, "{name}");
    }
}

#[test]
fn who_may_not_scrape_may_not_reload() {
    let name = "sage-http-exporter";
    let closed = Exporter::start(name, &[], &[]);
    let refused = post(closed.address(), "POST", &[]);
    assert!(refused.status == 403 && refused.text().contains("--web.enable-lifecycle"), "{}", refused.text());

    let folder = TempFolder::new("auth");
    // `s3cret-canary` under bcrypt with cost 10.
    let web = folder.write_secret("web.yml", "basic_auth_users: {a: $2b$10$GjVc7loGCkcST3q9Qkm9nO9Lc3a9Pc2sRlv1OQKh.Ddwykxa5loFi}\n");
    let right = ("Authorization", "Basic YTpzM2NyZXQtY2FuYXJ5");
    let exporter = Exporter::launch(name, &[&format!("--web.config.file={}", web.display()), "--web.enable-lifecycle"], &[]);
    poll::until("the exporter listens", LIMIT, || Connection::open(exporter.address(), LIMIT).ok());
    assert_eq!(post(exporter.address(), "POST", &[]).status, 401);
    assert!(!exporter.logs().contains(TAKEN), "{}", exporter.logs());
    assert_eq!(post(exporter.address(), "POST", &[right]).status, 200);
    // The web configuration is read with the other one; a bad one is told and changes nothing.
    fs::write(&web, "basic_auth_users: {a: plain}\n").unwrap();
    let refused = post(exporter.address(), "POST", &[right]);
    assert!(refused.status == 500 && refused.text().contains("web.yml:1:"), "{}", refused.text());
    assert_eq!(post(exporter.address(), "POST", &[]).status, 401);
}

/// Process number and database of the sessions that the exporter keeps, which a scrape leaves behind.
fn sessions(server: &Postgres) -> Vec<String> {
    let sql = format!("SELECT pid || ' ' || datname FROM pg_stat_activity WHERE usename = '{MONITOR}' ORDER BY 1");
    server.psql(&sql).unwrap().lines().map(str::to_owned).collect()
}

/// The one session that is left when no walk is under way.
fn settled(server: &Postgres) -> String {
    poll::until("one session is left", LIMIT, || {
        let mut all = sessions(server);
        (all.len() == 1).then(|| all.remove(0))
    })
}

fn configuration(server: &Postgres, password: &Path, queries: &Path, more: &str, module: &str) -> String {
    let target = |database: &str, more: &str| {
        let (port, password) = (server.port(), password.display());
        format!("{{host: 127.0.0.1, port: {port}, user: {MONITOR}, database: {database}, password_file: {password}{more}}}")
    };
    let main = target("postgres", &format!(", custom_queries: {}", queries.display()));
    let more = if more.is_empty() { String::new() } else { format!("  {more}: {}\n", target(more, "")) };
    format!("targets:\n  main: {main}\n{more}modules:\n  default: {{probe_interval: 1h, collectors: {{{module}}}}}\n")
}

#[test]
fn what_has_not_changed_keeps_its_session_and_its_results() {
    let server = server(PostgresOptions::default());
    server.psql("CREATE DATABASE other").unwrap();
    let folder = TempFolder::new("reload");
    let password = folder.write_secret("password", CANARY);
    let queries = folder.write("queries.yaml", "shop:\n  query: SELECT 1 AS orders\n  metrics: [{orders: {usage: GAUGE}}]\n");
    fs::set_permissions(&queries, Permissions::from_mode(0o644)).unwrap();
    let write = |more: &str, module: &str| folder.write("postgres.yml", &configuration(&server, &password, &queries, more, module));
    let exporter = Exporter::start(BINARY, &[&format!("--config.file={}", write("", "").display())], &[]);
    let walked = |what: &str| {
        poll::until(what, LIMIT, || {
            let page = exporter.metrics();
            (page.has("sage_walk_age_seconds") && page.value("sage_walk_members_left", &[]) == Some(0.0)).then_some(page)
        })
    };
    let page = walked("the first walk");
    assert_eq!(page.value("shop_orders", &[]), Some(1.0), "{}", exporter.logs());
    let kept = settled(&server);
    let age = page.value("sage_walk_age_seconds", &[]).unwrap();

    // A target more, a collector less: the first target's session, walk and login are those from before.
    write("other", "locks: {enabled: false}");
    hang_up(&exporter, "targets: 1 as before, 1 started, 0 ended; modules: 0 as before, 1 new or changed");
    let page = exporter.metrics();
    let runs = |collector| page.value("sage_collector_success", &[("collector", collector)]);
    assert_eq!((runs("activity"), runs("locks")), (Some(1.0), None));
    assert!(page.value("sage_walk_age_seconds", &[]).unwrap() > age && page.value("sage_login_age_seconds", &[]).unwrap() > age);
    assert_eq!(settled(&server), kept);
    assert_eq!(exporter.page("/probe?target=other").value("sage_up", &[]), Some(1.0));
    // Both share one server and role, so one budget, in which the session is that of who came last.
    assert!(sessions(&server).len() <= BUDGET && sessions(&server).iter().any(|s| s.ends_with(" other")), "{:?}", sessions(&server));

    // The target is gone, and its session with it.
    write("", "locks: {enabled: false}");
    hang_up(&exporter, "targets: 1 as before, 0 started, 1 ended; modules: 1 as before, 0 new or changed");
    assert_eq!(exporter.get("/probe?target=other").status, 403);
    poll::until("its session ends", LIMIT, || sessions(&server).iter().all(|s| !s.ends_with(" other")).then_some(()));

    // The same settings with other queries are another target; queries that cannot be used leave all as it is.
    let page = exporter.metrics();
    assert_eq!(page.value("shop_orders", &[]), Some(1.0));
    let kept = settled(&server);
    fs::write(&queries, "shop: [\n").unwrap();
    hang_up(&exporter, REFUSED);
    let page = exporter.metrics();
    assert_eq!((page.value("shop_orders", &[]), page.value(SUCCESS, &[])), (Some(1.0), Some(0.0)));
    assert!(exporter.logs().contains("queries.yaml:"), "{}", exporter.logs());
    assert_eq!(settled(&server), kept);
    fs::write(&queries, "shop:\n  query: SELECT 2 AS parcels\n  metrics: [{parcels: {usage: GAUGE}}]\n").unwrap();
    hang_up(&exporter, "targets: 0 as before, 1 started, 1 ended");
    let page = exporter.metrics();
    assert_eq!((page.value("shop_parcels", &[]), page.has("shop_orders")), (Some(2.0), false));
    poll::until("the session is a new one", LIMIT, || {
        exporter.metrics();
        (settled(&server) != kept).then_some(())
    });

    // A password that is rotated is taken with the next login, without a reload.
    server.psql(&format!("ALTER ROLE {MONITOR} PASSWORD 'next-w0rd'")).unwrap();
    fs::write(&password, "next-w0rd\n").unwrap();
    server.psql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{MONITOR}'")).unwrap();
    poll::until("the next login", Duration::from_secs(20), || {
        (exporter.metrics().value("sage_login_success", &[]) == Some(1.0)).then_some(())
    });
    assert!(!tells(&exporter.logs()), "{}", exporter.logs());
}
