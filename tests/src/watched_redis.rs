//! A Redis watched by the shipped exporter: the monitoring user with the rule of `grants/monitor.acl` and an awkward password.
//! What is asked of every page is in `watched`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exporter::Exporter;
use crate::page::Page;
use crate::poll;
use crate::servers::redis::{Redis, RedisOptions};
use crate::temp::TempFolder;
use crate::watched::{CANARY, LIMIT, errors, scrape};

/// The exporter's binary.
pub const BINARY: &str = "sage-redis-exporter";
/// The monitoring user.
pub const MONITOR: &str = "sage";
/// Collectors that run at every server.
pub const COLLECTORS: [&str; 14] = [
    "clients",
    "commandstats",
    "config",
    "errorstats",
    "footprint",
    "info",
    "keyspace",
    "latency",
    "latencystats",
    "memory",
    "persistence",
    "replication",
    "slowlog",
    "stats",
];
/// Timers and login probe that do not keep a test waiting.
pub const BRISK: &str = "modules: {default: {probe_interval: 1s, collectors: {clients: {interval: 1s}}}}\n";

/// Starts a server with the monitoring user.
pub fn server(options: RedisOptions) -> Redis {
    let server = Redis::start_with(options);
    grant(&server);
    server
}

/// The program of a newer server, `redis-8` or `valkey-9`, as `scripts/setup.sh` unpacks it.
///
/// # Panics
/// When it is not there.
pub fn program(name: &str) -> PathBuf {
    let target = crate::exporter::binary(BINARY).ancestors().nth(2).expect("target/debug/binary").join("servers");
    let program = target.join(name).join("server");
    assert!(program.exists(), "{} is missing: {}", program.display(), crate::servers::INSTALL_HINT);
    program
}

/// Makes the monitoring user as the shipped rule says.
///
/// # Panics
/// When the server refuses the rule.
#[track_caller]
pub fn grant(server: &Redis) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporters/redis/grants/monitor.acl");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let rule = text.lines().find(|line| line.starts_with("ACL SETUSER")).expect("a rule");
    let words: Vec<&str> = rule.split(' ').map(|word| if word == ">PASSWORD" { "" } else { word }).collect();
    let password = format!(">{CANARY}");
    let words: Vec<&str> = words.into_iter().map(|word| if word.is_empty() { password.as_str() } else { word }).collect();
    server.run(&words);
    // A server refuses a rule with a command that it does not have.
    let more = text.lines().find_map(|line| line.strip_prefix("# On Valkey 8.1 and newer also: ")).expect("what Valkey has more");
    if server.cli(&["command", "info", "commandlog"]).is_ok_and(|said| said.contains("commandlog")) {
        server.run(&more.split(' ').collect::<Vec<_>>());
    }
}

/// Starts the exporter for the server behind `port` with this configuration file.
#[track_caller]
pub fn watch(port: u16, config: &str) -> Exporter {
    watch_as(port, config, Some(MONITOR), CANARY)
}

/// As [`watch`], with another user and password.
#[track_caller]
pub fn watch_as(port: u16, config: &str, user: Option<&str>, password: &str) -> Exporter {
    let folder = TempFolder::new("config");
    let file = folder.write("redis.yml", config);
    let address = format!("redis://127.0.0.1:{port}");
    let mut env = vec![("REDIS_ADDR", address.as_str()), ("REDIS_PASSWORD", password)];
    env.extend(user.map(|user| ("REDIS_USER", user)));
    Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &env)
}

/// Scrapes until nothing fails and all collectors have run, and returns that page.
#[track_caller]
pub fn wait_fine(exporter: &Exporter) -> Page {
    let mut last = Page::default();
    let fine = poll::within(LIMIT, || {
        last = scrape(exporter, Duration::from_secs(10));
        let ran = |name: &&str| last.value("sage_collector_success", &[("collector", name)]) == Some(1.0);
        (last.value("sage_up", &[]) == Some(1.0) && errors(&last).is_empty() && COLLECTORS.iter().all(ran)).then_some(())
    });
    assert!(fine.is_some(), "does not come to work: {:?}\n{}", errors(&last), exporter.logs());
    last
}
