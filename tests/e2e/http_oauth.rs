//! A target behind tokens: NGINX asks a token server about each one, which gives them to the probe by client credentials over
//! TLS of its own authority; a token that is taken back, a client that is not known, and no secret in any output.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use e2e::exporter::{Exporter, run};
use e2e::issuer::Authority;
use e2e::probed::{BINARY, ask, why};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::token::TokenServer;
use e2e::temp::TempFolder;

/// probe:s3cret
const CLIENT: &str = "Basic cHJvYmU6czNjcmV0";

#[test]
fn a_target_behind_tokens() {
    let (folder, tokens) = (TempFolder::new("oauth"), TokenServer::start(CLIENT));
    let authority = Authority::new(&folder, "authority");
    let server = format!(
        "location = /token {{ proxy_pass http://{0}; }}\n\
         location = /check {{ internal; proxy_pass http://{0}/check; proxy_pass_request_body off; proxy_set_header Content-Length ''; }}\n\
         location = /api {{ auth_request /check; default_type text/plain; try_files /x @in; }}\nlocation @in {{ return 200 'in'; }}\n",
        tokens.address()
    );
    let tls = Some(authority.issue(&folder, "front", &["127.0.0.1"]));
    let front = Nginx::start(&NginxOptions { server, tls, ..NginxOptions::default() });
    let (right, wrong) = (folder.write_secret("right", "s3cret\n"), folder.write_secret("wrong", "other\n"));
    let module = |name: &str, secret: &std::path::Path, trust: &str| {
        format!(
            "  {name}:\n    prober: http\n    allowed_targets: ['{}']\n    http:\n      preferred_ip_protocol: ip4\n      \
             oauth2: {{client_id: probe, client_secret_file: {}, token_url: '{}', scopes: [read]{trust}}}\n",
            front.address(),
            secret.display(),
            front.tls_url("/token")
        )
    };
    let trust = format!(", tls_config: {{ca_file: {}}}", authority.file.display());
    let modules = [module("api", &right, &trust), module("stranger", &wrong, &trust), module("untrusted", &right, "")].concat();
    let file = format!("--config.file={}", folder.write("http.yml", &format!("modules:\n{modules}")).display());
    let exporter = Exporter::start(BINARY, &[&file, "--log.level=debug"], &[]);
    let ask = |module: &str| ask(&exporter, module, front.url("/api"));

    let page = ask("api");
    assert_eq!((page.value("probe_success", &[]), tokens.issued()), (Some(1.0), 1), "{page:?}");
    assert!(page.value("probe_phase_duration_seconds", &[("phase", "token")]).is_some(), "{page:?}");
    let page = ask("api");
    assert_eq!((page.value("probe_success", &[]), tokens.issued()), (Some(1.0), 1), "the token is kept");
    tokens.revoke();
    let page = ask("api");
    assert_eq!((page.value("probe_success", &[]), tokens.issued()), (Some(1.0), 2), "another one is asked for: {page:?}");
    for (module, reason) in [("stranger", "token_refused"), ("untrusted", "token_failed")] {
        let page = ask(module);
        assert_eq!((page.value("probe_success", &[]), why(&page)), (Some(0.0), Some(reason)), "{page:?}");
    }

    let target = format!("--check.target={}", front.url("/api"));
    let mut shown = exporter.logs() + &exporter.get("/").text() + &exporter.get("/metrics").text();
    for args in [vec!["print-config", &file], vec!["check", "--check.module=stranger", &target, &file, "--log.level=debug"]] {
        let told = run(BINARY, &args, &[]);
        shown += &String::from_utf8([told.stdout, told.stderr].concat()).unwrap();
    }
    assert!(shown.contains("invalid_client") && shown.contains("client_secret_file"), "{shown}");
    for secret in ["s3cret", "secret-token", "cHJvYmU6"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
