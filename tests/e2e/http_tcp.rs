//! Recognition of the real PostgreSQL, Redis, MariaDB and OpenLDAP without credentials: over TCP, TLS and Unix sockets, full ones,
//! wrong ones, and what the servers say of it. Of the other protocols the exporter's own tests have what servers answered.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::net::{SocketAddr, TcpStream};

use e2e::exporter::Exporter;
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::poll;
use e2e::probed::{BINARY, ask};
use e2e::servers::mariadb::MariaDb;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::redis::Redis;
use e2e::servers::slapd::Slapd;
use e2e::temp::TempFolder;
use e2e::watched::{LIMIT, errors};

const MODULES: &str = "modules:
  postgresql: {prober: tcp, tcp: {preferred_ip_protocol: ip4, protocol: postgresql}}
  redis: {prober: tcp, tcp: {preferred_ip_protocol: ip4, protocol: redis}}
  mysql: {prober: tcp, timeout: 1s, tcp: {preferred_ip_protocol: ip4, protocol: mysql}}
  postgres_tls: {prober: tcp, tcp: {preferred_ip_protocol: ip4, starttls: postgres, protocol: postgresql, tls_config: {insecure_skip_verify: true}}}
  mysql_tls: {prober: tcp, tcp: {preferred_ip_protocol: ip4, starttls: mysql, tls_config: {insecure_skip_verify: true}}}
  ldap: {prober: tcp, timeout: 1s, tcp: {preferred_ip_protocol: ip4, protocol: ldap}}
  ldap_tls: {prober: tcp, tcp: {preferred_ip_protocol: ip4, starttls: ldap, protocol: ldap, tls_config: {insecure_skip_verify: true}}}
  postgres_socket: {prober: unix, unix: {protocol: postgresql}}
  redis_socket: {prober: unix, unix: {query_response: [{send: PING}, {expect: '^[+](PONG)', labels: [{name: said, value: '${1}'}]}]}}
";

struct Setting {
    exporter: Exporter,
    _folder: TempFolder,
}

impl Setting {
    fn new() -> Self {
        let folder = TempFolder::new("tcp");
        let file = format!("--config.file={}", folder.write("tcp.yml", MODULES).display());
        Self { exporter: Exporter::start(BINARY, &[&file], &[]), _folder: folder }
    }

    fn probe(&self, module: &str, target: impl ToString) -> Page {
        ask(&self.exporter, module, target)
    }
}

/// Success, coarse and fine reason.
fn verdict(page: &Page) -> (Option<f64>, Option<String>, Option<String>) {
    let fine = page.series("probe_error_info").first().and_then(|s| s.labels.iter().find(|(n, _)| *n == "reason").map(|(_, v)| v.clone()));
    (page.value("probe_success", &[]), errors(page).remove("probe"), fine)
}

fn fine() -> (Option<f64>, Option<String>, Option<String>) {
    (Some(1.0), None, None)
}

fn fails(coarse: &str, fine: &str) -> (Option<f64>, Option<String>, Option<String>) {
    (Some(0.0), Some(coarse.to_owned()), Some(fine.to_owned()))
}

#[test]
fn a_real_postgresql() {
    let at = Setting::new();
    let settings = ["max_connections = 4", "superuser_reserved_connections = 0", "max_wal_senders = 0", "log_connections = off"];
    let server = Postgres::start(PostgresOptions { settings: settings.map(str::to_owned).into(), ..PostgresOptions::default() });
    let known = [("protocol", "postgresql"), ("version", "")];
    for (module, target) in [
        ("postgresql", server.address().to_string()),
        ("postgres_socket", server.socket_folder().join(format!(".s.PGSQL.{}", server.port())).display().to_string()),
    ] {
        let page = at.probe(module, target);
        assert_eq!(verdict(&page), fine(), "{module}: {page:?}");
        assert_eq!(page.value("probe_tcp_protocol_info", &known), Some(1.0), "{module}");
        assert!(page.value("probe_tcp_handshake_duration_seconds", &[]).unwrap() > 0.0);
    }
    let page = at.probe("postgres_tls", server.address());
    assert_eq!(verdict(&page), fails("tls", "starttls_refused"), "{page:?}");
    let page = at.probe("redis", server.address());
    assert_eq!(verdict(&page), fails("decode", "protocol_mismatch"), "{page:?}");
    assert_eq!(page.value("sage_up", &[]), Some(1.0));
    // A server that waits for us to speak first.
    let page = at.probe("mysql", server.address());
    assert_eq!(verdict(&page), fails("timeout", "first_byte_timeout"), "{page:?}");

    server.offer_tls(30);
    poll::until("TLS is offered", LIMIT, || (verdict(&at.probe("postgres_tls", server.address())) == fine()).then_some(()));
    let page = at.probe("postgres_tls", server.address());
    assert!(page.has("probe_ssl_earliest_cert_expiry") && page.has("probe_tls_version_info"), "{page:?}");

    let mut held: Vec<_> = (0..4).map(|_| server.session("postgres")).collect();
    for session in &mut held {
        assert_eq!(session.query("show max_connections").unwrap(), ["4"]);
    }
    let page = at.probe("postgresql", server.address());
    assert_eq!(verdict(&page), fails("overloaded", "too_many_connections"), "{page:?}");
    assert_eq!(page.value("probe_tcp_protocol_info", &known), Some(1.0));
    drop(held);
    poll::until("there is room again", LIMIT, || (verdict(&at.probe("postgresql", server.address())) == fine()).then_some(()));
    // What the server has to say of all this: the bytes of Redis, and the one that found no room.
    let log = server.log();
    assert_eq!((log.matches("startup packet").count(), log.matches("sage_probe").count()), (1, 1), "{log}");
    server.stop();
    assert_eq!(verdict(&at.probe("postgresql", server.address())), fails("refused", "refused"));
}

#[test]
fn a_real_redis() {
    let at = Setting::new();
    let server = Redis::start();
    let page = at.probe("redis", server.address());
    assert_eq!(verdict(&page), fine(), "{page:?}");
    let info = server.cli(&["info"]).unwrap();
    let version = info.lines().find_map(|line| line.trim().strip_prefix("redis_version:")).unwrap();
    assert_eq!(page.value("probe_tcp_protocol_info", &[("protocol", "redis"), ("version", version)]), Some(1.0), "{page:?}");
    assert!(info.contains("total_error_replies:0"), "the server counts an error: {info}");

    let page = at.probe("redis_socket", server.socket().display());
    assert_eq!(verdict(&page), fine(), "{page:?}");
    assert_eq!(page.value("probe_expect_info", &[("said", "PONG")]), Some(1.0));
    let page = at.probe("redis_socket", "/nowhere/s");
    assert_eq!((page.value("probe_success", &[]), page.value("sage_up", &[])), (Some(0.0), Some(0.0)), "{page:?}");
    assert_eq!(at.exporter.get("/probe?module=redis_socket&target=s").status, 400);

    server.cli(&["config", "set", "requirepass", "canary-7c1"]).unwrap();
    let page = at.probe("redis", server.address());
    assert_eq!((verdict(&page), page.value("probe_tcp_protocol_info", &[("protocol", "redis"), ("version", "")])), (fine(), Some(1.0)));
    server.cli(&["-a", "canary-7c1", "config", "set", "maxclients", "1"]).unwrap();
    let address: SocketAddr = server.address();
    let held = TcpStream::connect(address).unwrap();
    poll::until("the last place is taken", LIMIT, || {
        (verdict(&at.probe("redis", address)) == fails("overloaded", "too_many_connections")).then_some(())
    });
    drop(held);
}

#[test]
fn a_real_mariadb() {
    let (at, folder) = (Setting::new(), TempFolder::new("pair"));
    let pair = Authority::new(&folder, "authority").issue(&folder, "server", &["127.0.0.1"]);
    let server = MariaDb::start(&pair, &["--max-connections=10", "--connect-timeout=60", "--max-connect-errors=3"]);
    // More often than a server bears broken handshakes before it locks a machine out.
    for _ in 0..8 {
        let page = at.probe("mysql", server.address());
        assert_eq!(verdict(&page), fine(), "{page:?}\n{}", server.logs());
        let info = page.series("probe_tcp_protocol_info")[0];
        assert!(info.labels["protocol"] == "mysql" && info.labels["version"].contains("MariaDB"), "{info:?}");
    }
    let page = at.probe("mysql_tls", server.address());
    assert_eq!(verdict(&page), fine(), "{page:?}");
    assert!(page.has("probe_ssl_earliest_cert_expiry") && page.has("probe_tls_version_info"), "{page:?}");
    assert_eq!(verdict(&at.probe("postgresql", server.address())), fails("decode", "protocol_mismatch"));
    // One place more is kept for administrators.
    let held: Vec<_> = (0..11).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    poll::until("all places are taken", LIMIT, || {
        (verdict(&at.probe("mysql", server.address())) == fails("overloaded", "too_many_connections")).then_some(())
    });
    drop(held);
    poll::until("there is room again", LIMIT, || (verdict(&at.probe("mysql", server.address())) == fine()).then_some(()));
}

#[test]
fn a_real_openldap() {
    let (at, folder) = (Setting::new(), TempFolder::new("pair"));
    let plain = Slapd::start(None);
    let page = at.probe("ldap", plain.address());
    assert_eq!(verdict(&page), fine(), "{page:?}");
    assert_eq!(page.value("probe_tcp_protocol_info", &[("protocol", "ldap"), ("version", "")]), Some(1.0), "{page:?}");
    assert_eq!(verdict(&at.probe("ldap_tls", plain.address())), fails("tls", "starttls_refused"));
    // A server that waits for more of what it takes for a message.
    assert_eq!(verdict(&at.probe("mysql", plain.address())), fails("timeout", "first_byte_timeout"));
    let pair = Authority::new(&folder, "authority").issue(&folder, "server", &["127.0.0.1"]);
    let server = Slapd::start(Some(&pair));
    let page = at.probe("ldap_tls", server.address());
    assert_eq!(verdict(&page), fine(), "{page:?}");
    assert!(page.has("probe_ssl_earliest_cert_expiry"), "{page:?}");
}
