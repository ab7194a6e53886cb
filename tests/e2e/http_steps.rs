//! Steps and HTTP/2 against real servers: a log-in by cookie at nginx that redirects, a log-out that always runs, and no
//! secret in any output; HTTP/2 at Apache.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "test file")]

use e2e::exporter::{Exporter, run};
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::probed::{AMPLE, BINARY, ask, path};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::TempFolder;
use e2e::watched::{CANARY, scrape_at, tells};

/// A front that gives a cookie at /login to whoever shows the key, and an account to whoever shows the cookie.
fn front() -> Nginx {
    let server = "location = /login { if ($http_x_key !~ '^p@..w0rd') { return 403; }\nadd_header Set-Cookie 'session=s1; Path=/; HttpOnly';\n\
         return 302 /account; }\n\
         location = /account { default_type application/json; if ($http_cookie !~ 'session=s1') { return 401; }\n\
         return 200 '{\"user\": \"probe\", \"next\": \"/page/7\"}'; }\n\
         location = /page/7 { if ($http_cookie !~ 'session=s1') { return 401; } return 200 'page seven'; }\n\
         location = /logout { return 204; }\n";
    let server = server.to_owned();
    Nginx::start(&NginxOptions { server, ..NginxOptions::default() })
}

fn success(page: &Page, step: &str) -> Option<f64> {
    page.value("probe_step_success", &[("step", step)])
}

#[test]
fn a_log_in_a_page_behind_it_and_the_log_out() {
    let (folder, server) = (TempFolder::new("steps"), front());
    let key = folder.write_secret("key", CANARY);
    let wrong = folder.write_secret("wrong", "something else");
    let module = |name: &str, file: &std::path::Path| {
        format!(
            "  {name}:\n    prober: http\n    allowed_targets: ['127.0.0.1:{}']\n    http:\n      preferred_ip_protocol: ip4\n      secrets: {{key: {}}}\n      steps:\n        \
             - {{name: login, url: /login, headers: {{X-Key: '${{key}}'}}, capture: {{next: {{json: next}}}}, \
             expect: {{json: [{{path: user, regexp: '^probe$'}}]}}}}\n        \
             - {{name: page, url: '${{next}}', expect: {{regexp: [seven]}}}}\n        \
             - {{name: logout, url: /logout, always: true}}\n",
            server.address().port(),
            file.display()
        )
    };
    let text = format!("modules:\n{}{}", module("shop", &key), module("locked", &wrong));
    let file = format!("--config.file={}", folder.write("http.yml", &text).display());
    let exporter = Exporter::start(BINARY, &[&file, "--log.level=debug"], &[]);
    let ask = |module: &str| ask(&exporter, module, server.url("/"));

    let page = ask("shop");
    assert_eq!(page.value("probe_success", &[]), Some(1.0), "{page:?}");
    assert_eq!(["login", "page", "logout"].map(|step| success(&page, step)), [Some(1.0); 3], "{page:?}");
    assert!(page.value("probe_step_duration_seconds", &[("step", "page")]).unwrap() > 0.0);

    let page = ask("locked");
    assert_eq!(["login", "page", "logout"].map(|step| success(&page, step)), [Some(0.0), None, Some(1.0)], "{page:?}");
    assert_eq!(page.value("probe_step_error_info", &[("step", "login"), ("reason", "http_status")]), Some(1.0), "{page:?}");
    assert_eq!(page.value("probe_error_info", &[("reason", "http_status")]), Some(1.0));

    let shown = run(BINARY, &["print-config", &file], &[]);
    let pages = ["/", "/metrics"].map(|path| exporter.get(path).text());
    for text in pages.into_iter().chain([exporter.logs(), String::from_utf8(shown.stdout).unwrap()]) {
        assert!(!text.is_empty() && !tells(&text), "{text}");
    }
}

#[test]
fn http_2_at_apache() {
    let folder = TempFolder::new("http2");
    let authority = Authority::new(&folder, "authority");
    let tls = Some(authority.issue(&folder, "target", &["127.0.0.1"]));
    let settings = "Protocols h2 http/1.1\n".to_owned();
    let server = Apache::start(&ApacheOptions { modules: vec!["http2"], settings, tls, ..ApacheOptions::default() });
    let trust = format!("preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}", authority.file.display());
    let rules = "fail_if_body_not_matches_regexp: [welcome]";
    let text = format!(
        "modules:\n  two: {{prober: http, http: {{{trust}, {rules}, valid_http_versions: [HTTP/2.0]}}}}\n  \
         one: {{prober: http, http: {{{trust}, {rules}, enable_http2: false}}}}\n  \
         both: {{prober: http, http: {{{trust}, valid_http_versions: [HTTP/1.1]}}}}\n"
    );
    let exporter = Exporter::start(BINARY, &[&format!("--config.file={}", folder.write("http.yml", &text).display())], &[]);
    for (module, version, fine) in [("two", 2.0, 1.0), ("one", 1.1, 1.0), ("both", 2.0, 0.0)] {
        let path = path(module, server.tls_url("/"));
        let page = scrape_at(&exporter, &path, AMPLE);
        assert_eq!(
            (page.value("probe_http_version", &[]), page.value("probe_success", &[])),
            (Some(version), Some(fine)),
            "{module}: {page:?}"
        );
        let why = page.value("probe_error_info", &[("reason", "http_version")]);
        assert_eq!(why, (fine == 0.0).then_some(1.0), "{module}");
    }
}
