//! The grpc prober at gRPC's own server and health service: serving, not serving, a service that nobody knows, one that hangs, a
//! server without the health service; by TLS with a certificate of a test authority; and what is no gRPC server at all.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "test file")]

use e2e::exporter::{Exporter, run};
use e2e::issuer::Authority;
use e2e::page::Page;
use e2e::probed::{BINARY, ask};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::grpc::GrpcHealth;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::temp::TempFolder;
use e2e::watched::errors;

/// Success, the fine reason, the status of gRPC, and what the service says of itself.
fn verdict(page: &Page) -> (f64, Option<&str>, f64, Option<&str>) {
    let label = |name: &str, label: &str| {
        let found = page.series(name).into_iter().find(|sample| sample.value == 1.0);
        found.and_then(|sample| sample.labels.get(label)).map(String::as_str)
    };
    (
        page.value("probe_success", &[]).unwrap(),
        label("probe_error_info", "reason"),
        page.value("probe_grpc_status_code", &[]).unwrap(),
        label("probe_grpc_healthcheck_response", "serving_status"),
    )
}

fn module(name: &str, settings: &str) -> String {
    format!("  {name}: {{prober: grpc, timeout: 2s, grpc: {{preferred_ip_protocol: ip4, {settings}}}}}\n")
}

#[test]
fn a_real_health_service_and_what_is_none() {
    let folder = TempFolder::new("grpc");
    let modules = ["shop", "down", "slow", "tenant", "nobody"].map(|name| module(name, &format!("service: {name}")));
    let known = module("known", "service: tenant, metadata: {x-tenant: [a]}");
    let text = format!("modules:\n{}{}{known}", module("whole", ""), modules.concat());
    let file = format!("--config.file={}", folder.write("http.yml", &text).display());
    let exporter = Exporter::start(BINARY, &[&file], &[]);
    let mut server = GrpcHealth::start(None);
    for (module, wanted) in [
        ("whole", (1.0, None, 0.0, Some("SERVING"))),
        ("shop", (1.0, None, 0.0, Some("SERVING"))),
        ("down", (0.0, Some("not_serving"), 0.0, Some("NOT_SERVING"))),
        ("nobody", (0.0, Some("grpc_status"), 5.0, None)),
        ("tenant", (0.0, Some("grpc_status"), 7.0, None)),
        ("known", (1.0, None, 0.0, Some("SERVING"))),
        ("slow", (0.0, Some("first_byte_timeout"), 4.0, None)),
    ] {
        let page = ask(&exporter, module, server.address());
        assert_eq!(verdict(&page), wanted, "{module}: {page:?}\n{}", server.logs());
        let answered = if module == "slow" { 0.0 } else { 1.0 };
        assert_eq!((page.value("sage_up", &[]), page.value("probe_grpc_ssl", &[])), (Some(answered), Some(0.0)), "{module}");
    }
    let page = ask(&exporter, "whole", server.bare());
    assert_eq!(verdict(&page), (0.0, Some("grpc_status"), 12.0, None), "{page:?}");
    let told = run(BINARY, &["check", &file, "--check.module=whole", &format!("--check.target={}", server.bare())], &[]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("UNIMPLEMENTED"), "{told:?}");

    // Web servers: one that speaks HTTP/1.1 alone, and one that speaks HTTP/2, but no gRPC.
    let one = Nginx::start(&NginxOptions::default());
    let page = ask(&exporter, "whole", one.address());
    assert_eq!(verdict(&page), (0.0, Some("protocol"), 14.0, None), "{page:?}");
    let settings = "Protocols h2c http/1.1\n".to_owned();
    let two = Apache::start(&ApacheOptions { modules: vec!["http2"], settings, ..ApacheOptions::default() });
    let page = ask(&exporter, "whole", two.address());
    assert_eq!(verdict(&page), (0.0, Some("http_status"), 14.0, None), "{page:?}");

    server.stop();
    let page = ask(&exporter, "whole", server.address());
    assert_eq!((verdict(&page), errors(&page)["probe"].as_str()), ((0.0, Some("refused"), 14.0, None), "refused"));
}

#[test]
fn the_same_by_tls() {
    let folder = TempFolder::new("grpc-tls");
    let authority = Authority::new(&folder, "authority");
    let pair = authority.issue(&folder, "grpc", &["127.0.0.1"]);
    let trust = format!("tls: true, tls_config: {{ca_file: {}}}", authority.file.display());
    let modules = [
        module("trusted", &trust),
        module("down", &format!("service: down, {trust}")),
        module("stranger", "tls: true"),
        module("clear", ""),
    ];
    let file = format!("--config.file={}", folder.write("http.yml", &format!("modules:\n{}", modules.concat())).display());
    let exporter = Exporter::start(BINARY, &[&file], &[]);
    let server = GrpcHealth::start(Some(&pair));
    for (module, wanted) in [
        ("trusted", (1.0, None, 0.0, Some("SERVING"))),
        ("down", (0.0, Some("not_serving"), 0.0, Some("NOT_SERVING"))),
        ("stranger", (0.0, Some("tls_untrusted"), 14.0, None)),
    ] {
        let page = ask(&exporter, module, server.address());
        assert_eq!(verdict(&page), wanted, "{module}: {page:?}\n{}", server.logs());
        assert!(page.value("probe_ssl_earliest_cert_expiry", &[]).is_some_and(|end| end > 1.7e9), "{module}");
        assert_eq!(page.value("probe_grpc_ssl", &[]), Some(if module == "stranger" { 0.0 } else { 1.0 }), "{module}");
    }
    let page = ask(&exporter, "clear", server.address());
    assert_eq!(page.value("probe_success", &[]), Some(0.0), "{page:?}");
    // A server of gRPC without TLS.
    let page = ask(&exporter, "trusted", server.bare());
    assert_eq!(verdict(&page), (0.0, Some("tls_not_spoken"), 14.0, None), "{page:?}");
}
