//! Each alert of the probes once on a real fault: the shipped rules in a real Prometheus, the real exporter, real web servers
//! with certificates of a test authority. Every alert must fire with the labels of the inventory, at the host with its fault
//! alone, and end when its fault has ended. `e2e::drill` says what is faster than on a site.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use e2e::drill::{self, EVER, FIRING, Lowered, alerts, named};
use e2e::exporter::Exporter;
use e2e::fault::{FaultProxy, Mode};
use e2e::issuer::Authority;
use e2e::netns::Cable;
use e2e::poll;
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::site;
use e2e::temp::TempFolder;
use serde_json::json;

/// Of all alerts together: the longest `for` is 30 s here, and the shares of six hours need another half of a minute.
const ALL: Duration = Duration::from_secs(150);
const DAY: Duration = Duration::from_secs(86_400);

/// The road to web02 takes 400 ms, that to web10 150 ms for each of three steps: a scrape ends after a second.
const OVERRIDES: [Lowered; 2] = [("HttpProbeSlow", "web02", 0.2), ("HttpStepSlow", "web10", 0.1)];

/// What must fire: alert, host, severity.
const EXPECTED: [(&str, &str, &str); 14] = [
    ("HttpProbeFailing", "web01", "critical"),
    ("HttpProbeSlow", "web02", "warning"),
    ("HttpLatencyBudgetBurning", "web02", "warning"),
    ("HttpCertificateEnding", "web03", "warning"),
    ("HttpCertificateEnding", "web04", "warning"),
    ("HttpCertificateImminent", "web04", "critical"),
    ("HttpBudgetBurningFast", "web05", "critical"),
    ("HttpBudgetBurningSlow", "web05", "warning"),
    ("HttpProbeVanished", "web06", "warning"),
    ("HttpProbeFailing", "web07", "critical"),
    ("SageServiceDown", "web07", "critical"),
    ("HttpStepFailing", "web09", "critical"),
    ("HttpProbeFailing", "web09", "critical"),
    ("HttpStepSlow", "web10", "warning"),
];

/// What these faults raise besides: what fails always spends its budget too, and three failures in ten may come in a row.
const BESIDES: [(&str, &str); 7] = [
    ("HttpBudgetBurningFast", "web01"),
    ("HttpBudgetBurningSlow", "web01"),
    ("HttpBudgetBurningFast", "web07"),
    ("HttpBudgetBurningSlow", "web07"),
    ("HttpProbeFailing", "web05"),
    ("HttpBudgetBurningFast", "web09"),
    ("HttpBudgetBurningSlow", "web09"),
];

/// A page that is broken, a log-in that is refused, and a page that fails for three requests in ten, by the last digit of the clock.
const FAULTY: &str = "location = /shop { return 500; }\nlocation = /login { return 403; }\nlocation = /fickle { if ($msec ~ \"[0-2]$\") { return 503; } return 200; }";
const WELL: &str = "location = /shop { return 200; }\nlocation = /login { return 200; }\nlocation = /fickle { return 200; }";

fn site(server: &str) -> NginxOptions {
    NginxOptions { server: server.to_owned(), ..NginxOptions::default() }
}

/// The scrape job that probes `target` by this module.
fn probe(exporter: &Exporter, host: &str, module: &str, target: &str) -> Job {
    Job {
        name: format!("{module}-{host}"),
        address: exporter.address().to_string(),
        path: "/probe".to_owned(),
        params: [("module", module), ("target", target)].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
        labels: site::labels(host, "http", "app", target),
        ..Job::default()
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story in the order of events: faults, alerts, ends")]
fn each_alert_of_a_probe_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts-http");
    let authority = Authority::new(&folder, "authority");
    let until = |name: &str, days: u32| authority.issue_until(&folder, name, &["127.0.0.1"], Some(SystemTime::now() + DAY * days));
    let [shop, calm] = [(); 2].map(|()| Nginx::start(&site(WELL)));
    let road = FaultProxy::start(shop.address());
    let second = FaultProxy::start(calm.address());
    let tls = [until("ending", 90), until("imminent", 90)].map(|pair| Nginx::start(&NginxOptions { tls: Some(pair), ..site("") }));
    let mut port = Nginx::start(&site(""));
    let module = |more: serde_json::Value| json!({"prober": "http", "timeout": "2s", "http": more});
    let config = json!({"modules": {
        "http_2xx": module(json!({"preferred_ip_protocol": "ip4"})),
        "tls": module(json!({"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": authority.file}})),
        "steps": module(json!({"preferred_ip_protocol": "ip4", "steps": [
            {"name": "front", "url": "/"}, {"name": "login", "url": "/login"}, {"name": "order", "url": "/"},
        ]})),
        "tcp_connect": {"prober": "tcp", "timeout": "2s", "tcp": {"preferred_ip_protocol": "ip4"}},
    }});
    let file = folder.write("http.yml", &format!("{config:#}"));
    let exporter = Exporter::start("sage-http-exporter", &[&format!("--config.file={}", file.display())], &[]);
    let jobs = vec![
        probe(&exporter, "web01", "http_2xx", &shop.url("/shop")),
        probe(&exporter, "web02", "http_2xx", &format!("http://{}/", road.address())),
        probe(&exporter, "web03", "tls", &tls[0].tls_url("/")),
        probe(&exporter, "web04", "tls", &tls[1].tls_url("/")),
        probe(&exporter, "web05", "http_2xx", &shop.url("/fickle")),
        probe(&exporter, "web06", "http_2xx", &shop.url("/?web06")),
        probe(&exporter, "web07", "tcp_connect", &port.address().to_string()),
        probe(&exporter, "web08", "http_2xx", &shop.url("/")),
        probe(&exporter, "web09", "steps", &shop.url("/")),
        probe(&exporter, "web10", "steps", &format!("http://{}/", second.address())),
    ];
    let rules = drill::rules(&folder, &OVERRIDES, &jobs);
    let settings = PrometheusOptions { jobs: jobs.clone(), rules, ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(&settings);
    let fine = || {
        let all = prometheus.query("probe_success == 1").len() == jobs.len();
        (all && alerts(&prometheus, FIRING).is_empty()).then_some(())
    };
    assert!(poll::within(ALL, fine).is_some(), "not well before any fault: {:?}\n{}", prometheus.alerts(), exporter.logs());

    // The faults, all at once.
    shop.configure(&site(FAULTY));
    shop.reload();
    road.set(Mode::LateStart(Duration::from_millis(400)));
    second.set(Mode::LateStart(Duration::from_millis(150)));
    for (server, (name, days)) in tls.iter().zip([("ending", 10), ("imminent", 2)]) {
        until(name, days);
        server.reload();
    }
    // Somebody takes the path out of the scrape job: the exporter's own page is answered, without an error.
    let mut astray = settings.clone();
    astray.jobs[5].path = "/metrics".to_owned();
    prometheus.reload(&astray);
    port.stop();

    let expected = named(EXPECTED.map(|(alert, host, _)| (alert, host)));
    let mut fired = BTreeMap::new();
    poll::within(ALL, || {
        fired.extend(alerts(&prometheus, FIRING));
        expected.iter().all(|pair| fired.contains_key(pair)).then_some(())
    });
    let silent: Vec<_> = expected.iter().filter(|pair| !fired.contains_key(*pair)).collect();
    assert!(silent.is_empty(), "these do not fire: {silent:?}\n{:?}", prometheus.alerts());
    drill::assert_complete_as(&fired, &EXPECTED, &jobs, &prometheus);
    let links: Vec<String> = prometheus.alerts().into_iter().filter_map(|mut alert| alert.annotations.remove("dashboard_url")).collect();
    let slow = links.iter().find(|l| l.ends_with("viewPanel=3")).expect("a link to the time of a probe");
    assert!(slow.contains("&var-instance=http%3A%2F%2F127.0.0.1%3A"), "{slow}");
    let texts = prometheus.alerts().into_iter().filter(|alert| alert.labels["alertname"].starts_with("HttpStep"));
    let texts: BTreeSet<String> = texts.map(|mut alert| alert.annotations.remove("description").unwrap_or_default()).collect();
    assert!(texts.iter().any(|text| text.contains("step login") && text.ends_with("reason: http_status.")), "{texts:?}");

    // All faults end.
    shop.configure(&site(WELL));
    shop.reload();
    road.set(Mode::Pass);
    second.set(Mode::Pass);
    for (server, name) in tls.iter().zip(["ending", "imminent"]) {
        until(name, 90);
        server.reload();
    }
    prometheus.reload(&settings);
    port.restart();
    let ended = poll::within(ALL, || alerts(&prometheus, FIRING).is_empty().then_some(()));
    assert!(ended.is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    let unasked: Vec<_> = ever.difference(&expected).filter(|pair| !named(BESIDES).contains(*pair)).collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
}

/// The end of the faults of `far`.
static MENDED: AtomicBool = AtomicBool::new(false);

/// The far end: .2 loses every fourth ping, .3 three of a hundred, .4 answers at once and after 80 ms in turn, .5 is well.
fn far(last: u8, n: u32) -> Vec<Duration> {
    match last {
        _ if MENDED.load(Ordering::Relaxed) => vec![Duration::ZERO],
        2 if n.is_multiple_of(4) => Vec::new(),
        3 if n.is_multiple_of(33) => Vec::new(),
        4 => vec![Duration::from_millis(u64::from(n % 2) * 80)],
        _ => vec![Duration::ZERO],
    }
}

#[test]
fn each_alert_of_pings_fires_on_a_real_fault_and_ends_with_it() {
    let Some(cable) = Cable::lay(&[2, 3, 4, 5], far) else { return };
    cable.near(|| {
        let folder = TempFolder::new("alerts-ping");
        let targets: Vec<_> = [(2, "lossy"), (3, "leaky"), (4, "uneven"), (5, "well")]
            .iter()
            .map(|(last, name)| json!({"host": format!("10.77.0.{last}"), "name": name}))
            .collect();
        let group =
            json!({"direction": "north-south", "interval": "400ms", "count": 4, "spacing": "50ms", "timeout": "300ms", "targets": targets});
        let file = folder.write("ping.yml", &format!("{:#}", json!({"ping": {"groups": [group]}})));
        let exporter = Exporter::start("sage-http-exporter", &[&format!("--config.file={}", file.display())], &[]);
        let job = Job {
            name: "ping".to_owned(),
            address: exporter.address().to_string(),
            labels: site::labels("mon01", "http", "net", "mon01.example:9115"),
            ..Job::default()
        };
        let rules = drill::rules(&folder, &[], std::slice::from_ref(&job));
        let prometheus = Prometheus::start(&PrometheusOptions { jobs: vec![job.clone()], rules, ..PrometheusOptions::default() });
        let firing = || -> BTreeSet<(String, String)> {
            let found = prometheus.query(FIRING).into_iter().filter(|(labels, _)| labels["alertname"] != "SageWatchdog");
            found.map(|(labels, _)| (labels["alertname"].clone(), labels.get("target").cloned().unwrap_or_default())).collect()
        };
        let wanted = [("HttpPingLoss", "lossy"), ("HttpPingLossHigh", "lossy"), ("HttpPingLoss", "leaky"), ("HttpPingJitter", "uneven")];
        let wanted = named(wanted);
        let mut last = BTreeSet::new();
        let all = poll::within(ALL, || {
            last = firing();
            (last == wanted).then_some(())
        });
        assert!(all.is_some(), "{last:?} and not {wanted:?}: {:?}\n{}", prometheus.alerts(), exporter.logs());
        let expected =
            [("HttpPingLoss", "mon01", "warning"), ("HttpPingLossHigh", "mon01", "critical"), ("HttpPingJitter", "mon01", "warning")];
        drill::assert_complete_as(&alerts(&prometheus, FIRING), &expected, &[job], &prometheus);
        MENDED.store(true, Ordering::Relaxed);
        let calm = poll::within(ALL, || firing().is_empty().then_some(()));
        assert!(calm.is_some(), "these do not end: {:?}", firing());
    });
}
