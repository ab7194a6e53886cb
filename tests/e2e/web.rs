//! The own port of a shipped exporter behind real TLS: curl, openssl and a real Prometheus as clients, guessers and
//! half-open clients as neighbours.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::exporter::{Exporter, run};
use e2e::http::{self, Connection};
use e2e::issuer::Authority;
use e2e::poll;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::temp::{TempFolder, free_port};
use serde_json::json;

const BINARY: &str = "sage-http-exporter";
const LIMIT: Duration = Duration::from_secs(60);
/// `s3cret-canary` under bcrypt with cost 10, made by libxcrypt.
const HASH: &str = "$2b$10$GjVc7loGCkcST3q9Qkm9nO9Lc3a9Pc2sRlv1OQKh.Ddwykxa5loFi";
const PASSWORD: &str = "s3cret-canary";
/// `prometheus:s3cret-canary`.
const RIGHT: (&str, &str) = ("Authorization", "Basic cHJvbWV0aGV1czpzM2NyZXQtY2FuYXJ5");

struct Answer {
    code: u32,
    /// `1.1` or `2`.
    version: String,
    head: String,
    body: String,
    /// What curl says when there is no answer.
    error: String,
}

/// Runs curl; a connection that fails is code 0.
fn curl(args: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--include", "--write-out", "\n%{http_code} %{http_version}"]);
    let Output { stdout, stderr, .. } = command.args(args).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let (page, last) = text.rsplit_once('\n').unwrap();
    let (code, version) = last.split_once(' ').unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((page, ""));
    Answer {
        code: code.parse().unwrap(),
        version: version.to_owned(),
        head: head.to_lowercase(),
        body: body.to_owned(),
        error: String::from_utf8(stderr).unwrap(),
    }
}

/// Starts the exporter with this web configuration and waits until it takes connections.
fn start(web: &Path, args: &[&str]) -> Exporter {
    let web = format!("--web.config.file={}", web.display());
    let mut exporter = Exporter::launch(BINARY, &[&[web.as_str()], args].concat(), &[]);
    poll::until("the exporter listens", LIMIT, || {
        assert!(exporter.ended().is_none(), "{}", exporter.logs());
        TcpStream::connect(exporter.address()).is_ok().then_some(())
    });
    exporter
}

fn https(exporter: &Exporter, path: &str) -> String {
    format!("https://localhost:{}{path}", exporter.address().port())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A connection of `--resolve`: curl asks IPv4 alone, as the exporter listens there.
const IPV4: &str = "--ipv4";

#[test]
fn tls_init_makes_all_that_prometheus_needs() {
    let folder = TempFolder::new("init");
    let at = |name: &str| folder.join(name).display().to_string();
    let init = |args: &[&str]| run(BINARY, &[&["tls-init", "--directory", folder.path().to_str().unwrap()], args].concat(), &[]);
    let made = init(&["--name", "exporter.example"]);
    let (told, err) = (text(made.stdout), text(made.stderr));
    assert!(made.status.success() && err.is_empty(), "{told}{err}");
    let password = told.split_once("shown this once: ").and_then(|(_, rest)| rest.lines().next()).unwrap().to_owned();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("web.key"), mode("web.yml"), mode("web.crt")), (0o600, 0o600, 0o644));
    assert!(!fs::read_to_string(folder.join("web.yml")).unwrap().contains(&password));
    let shown = text(Command::new("openssl").args(["x509", "-noout", "-text", "-in", &at("web.crt")]).output().unwrap().stdout);
    for name in ["DNS:localhost", "DNS:exporter.example", "IP Address:127.0.0.1", "TLS Web Server Authentication"] {
        assert!(shown.contains(name), "{name}: {shown}");
    }
    // A second time nothing is touched.
    let before = fs::read(folder.join("web.key")).unwrap();
    let again = init(&[]);
    assert_eq!((again.status.code(), text(again.stdout).as_str()), (Some(1), ""));
    assert!(text(again.stderr).contains("web.key is there already and is not overwritten"));
    assert_eq!(fs::read(folder.join("web.key")).unwrap(), before);

    let public = format!("--web.listen-address=0.0.0.0:{}", free_port());
    let exporter = start(&folder.join("web.yml"), &[&public, "--log.level=debug"]);
    let (ca, user) = (at("web.crt"), format!("prometheus:{password}"));
    let ask = |path: &str, args: &[&str]| curl(&[&[IPV4, "--cacert", &ca, &https(&exporter, path)], args].concat());
    let page = ask("/metrics", &["--user", &user]);
    assert!(page.code == 200 && page.version == "2" && page.body.contains("\nsage_web_config_last_reload_success 1\n"), "{}", page.error);
    assert!(page.body.contains("\nsage_web_certificate_not_after_timestamp_seconds "), "{}", page.body);
    assert_eq!(ask("/metrics", &["--user", &user, "--http1.1"]).version, "1.1");
    for (path, args) in
        [("/metrics", &[][..]), ("/metrics", &["--user", "prometheus:wrong"]), ("/", &[]), ("/-/ready", &[]), ("/nothing", &[])]
    {
        let refused = ask(path, args);
        assert_eq!((refused.code, refused.body.as_str()), (401, "unauthorized\n"), "{path} {args:?}");
        assert!(refused.head.contains("www-authenticate: basic realm=\"metrics\""), "{}", refused.head);
    }
    assert_eq!(ask("/-/healthy", &[]).code, 200);
    assert_eq!((ask("/", &["--user", &user]).code, ask("/nothing", &["--user", &user]).code), (200, 404));
    assert!(curl(&[IPV4, &https(&exporter, "/metrics")]).error.contains("certificate"), "a certificate that nobody signed");

    // The job that tls-init printed, with its files where they are here.
    let file = folder.write_secret("password", &password);
    for line in ["scheme: https", "basic_auth:", "username: prometheus", "password_file: ", "ca_file: ", "job_name: http", ":9115']"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let job = |name: &str, access| Job {
        name: name.to_owned(),
        address: format!("localhost:{}", exporter.address().port()),
        access,
        ..Job::default()
    };
    let good =
        json!({ "scheme": "https", "basic_auth": { "username": "prometheus", "password_file": file }, "tls_config": { "ca_file": ca } });
    let stranger = json!({ "scheme": "https", "tls_config": { "ca_file": ca } });
    let prometheus =
        Prometheus::start(&PrometheusOptions { jobs: vec![job("good", good), job("stranger", stranger)], ..PrometheusOptions::default() });
    poll::until("Prometheus scrapes by TLS with a password", LIMIT, || {
        (prometheus.query("sage_build_info{job=\"good\"}").len() == 1 && prometheus.query("up{job=\"stranger\"} == 0").len() == 1)
            .then_some(())
    });
    let logs = exporter.logs();
    assert!(!logs.contains(&password) && !logs.contains("$2y$"), "{logs}");
}

#[test]
fn prometheus_shows_its_certificate() {
    let folder = TempFolder::new("clients");
    let (ours, theirs) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other-ca"));
    ours.issue(&folder, "web", &["localhost"]);
    let (client, nobody) = (ours.issue(&folder, "client", &["prometheus.example"]), ours.issue(&folder, "nobody", &["nobody.example"]));
    let stranger = theirs.issue(&folder, "stranger", &["prometheus.example"]);
    let web = folder.write_secret(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n  min_version: TLS13\n  client_auth_type: RequireAndVerifyClientCert\n  \
             client_ca_file: ca.crt\n  client_allowed_sans: [prometheus.example]\nhttp_server_config:\n  http2: false\n  \
             headers: {{Strict-Transport-Security: max-age=31536000}}\nbasic_auth_users:\n  prometheus: {HASH}\n"
        ),
    );
    let exporter = start(&web, &[]);
    let ca = ours.file.display().to_string();
    let user = format!("prometheus:{PASSWORD}");
    let with = |pair: &e2e::issuer::Pair, more: &[&str]| {
        let (crt, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
        curl(&[&[IPV4, "--cacert", &ca, "--cert", &crt, "--key", &key, "--user", &user, &https(&exporter, "/metrics")], more].concat())
    };
    let page = with(&client, &["--http2"]);
    assert_eq!((page.code, page.version.as_str()), (200, "1.1"), "{}", page.error);
    assert!(page.head.contains("strict-transport-security: max-age=31536000"), "{}", page.head);
    for (pair, why) in [(&nobody, "a name that is not allowed"), (&stranger, "an authority that is not ours")] {
        assert_eq!(with(pair, &[]).code, 0, "{why}");
    }
    assert_eq!(curl(&[IPV4, "--cacert", &ca, "--user", &user, &https(&exporter, "/metrics")]).code, 0, "no certificate");
    assert_eq!(with(&client, &["--tls-max", "1.2"]).code, 0, "TLS 1.2");
    assert_eq!(with(&client, &["--user", "prometheus:other"]).code, 401);

    let file = folder.write_secret("password", PASSWORD);
    let job = |name: &str, pair: &e2e::issuer::Pair| Job {
        name: name.to_owned(),
        address: format!("localhost:{}", exporter.address().port()),
        access: json!({
            "scheme": "https",
            "basic_auth": { "username": "prometheus", "password_file": file },
            "tls_config": { "ca_file": ca, "cert_file": pair.certificate, "key_file": pair.key },
        }),
        ..Job::default()
    };
    let jobs = vec![job("client", &client), job("nobody", &nobody)];
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, ..PrometheusOptions::default() });
    poll::until("Prometheus scrapes with its certificate, and with no other", LIMIT, || {
        (prometheus.query("up{job=\"client\"} == 1").len() == 1 && prometheus.query("up{job=\"nobody\"} == 0").len() == 1).then_some(())
    });
}

#[test]
fn changes_are_taken_and_bad_ones_are_told() {
    let folder = TempFolder::new("reload");
    let authority = Authority::new(&folder, "ca");
    authority.issue(&folder, "web", &["localhost"]);
    let tls = "tls_server_config: {cert_file: web.crt, key_file: web.key}\n";
    let web = folder.write_secret("web.yml", tls);
    let exporter = start(&web, &[]);
    let ca = authority.file.display().to_string();
    let ask = |args: &[&str]| curl(&[&[IPV4, "--cacert", &ca, &https(&exporter, "/metrics")], args].concat());
    let says = |args: &[&str], line: &str| ask(args).body.contains(&format!("\n{line}\n"));
    let serial = || {
        let connect = format!("localhost:{}", exporter.address().port());
        let mut client = Command::new("openssl");
        client.args(["s_client", "-4", "-connect", &connect]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let shown = client.output().unwrap().stdout;
        let mut read =
            Command::new("openssl").args(["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        read.stdin.take().unwrap().write_all(&shown).unwrap();
        text(read.wait_with_output().unwrap().stdout)
    };
    let first = serial();
    assert!(first.starts_with("serial=") && says(&[], "sage_web_config_last_reload_success 1"), "{first}");

    // A renewed certificate is served without a restart.
    authority.issue(&folder, "web", &["localhost"]);
    poll::until("the new certificate is served", LIMIT, || (serial() != first).then_some(()));
    let second = serial();
    assert_eq!(ask(&[]).code, 200);

    // A key that does not fit, a file that cannot be read, one that makes no sense: the last good one stays, and is told.
    let key = fs::read_to_string(folder.join("web.key")).unwrap();
    let other = authority.issue(&folder, "other", &["localhost"]);
    for (break_it, mend_it, why) in [
        (("web.key", fs::read_to_string(&other.key).unwrap()), ("web.key", key.clone()), "the key does not belong to the certificate"),
        (("web.yml", "tls_server: {}\n".to_owned()), ("web.yml", tls.to_owned()), "did you mean `tls_server_config`?"),
        (("web.yml", "basic_auth_users: {a: canary}\n".to_owned()), ("web.yml", tls.to_owned()), "is not a bcrypt hash"),
    ] {
        folder.write(break_it.0, &break_it.1);
        poll::until(why, LIMIT, || says(&[], "sage_web_config_last_reload_success 0").then_some(()));
        assert_eq!(serial(), second, "{why}");
        assert!(
            exporter.logs().contains(why) && exporter.logs().contains("the last good one stays in force"),
            "{why}: {}",
            exporter.logs()
        );
        folder.write(mend_it.0, &mend_it.1);
        poll::until("the mended one is taken", LIMIT, || says(&[], "sage_web_config_last_reload_success 1").then_some(()));
    }
    assert!(!exporter.logs().contains("canary"), "{}", exporter.logs());

    // A password holds for connections that are open already, too.
    let plain = TempFolder::new("plain");
    let web = plain.write_secret("web.yml", "http_server_config: {}\n");
    let open = start(&web, &[]);
    let mut kept = Connection::open(open.address(), LIMIT).unwrap();
    assert_eq!(kept.send("GET", "/metrics", &[], LIMIT).unwrap().status, 200);
    plain.write("web.yml", &format!("basic_auth_users: {{prometheus: {HASH}}}\n"));
    poll::until("the password is asked for", LIMIT, || (open.get("/metrics").status == 401).then_some(()));
    let answer = kept.send("GET", "/metrics", &[], LIMIT);
    assert!(answer.map_or(true, |answer| answer.status == 401), "the old connection goes on without a password");
    assert_eq!(open.get_with("/metrics", &[RIGHT]).status, 200);
}

#[test]
fn other_machines_are_kept_out_unless_told_otherwise() {
    let public = format!("--web.listen-address=0.0.0.0:{}", free_port());
    let folder = TempFolder::new("public");
    let authority = Authority::new(&folder, "ca");
    authority.issue(&folder, "web", &["localhost"]);
    let web = |name: &str, text: &str| format!("--web.config.file={}", folder.write_secret(name, text).display());
    let tls = "tls_server_config: {cert_file: web.crt, key_file: web.key}\n";
    let users = format!("basic_auth_users: {{prometheus: {HASH}}}\n");
    let (only_tls, only_users) = (web("tls.yml", tls), web("users.yml", &users));
    for (args, missing) in [
        (vec![public.as_str()], "without TLS and password"),
        (vec![&public, &only_tls], "without a password or client certificate"),
        (vec![&public, &only_users], "without TLS, so that the password can be read"),
    ] {
        let ended = run(BINARY, &args, &[]);
        let err = text(ended.stderr);
        assert_eq!((ended.status.code(), err.contains(missing)), (Some(2), true), "{err}");
        assert!(err.contains("hint: `tls-init`") && err.contains("--web.insecure"), "{err}");
    }
    let mut told = Exporter::start(BINARY, &[&public, "--web.insecure"], &[]);
    assert!(told.logs().contains("--web.insecure: other machines may read"), "{}", told.logs());
    assert!(told.stop().success());

    // What was enough at the start is not taken away by a change.
    let file = folder.write_secret("web.yml", &format!("{tls}{users}"));
    let exporter = start(&file, &[&public]);
    folder.write("web.yml", tls);
    poll::until("the change is refused", LIMIT, || {
        exporter.logs().contains("other machines reach this port, without a password or client certificate").then_some(())
    });
    let ca = authority.file.display().to_string();
    assert_eq!(curl(&[IPV4, "--cacert", &ca, &https(&exporter, "/metrics")]).code, 401);
}

#[test]
fn each_bad_web_configuration_is_refused_with_its_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/config-tests/web");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read_to_string(&path).unwrap();
        let flag = format!("--web.config.file={}", path.display());
        let ended = run(BINARY, &["config", "validate", &flag], &[]);
        let (out, err) = (text(ended.stdout), text(ended.stderr));
        if path.file_name().unwrap().to_str().unwrap().starts_with("valid-") {
            assert_eq!((ended.status.code(), out.as_str()), (Some(0), "the configuration is valid\n"), "{err}");
            continue;
        }
        // Messages that name a file beside it name it as it was found.
        let expect = content.lines().find_map(|line| line.strip_prefix("# expect: ")).unwrap();
        let expect = expect.replace("config-tests/web", folder.to_str().unwrap());
        assert!(ended.status.code() == Some(1) && out.is_empty() && err.contains(&expect), "{}: {err}", path.display());
        assert!(!err.contains("canary"), "{err}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    // `run` refuses as well, before it takes a port.
    let flag = format!("--web.config.file={}", folder.join("invalid-password-plain.yml").display());
    let ended = run(BINARY, &[&flag], &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", text(ended.stderr));
}

/// A file with one user and no TLS, for loopback.
fn password_only(folder: &TempFolder, more: &str) -> std::path::PathBuf {
    folder.write_secret("web.yml", &format!("basic_auth_users: {{prometheus: {HASH}}}\n{more}"))
}

fn basic(user: &str, password: &str) -> String {
    let out = Command::new("sh").args(["-c", r#"printf %s "$1" | base64 -w0"#, "sh", &format!("{user}:{password}")]).output().unwrap();
    format!("Basic {}", text(out.stdout))
}

#[test]
fn guessers_gain_nothing_and_cost_little() {
    let folder = TempFolder::new("guess");
    let exporter = start(&password_only(&folder, ""), &[]);
    let address = exporter.address();
    // One that is known and one that is not take the same work.
    let timed = |user: &str, guess: usize| {
        let header = basic(user, &format!("guess {guess}"));
        let answer = http::get(address, "/metrics", &[("Authorization", &header)], LIMIT).unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        answer.elapsed
    };
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for guess in 0..4 {
        known.push(timed("prometheus", guess));
        unknown.push(timed("nobody", guess));
    }
    known.sort();
    unknown.sort();
    let (known, unknown) = (known[1], unknown[1]);
    println!("a wrong password takes {known:?} for a known and {unknown:?} for an unknown user");
    assert!(known < unknown * 3 && unknown < known * 3, "{known:?} for a known, {unknown:?} for an unknown user");

    let scrape = || {
        let answer = http::get(address, "/metrics", &[RIGHT], LIMIT).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.elapsed
    };
    scrape();
    let alone = (0..20).map(|_| scrape()).max().unwrap();
    let (stop, refused, later) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    let cpu = exporter.cpu_seconds();
    let mut honest = Vec::new();
    thread::scope(|scope| {
        for guesser in 0..8 {
            let (stop, refused, later) = (&stop, &refused, &later);
            scope.spawn(move || {
                for guess in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let header = basic("prometheus", &format!("{guesser} {guess}"));
                    // One that is turned away for want of room has tried nothing.
                    match http::get(address, "/metrics", &[("Authorization", &header)], LIMIT).map(|answer| answer.status) {
                        Ok(401) => refused.fetch_add(1, Ordering::Relaxed),
                        Ok(429) => later.fetch_add(1, Ordering::Relaxed),
                        Ok(other) => panic!("{other}"),
                        Err(_) => 0,
                    };
                }
            });
        }
        poll::until("guesses are turned away", LIMIT, || (later.load(Ordering::Relaxed) > 500).then_some(()));
        for _ in 0..50 {
            honest.push(scrape());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (took, tried) = (begun.elapsed(), refused.load(Ordering::Relaxed));
    let cpu = exporter.cpu_seconds() - cpu;
    honest.sort();
    println!(
        "{took:?}: {tried} guesses were tried, {} turned away, CPU {cpu:.2} s; an honest scrape: {:?} median, {:?} at most, {alone:?} alone",
        later.load(Ordering::Relaxed),
        honest[25],
        honest[49]
    );
    // Ten at once and one each six seconds from an address: the work is bounded whatever is sent.
    assert!(tried <= 11 + took.as_secs() as usize / 6, "{tried} in {took:?}");
    assert!(honest[25] < alone + Duration::from_millis(100), "{:?}, {alone:?} alone", honest[25]);
    let page = exporter.get_with("/metrics", &[RIGHT]).text();
    assert!(page.contains("sage_http_requests_total{code=\"401\"} ") && page.contains("sage_http_requests_total{code=\"429\"} "), "{page}");
    assert!(!exporter.logs().contains("guess") && !exporter.logs().contains(PASSWORD), "{}", exporter.logs());
}

#[test]
fn the_rate_is_limited_as_the_file_says() {
    let folder = TempFolder::new("rate");
    let exporter = start(&password_only(&folder, "rate_limit: {interval: 1h, burst: 3}\n"), &[]);
    // Who is not let in takes nobody's share.
    for _ in 0..5 {
        assert_eq!(exporter.get("/metrics").status, 401);
    }
    let codes: Vec<u16> = (0..5).map(|_| exporter.get_with("/metrics", &[RIGHT]).status).collect();
    assert_eq!(codes, [200, 200, 200, 429, 429]);
    assert_eq!(exporter.get_with("/metrics", &[RIGHT]).header("Retry-After"), Some("10"));
    assert_eq!(exporter.get("/-/healthy").status, 200);
}

/// Says half of something on `count` connections.
fn half_open(exporter: &Exporter, count: usize, half: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(exporter.address()).unwrap();
        // One that was turned away at once may refuse these bytes already.
        let _ = stream.write_all(half);
        stream
    };
    (0..count).map(connect).collect()
}

/// Waits until the exporter has closed a connection.
fn wait_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut rest = Vec::new();
    if let Err(e) = stream.read_to_end(&mut rest) {
        assert_eq!(e.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn five_hundred_half_open_clients_cost_a_scrape_nothing() {
    let folder = TempFolder::new("halves");
    let authority = Authority::new(&folder, "ca");
    authority.issue(&folder, "web", &["localhost"]);
    let tls = folder.write_secret("tls.yml", "tls_server_config: {cert_file: web.crt, key_file: web.key}\n");
    let ca = authority.file.display().to_string();
    // The beginning of a ClientHello, and of a request.
    let few = "--web.max-requests=64";
    for (exporter, half) in
        [(start(&tls, &[few]), &b"\x16\x03\x01\x02\x00\x01"[..]), (Exporter::start(BINARY, &[few], &[]), b"GET /metrics HTTP/1.1\r\nHo")]
    {
        let is_tls = half[0] == 0x16;
        let scrape = || {
            let begun = Instant::now();
            if is_tls {
                assert_eq!(curl(&[IPV4, "--cacert", &ca, &https(&exporter, "/metrics")]).code, 200);
            } else {
                assert_eq!(exporter.get("/metrics").status, 200);
            }
            begun.elapsed()
        };
        let median = || {
            let mut took: Vec<_> = (0..9).map(|_| scrape()).collect();
            took.sort();
            took[4]
        };
        let alone = median();
        poll::until("it is idle", LIMIT, || (exporter.open_fds() < 30).then_some(()));
        let before = exporter.open_fds();
        let begun = Instant::now();
        let mut halves = half_open(&exporter, 500, half);
        let beside = median();
        println!("{} a scrape takes {alone:?} alone, {beside:?} beside 500 half-open clients", if is_tls { "TLS:" } else { "plain:" });
        assert!(beside < alone + Duration::from_millis(100), "{alone:?} alone, {beside:?} beside");
        assert!(exporter.open_fds() <= before + 65, "{} descriptors, {before} before", exporter.open_fds());
        halves.iter_mut().for_each(wait_closed);
        assert!(begun.elapsed() < Duration::from_secs(15), "the last one was closed after {:?}", begun.elapsed());
        poll::until("the descriptors are free again", LIMIT, || (exporter.open_fds() <= before).then_some(()));
    }
}

#[test]
fn a_kept_connection_outlives_those_that_say_nothing() {
    let exporter = Exporter::start(BINARY, &[], &[]);
    let mut kept = Connection::open(exporter.address(), LIMIT).unwrap();
    let status = |kept: &mut Connection| kept.send("GET", "/metrics", &[], LIMIT).unwrap().status;
    assert_eq!(status(&mut kept), 200);
    let begun = Instant::now();
    // Two that say nothing are closed one after the other: so the kept one is silent for longer than they may be.
    for _ in 0..2 {
        let mut silent = TcpStream::connect(exporter.address()).unwrap();
        wait_closed(&mut silent);
    }
    assert!(begun.elapsed() >= Duration::from_secs(9), "closed after {:?}", begun.elapsed());
    assert_eq!(status(&mut kept), 200);
    // A later header has its five seconds, too, and drips do not stretch them.
    let mut slow = TcpStream::connect(exporter.address()).unwrap();
    slow.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    assert!(slow.read(&mut answer).unwrap() > 0);
    let begun = Instant::now();
    slow.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let closed = poll::within(Duration::from_secs(20), || {
        let _ = slow.write_all(b"X");
        match slow.read(&mut answer) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            _ => Some(()),
        }
    });
    assert!(closed.is_some() && begun.elapsed() < Duration::from_secs(8), "after {:?}", begun.elapsed());
}

#[test]
fn a_running_scrape_by_tls_ends_before_the_exporter_does() {
    let folder = TempFolder::new("stop");
    let authority = Authority::new(&folder, "ca");
    authority.issue(&folder, "web", &["localhost"]);
    let web = folder.write_secret("web.yml", "tls_server_config: {cert_file: web.crt, key_file: web.key}\n");
    let mut exporter = start(&web, &[]);
    // A target that takes the connection and says nothing keeps the probe busy until its deadline.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = https(&exporter, &format!("/probe?target={}", silent.local_addr().unwrap()));
    let ca = authority.file.display().to_string();
    let scraping = thread::spawn(move || curl(&[IPV4, "--cacert", &ca, "--header", "X-Prometheus-Scrape-Timeout-Seconds: 3", &url]));
    let _asked = silent.accept().unwrap();
    let begun = Instant::now();
    assert!(exporter.stop().success(), "{}", exporter.logs());
    let answer = scraping.join().unwrap();
    assert!(answer.code == 200 && answer.body.contains("\nprobe_success 0\n"), "{} {}", answer.code, answer.error);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
