//! Every query of every shipped dashboard, asked of a Prometheus that has scraped the real exporter at a primary under
//! load and at its standby, and at a Redis and its replica: each must return data, for each choice that its variables offer. A panel can be empty by a
//! typo that parses, by a label that the exporter does not set, or by a join that matches nothing; only this shows it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::lint::{self, dashboards};
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions, shipped_rules};
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::site;

const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "monitor";

fn watch(server: &Postgres) -> Exporter {
    let port = server.port();
    let env = [
        ("DATA_SOURCE_URI", format!("127.0.0.1:{port}/shop?sslmode=disable")),
        ("DATA_SOURCE_USER", "sage".to_owned()),
        ("DATA_SOURCE_PASS", PASSWORD.to_owned()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    Exporter::start("sage-postgres-exporter", &[], &env)
}

fn job(host: &str, exporter: &Exporter) -> Job {
    Job {
        name: format!("postgres-{host}"),
        address: exporter.address().to_string(),
        labels: site::labels(host, "postgres", "dba", &format!("{host}.example:9187")),
        ..Job::default()
    }
}

/// What Grafana puts in for a variable when all of its values are chosen.
fn all_of(values: &BTreeSet<String>) -> String {
    format!("({})", values.iter().cloned().collect::<Vec<_>>().join("|"))
}

#[test]
fn every_query_of_every_dashboard_returns_data() {
    let options = PostgresOptions { slow_query: Some(Duration::from_secs(1)), ..PostgresOptions::default() };
    let primary = Postgres::start(options.clone());
    primary.create_monitor("sage", PASSWORD, 4);
    primary.psql("create database shop").unwrap();
    primary.pgbench_init("shop", 1);
    let standby = Postgres::start_standby(&primary, options);
    let _load = primary.pgbench_run("shop", 1, 5);
    // Between two statements of the load no lock is held.
    let mut locks = primary.session("shop");
    locks.query("begin; lock table pgbench_history in access share mode").unwrap();
    let exporters = [watch(&primary), watch(&standby)];
    let mut jobs = vec![job("db01", &exporters[0]), job("db02", &exporters[1])];
    let cache = Redis::start_with(RedisOptions { settings: vec!["maxmemory 100mb".to_owned()], ..RedisOptions::default() });
    let copy = Redis::start_replica(&cache, RedisOptions::default());
    let caches =
        [&cache, &copy].map(|server| Exporter::start("sage-redis-exporter", &[], &[("REDIS_ADDR", &server.address().to_string())]));
    jobs.extend((1..).zip(&caches).map(|(n, exporter)| Job {
        name: format!("redis-cache0{n}"),
        address: exporter.address().to_string(),
        labels: site::labels(&format!("cache0{n}"), "redis", "sys", &format!("cache0{n}.example:9121")),
        ..Job::default()
    }));
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules: shipped_rules(), ..PrometheusOptions::default() });
    let values = |series: &str, label: &str| -> BTreeSet<String> {
        prometheus.query(series).into_iter().filter_map(|(labels, _)| labels.get(label).cloned()).collect()
    };
    poll::until("both servers are seen", LIMIT, || (values("sage_up == 1", "instance").len() == 4).then_some(()));

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let mut queries = Vec::new();
    for file in lint::files(&folder, ".json") {
        let board = dashboards::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        // The variables as the dashboard asks for them, each with the choice of those before it put in.
        let mut chosen: Vec<(String, String)> = Vec::new();
        let filled = |text: &str, chosen: &[(String, String)]| {
            chosen.iter().fold(dashboards::plain_query(text), |t, (name, value)| t.replace(&format!("${name}"), value))
        };
        for (name, series, label) in board.label_variables() {
            let found = values(&filled(series, &chosen), label);
            let of_each = matches!(label, "job" | "instance");
            assert!(if of_each { found.len() == 2 } else { !found.is_empty() }, "{}: variable {name}: {found:?}", file.display());
            chosen.push((name.to_owned(), all_of(&found)));
        }
        let told = board.panels.iter().filter(|p| !p.may_be_empty());
        for (panel, expr) in told.flat_map(|p| p.targets.iter().map(move |t| (p.id, &t.expr))) {
            let query = filled(expr, &chosen);
            assert!(!query.contains('$'), "{}: panel {panel}: a variable is left in {query}", file.display());
            queries.push((panel, query));
        }
    }
    assert!(queries.len() >= 60, "{} queries", queries.len());
    let mut empty = queries;
    let all = || {
        empty.retain(|(_, query)| prometheus.query(query).is_empty());
        empty.is_empty().then_some(())
    };
    if poll::within(LIMIT, all).is_none() {
        let list: Vec<String> = empty.iter().map(|(panel, query)| format!("panel {panel} is empty: {query}")).collect();
        panic!("{}\n{}", exporters[0].get("/metrics").text(), list.join("\n"));
    }
}
