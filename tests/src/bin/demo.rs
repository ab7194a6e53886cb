//! `make demo`: a real PostgreSQL under a small load, a real Redis, NGINX and Apache, every exporter of this workspace, Prometheus and
//! Alertmanager with the shipped rules, all in temp folders on free loopback ports; runs until interrupted and leaves nothing behind.
//! With `ONCE=1` it checks that Prometheus holds `sage_up 1` for each target and the rules, and exits. With `BREAK=lock`,
//! `connections`, `replication`, `memory`, `rejected`, `replication-redis`, `site` or `workers` it then breaks that and prints each alert when it fires (with both: exits when it has).
//! A further exporter joins by one entry in `EXPORTERS`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use e2e::breakage::{Breakage, Servers};
use e2e::drill;
use e2e::exporter::{self, Exporter};
use e2e::issuer::Authority;
use e2e::poll;
use e2e::servers::alertmanager::Alertmanager;
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::{Background, PASSWORD, Postgres, PostgresOptions, SUPERUSER};
use e2e::servers::prometheus::{Alert, Job, Prometheus, PrometheusOptions, shipped_rules};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::site;
use e2e::temp::{self, TempFolder, free_port};
use serde_json::json;

/// One exporter of the demo.
struct Entry {
    binary: &'static str,
    /// Arguments and environment; files go to the stage's folder.
    settings: fn(&Stage) -> Settings,
    /// Scrape jobs, given where it listens.
    jobs: fn(&Stage, SocketAddr) -> Vec<Job>,
}

/// Every exporter of the workspace.
const EXPORTERS: &[Entry] = &[
    Entry { binary: "sage-postgres-exporter", settings: postgres_settings, jobs: postgres_jobs },
    Entry { binary: "sage-http-exporter", settings: http_settings, jobs: http_jobs },
    Entry { binary: "sage-redis-exporter", settings: redis_settings, jobs: redis_jobs },
    Entry { binary: "sage-nginx-exporter", settings: nginx_settings, jobs: nginx_jobs },
    Entry { binary: "sage-apache-exporter", settings: apache_settings, jobs: apache_jobs },
];

#[derive(Default)]
struct Settings {
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

const MONITOR: &str = "sage_monitor";
const MONITOR_PASSWORD: &str = "p@$$w0rd#=?{%}'\"\\ :/";
const INTERVAL: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that an alert takes here, with its `for` of two minutes.
const FIRES: Duration = Duration::from_secs(200);

fn postgres_settings(stage: &Stage) -> Settings {
    settings_at(stage, stage.postgres.port())
}

fn settings_at(stage: &Stage, port: u16) -> Settings {
    let password = stage.folder.write_secret("postgres-password", MONITOR_PASSWORD);
    Settings {
        args: Vec::new(),
        env: vec![
            ("DATA_SOURCE_URI", format!("127.0.0.1:{port}/postgres?sslmode=disable")),
            ("DATA_SOURCE_USER", MONITOR.to_owned()),
            ("DATA_SOURCE_PASS_FILE", password.display().to_string()),
        ],
    }
}

fn postgres_jobs(_: &Stage, exporter: SocketAddr) -> Vec<Job> {
    jobs_of("postgres", "db01", exporter)
}

fn jobs_of(name: &str, host: &str, exporter: SocketAddr) -> Vec<Job> {
    let address = exporter.to_string();
    vec![Job { name: name.to_owned(), labels: site::labels(host, "postgres", "dba", &address), address, ..Job::default() }]
}

fn http_settings(stage: &Stage) -> Settings {
    let site = json!({ "fail_if_not_ssl": true, "tls_config": { "ca_file": stage.authority } });
    let modules = json!({ "modules": {
        "http_2xx": { "prober": "http", "timeout": "2s" },
        "site": { "prober": "http", "timeout": "2s", "http": site },
        "tcp_connect": { "prober": "tcp", "timeout": "2s" },
    }});
    let file = stage.folder.write("blackbox.yml", &format!("{modules:#}"));
    Settings { args: vec![format!("--config.file={}", file.display())], env: Vec::new() }
}

fn http_jobs(stage: &Stage, exporter: SocketAddr) -> Vec<Job> {
    let probe = |name: &str, module: &str, target: String| Job {
        name: name.to_owned(),
        address: exporter.to_string(),
        path: "/probe".to_owned(),
        labels: site::labels("web01", "http", "app", &target),
        params: vec![("module".to_owned(), module.to_owned()), ("target".to_owned(), target)],
        ..Job::default()
    };
    vec![
        probe("http", "http_2xx", format!("http://{}/-/ready", stage.prometheus)),
        probe("http-tls", "site", stage.nginx.tls_url("/")),
        probe("tcp", "tcp_connect", stage.postgres.address().to_string()),
    ]
}

fn redis_settings(stage: &Stage) -> Settings {
    redis_settings_at(stage, stage.redis.address())
}

fn redis_settings_at(stage: &Stage, server: SocketAddr) -> Settings {
    let config = stage.folder.write("redis.yml", "modules: {default: {write_interval: 10s}}\n");
    let env = vec![("REDIS_ADDR", format!("redis://{server}"))];
    Settings { args: vec![format!("--config.file={}", config.display())], env }
}

fn redis_jobs(_: &Stage, exporter: SocketAddr) -> Vec<Job> {
    redis_jobs_of("redis", "cache01", exporter)
}

fn redis_jobs_of(name: &str, host: &str, exporter: SocketAddr) -> Vec<Job> {
    let address = exporter.to_string();
    vec![Job { name: name.to_owned(), labels: site::labels(host, "redis", "sys", &address), address, ..Job::default() }]
}

fn nginx_settings(stage: &Stage) -> Settings {
    let pid = stage.nginx.pid_file();
    let args = vec![format!("--nginx.pid-file={}", pid.display()), "--nginx.probe-path=/".to_owned()];
    Settings { args, env: vec![("SCRAPE_URI", stage.nginx.url("/stub_status"))] }
}

fn nginx_jobs(_: &Stage, exporter: SocketAddr) -> Vec<Job> {
    web_jobs("nginx", "web02", exporter)
}

fn apache_settings(stage: &Stage) -> Settings {
    let pid = stage.apache.pid_file();
    let args = vec![
        format!("--scrape_uri={}", stage.apache.url("/server-status")),
        format!("--apache.pid-file={}", pid.display()),
        "--apache.probe-path=/".to_owned(),
    ];
    Settings { args, env: Vec::new() }
}

fn apache_jobs(_: &Stage, exporter: SocketAddr) -> Vec<Job> {
    web_jobs("apache", "web03", exporter)
}

fn web_jobs(product: &str, host: &str, exporter: SocketAddr) -> Vec<Job> {
    let address = exporter.to_string();
    vec![Job { name: product.to_owned(), labels: site::labels(host, product, "app", &address), address, ..Job::default() }]
}

/// What the exporters watch. Dropped last to first: the load ends before its server.
struct Stage {
    _slow: Background,
    _load: Background,
    /// Only where replication is to be broken.
    standby: Option<Postgres>,
    postgres: Postgres,
    redis: Redis,
    nginx: Nginx,
    /// What it was started with.
    site: NginxOptions,
    /// The certificate of the authority that vouches for it.
    authority: PathBuf,
    apache: Apache,
    /// Only where its primary is to be stopped.
    replica: Option<Redis>,
    /// Where Prometheus will listen; it starts last, when its targets are known.
    prometheus: SocketAddr,
    folder: TempFolder,
}

/// The whole demo. Dropped first to last: Prometheus stops before what it watches.
struct Demo {
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    exporters: Vec<(&'static str, Exporter)>,
    jobs: Vec<Job>,
    stage: Stage,
}

/// The person has asked to stop.
struct Interrupted;

fn main() -> ExitCode {
    // A failed step panics with what to know, printed below; where in our source is of no use to the reader.
    std::panic::set_hook(Box::new(|_| {}));
    static STOP: AtomicBool = AtomicBool::new(false);
    if let Err(e) = on_signal(&STOP) {
        eprintln!("demo: cannot watch for signals: {e}");
        return ExitCode::FAILURE;
    }
    let once = env::var("ONCE").is_ok_and(|v| !matches!(v.as_str(), "" | "0"));
    let breakage = match Breakage::named(&env::var("BREAK").unwrap_or_default()) {
        Ok(breakage) => breakage,
        Err(e) => {
            eprintln!("demo: {e}");
            return ExitCode::FAILURE;
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| run(once, breakage, &STOP)));
    temp::finish();
    match result {
        Ok(Ok(())) => {
            println!("Stopped; nothing is left behind.");
            ExitCode::SUCCESS
        }
        Ok(Err(Interrupted)) => {
            println!("Interrupted while starting; nothing is left behind.");
            ExitCode::FAILURE
        }
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            eprintln!("demo: {}", text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}

fn run(once: bool, breakage: Option<Breakage>, stop: &AtomicBool) -> Result<(), Interrupted> {
    let demo = start(breakage, stop)?;
    wait_for_data(&demo, stop)?;
    if once {
        summary(&demo);
        if let Some(breakage) = breakage {
            tell(&demo, breakage, true, stop);
        }
    } else {
        guide(&demo);
        if let Some(breakage) = breakage {
            tell(&demo, breakage, false, stop);
        }
        while !stop.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(100));
        }
        println!("\nStopping ...");
    }
    Ok(())
}

/// Breaks something, and prints each alert when it fires, until `stop` or, if asked so, until the alert of the fault.
///
/// # Panics
/// When that alert does not fire in time.
fn tell(demo: &Demo, breakage: Breakage, until_fired: bool, stop: &AtomicBool) {
    println!("\nBroken now: {}. The alert takes two to three minutes.", breakage.what());
    let stage = &demo.stage;
    let _broken = breakage.begin(Servers {
        primary: &stage.postgres,
        standby: stage.standby.as_ref(),
        redis: &stage.redis,
        nginx: (&stage.nginx, &stage.site),
        apache: &stage.apache,
    });
    let begin = Instant::now();
    let (name, host) = breakage.alert();
    let (mut told, mut seen) = (BTreeSet::new(), false);
    while !(stop.load(Ordering::Relaxed) || seen && until_fired) {
        for alert in demo.prometheus.alerts() {
            let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
            if is_watchdog(&alert) || !told.insert((label("alertname").to_owned(), label("instance").to_owned(), alert.state.clone())) {
                continue;
            }
            let text = |name: &str| alert.annotations.get(name).map_or("", String::as_str);
            println!("  {:>3} s  {:7}  {}", begin.elapsed().as_secs(), alert.state, text("summary"));
            if alert.state == "firing" {
                println!("                  {}", text("action"));
            }
            seen |= alert.state == "firing" && label("alertname") == name && label("host") == host;
        }
        assert!(seen || begin.elapsed() < FIRES, "{name} does not fire: {:?}{}", demo.prometheus.alerts(), logs(demo));
        thread::park_timeout(Duration::from_millis(200));
    }
}

/// Sets `stop` at SIGINT, SIGTERM and SIGHUP. Returns once the handlers are in place.
fn on_signal(stop: &'static AtomicBool) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn say(stop: &AtomicBool, what: &str) -> Result<(), Interrupted> {
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted);
    }
    println!("{what} ...");
    Ok(())
}

fn start(breakage: Option<Breakage>, stop: &AtomicBool) -> Result<Demo, Interrupted> {
    say(stop, "Starting PostgreSQL with a small pgbench load, and Redis")?;
    let stage = Stage::start(breakage);
    let mut exporters = Vec::new();
    let mut jobs = Vec::new();
    for entry in EXPORTERS {
        say(stop, &format!("Starting {}", entry.binary))?;
        let settings = (entry.settings)(&stage);
        let args: Vec<&str> = settings.args.iter().map(String::as_str).collect();
        let env: Vec<(&str, &str)> = settings.env.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let exporter = Exporter::start(entry.binary, &args, &env);
        jobs.extend((entry.jobs)(&stage, exporter.address()));
        exporters.push((entry.binary, exporter));
    }
    if let Some(standby) = &stage.standby {
        say(stop, "Starting an exporter for the standby")?;
        let settings = settings_at(&stage, standby.port());
        let env: Vec<(&str, &str)> = settings.env.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let exporter = Exporter::start("sage-postgres-exporter", &[], &env);
        jobs.extend(jobs_of("postgres-standby", "db02", exporter.address()));
        exporters.push(("sage-postgres-exporter", exporter));
    }
    if let Some(replica) = &stage.replica {
        say(stop, "Starting an exporter for the replica")?;
        let settings = redis_settings_at(&stage, replica.address());
        let args: Vec<&str> = settings.args.iter().map(String::as_str).collect();
        let env: Vec<(&str, &str)> = settings.env.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let exporter = Exporter::start("sage-redis-exporter", &args, &env);
        jobs.extend(redis_jobs_of("redis-replica", "cache02", exporter.address()));
        exporters.push(("sage-redis-exporter", exporter));
    }
    say(stop, "Starting Alertmanager with the shipped routes")?;
    let alertmanager = Alertmanager::start_with(&routes());
    say(stop, "Starting Prometheus with the shipped rules")?;
    let mut rules = shipped_rules();
    if let Some(breakage) = breakage {
        rules.retain(|r| !r.ends_with("thresholds.rules.yml"));
        rules.push(stage.folder.write("thresholds.yml", &drill::limits(breakage.limits())));
    }
    rules.push(stage.folder.write("inventory.yml", &site::expected(&jobs)));
    let options = PrometheusOptions { jobs: jobs.clone(), interval: INTERVAL, rules, alertmanager: Some(alertmanager.address()) };
    let prometheus = Prometheus::start_at(stage.prometheus, &options);
    Ok(Demo { prometheus, alertmanager, exporters, jobs, stage })
}

impl Stage {
    fn start(breakage: Option<Breakage>) -> Self {
        let slow_query = Some(Duration::from_secs(1));
        let settings = breakage.map(Breakage::settings).unwrap_or_default();
        let postgres = Postgres::start(PostgresOptions { slow_query, settings, ..PostgresOptions::default() });
        // Two connections for the exporter, two for `check` beside it.
        postgres.create_monitor(MONITOR, MONITOR_PASSWORD, 4);
        if let Err(e) = postgres.psql("create database shop") {
            panic!("create database shop: {e}");
        }
        postgres.pgbench_init("shop", 1);
        let standby = (breakage == Some(Breakage::Replication)).then(|| Postgres::start_standby(&postgres, PostgresOptions::default()));
        let settings = breakage.map(Breakage::redis_settings).unwrap_or_default();
        let redis = Redis::start_with(RedisOptions { settings, ..RedisOptions::default() });
        let replica = (breakage == Some(Breakage::ReplicationRedis)).then(|| {
            redis.run(&["set", "basket:1", "bread"]);
            Redis::start_replica(&redis, RedisOptions::default())
        });
        let folder = TempFolder::new("demo");
        let authority = Authority::new(&folder, "authority");
        let site = NginxOptions { tls: Some(authority.issue(&folder, "site", &["127.0.0.1"])), ..NginxOptions::default() };
        Self {
            // Six a minute: seen, and below the limit of PostgresSlowQueries.
            _slow: postgres.pgbench_script("shop", "select pg_sleep(1.2);", 0.1),
            _load: postgres.pgbench_run("shop", 2, 20),
            standby,
            postgres,
            redis,
            nginx: Nginx::start(&site),
            site,
            authority: authority.file,
            apache: Apache::start(&ApacheOptions::default()),
            replica,
            prometheus: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            folder,
        }
    }
}

/// The reference Alertmanager configuration, its receivers moved to a port where nobody listens.
fn routes() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus/alertmanager.yml");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.replace("127.0.0.1:9099", &format!("127.0.0.1:{}", free_port()))
}

/// Waits until each target is up, each rule has been evaluated without error and the first alert has arrived.
fn wait_for_data(demo: &Demo, stop: &AtomicBool) -> Result<(), Interrupted> {
    say(stop, "Waiting for the first scrapes")?;
    for job in &demo.jobs {
        let instance = label(job, "instance");
        let sample = format!("sage_up{{job=\"{}\",instance=\"{instance}\"}}", job.name);
        let up = || stop.load(Ordering::Relaxed) || demo.prometheus.query(&sample).first().is_some_and(|s| s.1 == 1.0);
        if poll::within(LIMIT, || up().then_some(())).is_none() {
            panic!("{sample} is not 1 after {LIMIT:?}: {:?}{}", demo.prometheus.query(&sample), logs(demo));
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted);
        }
        println!("  {sample} 1");
    }
    say(stop, "Waiting for the rules")?;
    let loaded = || {
        let rules = demo.prometheus.rules();
        (stop.load(Ordering::Relaxed) || !rules.is_empty() && rules.iter().all(|r| r.is_well_after(LIMIT))).then_some(())
    };
    if poll::within(LIMIT, loaded).is_none() {
        panic!("not every rule is well: {:?}", demo.prometheus.rules());
    }
    let watchdog = || {
        let alerts = demo.alertmanager.alerts();
        let arrived = alerts.iter().any(|a| a.pointer("/labels/alertname").is_some_and(|n| n == "SageWatchdog"));
        (stop.load(Ordering::Relaxed) || arrived).then_some(())
    };
    poll::until("SageWatchdog reaches Alertmanager", LIMIT, watchdog);
    // Rules that ran before the first scrape found no target; what the guide says is true from here on.
    let calm = || (stop.load(Ordering::Relaxed) || demo.prometheus.alerts().iter().all(is_watchdog)).then_some(());
    if poll::within(LIMIT, calm).is_none() {
        panic!("not only SageWatchdog is there: {:?}", demo.prometheus.alerts());
    }
    if stop.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

fn is_watchdog(alert: &Alert) -> bool {
    alert.labels.get("alertname").is_some_and(|name| name == "SageWatchdog")
}

fn label<'a>(job: &'a Job, name: &str) -> &'a str {
    job.labels.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
}

fn logs(demo: &Demo) -> String {
    demo.exporters.iter().map(|(name, exporter)| format!("\n{name}:\n{}", exporter.logs())).collect()
}

fn summary(demo: &Demo) {
    let rules = demo.prometheus.rules();
    let alerting = rules.iter().filter(|r| r.kind == "alerting").count();
    println!("Targets with sage_up 1: {}", demo.jobs.len());
    println!("Rules loaded, all well: {} alerts, {} records", alerting, rules.len() - alerting);
    let series = demo.prometheus.query("sum(scrape_samples_scraped)").first().map_or(0.0, |s| s.1);
    println!("Samples in one round of scrapes: {series}");
    for alert in demo.prometheus.alerts() {
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        println!("Alert {} ({}) {}", label("alertname"), alert.state, label("instance"));
    }
}

fn guide(demo: &Demo) {
    let prometheus = demo.prometheus.url();
    let mut rows = vec![
        ("Prometheus".to_owned(), format!("{prometheus}/targets"), "each target is UP"),
        (String::new(), format!("{prometheus}/alerts"), "only SageWatchdog fires: the sign of life"),
        (String::new(), graph(&prometheus, "rate(pg_stat_database_xact_commit{datname=\"shop\"}[1m])"), "commits a second"),
        (String::new(), graph(&prometheus, "pg_slow_queries_last_minute"), "slow statements, from the server's log"),
        (String::new(), graph(&prometheus, "sum by (cmd) (rate(redis_commands_total[1m]))"), "commands a second at Redis"),
        (String::new(), graph(&prometheus, "sage_scrape_duration_seconds"), "what a scrape takes"),
        ("Alertmanager".to_owned(), demo.alertmanager.url(), "alerts grouped by client, site, host, product"),
    ];
    for (name, exporter) in &demo.exporters {
        rows.push(((*name).to_owned(), exporter.url("/"), "what it is and where it is configured"));
        rows.push((String::new(), exporter.url("/metrics"), "the page that Prometheus reads"));
    }
    for job in demo.jobs.iter().filter(|j| j.path == "/probe") {
        let query: Vec<String> = job.params.iter().map(|(n, v)| format!("{n}={}", e2e::http::encode(v))).collect();
        rows.push((format!("probe {}", job.name), format!("http://{}/probe?{}", job.address, query.join("&")), "probe_success 1"));
    }
    let postgres = &demo.stage.postgres;
    let address = format!("postgresql://{SUPERUSER}:{PASSWORD}@{}/shop", postgres.address());
    rows.push(("PostgreSQL".to_owned(), address, "for psql"));
    let width = |column: fn(&(String, String, &str)) -> usize| rows.iter().map(column).max().unwrap_or(0);
    let (what, note) = (width(|r| r.0.len()), width(|r| r.2.len()));
    println!("\nAll is up. Look at:\n");
    for row in &rows {
        println!("  {:what$}  {:note$}  {}", row.0, row.2, row.1);
    }
    println!("\nThen ask the server once, as the one on call does; exit code 0 is fine:\n");
    let settings = postgres_settings(&demo.stage).env.into_iter().map(|(name, value)| format!("{name}='{value}'"));
    println!("  {} {} check", settings.collect::<Vec<_>>().join(" "), exporter::binary("sage-postgres-exporter").display());
    println!("\nAnd keep it from taking logins: SageServiceDown fires after one to two minutes, and ends five minutes after the fault.\n");
    println!("  kill -STOP {pid}\n  kill -CONT {pid}", pid = postgres.pid());
    println!("\nmake demo BREAK=lock (or connections, replication; memory, rejected, replication-redis) breaks that and prints the alert.");
    println!("\nCtrl-C stops everything and removes it.");
}

fn graph(prometheus: &str, expression: &str) -> String {
    format!("{prometheus}/graph?g0.tab=0&g0.range_input=5m&g0.expr={}", e2e::http::encode(expression))
}
