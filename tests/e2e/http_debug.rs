//! The page for people that `debug=true` gives, what it does not show, the name that `hostname=` gives to an address, and bodies
//! that a real server compresses by br.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use e2e::exporter::Exporter;
use e2e::http::encode;
use e2e::issuer::Authority;
use e2e::probed::{AMPLE, BINARY, ask, why};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::TempFolder;
use e2e::watched::{CANARY, scrape_at, tells};

#[test]
fn a_page_for_people_without_secrets() {
    let server = "location = /in { add_header Set-Cookie 'session=canary-cookie'; add_header X-Echo $http_authorization;\n\
                  return 302 /out?token=canary-query; }\nlocation = /out { return 404 'canary-body'; }\n";
    let (folder, server) = (TempFolder::new("debug"), Nginx::start(&NginxOptions { server: server.to_owned(), ..NginxOptions::default() }));
    let password = folder.write_secret("password", CANARY);
    let config = format!(
        "modules:\n  login:\n    prober: http\n    allowed_targets: [127.0.0.1]\n    http: {{preferred_ip_protocol: ip4, \
         headers: {{X-Api-Key: canary-key}}, basic_auth: {{username: u, password_file: {}}}}}\n",
        password.display()
    );
    let file = format!("--config.file={}", folder.write("http.yml", &config).display());
    let path = format!("/probe?debug=true&module=login&target={}", encode(&server.url("/in?key=canary-target")));
    let off = Exporter::start(BINARY, &[&file], &[]).get(&path);
    assert_eq!((off.status, off.text().contains("--probe.debug")), (403, true), "{}", off.text());

    let exporter = Exporter::start(BINARY, &[&file, "--probe.debug"], &[]);
    let page = exporter.get(&path);
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/plain; charset=utf-8")));
    let text = page.text();
    for part in [
        "Log of the probe:\n+0.",
        "connect to 127.0.0.1:",
        "GET http://127.0.0.1:",
        "authorization: <hidden>",
        "x-api-key: <hidden>",
        "HTTP/1.1 302; ",
        "set-cookie: <hidden>",
        "x-echo: <hidden>",
        "HTTP/1.1 404; ",
        "11 bytes of body",
        "the probe failed: the status is 404",
        "\nMetrics that it would have given:\n# HELP ",
        "\nprobe_success 0\n",
        "\nModule login, without secrets:\nprober: http\n",
        "X-Api-Key: <hidden>",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert!(!text.contains("canary") && !tells(&text), "{text}");
    let page = scrape_at(&exporter, &path.replace("debug=true", "debug=false"), AMPLE);
    assert_eq!(why(&page), Some("http_status"), "without it there are samples");
    for (path, status) in [("/probe?debug=true", 400), ("/probe?debug=true&module=none&target=x", 400), ("/metrics?debug=true", 200)] {
        assert_eq!(exporter.get(path).status, status, "{path}");
    }
}

#[test]
fn an_address_is_asked_in_the_name_of_a_host() {
    let folder = TempFolder::new("hostname");
    let authority = Authority::new(&folder, "authority");
    let server = "location = /who { return 200 $host; }\n".to_owned();
    let tls = Some(authority.issue(&folder, "named", &["named.example"]));
    let server = Nginx::start(&NginxOptions { server, tls, ..NginxOptions::default() });
    let http = format!(
        "http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}, fail_if_body_not_matches_regexp: ['^named.example$']}}",
        authority.file.display()
    );
    let config = format!(
        "modules:\n  open: {{prober: http, {http}}}\n  fenced: {{prober: http, allowed_targets: [127.0.0.1, named.example], {http}}}\n  \
         network: {{prober: http, allowed_targets: [127.0.0.0/8], {http}}}\n  \
         tcp: {{prober: tcp, tcp: {{preferred_ip_protocol: ip4, tls: true, tls_config: {{ca_file: {}}}}}}}\n  \
         own: {{prober: http, http: {{headers: {{Host: other.example}}}}}}\n",
        authority.file.display()
    );
    let file = format!("--config.file={}", folder.write("http.yml", &config).display());
    let exporter = Exporter::start(BINARY, &[&file], &[]);
    let path = |module: &str, target: &str, hostname: &str| {
        format!("/probe?module={module}&target={}&hostname={}", encode(target), encode(hostname))
    };
    let (plain, secure) = (server.url("/who"), server.tls_url("/who"));
    let address = secure.trim_start_matches("https://").trim_end_matches("/who").to_owned();
    for (module, target, hostname, reason) in [
        ("open", &plain, "named.example", None),
        ("open", &secure, "named.example", None),
        ("open", &plain, "", Some("content")),
        ("open", &secure, "other.example", Some("tls_name")),
        ("fenced", &secure, "NAMED.example", None),
        ("fenced", &secure, "other.example", Some("target_not_allowed")),
        ("network", &plain, "named.example", Some("target_not_allowed")),
        ("tcp", &address, "named.example", None),
        ("tcp", &address, "", Some("tls_name")),
    ] {
        let before = server.log().len();
        let page = scrape_at(&exporter, &path(module, target, hostname), AMPLE);
        assert_eq!(why(&page), reason, "{module} {target} {hostname}: {page:?}");
        if reason == Some("target_not_allowed") {
            assert_eq!(server.log().len(), before, "nothing was asked");
        }
    }
    for (module, hostname) in [("own", "named.example"), ("open", "a b"), ("open", "http://a/")] {
        let answer = exporter.get(&path(module, &plain, hostname));
        assert_eq!(answer.status, 400, "{module} {hostname}: {}", answer.text());
    }
}

#[test]
fn a_real_server_compresses_by_br() {
    let folder = TempFolder::new("br");
    let settings = "SetOutputFilter BROTLI_COMPRESS\n".to_owned();
    let server = Apache::start(&ApacheOptions { modules: vec!["brotli"], settings, ..ApacheOptions::default() });
    let rules = "fail_if_body_not_matches_regexp: [welcome], fail_if_header_not_matches: [{header: Content-Encoding, regexp: '^br$'}]";
    let config = format!("modules: {{br: {{prober: http, http: {{preferred_ip_protocol: ip4, compression: br, {rules}}}}}}}\n");
    let file = format!("--config.file={}", folder.write("http.yml", &config).display());
    let exporter = Exporter::start(BINARY, &[&file], &[]);
    let page = ask(&exporter, "br", server.url("/"));
    assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(1.0), None), "{page:?}");
}
