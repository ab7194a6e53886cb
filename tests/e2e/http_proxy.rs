//! The prober behind a real forward proxy: Apache with mod_proxy_connect, which asks for a user and password.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "test file")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use e2e::exporter::{Exporter, run};
use e2e::http::encode;
use e2e::issuer::{Authority, Pair};
use e2e::page::Page;
use e2e::probed::{BINARY, ask};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, tells};

/// A forward proxy; what is asked for by the name `behind.example` is had from `remote`. With `users` it asks who is there.
fn proxy(remote: &str, users: Option<&str>) -> Apache {
    let mut modules = vec!["proxy", "proxy_http", "proxy_connect"];
    let access = match users {
        Some(file) => {
            modules.extend(["authn_file", "auth_basic", "authz_user"]);
            format!("AuthType Basic\nAuthName proxy\nAuthUserFile {file}\nRequire valid-user\n")
        }
        None => "Require all granted\n".to_owned(),
    };
    let settings =
        format!("ProxyRequests On\nAllowCONNECT 1-65535\nProxyRemote http://behind.example/ {remote}\n<Proxy \"*\">\n{access}</Proxy>\n");
    Apache::start(&ApacheOptions { modules, settings, ..ApacheOptions::default() })
}

fn reason(page: &Page) -> Option<&str> {
    page.series("probe_error_info").first().and_then(|sample| sample.labels.get("reason")).map(String::as_str)
}

fn success(page: &Page) -> Option<f64> {
    page.value("probe_success", &[])
}

/// Which proxy was used: who named it, and its scheme.
fn way(page: &Page) -> Option<(&str, &str)> {
    let labels = &page.series("probe_proxy_info").first()?.labels;
    Some((labels.get("source")?, labels.get("scheme")?))
}

/// A server by TLS whose certificate is for 127.0.0.1 and `behind.example`.
fn target(folder: &TempFolder) -> (Nginx, Authority) {
    let authority = Authority::new(folder, "authority");
    let pair: Pair = authority.issue(folder, "target", &["127.0.0.1", "behind.example"]);
    let server = "location = /inside { return 200 inside; }".to_owned();
    (Nginx::start(&NginxOptions { server, tls: Some(pair), ..NginxOptions::default() }), authority)
}

#[test]
fn connect_plain_and_exceptions_by_the_module() {
    let folder = TempFolder::new("proxy");
    let (server, authority) = target(&folder);
    let proxy = proxy(&server.url(""), None);
    let common = format!("preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}", authority.file.display());
    let text = format!(
        "modules:\n  by_proxy: {{prober: http, http: {{{common}, proxy_url: {url}, fail_if_body_not_matches_regexp: [inside]}}}}\n  \
         by_name: {{prober: http, http: {{{common}, proxy_url: {url}, skip_resolve_phase_with_proxy: true}}}}\n  \
         exempt: {{prober: http, http: {{{common}, proxy_url: {url}, no_proxy: '127.0.0.0/8'}}}}\n",
        url = proxy.url("")
    );
    let exporter = Exporter::start(BINARY, &[&format!("--config.file={}", folder.write("http.yml", &text).display())], &[]);
    for target in [server.url("/inside"), server.tls_url("/inside")] {
        let page = ask(&exporter, "by_proxy", &target);
        assert_eq!((success(&page), way(&page)), (Some(1.0), Some(("config", "http"))), "{target}: {page:?}");
        let connect = page.value("probe_phase_duration_seconds", &[("phase", "proxy_connect")]);
        assert_eq!(connect.is_some(), target.starts_with("https:"), "{target}");
        let page = ask(&exporter, "exempt", &target);
        assert_eq!((success(&page), way(&page)), (Some(1.0), Some(("direct", "none"))), "{target}");
    }
    let seen = server.log().join("\n");
    assert!(!seen.contains("CONNECT"), "{seen}");
    let page = ask(&exporter, "by_name", "http://behind.example/");
    assert_eq!((success(&page), page.value("probe_ip_protocol", &[])), (Some(1.0), None), "the proxy knows the name: {page:?}");
    let nobody = ask(&exporter, "by_proxy", format!("https://127.0.0.1:{}/", free_port()));
    assert_eq!((success(&nobody), reason(&nobody)), (Some(0.0), Some("proxy_failed")), "{nobody:?}");
    drop(proxy);
    let gone = ask(&exporter, "by_proxy", server.url("/"));
    assert_eq!((success(&gone), reason(&gone)), (Some(0.0), Some("proxy_refused")), "{gone:?}");
}

#[test]
fn the_proxy_wants_a_password_and_the_environment_names_it() {
    let folder = TempFolder::new("proxy");
    let (server, authority) = target(&folder);
    let hash = Command::new("openssl").args(["passwd", "-apr1", CANARY]).output().unwrap();
    let users = folder.write("users", &format!("prober:{}", String::from_utf8(hash.stdout).unwrap()));
    for (path, mode) in [(folder.path(), 0o755), (users.as_path(), 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let proxy = proxy(&server.url(""), Some(&users.display().to_string()));
    let password = folder.write_secret("password", CANARY);
    let trust = format!("preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}", authority.file.display());
    let text = format!(
        "modules:\n  without: {{prober: http, http: {{{trust}, proxy_url: {url}}}}}\n  \
         with: {{prober: http, http: {{{trust}, proxy_url: {url}, proxy_basic_auth: {{username: prober, password_file: {}}}}}}}\n  \
         environment: {{prober: http, http: {{{trust}, proxy_from_environment: true, skip_resolve_phase_with_proxy: true}}}}\n",
        password.display(),
        url = proxy.url(""),
    );
    let file = format!("--config.file={}", folder.write("http.yml", &text).display());
    let by_environment = format!("http://prober:{}@{}", encode(CANARY), proxy.address());
    let env = [("HTTP_PROXY", by_environment.as_str()), ("no_proxy", "off.example")];
    let exporter = Exporter::start(BINARY, &[&file, "--log.level=debug"], &env);
    for target in [server.url("/"), server.tls_url("/")] {
        let page = ask(&exporter, "without", &target);
        assert_eq!((success(&page), reason(&page)), (Some(0.0), Some("proxy_auth")), "{target}: {page:?}");
        let page = ask(&exporter, "with", &target);
        assert_eq!((success(&page), reason(&page)), (Some(1.0), None), "{target}: {page:?}");
        let page = ask(&exporter, "environment", &target);
        assert_eq!((success(&page), way(&page)), (Some(1.0), Some(("direct", "none"))), "this machine is exempt: {target}");
    }
    let page = ask(&exporter, "environment", "http://behind.example/");
    assert_eq!((success(&page), way(&page)), (Some(1.0), Some(("environment", "http"))), "{page:?}");
    let page = ask(&exporter, "environment", "http://off.example/");
    assert_eq!((success(&page), way(&page)), (Some(0.0), Some(("direct", "none"))), "{page:?}");
    let config = run(BINARY, &["print-config", &file], &env);
    let logs = exporter.logs();
    for text in [exporter.get("/").text(), exporter.get("/metrics").text(), logs.clone(), String::from_utf8(config.stdout).unwrap()] {
        assert!(!text.is_empty() && !tells(&text), "{text}");
    }
    assert!(logs.contains("proxy_auth") || logs.contains("407"), "{logs}");
}
