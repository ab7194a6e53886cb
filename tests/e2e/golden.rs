//! The pages of the exporters in front of real servers, compared with those that are kept (see `e2e::golden`):
//! PostgreSQL in all versions with a database, a standby and a lock, standbys of two; Redis 7 as primary, replica, Sentinel and node
//! of a cluster, Redis 8 and Valkey 9; the probes of an HTTP, a TLS and a TCP port and of a transaction; NGINX, with VTS and Plus, and Apache.
//! `SAGE_GOLDEN=write cargo test -p e2e --test golden` writes them anew, with `postgres` at the end those of PostgreSQL.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::golden::Golden;
use e2e::http::encode;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::{Postgres, PostgresOptions, Version};
use e2e::servers::prometheus::{Prometheus, PrometheusOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::TempFolder;
use e2e::watched::{BINARY, CANARY, LIMIT, MONITOR, errors, scrape, until, wait_fine, watch};
use e2e::watched_redis;
use e2e::watched_web::{self, APACHE, NGINX};

const HTTP: &str = "sage-http-exporter";
const OPENMETRICS: [(&str, &str); 1] = [("Accept", "application/openmetrics-text;version=1.0.0")];

/// Reads the page of the server behind `port` twice, beside its OpenMetrics form, once its walk has been in `shop` and all
/// that is left of us on the server is one session; and compares it with the kept page `name`.
#[track_caller]
fn holds_postgres(name: &str, server: &Postgres, role: &str, least: usize) {
    // Nothing that would come and go by itself: no login probe and no walk between the scrapes.
    let config = "modules: {default: {probe_interval: 1h, collectors: {tables: {top: 1}}}}\n";
    let exporter = watch(server.port(), config);
    wait_fine(&exporter);
    let text = || exporter.get("/metrics").text();
    poll::until("the walk has been everywhere", LIMIT, || {
        let page = scrape(&exporter, Duration::from_secs(10));
        let idle = page.value("sage_connections", &[("state", "spare")]) == Some(0.0);
        let walked = page.value("pg_tables", &[("datname", "shop")]).is_some();
        (idle && walked && server.count_connections(MONITOR) == 1).then_some(())
    });
    let (page, again) = (text(), text());
    let other = Page::parse(&exporter.get("/probe?target=default").text()).unwrap();
    assert!(!other.samples.is_empty() && other.types.keys().all(|name| page.contains(&format!("# TYPE {name} "))));
    let open = exporter.get_with("/metrics", &OPENMETRICS).text();
    let major = server.version().major();
    let mut facts = vec![role.to_owned()];
    for number in 13..=19 {
        facts.push(if major < number { format!("before {number}") } else { format!("from {number}") });
    }
    Golden::with_rules(name, "postgres", BINARY, facts).holds(&page, &again, &open, least);
}

/// A primary with a database, a standby and a lock; the standby's page, too, where `standby` is true.
fn postgres(version: Version, standby_too: bool, least: usize) {
    let settings = ["autovacuum = off", "track_io_timing = on", "wal_level = logical"].map(str::to_owned).to_vec();
    let server = Postgres::start(PostgresOptions { version, settings, ..PostgresOptions::default() });
    server.create_monitor(MONITOR, CANARY, 2);
    server.psql("create database shop").unwrap();
    let seed = format!(
        "select pg_stat_reset(); create table customer as select generate_series(1, 100) as id, 'x' as name; create index on customer (id);
         create table country as select 1 as id; create sequence ticket maxvalue 10; select setval('ticket', 9);
         grant select on ticket to {MONITOR}"
    );
    server.psql_in("shop", &seed).unwrap();
    server.psql_in("shop", "vacuum analyze customer").unwrap();
    let standby = Postgres::start_standby(&server, PostgresOptions::default());
    let slots = "select pg_create_physical_replication_slot('unused', true), pg_create_logical_replication_slot('logical', 'pgoutput')";
    server.psql(slots).unwrap();
    // It has nobody to connect to.
    let subscription = "create subscription nowhere connection 'host=127.0.0.1 port=1' publication shop with (connect = false)";
    server.psql_in("shop", subscription).unwrap();
    let major = version.major();
    if standby_too {
        let position = server.psql("select pg_current_wal_lsn()").unwrap();
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{position}' and pg_last_xact_replay_timestamp() is not null");
        // Of a standby that has replayed no transaction nobody knows when its last one was.
        server.psql_in("shop", "create table later ()").unwrap();
        poll::until("the standby has all", LIMIT, || (standby.psql(&replayed).unwrap() == "t").then_some(()));
        holds_postgres(&format!("postgres-{major}-standby"), &standby, "standby", least);
    }
    let mut locker = server.session("shop");
    locker.query("begin; lock table customer in access exclusive mode").unwrap();
    let _waiter = server.spawn_psql("shop", "select count(*) from customer");
    let waiting = "select count(*) from pg_locks where not granted";
    poll::until("the reader waits", LIMIT, || (server.psql(waiting).unwrap() == "1").then_some(()));
    holds_postgres(&format!("postgres-{major}"), &server, "primary", least);
}

#[test]
fn postgres_13() {
    postgres(Version::V13, false, 240);
}

#[test]
fn postgres_15() {
    postgres(Version::V15, true, 250);
}

#[test]
fn postgres_17() {
    postgres(Version::V17, false, 250);
}

#[test]
fn postgres_18() {
    postgres(Version::V18, true, 250);
}

/// Compares what the prober says at `path`, with success unless it is `/metrics`, with the kept page `name`.
#[track_caller]
fn holds(name: &'static str, exporter: &Exporter, path: &str, least: usize) {
    let text = || exporter.get(path).text();
    if path != "/metrics" {
        let fine = || text().contains("\nprobe_success 1\n").then_some(());
        assert!(poll::within(LIMIT, fine).is_some(), "{path} does not succeed:\n{}", text());
    }
    let (page, again, open) = (text(), text(), exporter.get_with(path, &OPENMETRICS).text());
    Golden::new(name, HTTP).holds(&page, &again, &open, least);
}

#[test]
fn http() {
    let server = Prometheus::start(&PrometheusOptions::default());
    let database = Postgres::start(PostgresOptions::default());
    let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporters/http/example.yml")).unwrap();
    // The modules alone: what is pinged there is not on this machine.
    let (modules, _) = example.split_once("\nping:\n").unwrap();
    let folder = TempFolder::new("modules");
    let file = folder.write("http.yml", modules);
    let exporter = Exporter::start(HTTP, &[&format!("--config.file={}", file.display())], &[]);
    let target = encode(&format!("{}/-/ready", server.url()));
    holds("http-probe", &exporter, &format!("/probe?target={target}&module=http_2xx"), 15);
    holds("http-tcp", &exporter, &format!("/probe?target={}&module=tcp_connect", database.address()), 7);
    holds("http-own", &exporter, "/metrics", 10);
}

/// A transaction of two steps whose answers say when they were last modified.
#[test]
fn http_steps() {
    let folder = TempFolder::new("steps");
    folder.write("page", "welcome");
    let site = format!("location = /page {{ root {}; }}", folder.path().display());
    let server = Nginx::start(&NginxOptions { server: site, ..NginxOptions::default() });
    let steps = "steps: [{name: front, url: /}, {name: page, url: /page, expect: {regexp: [welcome]}}]";
    let file = folder.write("http.yml", &format!("modules: {{shop: {{prober: http, http: {{{steps}}}}}}}\n"));
    let exporter = Exporter::start(HTTP, &[&format!("--config.file={}", file.display())], &[]);
    holds("http-steps", &exporter, &format!("/probe?target={}&module=shop", encode(&server.url("/"))), 19);
}

#[test]
fn http_over_tls() {
    let folder = TempFolder::new("certificate");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    // Not a CA, as a certificate that a server shows must not be one.
    let request = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = end\n[name]\nCN = probed\n\
        [end]\nsubjectAltName = DNS:probed.example, IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    let request = folder.write("request.cnf", request);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]);
    openssl.arg("-config").arg(&request).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Prometheus::start_tls(&certificate, &key);

    let config = format!(
        "modules: {{tls: {{prober: http, http: {{fail_if_not_ssl: true, tls_config: {{ca_file: {}}}}}}}}}\n",
        certificate.display()
    );
    let file = folder.write("http.yml", &config);
    let exporter = Exporter::start(HTTP, &[&format!("--config.file={}", file.display())], &[]);
    let target = encode(&format!("https://{}/-/ready", server.address()));
    holds("http-tls", &exporter, &format!("/probe?target={target}&module=tls"), 20);
}

/// Compares the page of a Redis or Valkey with the kept page `name`, once its timer has run and `settled` says so.
#[track_caller]
fn holds_redis(name: &str, exporter: &Exporter, facts: &[&str], least: usize, settled: impl Fn(&Page) -> bool) {
    let text = || exporter.get("/metrics").text();
    let mut last = Page::default();
    let ready = poll::within(LIMIT, || {
        last = scrape(exporter, Duration::from_secs(10));
        let idle = last.value("sage_connections", &[("state", "spare")]) == Some(0.0);
        (idle && last.value("sage_collector_success", &[("collector", "clients")]) == Some(1.0) && settled(&last)).then_some(())
    });
    assert!(ready.is_some(), "{name} does not settle: {:?}\n{}", errors(&last), exporter.logs());
    let (page, again, open) = (text(), text(), exporter.get_with("/metrics", &OPENMETRICS).text());
    let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
    Golden::with_rules(name, "redis", watched_redis::BINARY, facts).holds(&page, &again, &open, least);
}

/// Nothing that would come and go by itself: no login probe between the scrapes.
const CALM: &str = "modules: {default: {probe_interval: 1h, collectors: {latency_histogram: {enabled: true}}}}\n";

/// A server of `program` (Debian's where empty) with a key, a slow command, an error of a script and a client that waits; with a
/// replica, whose page is compared as well where `replica_too` is true.
fn redis(name: &str, program: Option<&str>, replica_too: bool, facts: &[&str], least: usize) {
    let program = program.map(watched_redis::program);
    let settings = ["slowlog-log-slower-than 5000", "latency-monitor-threshold 5", "maxmemory 100mb"].map(str::to_owned).to_vec();
    let server = watched_redis::server(RedisOptions { settings, program: program.clone(), ..RedisOptions::default() });
    let settings = vec!["appendonly yes".to_owned()];
    let replica = Redis::start_replica(&server, RedisOptions { settings, program, ..RedisOptions::default() });
    server.run(&["set", "key", "value", "ex", "10000"]);
    server.run(&["debug", "sleep", "0.02"]);
    server.cli(&["eval", "return redis.error_reply('SHOPERR no')", "0"]).unwrap();
    let _blocked = server.spawn(&["blpop", "queue", "0"]);
    poll::until("one is blocked", LIMIT, || (server.info("blocked_clients") == "1").then_some(()));
    server.run(&["acl", "setuser", watched_redis::MONITOR, "+latency|histogram"]);
    let with = |more: &[&'static str]| -> Vec<&str> { facts.iter().copied().chain(more.iter().copied()).collect() };
    let exporter = watched_redis::watch(server.port(), CALM);
    holds_redis(name, &exporter, &with(&["no replica", "no aof"]), least, |page| {
        page.value("redis_connected_slave_lag_seconds", &[("slave_state", "online")]).is_some()
    });
    if replica_too {
        watched_redis::grant(&replica);
        replica.run(&["acl", "setuser", watched_redis::MONITOR, "+latency|histogram"]);
        replica.run(&["config", "set", "latency-monitor-threshold", "5", "slowlog-log-slower-than", "5000"]);
        replica.run(&["debug", "sleep", "0.02"]);
        replica.cli(&["eval", "return redis.error_reply('SHOPERR no')", "0"]).unwrap();
        let exporter = watched_redis::watch(replica.port(), CALM);
        holds_redis(&format!("{name}-replica"), &exporter, &with(&["no replicas"]), least, |page| {
            // The wait for the primary's write, the first heartbeat of the link, and the rewrite of the append-only file that
            // begins with it.
            page.value("redis_commands_total", &[("cmd", "set")]).is_some()
                && page.value("redis_aof_rewrite_in_progress", &[]) == Some(0.0)
                && page.has("redis_master_last_io_seconds_ago")
        });
    }
}

#[test]
fn redis_7() {
    redis("redis-7", None, true, &["no cluster", "no Sentinel", "no commandlog", "no modules", "before 7.2", "before 7.4"], 180);
}

#[test]
fn redis_8() {
    redis("redis-8", Some("redis-8"), false, &["no cluster", "no Sentinel", "no commandlog"], 180);
}

#[test]
fn valkey_9() {
    redis("valkey-9", Some("valkey-9"), false, &["no cluster", "no Sentinel", "Valkey"], 180);
}

#[test]
fn redis_sentinel() {
    let primary = Redis::start();
    let settings = vec![format!("sentinel monitor shop 127.0.0.1 {} 1", primary.port())];
    let sentinel = Redis::start_with(RedisOptions { sentinel: true, settings, ..RedisOptions::default() });
    let exporter = watched_redis::watch_as(sentinel.port(), CALM, None, "");
    let facts = ["Sentinel", "no cluster", "no replica", "no replicas", "no commandlog", "no modules", "quiet", "before 7.2", "before 7.4"];
    holds_redis("redis-7-sentinel", &exporter, &facts, 100, |page| {
        page.value("redis_sentinel_master_status", &[("master_status", "ok")]) == Some(1.0)
    });
}

#[test]
fn redis_cluster() {
    let settings = vec!["cluster-enabled yes".to_owned(), format!("cluster-port {}", e2e::temp::free_port())];
    let server = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
    server.run(&["cluster", "addslotsrange", "0", "16383"]);
    poll::until("all slots are served", LIMIT, || server.cli(&["cluster", "info"]).ok().filter(|i| i.contains("cluster_state:ok")));
    server.run(&["set", "key", "value", "ex", "10000"]);
    let exporter = watched_redis::watch_as(server.port(), CALM, None, "");
    let facts = ["no Sentinel", "no replica", "no replicas", "no commandlog", "no modules", "no aof", "quiet", "before 7.2", "before 7.4"];
    holds_redis("redis-7-cluster", &exporter, &facts, 180, |page| page.value("redis_cluster_state", &[]) == Some(1.0));
}

/// Compares the page of a web server's exporter, whose one target is `target`, with the kept page `name`,
/// once the family `last` is there.
#[track_caller]
fn holds_web(name: &'static str, binary: &'static str, target: &str, last: &str, least: usize) {
    let exporter = watched_web::watch(binary, target);
    let text = || exporter.get("/metrics").text();
    until("it is up", &exporter, |p| p.has(last));
    let (page, again) = (text(), text());
    let open = exporter.get_with("/metrics", &OPENMETRICS).text();
    Golden::new(name, binary).holds(&page, &again, &open, least);
}

#[test]
fn nginx() {
    let server = Nginx::start(&NginxOptions { server: "location = /shop { return 500; }".to_owned(), ..NginxOptions::default() });
    let target = format!("url: {}\npid_file: {}\nprobe_path: /shop", server.url("/stub_status"), server.pid_file().display());
    holds_web("nginx-1", NGINX, &target, "nginx_connections_active", 35);
}

/// The traffic status module and NGINX Plus, as their documents say that they answer.
#[test]
fn nginx_of_others() {
    let server = Nginx::start(&NginxOptions { server: watched_web::pages_of_vts_and_plus(), ..NginxOptions::default() });
    let target = |path: &str| format!("url: {}\npid_file: {}", server.url(path), server.pid_file().display());
    holds_web("nginx-vts", NGINX, &target("/status/format/json"), "nginx_vts_server_requests_total", 35);
    holds_web("nginx-plus", NGINX, &target("/api/"), "nginxplus_upstream_server_state", 45);
}

#[test]
fn apache() {
    let modules = vec!["proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests"];
    let settings = "ProxyStatus On\n<Proxy balancer://shop>\nBalancerMember http://127.0.0.1:1\n</Proxy>\nProxyPass /shop balancer://shop\n\
        Redirect 500 /broken\n";
    let modules = [modules, vec!["alias"]].concat();
    let server = Apache::start(&ApacheOptions { modules, settings: settings.to_owned(), ..ApacheOptions::default() });
    let target = format!("url: {}\npid_file: {}\nprobe_path: /broken", server.url("/server-status"), server.pid_file().display());
    // The load is told from the first hundredth of a second of CPU time on.
    holds_web("apache-2.4", APACHE, &target, "apache_cpuload", 50);
}
