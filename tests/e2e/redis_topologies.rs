//! The Redis exporter in front of a replica, a Sentinel, a cluster, TLS with client certificates, a Unix socket, several named
//! targets, and the newer servers that `scripts/setup.sh` unpacks.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{errors, scrape, scrape_at, until};
use e2e::watched_redis::{BINARY, BRISK, program, server, wait_fine, watch};

const TIMEOUT: Duration = Duration::from_secs(10);

fn with(settings: &[String]) -> RedisOptions {
    RedisOptions { settings: settings.to_vec(), ..RedisOptions::default() }
}

fn plain(port: u16) -> Exporter {
    Exporter::start(BINARY, &[], &[("REDIS_ADDR", &format!("127.0.0.1:{port}"))])
}

#[test]
fn a_replica_tells_its_link_and_its_promotion() {
    let mut primary = server(RedisOptions::default());
    let replica = Redis::start_replica(&primary, with(&["repl-timeout 5".to_owned()]));
    let (first, second) = (watch(primary.port(), BRISK), plain(replica.port()));
    primary.run(&["set", "a", "1"]);
    let port = replica.port().to_string();
    let page =
        until("the primary sees its replica", &first, |p| p.value("redis_replication_lag_bytes", &[("slave_port", &port)]) == Some(0.0));
    assert_eq!(page.value("redis_connected_slaves", &[]), Some(1.0));
    assert_eq!(
        page.value("redis_connected_slave_lag_seconds", &[("slave_port", &port), ("slave_state", "online")]).map(|s| s < 5.0),
        Some(true)
    );
    let from = primary.port().to_string();
    let link = |p: &Page| p.value("redis_master_link_up", &[("master_host", "127.0.0.1"), ("master_port", &from)]);
    let page = until("the link is up", &second, |p| link(p) == Some(1.0));
    assert_eq!(
        (page.value("redis_replication_role", &[("role", "replica")]), page.value("redis_slave_info", &[("read_only", "1")])),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(page.value("redis_keys", &[]), Some(1.0));

    primary.kill();
    let page = until("the link is down", &second, |p| link(p) == Some(0.0));
    assert_eq!(page.value("redis_up", &[]), Some(1.0));
    assert!(page.has("redis_master_link_down_since_seconds") && !page.has("redis_master_last_io_seconds_ago"), "nobody was heard");

    // The failover between two scrapes, over the session that was open before.
    replica.run(&["replicaof", "no", "one"]);
    let page = until("the promotion is seen", &second, |p| p.value("redis_replication_role", &[("role", "primary")]) == Some(1.0));
    assert!(link(&page).is_none() && !page.has("redis_slave_info"));
    assert!(page.has("redis_second_repl_offset"));
}

#[test]
fn a_sentinel_tells_of_its_primary() {
    let mut primary = Redis::start();
    let settings = [
        format!("sentinel monitor shop 127.0.0.1 {} 1", primary.port()),
        "sentinel down-after-milliseconds shop 500".to_owned(),
        "sentinel failover-timeout shop 1000".to_owned(),
    ];
    let sentinel = Redis::start_with(RedisOptions { sentinel: true, ..with(&settings) });
    let exporter = plain(sentinel.port());
    let page = until("the primary is well", &exporter, |p| {
        p.value("redis_sentinel_master_status", &[("master_name", "shop"), ("master_status", "ok")]) == Some(1.0)
    });
    assert!(errors(&page).is_empty(), "{:?}", errors(&page));
    assert_eq!(
        (page.value("redis_sentinel_masters", &[]), page.value("redis_sentinel_master_ckquorum_status", &[("master_name", "shop")])),
        (Some(1.0), Some(1.0))
    );
    for (family, want) in [
        ("redis_sentinel_quorum_ok", 1.0),
        ("redis_sentinel_master_sentinels", 1.0),
        ("redis_sentinel_master_ok_sentinels", 1.0),
        ("redis_sentinel_master_ok_slaves", 0.0),
        ("redis_sentinel_master_setting_ckquorum", 1.0),
        ("redis_sentinel_master_setting_down_after_milliseconds", 500.0),
        ("redis_sentinel_master_setting_failover_timeout", 1000.0),
        ("redis_sentinel_master_setting_parallel_syncs", 1.0),
        ("redis_sentinel_master_config_epoch", 0.0),
    ] {
        assert_eq!(page.value(family, &[("master_name", "shop")]), Some(want), "{family}");
    }
    assert!(page.value("redis_sentinel_master_last_ok_ping_reply_seconds", &[("master_name", "shop")]).is_some_and(|s| s < 5.0));
    assert!(!page.has("redis_db_keys") && !page.has("redis_replication_role"), "a Sentinel holds no data");
    primary.kill();
    let down = |p: &Page| p.series("redis_sentinel_master_status").iter().any(|s| s.value == 0.0 && s.labels["master_status"] != "ok");
    until("the primary is down", &exporter, down);
}

#[test]
fn a_cluster_s_nodes_are_up_or_down_as_the_majority_says() {
    let settings: Vec<String> =
        ["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage yes"].map(str::to_owned).to_vec();
    // The bus has a port of its own, which must be free and below 65536.
    let mut nodes: Vec<Redis> = (0..3)
        .map(|n| {
            Redis::start_with(with(
                &[settings.clone(), vec![format!("cluster-config-file nodes-{n}.conf"), format!("cluster-port {}", free_port())]].concat(),
            ))
        })
        .collect();
    let ports: Vec<u16> = nodes.iter().map(Redis::port).collect();
    let exporters: Vec<Exporter> = ports.iter().map(|port| plain(*port)).collect();
    let page = scrape(&exporters[0], TIMEOUT);
    assert_eq!(page.value("redis_cluster_state", &[]), Some(0.0), "no slot is served yet: {:?}", errors(&page));
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.push("--cluster-yes");
    let made = nodes[0].cli(&create).unwrap();
    assert!(made.contains("All 16384 slots covered"), "{made}");
    for exporter in &exporters {
        let page = until("all is well", exporter, |p| p.value("redis_cluster_state", &[]) == Some(1.0));
        assert_eq!(page.value("redis_cluster_slots_ok", &[]), Some(16384.0));
        assert_eq!(page.value("redis_cluster_nodes", &[("role", "primary"), ("state", "up")]), Some(3.0));
        assert!(addresses.iter().all(|node| page.value("redis_cluster_node_up", &[("node", node)]) == Some(1.0)));
        assert_eq!(page.series("redis_db_keys").len(), 1, "a cluster has one database");
    }
    // Each primary is written to in a slot of its own.
    let folder = TempFolder::new("write");
    let config = folder.write("redis.yml", "modules: {default: {write_interval: 1s}}\n");
    for port in &ports {
        let exporter =
            Exporter::start(BINARY, &[&format!("--config.file={}", config.display())], &[("REDIS_ADDR", &format!("127.0.0.1:{port}"))]);
        let page = until("the write works", &exporter, |p| p.value("sage_write_success", &[]).is_some());
        assert_eq!(page.value("sage_write_success", &[]), Some(1.0), "{:?}", errors(&page));
    }
    nodes[2].kill();
    for exporter in &exporters[..2] {
        let page = until("the dead node is told by the others", exporter, |p| {
            p.value("redis_cluster_node_up", &[("node", &addresses[2])]) == Some(0.0)
        });
        assert_eq!(page.value("redis_cluster_nodes", &[("role", "primary"), ("state", "failed")]), Some(1.0));
        until("the cluster does not serve", exporter, |p| {
            p.value("redis_cluster_state", &[]) == Some(0.0) && p.value("redis_cluster_slots_fail", &[]) > Some(5000.0)
        });
    }
    assert_eq!(scrape(&exporters[2], TIMEOUT).value("redis_up", &[]), Some(0.0));
}

/// Makes a certificate of its own authority, valid for 127.0.0.1.
fn certificate(folder: &TempFolder, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(&format!("{name}.pem")), folder.join(&format!("{name}.key")));
    let request = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = end\n[name]\nCN = redis\n\
        [end]\nsubjectAltName = DNS:redis.example, IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    let request = folder.write(&format!("{name}.cnf"), request);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]);
    openssl.arg("-config").arg(&request).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[test]
fn tls_with_client_certificates() {
    let folder = TempFolder::new("tls");
    let ((server_pem, server_key), (client_pem, client_key)) = (certificate(&folder, "server"), certificate(&folder, "client"));
    let port = free_port();
    let shown = |path: &Path| path.display().to_string();
    let server = Redis::start_with(with(&[
        format!("tls-port {port}"),
        format!("tls-cert-file {}", shown(&server_pem)),
        format!("tls-key-file {}", shown(&server_key)),
        format!("tls-ca-cert-file {}", shown(&client_pem)),
        "tls-auth-clients yes".to_owned(),
    ]));
    let address = format!("rediss://127.0.0.1:{port}");
    let ours = [
        ("REDIS_ADDR", address.clone()),
        ("REDIS_EXPORTER_TLS_CA_CERT_FILE", shown(&server_pem)),
        ("REDIS_EXPORTER_TLS_CLIENT_CERT_FILE", shown(&client_pem)),
        ("REDIS_EXPORTER_TLS_CLIENT_KEY_FILE", shown(&client_key)),
    ];
    let start = |vars: &[(&'static str, String)]| {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(n, v)| (*n, v.as_str())).collect();
        Exporter::start(BINARY, &[], &vars)
    };
    let page = until("all is well", &start(&ours), |p| p.value("sage_up", &[]) == Some(1.0));
    assert!(page.value("sage_login_duration_seconds", &[("phase", "tls")]).is_some_and(|s| s > 0.0), "{:?}", errors(&page));
    assert_eq!(page.value("redis_process_id", &[]), Some(f64::from(server.pid())));
    // Without a certificate of ours the server refuses; without its authority we do.
    for (vars, what) in [(&ours[..2], "no certificate of ours"), (&ours[..1], "an authority that we do not know")] {
        let page = scrape(&start(vars), TIMEOUT);
        assert_eq!((page.value("sage_up", &[]), errors(&page).get("connect").map(String::as_str)), (Some(0.0), Some("tls")), "{what}");
    }
    let insecure = [vec![("REDIS_EXPORTER_SKIP_TLS_VERIFICATION", "true".to_owned())], ours[..1].to_vec(), ours[2..].to_vec()].concat();
    assert_eq!(scrape(&start(&insecure), TIMEOUT).value("sage_up", &[]), Some(1.0));
}

#[test]
fn a_unix_socket_and_many_named_targets() {
    let (a, b) = (server(RedisOptions::default()), server(RedisOptions::default()));
    b.run(&["set", "only", "b"]);
    let folder = TempFolder::new("targets");
    let password = folder.write_secret("password", e2e::watched::CANARY);
    let config = format!(
        "targets:\n  socket: {{host: {}}}\n  b: {{host: 127.0.0.1, port: {}, user: sage, password_file: {}}}\n  gone: {{host: 127.0.0.1, port: {}}}\n",
        a.socket().display(),
        b.port(),
        password.display(),
        free_port(),
    );
    let file = folder.write("redis.yml", &config);
    let exporter = Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &[]);
    let page = wait_fine(&exporter);
    assert_eq!((page.value("redis_keys", &[]), page.value("sage_login_duration_seconds", &[("phase", "resolve")])), (Some(0.0), None));
    let page = scrape_at(&exporter, "/scrape?target=b", TIMEOUT);
    assert_eq!((page.value("redis_up", &[]), page.value("redis_keys", &[])), (Some(1.0), Some(1.0)));
    assert_eq!(scrape_at(&exporter, "/scrape?target=gone", TIMEOUT).value("redis_up", &[]), Some(0.0));
    // The peer asks any address with the stored password; here an address is one of the configured ones or nobody.
    assert_eq!(
        scrape_at(&exporter, &format!("/scrape?target=unix://{}", a.socket().display()), TIMEOUT).value("redis_keys", &[]),
        Some(0.0)
    );
    for path in [format!("/scrape?target=redis://127.0.0.1:{}", a.port()), "/scrape?target=none".to_owned()] {
        assert_eq!(exporter.get(&path).status, 403, "{path}");
    }
}

/// Redis 8 and Valkey 9, as `scripts/setup.sh` unpacks them.
#[test]
fn newer_servers() {
    for (name, server_name, version) in [("redis-8", "redis", "8."), ("valkey-9", "valkey", "9.")] {
        let server = server(RedisOptions { program: Some(program(name)), ..RedisOptions::default() });
        server.run(&["set", "a", "1", "ex", "1000"]);
        let exporter = watch(server.port(), BRISK);
        let page = wait_fine(&exporter);
        let info = page.series("redis_server_info")[0].labels.clone();
        assert_eq!(info["server"], server_name);
        assert!(info["version"].starts_with(version), "{info:?}");
        for name in [
            "redis_memory_used_bytes",
            "redis_commands_total",
            "redis_db_keys",
            "redis_config_maxclients",
            "redis_connections",
            "redis_latency_percentiles_usec",
        ] {
            assert!(page.has(name) || page.types.contains_key(name), "{server_name}: {name}");
        }
        assert_eq!(page.value("redis_db_keys", &[("db", "db0")]), Some(1.0));
        // Redis has no COMMANDLOG, and nothing is made up for it.
        let valkey = server_name == "valkey";
        assert_eq!(page.has("redis_commandlog_slow_length"), valkey, "{server_name}");
        assert_eq!(page.value("redis_exporter_capability", &[("command", "commandlog|len")]), Some(f64::from(u8::from(valkey))));
        if valkey {
            assert_eq!(page.value("redis_commandlog_execution_slower_than", &[]), Some(10_000.0));
        }
    }
}
