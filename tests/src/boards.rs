//! What the dashboards are looked at with: a PostgreSQL primary with several databases under load and its standby, a Redis
//! and its replica, two NGINX, two Apaches, probes of these over TLS, pings, tests of throughput, the shipped exporters, and a Prometheus that scrapes them each second; and the variables of a dashboard
//! filled as Grafana fills them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::exporter::{Exporter, run};
use crate::issuer::Authority;
use crate::lint::dashboards::{Dashboard, Times};
use crate::lint::{self, dashboards};
use crate::poll;
use crate::process::Process;
use crate::servers::apache::{Apache, ApacheOptions};
use crate::servers::nginx::{Nginx, NginxOptions};
use crate::servers::postgres::{Background, Postgres, PostgresOptions, Session};
use crate::servers::prometheus::{Api, Job, Prometheus, PrometheusOptions, shipped_rules};
use crate::servers::redis::{Redis, RedisOptions};
use crate::servers::responder::Responder;
use crate::site;
use crate::temp::TempFolder;
use crate::watched_web::{self, APACHE, NGINX};

const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "monitor";
/// What Apache needs for a balancer with one member, which is not there.
const PROXY: [&str; 5] = ["proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests"];
const MEMBER: &str = "ProxyStatus On\n<Proxy balancer://shop>\nBalancerMember http://127.0.0.1:1\n</Proxy>\n";
/// Targets that say whether they are up.
const TARGETS: usize = 10;
/// One transaction of the second load: mostly a write, now and then a rollback, a sort on disk or a slow statement.
const WORK: &str = "\\set r random(1, 60)
\\if :r = 1
select pg_sleep(1.1);
\\elif :r <= 4
select count(*) from (select g from generate_series(1, 400000) g order by g desc) s;
\\elif :r <= 10
begin;
delete from invoices where id < 5;
rollback;
\\else
insert into invoices (total) values (:r);
\\endif
";
/// Keys written for half a minute and read, one in two in vain.
const COMMANDS: &str = "for i = 1, 10 do redis.call('set', 'k' .. math.random(20000), string.rep('x', 900), 'EX', 30) \
                        redis.call('get', 'k' .. math.random(40000)) end";

/// All of it; stopped when dropped, the load before its servers.
#[derive(Debug)]
pub struct Stage {
    /// What has scraped it all.
    pub prometheus: Prometheus,
    exporters: Vec<Exporter>,
    _loads: Vec<Background>,
    _commands: Process,
    _session: Session,
    primary: Postgres,
    _standby: Postgres,
    _caches: [Redis; 2],
    _sites: [Nginx; 2],
    _farm: [Apache; 2],
    _far: Responder,
    _folder: TempFolder,
}

impl Stage {
    /// Starts it all and waits until Prometheus has seen every target up.
    ///
    /// # Panics
    /// When something does not start.
    pub fn start() -> Self {
        let folder = TempFolder::new("boards");
        let primary = primary();
        let standby = Postgres::start_standby(&primary, options());
        let loads = vec![primary.pgbench_run("shop", 2, 15), primary.pgbench_script("billing", WORK, 6.0)];
        // Between two statements of the load no lock is held.
        let mut session = primary.session("shop");
        session.query("begin; lock table pgbench_history in access share mode").expect("a lock");
        let state = maintain(&primary, &folder);
        let exporters = [watch(&primary, &folder, Some(&state)), watch(&standby, &folder, None)];
        let mut jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job("postgres", &format!("db0{n}"), "dba", 9187, e)).collect();
        let settings = ["maxmemory 20mb", "maxmemory-policy allkeys-lru", "slowlog-log-slower-than 2000", "latency-monitor-threshold 1"];
        let settings = settings.map(str::to_owned).to_vec();
        let cache = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
        let copy = Redis::start_replica(&cache, RedisOptions::default());
        let commands = cache.spawn(&["-r", "1000000", "-i", "0.05", "eval", COMMANDS, "0"]);
        let caches = [cache, copy];
        let mut exporters = Vec::from(exporters);
        for (n, server) in (1..).zip(&caches) {
            let exporter = Exporter::start("sage-redis-exporter", &[], &[("REDIS_ADDR", &server.address().to_string())]);
            jobs.push(job("redis", &format!("cache0{n}"), "sys", 9121, &exporter));
            exporters.push(exporter);
        }
        let authority = Authority::new(&folder, "authority");
        let end = SystemTime::now() + Duration::from_secs(75 * 86_400);
        let pair = authority.issue_until(&folder, "site", &["127.0.0.1"], Some(end));
        let sites = [(); 2].map(|()| Nginx::start(&NginxOptions { tls: Some(pair.clone()), ..NginxOptions::default() }));
        let farm = [(); 2]
            .map(|()| Apache::start(&ApacheOptions { modules: PROXY.to_vec(), settings: MEMBER.to_owned(), ..ApacheOptions::default() }));
        let target = |url: String, pid: PathBuf| format!("url: {url}\npid_file: {}\nprobe_path: /", pid.display());
        for (n, (site, server)) in (1..).zip(sites.iter().zip(&farm)) {
            let exporter = watched_web::watch(NGINX, &target(site.url("/stub_status"), site.pid_file()));
            jobs.push(job("nginx", &format!("web0{n}"), "app", 9113, &exporter));
            exporters.push(exporter);
            let exporter = watched_web::watch(APACHE, &target(server.url("/server-status"), server.pid_file()));
            jobs.push(job("apache", &format!("web0{n}"), "app", 9117, &exporter));
            exporters.push(exporter);
        }
        let prober = prober(&folder, &authority);
        let modules = ["http_2xx", "transaction"];
        jobs.extend(sites.iter().zip(modules).map(|(site, module)| probe(&prober, module, &site.tls_url("/"))));
        exporters.push(prober);
        let far = Responder::start(&folder, &[]);
        for (n, host) in ["mon01", "mon02"].into_iter().enumerate() {
            let exporter = pinger(&folder, n, far.address);
            let mut labels = site::labels(host, "http", "net", &format!("{host}.example:9115"));
            labels.push(("job".to_owned(), "lines".to_owned()));
            jobs.push(Job { name: format!("lines-{host}"), address: exporter.address().to_string(), labels, ..Job::default() });
            exporters.push(exporter);
        }
        let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules: shipped_rules(), ..PrometheusOptions::default() });
        let stage = Self {
            prometheus,
            exporters,
            _loads: loads,
            _commands: commands,
            _session: session,
            primary,
            _standby: standby,
            _caches: caches,
            _sites: sites,
            _farm: farm,
            _far: far,
            _folder: folder,
        };
        let seen = || stage.prometheus.query("sage_up == 1").len();
        poll::until("all targets are seen", LIMIT, || (seen() == TARGETS).then_some(()));
        stage
    }

    /// Lets sessions wait for a lock until the result is dropped, and two others end in a deadlock.
    ///
    /// # Panics
    /// When the server refuses the lock.
    pub fn disturb(&self) -> impl Sized {
        let mut session = self.primary.session("shop");
        session.query("begin; lock table pgbench_branches in access exclusive mode").expect("a lock");
        let deadly = |first: u8, second: u8| {
            let change = |id| format!("update invoices set total = 0 where id = {id}");
            format!("begin; {}; select pg_sleep(1.5); {}; commit", change(first), change(second))
        };
        let both = [(1, 2), (2, 1)].map(|(a, b)| self.primary.spawn_psql("billing", &deadly(a, b)));
        (session, both)
    }

    /// The page of the first exporter, for what a test has to say when it fails.
    ///
    /// # Panics
    /// When there is none.
    pub fn page(&self) -> String {
        self.exporters[0].get("/metrics").text()
    }
}

fn options() -> PostgresOptions {
    let settings = [
        "shared_preload_libraries = 'pg_stat_statements'",
        "track_io_timing = on",
        "wal_level = logical",
        "archive_mode = on",
        "archive_command = 'true'",
        "checkpoint_timeout = 30s",
        "autovacuum_naptime = 10s",
        "work_mem = 1MB",
    ];
    PostgresOptions { settings: settings.map(str::to_owned).to_vec(), checksums: true, ..PostgresOptions::default() }
}

/// The databases `shop`, `billing` and `crm`, of which the last takes a table of the first by logical replication.
fn primary() -> Postgres {
    let primary = Postgres::start(options());
    primary.create_monitor("sage", PASSWORD, 4);
    let run = |database: &str, sql: &str| primary.psql_in(database, sql).unwrap_or_else(|e| panic!("{database}: {sql}: {e}"));
    run("postgres", "create role app");
    for database in ["shop", "billing", "crm"] {
        run("postgres", &format!("create database {database} owner app"));
    }
    primary.pgbench_init("shop", 1);
    run(
        "billing",
        "create table invoices (id serial primary key, total int); insert into invoices (total) select 0 from generate_series(1, 1000)",
    );
    run(
        "shop",
        "create table notes (id smallserial primary key); alter sequence notes_id_seq restart 20000; insert into notes default values",
    );
    run("shop", "create extension pg_stat_statements");
    run("crm", "create table notes (id smallint primary key)");
    run("shop", "create publication notes for table notes; select pg_create_logical_replication_slot('notes', 'pgoutput')");
    let source =
        format!("host=127.0.0.1 port={} user={} password={} dbname=shop", primary.port(), "postgres", crate::servers::postgres::PASSWORD);
    run("crm", &format!("create subscription notes connection '{source}' publication notes with (create_slot = false, copy_data = false)"));
    run("postgres", "select pg_create_physical_replication_slot('backup', true)");
    for database in ["shop", "billing", "crm"] {
        let owned = "do $$ declare t text; begin for t in select tablename from pg_tables where schemaname = 'public' loop \
                     execute 'alter table ' || t || ' owner to app'; end loop; end $$";
        run(database, owned);
    }
    primary
}

/// Runs the maintenance once and returns where it keeps its result.
fn maintain(primary: &Postgres, folder: &TempFolder) -> String {
    let port = primary.port().to_string();
    let env = [("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str()), ("PGUSER", "sage"), ("PGPASSWORD", PASSWORD)];
    let printed = run("sage-postgres-exporter", &["grants", "--maintain"], &env);
    primary.psql(&String::from_utf8_lossy(&printed.stdout)).expect("the role of maintenance");
    primary.psql("alter role sage_maintain password 'maintain'").expect("its password");
    let state = format!("--state-folder={}", folder.path().display());
    let password = format!("--role-password-file={}", folder.write_secret("maintain", "maintain").display());
    let done = run("sage-postgres-exporter", &["maintain", "vacuum-analyze", &state, &password], &env);
    assert!(done.status.success(), "maintain: {}", String::from_utf8_lossy(&done.stderr));
    folder.join("postgres-default-maintain.json").display().to_string()
}

/// An exporter with all that is on request, and with timers that are short enough to be seen.
fn watch(server: &Postgres, folder: &TempFolder, state: Option<&str>) -> Exporter {
    let backup = folder.write("last-good", "");
    let mut collectors = json!({
        "backups": {"sources": [{"name": "nightly", "tool": "file", "path": backup}]},
        "statements": {"enabled": true, "interval": "5s"},
        "process_idle": {"enabled": true},
    });
    for timed in ["database_size", "indexes", "memory", "sequences", "statio", "tables"] {
        collectors[timed] = json!({"interval": "10s"});
    }
    if let Some(state) = state {
        collectors["maintenance"] = json!({ "state_file": state });
    }
    let config = json!({"modules": {"default": {"probe_interval": "2s", "collectors": collectors}}});
    let file = folder.write(&format!("postgres-{}.yml", server.port()), &format!("{config:#}"));
    let address = format!("127.0.0.1:{}/shop?sslmode=disable", server.port());
    let env = [("DATA_SOURCE_URI", address.as_str()), ("DATA_SOURCE_USER", "sage"), ("DATA_SOURCE_PASS", PASSWORD)];
    Exporter::start("sage-postgres-exporter", &[&format!("--config.file={}", file.display())], &env)
}

/// An exporter that probes what this authority vouches for.
fn prober(folder: &TempFolder, authority: &Authority) -> Exporter {
    let http = json!({"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": authority.file}});
    let steps = json!([
        {"name": "front", "url": "/"},
        {"name": "search", "url": "/?q=shoes"},
        {"name": "logout", "url": "/?logout", "always": true},
    ]);
    let mut transaction = http.clone();
    transaction["steps"] = steps;
    let config = json!({"modules": {
        "http_2xx": {"prober": "http", "http": http},
        "transaction": {"prober": "http", "http": transaction},
    }});
    let file = folder.write("http.yml", &format!("{config:#}"));
    Exporter::start("sage-http-exporter", &[&format!("--config.file={}", file.display())], &[])
}

/// An exporter that pings this machine by two of its addresses, and measures the line to `far`.
fn pinger(folder: &TempFolder, number: usize, far: SocketAddr) -> Exporter {
    let targets = json!([{"host": "127.0.0.1", "name": "near"}, {"host": "127.0.0.2", "name": "nearer"}]);
    let line = json!({"name": "berlin", "direction": "east-west", "interval": "1m", "max_bytes": "2MB",
        "download": format!("http://{far}/download?bytes=3000000"), "upload": format!("http://{far}/upload")});
    let config = json!({
        "ping": {"groups": [{"direction": "east-west", "interval": "200ms", "targets": targets}]},
        "throughput": {"targets": [line]},
    });
    let file = folder.write(&format!("ping-{number}.yml"), &format!("{config:#}"));
    Exporter::start("sage-http-exporter", &[&format!("--config.file={}", file.display())], &[])
}

/// The scrape job that probes this target.
fn probe(prober: &Exporter, module: &str, target: &str) -> Job {
    let mut labels = site::labels("web01", "http", "app", target);
    labels.push(("job".to_owned(), "http".to_owned()));
    Job {
        name: format!("http-{target}"),
        address: prober.address().to_string(),
        path: "/probe".to_owned(),
        params: [("module", module), ("target", target)].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
        labels,
        ..Job::default()
    }
}

fn job(product: &str, host: &str, team: &str, port: u16, exporter: &Exporter) -> Job {
    let mut labels = site::labels(host, product, team, &format!("{host}.example:{port}"));
    // One job for all servers of a product, as on a site.
    labels.push(("job".to_owned(), product.to_owned()));
    Job { name: format!("{product}-{host}"), address: exporter.address().to_string(), labels, ..Job::default() }
}

/// The values that a label has in the answer to a query at this time.
fn values(prometheus: Api, query: &str, label: &str, time: f64) -> Result<BTreeSet<String>, String> {
    let found = prometheus.query(query, Some(time))?;
    Ok(found.into_iter().filter_map(|(mut labels, _)| labels.remove(label)).collect())
}

/// The shipped dashboards, each with its name: that of its file without the ending.
///
/// # Panics
/// When one of them is none.
pub fn shipped() -> Vec<(String, Dashboard)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let read = |file: &std::path::PathBuf| {
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
        let board = text.and_then(|t| dashboards::parse(&t)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), board)
    };
    lint::files(&folder, ".json").iter().map(read).collect()
}

/// The variables of a dashboard with what is chosen of each.
#[derive(Debug)]
pub struct Choice {
    times: Times,
    /// Name, values that there are, and the expression of the chosen ones.
    pub chosen: Vec<(String, BTreeSet<String>, String)>,
}

impl Choice {
    /// Asks for the values of each variable as the dashboard does, each with the choice of those before it put in, and
    /// takes all of them or, with `first`, the first of each but the data source and job.
    ///
    /// # Errors
    /// A query is refused, or no answer came.
    pub fn of(board: &Dashboard, prometheus: Api, end: f64, times: Times, first: bool) -> Result<Self, String> {
        let mut choice = Self { times, chosen: Vec::new() };
        for (name, series, label) in board.label_variables() {
            let found = values(prometheus, &choice.fill(series), label, end)?;
            let all = format!("({})", found.iter().map(|v| quoted(v)).collect::<Vec<_>>().join("|"));
            let one = found.first().filter(|_| first && name != "job").map(|v| quoted(v));
            choice.chosen.push((name.to_owned(), found, one.unwrap_or(all)));
        }
        Ok(choice)
    }

    /// A query with the variables filled in.
    pub fn fill(&self, text: &str) -> String {
        self.chosen.iter().fold(self.times.fill(text), |t, (name, _, value)| t.replace(&format!("${name}"), value))
    }
}

/// A value as Grafana puts it into a query: it stands for itself in an expression inside a quoted text.
fn quoted(value: &str) -> String {
    regex::escape(value).replace("\\-", "-").replace('\\', "\\\\")
}

/// Now, as a Unix time.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_chosen_value_stands_for_itself() {
        assert_eq!(super::quoted("client|list"), r"client\\|list");
        assert_eq!(super::quoted("db-01.example:9187"), r"db-01\\.example:9187");
    }
}
