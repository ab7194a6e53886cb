//! A server that cannot prove who it is gets no password: self-signed, ended, for another name, of another authority, each kind
//! refused by every exporter of the workspace before it says who it is, with the reason `tls` and what to do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use e2e::exporter::{self, Exporter};
use e2e::issuer::{Authority, Pair};
use e2e::poll;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, tells};

/// A server with this certificate, kept until dropped, and what aims its exporter at it with full verification by the authority
/// whose file is given: a configuration and the path of the page.
fn offered(name: &str, folder: &TempFolder, pair: &Pair, trusted: &Path) -> (Box<dyn std::any::Any>, String, String) {
    let trusted = trusted.display();
    let password = folder.write_secret("password", CANARY);
    let own = |config: String| (config, "/metrics".to_owned());
    let (server, (config, path)): (Box<dyn std::any::Any>, _) = match name {
        "postgres" => {
            let server = Postgres::start(PostgresOptions::default());
            server.create_monitor("sage", CANARY, 4);
            let data = server.data();
            let owner = fs::metadata(&data).unwrap();
            for (from, to, mode) in [(&pair.certificate, "server.crt", 0o644), (&pair.key, "server.key", 0o600)] {
                let to = data.join(to);
                fs::copy(from, &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
                chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
            server.psql("alter system set ssl = on").unwrap();
            server.psql("select pg_reload_conf()").unwrap();
            poll::until("TLS is on", LIMIT, || (server.psql("show ssl").unwrap() == "on").then_some(()));
            let config = format!(
                "targets: {{main: {{host: 127.0.0.1, port: {}, user: sage, password_file: {}, sslmode: verify-full, sslrootcert: {trusted}}}}}\n",
                server.port(),
                password.display()
            );
            (Box::new(server), own(config))
        }
        "redis" => {
            let port = free_port();
            let settings = vec![
                format!("tls-port {port}"),
                format!("tls-cert-file {}", pair.certificate.display()),
                format!("tls-key-file {}", pair.key.display()),
                "tls-auth-clients no".to_owned(),
            ];
            let server = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
            let config = format!("targets: {{main: {{host: 127.0.0.1, port: {port}, tls: verify-full, tls_ca_file: {trusted}}}}}\n");
            (Box::new(server), own(config))
        }
        // What Apache's exporter meets is TLS, whoever speaks it.
        "nginx" | "apache" => {
            let server = Nginx::start(&NginxOptions { tls: Some(pair.clone()), ..NginxOptions::default() });
            let config = format!("targets: {{main: {{url: '{}', tls_ca_file: {trusted}}}}}\n", server.tls_url("/stub_status"));
            (Box::new(server), own(config))
        }
        "http" => {
            let server = Nginx::start(&NginxOptions { tls: Some(pair.clone()), ..NginxOptions::default() });
            let path = format!("/probe?target={}", e2e::http::encode(&server.tls_url("/")));
            let config = format!("modules: {{http_2xx: {{prober: http, http: {{tls_config: {{ca_file: {trusted}}}}}}}}}\n");
            (Box::new(server), (config, path))
        }
        other => panic!("no server with TLS is started for {other}: add it here"),
    };
    (server, config, path)
}

#[test]
fn who_cannot_prove_who_he_is_is_told_nothing() {
    let day = Duration::from_secs(86_400);
    std::thread::scope(|scope| {
        for binary in exporter::all() {
            scope.spawn(move || {
                let folder = TempFolder::new("tls");
                let (authority, other) = (Authority::new(&folder, "trusted"), Authority::new(&folder, "other"));
                let here: &[&str] = &["127.0.0.1", "localhost"];
                let ended = Some(SystemTime::now() - day);
                for (case, pair, refused) in [
                    ("right", authority.issue(&folder, "right", here), false),
                    ("of another authority", other.issue(&folder, "foreign", here), true),
                    ("self-signed", other.own(&folder, "own", here), true),
                    ("ended", authority.issue_until(&folder, "ended", here, ended), true),
                    ("for another name", authority.issue(&folder, "elsewhere", &["elsewhere.example"]), true),
                ] {
                    let name = binary.trim_start_matches("sage-").trim_end_matches("-exporter");
                    let (_server, config, path) = offered(name, &folder, &pair, &authority.file);
                    let file = folder.write("config.yml", &config);
                    let exporter = Exporter::start(&binary, &[&format!("--config.file={}", file.display())], &[]);
                    let page = exporter.page(&path);
                    let reasons: Vec<String> = ["sage_error", "probe_error_info"]
                        .iter()
                        .flat_map(|f| page.series(f))
                        .map(|s| s.labels["reason"].clone())
                        .collect();
                    let of_tls = reasons.iter().any(|reason| reason.starts_with("tls"));
                    assert_eq!(of_tls, refused, "{binary}, {case}: {reasons:?}\n{}", exporter.logs());
                    if refused {
                        // A prober has been answered, but not by whom it asked.
                        let verdict = if page.has("probe_success") { "probe_success" } else { "sage_up" };
                        assert_eq!(page.value(verdict, &[]), Some(0.0), "{binary}, {case}");
                    }
                    assert!(!tells(&exporter.logs()), "{binary}, {case}");
                }
            });
        }
    });
}
