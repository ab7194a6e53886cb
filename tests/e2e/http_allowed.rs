//! For whom a module with credentials may be used: a real server behind a password, others that are never connected to
//! however they are written, and the line that is named where the list is missing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::ErrorKind;
use std::net::TcpListener;

use e2e::exporter::{Exporter, run};
use e2e::probed::{BINARY, ask, why};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::TempFolder;
use e2e::watched::{CANARY, tells};

#[test]
fn a_password_is_shown_to_those_in_the_list_alone() {
    let server = "location = /in { if ($http_authorization !~ '^Basic ') { return 401; } return 200 'in'; }\n".to_owned();
    let (folder, server) = (TempFolder::new("allowed"), Nginx::start(&NginxOptions { server, ..NginxOptions::default() }));
    let password = folder.write_secret("password", CANARY);
    let trap = TcpListener::bind("0.0.0.0:0").unwrap();
    let (port, trap_port) = (server.address().port(), trap.local_addr().unwrap().port());
    let module = |name: &str, list: &str| {
        format!(
            "  {name}:\n    prober: http\n    allowed_targets: {list}\n    \
             http: {{preferred_ip_protocol: ip4, basic_auth: {{username: u, password_file: {}}}}}\n",
            password.display()
        )
    };
    let modules = [
        module("host", &format!("['127.0.0.1:{port}']")),
        module("network", &format!("[127.0.0.1/32, '.localhost:{port}']")),
        module("tls", &format!("['https://127.0.0.1', 'localhost:{port}']")),
    ];
    let file = format!("--config.file={}", folder.write("http.yml", &format!("modules:\n{}", modules.concat())).display());
    let exporter = Exporter::start(BINARY, &[&file, "--log.level=debug"], &[]);

    for (module, host) in
        [("host", "127.0.0.1"), ("host", "0x7f.1"), ("network", "localhost"), ("network", "2130706433"), ("tls", "LOCALHOST")]
    {
        let page = ask(&exporter, module, format!("http://{host}:{port}/in"));
        assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(1.0), None), "{module} {host}: {page:?}");
    }
    for (module, host, at) in [
        ("host", "127.0.0.1", trap_port),
        ("host", "127.0.0.2", port),
        ("host", "localhost", trap_port),
        ("host", "127.0.0.1.", trap_port),
        ("host", "[::ffff:127.0.0.1]", trap_port),
        ("network", "127.0.0.2", trap_port),
        ("network", "0", trap_port),
        ("tls", "127.0.0.1", trap_port),
        ("tls", "localhost", trap_port),
        ("tls", "127.0.0.1", port),
    ] {
        let page = ask(&exporter, module, format!("http://{host}:{at}/in"));
        assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(0.0), Some("target_not_allowed")), "{module} {host}: {page:?}");
        assert_eq!(page.value("sage_error", &[("collector", "probe"), ("reason", "forbidden")]), Some(1.0), "{module} {host}");
    }
    trap.set_nonblocking(true).unwrap();
    let came = trap.accept().map_err(|e| e.kind());
    assert!(matches!(came, Err(ErrorKind::WouldBlock)), "connected: {came:?}");

    let target = format!("--check.target=http://127.0.0.1:{trap_port}/");
    let told = run(BINARY, &["check", &target, "--check.module=host", &file], &[]);
    let out = String::from_utf8(told.stdout).unwrap();
    assert!(out.contains("forbidden") && out.contains("`allowed_targets`") && !tells(&out), "{out}");
    let logs = exporter.logs();
    assert!(logs.contains("the probe failed") && !tells(&logs), "{logs}");
}

#[test]
fn a_module_without_the_list_is_named_with_its_line_and_with_what_to_write() {
    let folder = TempFolder::new("unlisted");
    let text =
        "modules:\n  fine: {prober: http}\n  login:\n    prober: http\n    http:\n      basic_auth: {username: u, password_file: /x}\n";
    let path = folder.write("blackbox.yml", text);
    let told = run(BINARY, &["config", "validate", &format!("--config.file={}", path.display())], &[]);
    let text = String::from_utf8([told.stdout, told.stderr].concat()).unwrap();
    assert_eq!(told.status.code(), Some(1), "{text}");
    let place = format!("{}:6:7: module login: basic_auth would be shown", path.display());
    assert!(text.contains(&place) && text.contains("write `allowed_targets: [www.example.com"), "{text}");
}
