//! The usual mistakes, each made for real: what is said of it, the line to run, and the number to look up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::exporter::{Exporter, run};
use e2e::poll;
use e2e::servers::postgres::PostgresOptions;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, MONITOR, server, tells};

const POSTGRES: &str = "sage-postgres-exporter";
const REDIS: &str = "sage-redis-exporter";
const HTTP: &str = "sage-http-exporter";

/// Makes the mistake and looks for all of `wants` in what is said; the last one is the number.
#[track_caller]
fn told(binary: &str, args: &[&str], env: &[(&str, &str)], wants: &[&str]) {
    let ended = run(binary, args, env);
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success(), "{args:?} is no mistake:\n{said}");
    for want in wants {
        assert!(said.contains(want), "{args:?}: {want:?} is not in\n{said}");
    }
    assert!(said.contains("hint: ") || said.contains("tip: "), "{args:?}: there is no hint in\n{said}");
    assert!(!tells(&said), "{said}");
    if let Some(code) = wants.last().filter(|want| want.starts_with("SG-")) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        assert!(fs::read_to_string(page).unwrap().contains(&format!("## {code}\n")), "{code} is not in docs/errors.md");
    }
}

#[test]
fn logins_at_postgresql() {
    let server = server(PostgresOptions::default());
    server.psql("CREATE ROLE closed NOLOGIN PASSWORD 'x'; CREATE ROLE small LOGIN PASSWORD 'x'").unwrap();
    let port = server.port().to_string();
    let at = |user: &'static str, password: &'static str, more: &[(&'static str, &'static str)]| {
        let mut env = vec![("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", user), ("PGPASSWORD", password)];
        env.extend(more);
        env
    };
    let no_password = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", MONITOR)];
    let check = ["check"];
    told(POSTGRES, &check, &at(MONITOR, "wrong", &[]), &["password authentication failed", "ALTER ROLE ... PASSWORD", "SG-0305"]);
    told(POSTGRES, &check, &no_password, &["password_file, or DATA_SOURCE_PASS_FILE", "SG-0305"]);
    told(POSTGRES, &check, &at("closed", "x", &[]), &["pg_hba.conf and ALTER ROLE ... LOGIN", "SG-0305"]);
    told(POSTGRES, &check, &at(MONITOR, CANARY, &[("PGDATABASE", "nothing")]), &["database that exists", "SG-0314"]);
    told(POSTGRES, &check, &at("small", "x", &[]), &["GRANT pg_monitor", "SG-0306"]);
    let folder = TempFolder::new("hints");
    let open = folder.write("open", CANARY);
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let file = format!("--postgres.password-file={}", open.display());
    told(POSTGRES, &["check", &file], &no_password, &["every user of this machine", &format!("chmod 640 {}", open.display()), "SG-0305"]);
    told(POSTGRES, &["check", "--postgres.password-file=/nowhere/x"], &no_password, &["/nowhere/x", "ls -l /nowhere/x", "SG-0305"]);
    let closed = free_port().to_string();
    told(POSTGRES, &check, &[("PGHOST", "127.0.0.1"), ("PGPORT", &closed)], &["nobody listens there", "SG-0302"]);
    told(POSTGRES, &check, &[("PGHOST", "nowhere.invalid")], &["getent hosts nowhere.invalid", "SG-0301"]);
}

#[test]
fn logins_at_redis() {
    let settings = ["requirepass right", "user small on >x ~* -@all +ping +hello +auth +client"].map(str::to_owned).to_vec();
    let server = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
    let address = format!("--redis.addr=redis://127.0.0.1:{}", server.port());
    let check = ["check", address.as_str()];
    told(REDIS, &check, &[], &["REDIS_PASSWORD_FILE or password_file", "SG-0305"]);
    told(REDIS, &check, &[("REDIS_PASSWORD", "wrong")], &["ACL LIST", "SG-0305"]);
    told(REDIS, &check, &[("REDIS_USER", "small"), ("REDIS_PASSWORD", "x")], &["ACL SETUSER", "SG-0306"]);
}

#[test]
fn files_and_flags() {
    let folder = TempFolder::new("hints");
    let with = |text: &str| format!("--config.file={}", folder.write("c.yml", text).display());
    let validate = |text: &str, wants: &[&str]| told(POSTGRES, &["config", "validate", &with(text)], &[], wants);
    told(
        POSTGRES,
        &["config", "validate", "--config.file=/nowhere.yml"],
        &[],
        &["/nowhere.yml: No such file", "ls -l /nowhere.yml", "SG-0101"],
    );
    validate("targets: {main: {hots: a}}\n", &["c.yml:1:18: unknown key `hots`", "did you mean `host`?", "SG-0103"]);
    validate("targets: {main: {password: x}}\n", &["c.yml:1:18:", "password_file: /path/to/file", "SG-0104"]);
    validate("targets: {main: {host: 'a,b'}}\n", &["several servers", "name each server as a target", "SG-0100"]);
    told(POSTGRES, &["--web.listen-adress=x"], &[], &["unexpected argument", "--web.listen-address"]);
    told(POSTGRES, &["rules", "--page", "PostgresLoginFailin"], &[], &["did you mean `PostgresLoginFailing`?", "SG-0103"]);
    told(POSTGRES, &["probe", "other"], &[], &["not in the configuration", "below `targets:`"]);
    let web = folder.write_secret("web.yml", "basic_auth_users: {a: plain}\n");
    let web = format!("--web.config.file={}", web.display());
    told(HTTP, &[&web], &[], &["web.yml:1:23", "SG-0204"]);
}

#[test]
fn the_own_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let process = format!("process {}", std::process::id());
    let listen = format!("--web.listen-address={at}");
    told(HTTP, &[&listen], &[], &["another process listens there: ", &process, &format!("ss -ltnp 'sport = :{}'", at.port()), "SG-0201"]);
    told(HTTP, &["--web.listen-address=192.0.2.1:9115"], &[], &["ip -brief address", "SG-0202"]);
    told(HTTP, &["--web.listen-address=127.0.0.1:x"], &[], &["write host:port", "SG-0202"]);
    told(HTTP, &["--web.listen-address=0.0.0.0:0"], &[], &["tls-init", "--web.insecure", "SG-0203"]);
    told(HTTP, &["--web.systemd-socket"], &[], &["handed over no socket", "systemctl start", "SG-0205"]);
    let folder = TempFolder::new("hints");
    fs::write(folder.join("web.key"), "kept").unwrap();
    told(HTTP, &["tls-init", "--directory", folder.path().to_str().unwrap()], &[], &["is there already"]);
}

#[test]
fn certificates_of_servers() {
    let folder = TempFolder::new("hints");
    assert!(run(HTTP, &["tls-init", "--directory", folder.path().to_str().unwrap()], &[]).status.success());
    let at = SocketAddr::from(([127, 0, 0, 2], free_port()));
    let web = format!("--web.config.file={}", folder.join("web.yml").display());
    let server = Exporter::launch(HTTP, &[&web, &format!("--web.listen-address={at}")], &[]);
    poll::until("it listens", LIMIT, || std::net::TcpStream::connect(at).ok());
    let target = format!("--check.target=https://{at}/");
    told(HTTP, &["check", &target], &[], &["name the authority's file", "SG-0304"]);
    let config = format!("modules: {{own: {{prober: http, http: {{tls_config: {{ca_file: {}}}}}}}}}\n", folder.join("web.crt").display());
    let config = format!("--config.file={}", folder.write("c.yml", &config).display());
    told(HTTP, &["check", &target, "--check.module=own", &config], &[], &["connect by a name that stands in it", "SG-0304"]);
    let other = Exporter::start(HTTP, &[], &[]);
    let plain = format!("--check.target=https://{}/", other.address());
    told(HTTP, &["check", &plain], &[], &["does not speak TLS on this port", "SG-0304"]);
    assert!(server.logs().contains("listening"), "{}", server.logs());
}
