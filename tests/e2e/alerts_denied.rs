//! What a server does not have and what we may not read calls nobody: every exporter of the workspace at its server as it is by
//! default, which lacks much that a collector could read, PostgreSQL 13, and logins with next to no rights, under all shipped
//! rules. A missing right is in the report (info), a login that is refused is for office hours (warning).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::drill::{self, PASSWORD, is_of_a_busy_machine, watch};
use e2e::exporter::{self, Exporter};
use e2e::poll;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::{Postgres, PostgresOptions, Version};
use e2e::servers::product::Product;
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::servers::redis::Redis;
use e2e::site;
use e2e::temp::TempFolder;
use e2e::watched_redis::watch_as;
use e2e::watched_web::{self, NGINX};

/// Of a step; of all alerts, whose longest wait is 30 s here.
const ALL: Duration = Duration::from_secs(120);
const EVER: &str = r#"max by (alertname, host, severity) (max_over_time(ALERTS{alertstate="firing"}[10m]))"#;

fn job(host: &str, product: &str, exporter: &Exporter) -> Job {
    let labels = site::labels(host, product, "sys", &format!("{host}.example"));
    Job { name: host.to_owned(), address: exporter.address().to_string(), labels, ..Job::default() }
}

/// What has fired with this severity, by alert and host.
fn fired(prometheus: &Prometheus, severity: &str) -> BTreeSet<(String, String)> {
    let all = prometheus.query(EVER).into_iter().map(|(labels, _)| labels);
    let such = all.filter(|labels| labels.get("severity").is_some_and(|s| s == severity));
    such.map(|labels| (labels["alertname"].clone(), labels.get("host").cloned().unwrap_or_default())).collect()
}

#[test]
fn what_is_not_there_and_what_may_not_be_read_pages_nobody() {
    let folder = TempFolder::new("denied");
    let (mut jobs, mut running) = (Vec::new(), Vec::new());
    let products: Vec<(String, Product)> = exporter::all().into_iter().map(|binary| (binary.clone(), Product::start(&binary))).collect();
    for (binary, product) in &products {
        let name = binary.trim_start_matches("sage-").trim_end_matches("-exporter");
        let (flag, path) = product.aimed_at(product.server.address());
        let exporter = Exporter::start(binary, &[&flag], &[]);
        let mut job = job(&format!("whole-{name}"), name, &exporter);
        if path.starts_with("/probe") {
            job.path = "/probe".to_owned();
            job.params = vec![("target".to_owned(), format!("http://{}/", product.server.address()))];
        }
        jobs.push(job);
        running.push(exporter);
    }
    // Not there: views and columns of later versions.
    let old = Postgres::start(PostgresOptions::of(Version::V13));
    old.create_monitor("sage", PASSWORD, 4);
    running.push(watch(&folder, old.port(), "sage", ""));
    jobs.push(job("old", "postgres", &running[running.len() - 1]));
    // May not be read: a role that may log in, a user that may say PING and INFO, a page that is closed; and a login that is refused.
    let database = Postgres::start(PostgresOptions::default());
    database.psql(&format!("create role poor login password '{PASSWORD}'")).unwrap();
    running.push(watch(&folder, database.port(), "poor", ""));
    jobs.push(job("poor-postgres", "postgres", &running[running.len() - 1]));
    let cache = Redis::start();
    cache.run(&["acl", "setuser", "poor", "on", &format!(">{PASSWORD}"), "-@all", "+info", "+ping"]);
    running.push(watch_as(cache.port(), "", Some("poor"), PASSWORD));
    jobs.push(job("poor-redis", "redis", &running[running.len() - 1]));
    running.push(watch_as(cache.port(), "", Some("poor"), "wrong"));
    jobs.push(job("refused", "redis", &running[running.len() - 1]));
    let site = Nginx::start(&NginxOptions { server: "location = /closed { deny all; }".to_owned(), ..NginxOptions::default() });
    running.push(watched_web::watch(NGINX, &format!("url: {}", site.url("/closed"))));
    jobs.push(job("closed", "nginx", &running[running.len() - 1]));

    let rules = drill::rules(&folder, &[], &jobs);
    let targets = jobs.len();

    let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules, ..PrometheusOptions::default() });
    let scraped = || (prometheus.query("up == 1").len() == targets).then_some(());
    poll::until("all exporters are scraped", ALL, scraped);

    let pairs = |all: &[(&str, &str)]| all.iter().map(|(alert, host)| ((*alert).to_owned(), (*host).to_owned())).collect::<BTreeSet<_>>();
    let report =
        pairs(&[("SageMonitoringPartial", "poor-postgres"), ("SageMonitoringPartial", "poor-redis"), ("SageMonitoringPartial", "closed")]);
    let blind = pairs(&[("SageMonitoringBlind", "refused")]);
    // By then each wait of a rule that is not in hours has passed.
    let told =
        poll::within(ALL, || (fired(&prometheus, "info") == report && fired(&prometheus, "warning").is_superset(&blind)).then_some(()));
    assert!(told.is_some(), "in the report: {:?}, tickets: {:?}", fired(&prometheus, "info"), fired(&prometheus, "warning"));
    assert_eq!(fired(&prometheus, "critical"), BTreeSet::new(), "somebody was called");
    let tickets: BTreeSet<_> = fired(&prometheus, "warning").into_iter().filter(|pair| !is_of_a_busy_machine(pair)).collect();
    assert_eq!(tickets, blind);
    // All but the one that does not let us in are up.
    assert_eq!(prometheus.query("sage_up == 0").len(), 1, "{:?}", prometheus.query("sage_up == 0"));
}
