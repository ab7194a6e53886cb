//! Pings by the real binary: loopback of both families, names that are wrong, and a far end in a network namespace that
//! loses, repeats, delays and answers too late. Both kinds of ICMP socket, none of them, and pings by TCP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::exporter::{Exporter, run};
use e2e::netns::Cable;
use e2e::page::Page;
use e2e::poll;
use e2e::probed::BINARY;
use e2e::temp::TempFolder;
use e2e::watched::scrape_at;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// Above what any step of these tests takes.
const LIMIT: Duration = Duration::from_secs(30);

fn start(folder: &TempFolder, config: &str) -> Exporter {
    let file = folder.write("http.yml", config);
    Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &[])
}

fn of(page: &Page, name: &str, target: &str) -> Option<f64> {
    page.series(name).iter().find(|s| s.labels.get("target").is_some_and(|t| t == target)).map(|s| s.value)
}

/// The page once `target` has ended at least `count` pings.
fn after(exporter: &Exporter, target: &str, count: f64) -> Page {
    poll::until(&format!("{count} pings of {target}\n{}", exporter.logs()), LIMIT, || {
        let page = exporter.metrics();
        let ended = of(&page, "ping_received_total", target)? + of(&page, "ping_lost_total", target)?;
        (ended >= count).then_some(page)
    })
}

#[test]
fn loopback_of_both_families_and_names_that_are_wrong() {
    let folder = TempFolder::new("ping");
    let group = |targets: &str| {
        format!(
            "ping:\n  smokeping_names: true\n  groups:\n    - direction: east-west\n      interval: 400ms\n      timeout: 400ms\n      targets:\n{targets}"
        )
    };
    let rest = "        - {host: \"::1\", name: six, labels: {site: here}}\n        - {host: no-such-host.invalid, name: nobody}\n        \
                - {host: localhost, name: named}\n";
    let exporter = start(&folder, &group(&format!("        - {{host: 127.0.0.1, name: four}}\n{rest}")));
    for target in ["four", "six", "named"] {
        let page = after(&exporter, target, 10.0);
        assert_eq!(of(&page, "ping_loss_ratio", target), Some(0.0), "{target}");
        let count = of(&page, "ping_rtt_seconds_count", target).unwrap();
        let (best, worst) = (of(&page, "ping_rtt_best_seconds", target).unwrap(), of(&page, "ping_rtt_worst_seconds", target).unwrap());
        let (mean, jitter) = (of(&page, "ping_rtt_mean_seconds", target).unwrap(), of(&page, "ping_jitter_seconds", target).unwrap());
        assert!(count >= 10.0 && best > 0.0 && best <= mean && mean <= worst && worst < 0.4, "{target}: {best} {mean} {worst}");
        assert!(jitter > 0.0 && jitter <= worst && of(&page, "ping_rtt_std_deviation_seconds", target).is_some(), "{target}: {jitter}");
        assert!(of(&page, "ping_sent_total", target).unwrap() >= count);
        assert_eq!(of(&page, "ping_duplicates_total", target), Some(0.0));
    }
    let page = exporter.metrics();
    let labels = [("target", "six"), ("direction", "east-west"), ("ip", "::1"), ("ip_version", "6"), ("method", "icmp"), ("site", "here")];
    assert_eq!(page.value("ping_target_info", &labels), Some(1.0), "{page:?}");
    assert_eq!(page.value("ping_self_check_success", &[("ip_version", "6")]), Some(1.0));
    assert_eq!(page.value("ping_sockets_reopened_total", &[("ip_version", "4")]), Some(0.0));
    assert!(page.value("smokeping_requests_total", &[("host", "four"), ("ip", "127.0.0.1"), ("source", "")]).unwrap() >= 10.0);
    assert!(page.series("smokeping_response_duration_seconds_count").len() == 3);
    let page = poll::until("the wrong name is counted", LIMIT, || {
        Some(exporter.metrics()).filter(|p| of(p, "ping_errors_total", "nobody").is_some())
    });
    assert_eq!(
        page.value("ping_errors_total", &[("target", "nobody"), ("ip_version", ""), ("direction", "east-west"), ("reason", "resolve")])
            .map(|n| n >= 1.0),
        Some(true)
    );
    assert_eq!((of(&page, "ping_loss_ratio", "nobody"), of(&page, "ping_sent_total", "nobody")), (Some(1.0), Some(0.0)));

    // A reload: what is the same goes on, what is gone vanishes.
    let before = of(&exporter.metrics(), "ping_received_total", "six").unwrap();
    folder.write("http.yml", &group(rest));
    exporter.signal("HUP");
    let page = poll::until("the target is gone", LIMIT, || Some(exporter.metrics()).filter(|p| of(p, "ping_sent_total", "four").is_none()));
    assert!(of(&page, "ping_received_total", "six").unwrap() >= before);
    after(&exporter, "six", before + 5.0);
    // A bad one changes nothing.
    folder.write("http.yml", "ping: {window: 0}\n");
    exporter.signal("HUP");
    poll::until("the refusal", LIMIT, || (exporter.metrics().value("sage_config_last_reload_success", &[]) == Some(0.0)).then_some(()));
    let now = of(&exporter.metrics(), "ping_received_total", "six").unwrap();
    after(&exporter, "six", now + 5.0);

    folder.write("http.yml", &group(rest));
    let file = format!("--config.file={}", folder.join("http.yml").display());
    let check = run(BINARY, &["check", &file], &[]);
    let text = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{text}");
    let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().split_whitespace().nth(2).map(str::to_owned);
    assert_eq!((row("ping six").as_deref(), row("ping nobody").as_deref()), (Some("ok"), Some("resolve")), "{text}");
}

/// .2 loses every fourth, .3 answers twice, .4 after 5 and 25 ms in turn, .5 after 600 ms.
fn far(last: u8, n: u32) -> Vec<Duration> {
    let ms = |all: &[u64]| all.iter().map(|ms| Duration::from_millis(*ms)).collect();
    match last {
        2 if n % 4 == 3 => Vec::new(),
        2 => ms(&[0]),
        3 => ms(&[0, 3]),
        4 => ms(&[if n.is_multiple_of(2) { 5 } else { 25 }]),
        _ => ms(&[600]),
    }
}

const FAR: &str = "modules: {p: {prober: icmp, timeout: 300ms, icmp: {preferred_ip_protocol: ip4, ttl: 9}}}\nping:\n  window: 40\n  groups:\n    \
    - direction: north-south\n      method: icmp\n      interval: 400ms\n      count: 4\n      spacing: 50ms\n      timeout: 300ms\n      targets: \
    [{host: 10.77.0.2, name: lossy}, {host: 10.77.0.3, name: twice}, {host: 10.77.0.4, name: jittery}, \
    {host: 10.77.0.5, name: late}, {host: 10.77.0.66, name: dead}, {host: 192.0.2.1, name: unreachable}]\n";

fn tells_the_truth(exporter: &Exporter) {
    let page = after(exporter, "lossy", 48.0);
    for target in ["twice", "jittery", "late", "dead"] {
        after(exporter, target, 48.0);
    }
    let value = |name, target| of(&page, name, target).unwrap_or_else(|| panic!("{name} of {target}\n{}", exporter.logs()));
    let near = |name, target, want: f64, margin: f64| {
        let got = value(name, target);
        assert!((got - want).abs() <= margin, "{name} of {target} is {got}, wanted {want} ± {margin}");
    };
    // The far end is a thread that a busy machine keeps waiting: what it adds can only make times longer and losses more.
    let within = |name, target, least: f64, most: f64| {
        let got = value(name, target);
        assert!(got >= least && got <= most, "{name} of {target} is {got}, wanted {least} to {most}");
    };
    within("ping_loss_ratio", "lossy", 0.2, 0.5);
    let (received, lost) = (value("ping_received_total", "lossy"), value("ping_lost_total", "lossy"));
    assert!(received + lost >= 48.0 && lost / (received + lost) >= 0.2, "{received} {lost}");
    within("ping_loss_ratio", "twice", 0.0, 0.2);
    let received = value("ping_received_total", "twice");
    near("ping_duplicates_total", "twice", received, received * 0.2);
    within("ping_rtt_best_seconds", "jittery", 0.005, 0.2);
    within("ping_rtt_mean_seconds", "jittery", 0.0149, 0.2);
    // |D| is 20 ms each time; the sixteenths have got there after fifty.
    within("ping_jitter_seconds", "jittery", 0.012, 0.15);
    near("ping_loss_ratio", "late", 1.0, 0.0);
    near("ping_received_total", "late", 0.0, 0.0);
    let lost = of(&page, "ping_lost_total", "late").unwrap();
    // Those of the last 600 ms are still on their way.
    near("ping_late_total", "late", lost, 12.0);
    near("ping_loss_ratio", "dead", 1.0, 0.0);
    near("ping_received_total", "dead", 0.0, 0.0);
    // There is no way there, and the system says so.
    let refused = [("target", "unreachable"), ("ip_version", "4"), ("direction", "north-south"), ("reason", "unreachable")];
    poll::until("thirty pings that cannot be sent", LIMIT, || {
        exporter.metrics().value("ping_errors_total", &refused).filter(|n| *n > 30.0)
    });
    near("ping_sent_total", "unreachable", 0.0, 0.0);
    near("ping_loss_ratio", "unreachable", 1.0, 0.0);

    let probe = |target: &str| scrape_at(exporter, &format!("/probe?module=p&target={target}"), LIMIT);
    let page = probe("10.77.0.4");
    assert_eq!((page.value("probe_success", &[]), page.value("probe_icmp_reply_hop_limit", &[])), (Some(1.0), Some(64.0)));
    let rtt = page.value("probe_icmp_duration_seconds", &[("phase", "rtt")]).unwrap();
    assert!(rtt > 0.004 && rtt < 0.2, "{rtt}");
    let page = probe("10.77.0.5");
    assert_eq!((page.value("probe_success", &[]), page.value("probe_icmp_reply_hop_limit", &[])), (Some(0.0), None));
    assert_eq!(page.value("sage_error", &[("collector", "probe"), ("reason", "timeout")]), Some(1.0));
}

#[test]
fn loss_duplicates_jitter_and_late_replies_over_both_kinds_of_socket() {
    let Some(cable) = Cable::lay(&[2, 3, 4, 5], far) else { return };
    let folder = TempFolder::new("ping");
    cable.near(|| {
        // Root has CAP_NET_RAW, and a namespace begins with ping_group_range closed: raw sockets.
        let mut raw = start(&folder, FAR);
        tells_the_truth(&raw);
        raw.stop();
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
        remove_capability_from_bounding_set(CapabilitySet::NET_RAW).unwrap();
        let datagram = start(&folder, FAR);
        tells_the_truth(&datagram);
    });
}

/// The far end answers nothing.
static SILENT: AtomicBool = AtomicBool::new(false);

fn at_times(_: u8, _: u32) -> Vec<Duration> {
    if SILENT.load(Ordering::Relaxed) { Vec::new() } else { vec![Duration::ZERO] }
}

/// A socket that has gone deaf is told from a network that is down by a ping of this machine; here neither answers any more.
#[test]
fn a_socket_that_hears_nothing_is_opened_anew() {
    let Some(cable) = Cable::lay(&[2], at_times) else { return };
    let folder = TempFolder::new("ping");
    cable.near(|| {
        let config = "ping:\n  groups:\n    - direction: north-south\n      interval: 200ms\n      timeout: 200ms\n      targets: \
            [{host: 10.77.0.2, name: far}]\n";
        let exporter = start(&folder, config);
        let page = after(&exporter, "far", 5.0);
        let ours = |page: &Page, name: &str| page.value(name, &[("ip_version", "4")]);
        assert_eq!((ours(&page, "ping_self_check_success"), ours(&page, "ping_sockets_reopened_total")), (Some(1.0), Some(0.0)));
        let loopback = |state: &str| {
            let done = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
            assert!(done.success(), "ip link set lo {state}");
        };
        SILENT.store(true, Ordering::Relaxed);
        loopback("down");
        // Its own port is on that address: the log alone can be read.
        let told = || exporter.logs().contains("the ICMP socket is opened anew").then_some(());
        poll::until("another socket", LIMIT, told);
        assert!(exporter.logs().contains("it does not hear this machine itself"), "{}", exporter.logs());
        loopback("up");
        SILENT.store(false, Ordering::Relaxed);
        let back =
            |page: &Page| ours(page, "ping_self_check_success") == Some(1.0) && ours(page, "ping_sockets_reopened_total") >= Some(1.0);
        let page = poll::until("the new socket hears", LIMIT, || Some(exporter.metrics()).filter(back));
        let received = of(&page, "ping_received_total", "far").unwrap();
        poll::until("the far end is heard", LIMIT, || {
            (of(&exporter.metrics(), "ping_received_total", "far")? > received + 3.0).then_some(())
        });
    });
}

#[test]
fn who_may_not_open_a_socket_is_told_and_pings_by_tcp() {
    let Some(cable) = Cable::lay(&[2], |_, _| Vec::new()) else { return };
    let folder = TempFolder::new("ping");
    cable.near(|| {
        remove_capability_from_bounding_set(CapabilitySet::NET_RAW).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (open, closed) = (listener.local_addr().unwrap().port(), {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        });
        let config = format!(
            "ping:\n  groups:\n    - direction: east-west\n      interval: 200ms\n      timeout: 200ms\n      targets:\n        \
             - {{host: 127.0.0.1, name: open, port: {open}}}\n        - {{host: 127.0.0.1, name: closed, port: {closed}}}\n        \
             - {{host: 127.0.0.1, name: none}}\n        - {{host: 10.77.0.66, name: dead, port: 9}}\n"
        );
        let exporter = start(&folder, &config);
        for target in ["open", "closed"] {
            let page = after(&exporter, target, 5.0);
            assert_eq!(of(&page, "ping_loss_ratio", target), Some(0.0), "{target}");
            assert!(of(&page, "ping_rtt_last_seconds", target).unwrap() > 0.0);
            let labels = [("target", target), ("direction", "east-west"), ("ip", "127.0.0.1"), ("ip_version", "4"), ("method", "tcp")];
            assert_eq!(page.value("ping_target_info", &labels), Some(1.0), "{page:?}");
        }
        let page = after(&exporter, "dead", 5.0);
        assert_eq!((of(&page, "ping_loss_ratio", "dead"), of(&page, "ping_received_total", "dead")), (Some(1.0), Some(0.0)));
        let denied = [("target", "none"), ("ip_version", "4"), ("direction", "east-west"), ("reason", "permission")];
        assert!(page.value("ping_errors_total", &denied).unwrap() >= 5.0);
        let logs = exporter.logs();
        assert_eq!(logs.matches("no ping by ICMP").count(), 1, "{logs}");
        assert!(logs.contains("ping_group_range='0 2147483647'") && logs.contains("AmbientCapabilities=CAP_NET_RAW"), "{logs}");
        let file = format!("--config.file={}", folder.join("http.yml").display());
        let check = String::from_utf8(run(BINARY, &["check", &file], &[]).stdout).unwrap();
        assert!(check.lines().any(|line| line.starts_with("ping none") && line.contains("permission")), "{check}");
    });
}
