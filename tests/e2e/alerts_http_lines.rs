//! The alerts of throughput on real faults, with the shipped rules in a real Prometheus: a line that became slow, a far end that is
//! not there, a budget that is used up; and that each ends with its fault. `e2e::drill` says what is faster than on a site. The
//! interval of the tests themselves cannot be: a restart brings the next one, and the state file keeps what was before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use e2e::drill::{self, FIRING, alerts};
use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::servers::responder::Responder;
use e2e::site;
use e2e::temp::{TempFolder, free_port};
use serde_json::json;

/// Of a test and of the alerts.
const LIMIT: Duration = Duration::from_secs(120);

/// A file of two megabytes over a line that takes this many bytes a second.
fn line(folder: &TempFolder, rate: &str) -> NginxOptions {
    let server = format!("location = /big {{ root {}; limit_rate {rate}; }}", folder.path().display());
    NginxOptions { server, ..NginxOptions::default() }
}

/// An exporter that measures this line.
fn start(folder: &TempFolder, host: &str, budget: &str, ways: &serde_json::Value) -> Exporter {
    let mut target = json!({"name": "line", "direction": "east-west", "interval": "1m", "max_bytes": "1MB", "max_time": "1s"});
    target.as_object_mut().unwrap().extend(ways.as_object().unwrap().clone());
    let state = folder.join(&format!("{host}.json"));
    let config = json!({"throughput": {"daily_budget": budget, "state_file": state, "targets": [target]}});
    let file = folder.write(&format!("{host}.yml"), &format!("{config:#}"));
    Exporter::start("sage-http-exporter", &[&format!("--config.file={}", file.display())], &[])
}

/// The page after the first test of this way.
fn tested(exporter: &Exporter, way: &str) -> Page {
    poll::until(&format!("a test\n{}", exporter.logs()), LIMIT, || {
        let page = exporter.metrics();
        page.value("throughput_success", &[("way", way)]).map(|_| page)
    })
}

fn job(host: &str, exporter: &Exporter) -> Job {
    let labels = site::labels(host, "http", "net", &format!("{host}.example:9115"));
    Job { name: format!("lines-{host}"), address: exporter.address().to_string(), labels, ..Job::default() }
}

/// What fires of the two alerts, with host and way.
fn firing(prometheus: &Prometheus) -> BTreeSet<[String; 3]> {
    let found = prometheus.query(FIRING).into_iter().map(|(labels, _)| labels);
    let found = found.filter(|labels| labels["alertname"].starts_with("HttpThroughput"));
    found.map(|labels| ["alertname", "host", "way"].map(|name| labels[name].clone())).collect()
}

#[test]
fn each_alert_of_a_line_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts-lines");
    folder.write("big", &"x".repeat(2 << 20));
    // Over loopback a rate is what the machine happens to do; at these limits it is what the line does.
    let server = Nginx::start(&line(&folder, "1600k"));
    let far_end = Responder::start(&folder, &[]);
    let down = json!({"download": server.url("/big")});
    let nobody: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let away = json!({"download": format!("http://{nobody}/big")});
    let both = json!({
        "download": format!("http://{}/download?bytes=2000000", far_end.address),
        "upload": format!("http://{}/upload", far_end.address),
    });
    let slow = start(&folder, "mon01", "1GB", &down);
    assert_eq!(tested(&slow, "down").value("throughput_best_of_two_bytes_per_second", &[]), None, "one test is not two");
    drop(slow);
    let mut slow = start(&folder, "mon01", "1GB", &down);
    let rate = tested(&slow, "down").value("throughput_best_of_two_bytes_per_second", &[]).unwrap();
    assert!(rate > 6e5, "{rate}");
    // The download takes what the day has; nothing is left for the upload.
    let far = start(&folder, "mon02", "1GB", &away);
    let poor = start(&folder, "mon03", "1MB", &both);
    let well = start(&folder, "mon04", "1GB", &down);
    let mut jobs = vec![job("mon01", &slow), job("mon02", &far), job("mon03", &poor), job("mon04", &well)];
    let rules = drill::rules(&folder, &[], &jobs);
    let settings = |jobs: &[Job]| PrometheusOptions { jobs: jobs.to_vec(), rules: rules.clone(), ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&settings(&jobs));
    let never = |host: &str, way: &str| ["HttpThroughputNotMeasured", host, way].map(str::to_owned);
    let unmeasured = BTreeSet::from([never("mon02", "down"), never("mon03", "up")]);
    let mut last = BTreeSet::new();
    let all = poll::within(LIMIT, || {
        last = firing(&prometheus);
        (last == unmeasured).then_some(())
    });
    assert!(all.is_some(), "{last:?} and not {unmeasured:?}: {:?}", prometheus.alerts());
    let texts: BTreeSet<String> = prometheus.alerts().into_iter().filter_map(|mut alert| alert.annotations.remove("description")).collect();
    for reason in ["reason: refused.", "reason: budget."] {
        assert!(texts.iter().any(|text| text.ends_with(reason)), "{reason}: {texts:?}");
    }

    // The line becomes slow: one slow test is none, the second is.
    server.configure(&line(&folder, "200k"));
    server.reload();
    for _ in 0..2 {
        drop(slow);
        slow = start(&folder, "mon01", "1GB", &down);
        jobs[0] = job("mon01", &slow);
        prometheus.reload(&settings(&jobs));
        tested(&slow, "down");
    }
    let low = ["HttpThroughputLow", "mon01", "down"].map(str::to_owned);
    let fires = poll::within(LIMIT, || firing(&prometheus).contains(&low).then_some(()));
    assert!(fires.is_some(), "{:?}\n{}", prometheus.alerts(), slow.get("/metrics").text());
    let expected = [
        ("HttpThroughputLow", "mon01", "warning"),
        ("HttpThroughputNotMeasured", "mon02", "warning"),
        ("HttpThroughputNotMeasured", "mon03", "warning"),
    ];
    drill::assert_complete_as(&alerts(&prometheus, FIRING), &expected, &jobs, &prometheus);

    // All faults end: the line is as before, the far end is another, the budget fits.
    server.configure(&line(&folder, "1600k"));
    server.reload();
    assert!(TcpListener::bind(nobody).is_ok(), "nobody was there");
    drop((slow, far, poor));
    let ended = [start(&folder, "mon01", "1GB", &down), start(&folder, "mon02", "1GB", &down), start(&folder, "mon03", "100MB", &both)];
    for (at, (host, exporter)) in ["mon01", "mon02", "mon03"].iter().zip(&ended).enumerate() {
        jobs[at] = job(host, exporter);
    }
    prometheus.reload(&settings(&jobs));
    let calm = poll::within(LIMIT, || firing(&prometheus).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}\n{}", firing(&prometheus), ended[2].logs());
}
