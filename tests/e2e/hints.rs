//! The usual mistakes, each made for real: what is said of it, the line to run, and the number to look up. One row a mistake,
//! which is a test of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use e2e::exporter::{self, Exporter, run};
use e2e::issuer::Authority;
use e2e::poll;
use e2e::process;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, MONITOR, server, tells};

const POSTGRES: &str = "sage-postgres-exporter";
const REDIS: &str = "sage-redis-exporter";
const HTTP: &str = "sage-http-exporter";
const NGINX: &str = "sage-nginx-exporter";

/// What is said of a mistake holds a hint and all of `wants`, of which the first is the number.
#[track_caller]
fn judge(ended: &Output, wants: &[&str]) {
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success(), "this is no mistake:\n{said}");
    for want in wants {
        assert!(said.contains(want), "{want:?} is not in\n{said}");
    }
    assert!(said.contains("hint: ") && !tells(&said), "{said}");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md")).unwrap();
    assert!(wants[0].starts_with("SG-") && page.contains(&format!("## {}\n", wants[0])), "{} is not in docs/errors.md", wants[0]);
}

/// Makes a mistake on the command line or in the environment.
#[track_caller]
fn told(binary: &str, args: &[&str], env: &[(&str, &str)], wants: &[&str]) {
    judge(&run(binary, args, env), wants);
}

/// Makes a mistake in the configuration file.
#[track_caller]
fn written(binary: &str, text: &str, wants: &[&str]) {
    let folder = TempFolder::new("hints");
    let file = format!("--config.file={}", folder.write("c.yml", text).display());
    told(binary, &["config", "validate", &file], &[], wants);
}

/// Makes a mistake in the web configuration file.
#[track_caller]
fn of_the_web(text: &str, wants: &[&str]) {
    let folder = TempFolder::new("hints");
    told(HTTP, &[&format!("--web.config.file={}", folder.write_secret("web.yml", text).display())], &[], wants);
}

/// Asks a PostgreSQL with roles that each lack something.
#[track_caller]
fn postgres(user: &str, password: Option<&str>, more: &[(&str, &str)], wants: &[&str]) {
    static SERVER: OnceLock<Arc<Postgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = server(PostgresOptions::default());
        let roles = "CREATE ROLE closed NOLOGIN PASSWORD 'x'; CREATE ROLE small LOGIN PASSWORD 'x'; CREATE ROLE kept_out LOGIN PASSWORD 'x'; \
                     CREATE ROLE crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0";
        server.psql(roles).unwrap();
        let rules = server.data().join("pg_hba.conf");
        let before = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("host all kept_out 127.0.0.1/32 reject\n{before}")).unwrap();
        server.psql("select pg_reload_conf()").unwrap();
        poll::until("the rule is in force", LIMIT, || server.log().contains("reloading configuration files").then_some(()));
        server
    });
    let port = server.port().to_string();
    let mut env = vec![("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", user)];
    env.extend(password.map(|password| ("PGPASSWORD", password)));
    env.extend(more);
    told(POSTGRES, &["check"], &env, wants);
}

/// Asks a Redis with a password.
#[track_caller]
fn redis(env: &[(&str, &str)], wants: &[&str]) {
    let settings = ["requirepass right", "user small on >x ~* -@all +ping +hello +auth +client"].map(str::to_owned).to_vec();
    let server = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
    told(REDIS, &["check", &format!("--redis.addr=redis://127.0.0.1:{}", server.port())], env, wants);
}

/// Asks a web server whose certificate has these names and this end; its authority is trusted or not.
#[track_caller]
fn certificate(names: &[&str], end: Option<SystemTime>, trusted: bool, wants: &[&str]) {
    let folder = TempFolder::new("hints");
    let authority = Authority::new(&folder, "own");
    let pair = authority.issue_until(&folder, "server", names, end);
    let server = Nginx::start(&NginxOptions { tls: Some(pair), ..NginxOptions::default() });
    let trust = if trusted { format!(", tls_ca_file: {}", authority.file.display()) } else { String::new() };
    let config = format!("targets: {{main: {{url: '{}'{trust}}}}}\n", server.tls_url("/stub_status"));
    told(NGINX, &["check", &format!("--config.file={}", folder.write("c.yml", &config).display())], &[], wants);
}

/// Asks for a page of a web server with these further lines of configuration.
#[track_caller]
fn page(lines: &str, path: &str, wants: &[&str]) {
    let server = Nginx::start(&NginxOptions { server: lines.to_owned(), ..NginxOptions::default() });
    told(NGINX, &["check", &format!("--nginx.scrape-uri={}", server.url(path))], &[], wants);
}

/// Listens where others listen already, or may not.
#[track_caller]
fn listen(address: &str, wants: &[&str]) {
    told(HTTP, &[&format!("--web.listen-address={address}")], &[], wants);
}

/// A file that only others may read: as root there is none, so the exporter is run as another user then.
#[track_caller]
fn unreadable(wants: &[&str]) {
    let folder = TempFolder::new("hints");
    let file = folder.write("c.yml", "{}\n");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = process::command(if process::is_root() { "setpriv" } else { "env" }, Path::new("/"));
    if process::is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg(exporter::binary(HTTP)).args(["config", "validate"]).arg(format!("--config.file={}", file.display()));
    judge(&command.output().unwrap(), wants);
}

/// A machine without a way out: a network namespace, or where none may be made, an address of documentation over IPv6.
#[track_caller]
fn no_route(wants: &[&str]) {
    let (rights, folder): (&[&str], _) = (if process::is_root() { &["--net"] } else { &["--map-root-user", "--net"] }, Path::new("/"));
    let alone = process::command("unshare", folder).args(rights).arg("true").output().is_ok_and(|done| done.status.success());
    let mut command = process::command(if alone { "unshare" } else { "env" }, folder);
    command.args(if alone { rights } else { &[] }).arg(exporter::binary(POSTGRES)).arg("check");
    judge(&command.env("PGHOST", if alone { "192.0.2.1" } else { "2001:db8::1" }).output().unwrap(), wants);
}

fn taken(wants: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (process, line) = (format!("process {}", std::process::id()), format!("ss -ltnp 'sport = :{}'", at.port()));
    listen(&at.to_string(), &[wants, &[&process, &line]].concat());
}

fn open_secret(wants: &[&str]) {
    let folder = TempFolder::new("hints");
    let file = folder.write("secret", CANARY);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let line = format!("chmod 640 {}", file.display());
    postgres(MONITOR, None, &[("DATA_SOURCE_PASS_FILE", file.to_str().unwrap())], &[wants, &[&line]].concat());
}

fn kept_files(wants: &[&str]) {
    let folder = TempFolder::new("hints");
    fs::write(folder.join("web.key"), "kept").unwrap();
    told(HTTP, &["tls-init", "--directory", folder.path().to_str().unwrap()], &[], wants);
    assert_eq!(fs::read_to_string(folder.join("web.key")).unwrap(), "kept");
}

fn plain_port(wants: &[&str]) {
    let other = Exporter::start(HTTP, &[], &[]);
    told(HTTP, &["check", &format!("--check.target=https://{}/", other.address())], &[], wants);
}

macro_rules! mistakes {
    ($($name:ident: $make:expr;)*) => {
        $(#[test] fn $name() { $make; })*

        #[test]
        fn they_are_many_and_no_two_have_one_name() {
            let all = [$(stringify!($name)),*];
            assert!(all.len() >= 20, "{}", all.len());
        }
    };
}

mistakes! {
    wrong_password: postgres(MONITOR, Some("wrong"), &[], &["SG-0316", "password authentication failed", "ALTER ROLE ... PASSWORD"]);
    no_password: postgres(MONITOR, None, &[], &["SG-0315", "password_file, or DATA_SOURCE_PASS_FILE"]);
    kept_out_by_pg_hba: postgres("kept_out", Some("x"), &[], &["SG-0317", "pg_hba.conf rejects", "look at pg_hba.conf"]);
    role_without_login: postgres("closed", Some("x"), &[], &["SG-0317", "not permitted to log in", "ALTER ROLE ... LOGIN"]);
    wrong_database: postgres(MONITOR, Some(CANARY), &[("PGDATABASE", "nothing")], &["SG-0318", "database that exists"]);
    missing_grant: postgres("small", Some("x"), &[], &["SG-0306", "GRANT pg_monitor"]);
    too_many_connections: postgres("crowded", Some("x"), &[], &["SG-0329", "too many connections", "pg_stat_activity"]);
    tls_wanted_from_a_server_without: postgres(MONITOR, Some(CANARY), &[("PGSSLMODE", "require")], &["SG-0325", "ssl = on"]);
    redis_without_password: redis(&[], &["SG-0315", "REDIS_PASSWORD_FILE or password_file"]);
    redis_with_a_wrong_password: redis(&[("REDIS_PASSWORD", "wrong")], &["SG-0316", "ACL LIST"]);
    redis_user_without_rights: redis(&[("REDIS_USER", "small"), ("REDIS_PASSWORD", "x")], &["SG-0306", "ACL SETUSER"]);
    nobody_listens: told(POSTGRES, &["check"], &[("PGHOST", "127.0.0.1"), ("PGPORT", &free_port().to_string())], &["SG-0302", "nobody listens there"]);
    unknown_host_name: told(POSTGRES, &["check"], &[("PGHOST", "nowhere.invalid")], &["SG-0301", "getent hosts nowhere.invalid"]);
    no_route_to_the_host: no_route(&["SG-0319", "ip route get ADDRESS"]);
    certificate_of_another_name: certificate(&["other.example"], None, true, &["SG-0321", "connect by a name that stands in it"]);
    certificate_of_an_unknown_authority: certificate(&["127.0.0.1"], None, false, &["SG-0322", "name the authority's file"]);
    certificate_that_has_ended: certificate(&["127.0.0.1"], Some(SystemTime::now() - Duration::from_secs(86_400)), true, &["SG-0323", "renew it"]);
    tls_to_a_plain_port: plain_port(&["SG-0325", "does not speak TLS on this port"]);
    status_page_not_there: page("", "/status", &["SG-0340", "stub_status"]);
    status_page_not_for_us: page("location = /status { stub_status; deny all; }", "/status", &["SG-0317", "allow"]);
    secret_file_open_to_all: open_secret(&["SG-0116", "every user of this machine"]);
    secret_file_not_there: postgres(MONITOR, None, &[("DATA_SOURCE_PASS_FILE", "/nowhere/x")], &["SG-0105", "/nowhere/x"]);
    configuration_not_there: told(POSTGRES, &["check", "--config.file=/nowhere.yml"], &[], &["SG-0105", "/nowhere.yml: No such file", "ls -l /nowhere.yml"]);
    configuration_not_readable: unreadable(&["SG-0106", "Permission denied", "ls -l /"]);
    tab_in_the_configuration: written(POSTGRES, "targets:\n\tmain: {}\n", &["SG-0102", "c.yml:2:", "blanks instead of tabs"]);
    unknown_key: written(POSTGRES, "targets: {main: {hots: a}}\n", &["SG-0103", "c.yml:1:18: unknown key `hots`", "did you mean `host`?"]);
    unknown_value: written(HTTP, "modules:\n  a:\n    prober: htp\n", &["SG-0107", "c.yml:3:13", "did you mean `http`?"]);
    unknown_collector: written(POSTGRES, "modules: {default: {collectors: {tabels: {}}}}\n", &["SG-0103", "c.yml:1:34", "did you mean `tables`?"]);
    password_in_the_configuration: written(POSTGRES, "targets: {main: {password: x}}\n", &["SG-0104", "c.yml:1:18:", "password_file: /path/to/file"]);
    token_in_the_configuration: written(HTTP, "modules:\n  a:\n    prober: http\n    http: {bearer_token: x}\n", &["SG-0104", "c.yml:4:", "bearer_token_file: /path/to/file"]);
    two_targets_of_one_name: written(POSTGRES, "targets:\n  a: {}\n  a: {}\n", &["SG-0111", "c.yml:3:3", "`a` stands here a second time"]);
    time_without_unit: written(HTTP, "modules:\n  a:\n    prober: http\n    timeout: 5\n", &["SG-0110", "c.yml:4:14", "write it as 500ms, 5s"]);
    number_that_is_none: written(POSTGRES, "targets: {main: {port: many}}\n", &["SG-0109", "c.yml:1:24", "a whole number from 0 to 65535"]);
    several_servers_in_one_host: written(POSTGRES, "targets:\n  main:\n    host: 'a,b'\n", &["SG-0117", "c.yml:3:5: target main: host names several", "a target of its own"]);
    setting_of_the_replaced_exporter: written(HTTP, "modules:\n  a:\n    prober: http\n    http: {fail_if_body_json_matches_cel: x}\n", &["SG-0115", "c.yml:4:", "fail_if_body_json_matches: "]);
    unknown_flag: told(POSTGRES, &["--web.listen-adress=x"], &[], &["SG-0501", "did you mean `--web.listen-address`?"]);
    unknown_command: told(POSTGRES, &["chek"], &[], &["SG-0502", "did you mean `check`?"]);
    value_of_a_flag: told(POSTGRES, &["check", "--timeout=5"], &[], &["SG-0503", "with a unit"]);
    flag_without_value: told(POSTGRES, &["--config.file"], &[], &["SG-0504", "--config.file <FILE>"]);
    command_without_its_name: told(REDIS, &["probe"], &[], &["SG-0504", "<TARGET>"]);
    flags_that_exclude_each_other: told(REDIS, &["metrics", "--json", "--markdown"], &[], &["SG-0505", "leave one of them out"]);
    unknown_alert: told(POSTGRES, &["rules", "--page", "PostgresLoginFailin"], &[], &["SG-0108", "did you mean `PostgresLoginFailing`?"]);
    unknown_target: told(POSTGRES, &["probe", "other"], &[], &["SG-0601", "not in the configuration", "below `targets:`"]);
    unknown_module: told(HTTP, &["probe", "http://127.0.0.1:1/", "--module=http_2x"], &[], &["SG-0108", "did you mean `http_2xx`?"]);
    port_in_use: taken(&["SG-0201", "another process listens there: "]);
    address_of_another_machine: listen("192.0.2.1:9115", &["SG-0206", "ip -brief address"]);
    address_that_is_none: listen("127.0.0.1:x", &["SG-0202", "write host:port"]);
    open_to_other_machines: listen("0.0.0.0:0", &["SG-0203", "tls-init", "--web.insecure"]);
    no_socket_of_systemd: told(HTTP, &["--web.systemd-socket"], &[], &["SG-0205", "handed over no socket", "systemctl start"]);
    plain_password_in_the_web_configuration: of_the_web("basic_auth_users: {a: plain}\n", &["SG-0119", "web.yml:1:23", "htpasswd"]);
    unknown_key_of_the_web_configuration: of_the_web("tls_server_config: {cert_fil: x}\n", &["SG-0103", "web.yml:1:21", "did you mean `cert_file`?"]);
    files_that_are_there_already: kept_files(&["SG-0403", "is there already"]);
}
