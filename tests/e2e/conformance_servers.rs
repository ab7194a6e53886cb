//! What every exporter of the workspace must do at its real server, held to each one that is found in `exporters/`: its page, a
//! server that hangs, one that is killed and comes back, and a Prometheus with the jobs that the exporter prints.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::exporter::{self, Exporter};
use e2e::fault::{FaultProxy, Mode};
use e2e::page::Page;
use e2e::poll;
use e2e::said::prints;
use e2e::servers::product::Product;
use e2e::servers::prometheus::Prometheus;
use e2e::watched::{BUDGET, LIMIT, TIMEOUT_HEADER, tells};
use sage_common::parse::{self, Format};

/// Scrapes in a row of a server that hangs.
const ROW: usize = 50;
const OPENMETRICS: [(&str, &str); 1] = [("Accept", "application/openmetrics-text;version=1.0.0")];

/// `check` at each exporter, all at the same time.
fn each(check: impl Fn(&str) + Sync) {
    let binaries = exporter::all();
    let check = &check;
    thread::scope(|scope| {
        for binary in &binaries {
            scope.spawn(move || check(binary));
        }
    });
}

fn up(page: &Page) -> Option<f64> {
    page.value("sage_up", &[])
}

/// Waits until the server answers, and returns how many scrapes that took.
#[track_caller]
fn until_up(binary: &str, exporter: &Exporter, path: &str) -> usize {
    let mut scrapes = 0;
    let answered = poll::within(LIMIT, || {
        scrapes += 1;
        (up(&exporter.page(path)) == Some(1.0)).then_some(())
    });
    assert!(answered.is_some(), "{binary} does not come up:\n{}\n{}", exporter.get(path).text(), exporter.logs());
    scrapes
}

/// The exporter and the path of its page, once it has seen its server through a fault proxy.
fn behind_proxy(binary: &str) -> (Product, FaultProxy, Exporter, String) {
    let product = Product::start(binary);
    let proxy = FaultProxy::start(product.server.address());
    let (config, path) = product.aimed_at(proxy.address());
    let exporter = Exporter::start(binary, &[&config], &[]);
    until_up(binary, &exporter, &path);
    (product, proxy, exporter, path)
}

/// How a broken server or network behaves, as any client may meet it.
const BROKEN: [Mode; 10] = [
    Mode::Refuse,
    Mode::BlackHole,
    Mode::Garbage,
    Mode::Drip,
    Mode::Reset,
    Mode::ResetMidAnswer(3),
    Mode::CloseAtOnce,
    Mode::HostileLength,
    Mode::Say(b"SSH-2.0-OpenSSH_9.2\r\n"),
    Mode::Endless(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
];

/// Names and labels of a page, in its order.
fn series(text: &str) -> Vec<String> {
    text.lines().map(|line| if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 }.to_owned()).collect()
}

#[test]
fn the_page_of_a_server_is_right_in_both_formats_and_stays_as_it_is() {
    each(|binary| {
        let product = Product::start(binary);
        let (config, path) = product.aimed_at(product.server.address());
        let exporter = Exporter::start(binary, &[&config], &[]);
        until_up(binary, &exporter, &path);
        // Collectors on a timer and the fresh login have their first results.
        let mut last = Vec::new();
        let settled = poll::within(LIMIT, || {
            let now = series(&exporter.get(&path).text());
            let same = now == last && !now.iter().any(|line| line.starts_with("sage_error{"));
            last = now;
            same.then_some(())
        });
        assert!(settled.is_some(), "{binary}: {last:#?}");
        for _ in 0..3 {
            assert_eq!(series(&exporter.get(&path).text()), last, "{binary}: the next page has other series");
        }
        for (headers, format) in [(&[][..], Format::Text), (&OPENMETRICS[..], Format::OpenMetrics)] {
            for path in ["/metrics", &path] {
                let text = exporter.get_with(path, headers).text();
                let faults = parse::strict(&text, format).err().unwrap_or_default();
                assert!(faults.is_empty(), "{binary} {path}: {faults:?}");
                assert!(!tells(&text), "{binary}: the password is on the page");
            }
        }
    });
}

#[test]
fn a_server_that_hangs_keeps_two_connections_however_often_it_is_asked() {
    each(|binary| {
        let (_product, proxy, exporter, path) = behind_proxy(binary);
        let within_budget = |what: &str| {
            // An end is on its way for a moment.
            let kept = poll::within(Duration::from_secs(2), || (proxy.open() <= BUDGET).then_some(()));
            assert!(kept.is_some(), "{binary}, {what}: {} connections", proxy.open());
        };
        for _ in 0..ROW {
            assert_eq!(up(&exporter.page(&path)), Some(1.0), "{binary}");
            within_budget("up");
        }
        let before = exporter.open_fds();
        proxy.set(Mode::BlackHole);
        // One after the other: asked together, they would share an answer.
        for _ in 0..ROW {
            let answer = exporter.get_with(&path, &[(TIMEOUT_HEADER, "0.25")]);
            let page = Page::parse(&answer.text()).unwrap();
            assert_eq!((answer.status, up(&page)), (200, Some(0.0)), "{binary}");
            within_budget("hung");
        }
        let settled = poll::within(LIMIT, || (exporter.open_fds() <= before + 1).then_some(()));
        assert!(settled.is_some(), "{binary}: {} descriptors, {before} before", exporter.open_fds());
        proxy.set(Mode::Pass);
        until_up(binary, &exporter, &path);
        within_budget("up again");
    });
}

#[test]
fn a_broken_or_hostile_server_costs_a_reason_and_no_memory() {
    each(|binary| {
        let (_product, proxy, mut exporter, path) = behind_proxy(binary);
        let memory = exporter.private_bytes();
        for mode in BROKEN {
            proxy.set(mode);
            for _ in 0..2 {
                let answer = exporter.get_with(&path, &[(TIMEOUT_HEADER, "1.5")]);
                let page = Page::parse(&answer.text()).unwrap();
                assert_eq!((answer.status, up(&page)), (200, Some(0.0)), "{binary} {mode:?}");
                // A scrape was told why, in a word of the closed set.
                assert!(page.has("sage_error"), "{binary} {mode:?}: no reason");
                assert!(answer.elapsed < Duration::from_millis(1500), "{binary} {mode:?}: {:?}", answer.elapsed);
            }
        }
        proxy.set(Mode::Pass);
        until_up(binary, &exporter, &path);
        let grown = exporter.private_bytes().saturating_sub(memory);
        assert!(grown < 24 << 20, "{binary} has {grown} bytes more");
        assert!(!exporter.logs().contains("panic") && exporter.ended().is_none(), "{binary}: {}", exporter.logs());
    });
}

#[test]
fn many_who_ask_at_once_share_two_connections() {
    const SCRAPERS: usize = 50;
    each(|binary| {
        let (_product, proxy, exporter, path) = behind_proxy(binary);
        let over = AtomicBool::new(false);
        let most = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                while !over.load(Ordering::Relaxed) {
                    most = most.max(proxy.open());
                    thread::yield_now();
                }
                most
            });
            let ask = || (0..4).for_each(|_| assert_eq!(up(&exporter.page(&path)), Some(1.0), "{binary}"));
            let scrapers: Vec<_> = (0..SCRAPERS).map(|_| scope.spawn(ask)).collect();
            let ended: Vec<_> = scrapers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok), "{binary}: not all were answered");
            watcher.join().unwrap()
        });
        assert!((1..=BUDGET + 1).contains(&most), "{binary}: {most} connections at once");
    });
}

#[test]
fn a_server_that_is_killed_is_told_at_once_and_found_again_without_a_restart() {
    each(|binary| {
        let mut product = Product::start(binary);
        let (config, path) = product.aimed_at(product.server.address());
        let mut exporter = Exporter::start(binary, &[&config], &[]);
        for _ in 0..2 {
            until_up(binary, &exporter, &path);
            product.server.kill();
            for _ in 0..100 {
                let page = exporter.page(&path);
                assert_eq!(up(&page), Some(0.0), "{binary}: {}", exporter.get(&path).text());
                assert!(page.has("sage_error"), "{binary}: no reason");
            }
            product.server.restart();
            // The first may meet what was kept of the old one.
            let scrapes = until_up(binary, &exporter, &path);
            assert!(scrapes <= 2, "{binary}: up after {scrapes} scrapes");
        }
        assert!(exporter.ended().is_none(), "{binary} has ended");
    });
}

/// The page of each exporter at its server, scraped by the jobs that it prints.
#[test]
fn a_prometheus_takes_the_jobs_that_are_printed() {
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let mut running = Vec::new();
    for binary in exporter::all() {
        let product = Product::start(&binary);
        let (flag, _) = product.aimed_at(product.server.address());
        let exporter = Exporter::start(&binary, &[&flag], &[]);
        let printed = prints(&binary, &["scrape-config", &flag, &format!("--web.listen-address={}", exporter.address())]);
        let (_, jobs) = printed.split_once("scrape_configs:\n").unwrap();
        config.push_str(jobs);
        running.push((binary, product, exporter));
    }
    let prometheus = Prometheus::start_with(&config);
    for (binary, _, exporter) in &running {
        let name = binary.trim_start_matches("sage-").trim_end_matches("-exporter");
        // All that a rule needs of a target is there, if only as a word to be replaced.
        let labels = "client!=\"\",site!=\"\",host!=\"\",service!=\"\",criticality!=\"\",team!=\"\"";
        let found = |query: &str| poll::within(LIMIT, || prometheus.query(query).first().map(|(labels, _)| labels.clone()));
        let up = found(&format!("up{{job=\"{name}\",product=\"{name}\",{labels}}} == 1"));
        assert!(up.is_some(), "{binary}: {:?}\n{}", prometheus.query("up"), exporter.logs());
        let own = found(&format!("sage_build_info{{instance=\"{}\"}}", exporter.address()));
        assert!(own.is_some(), "{binary}: no series of its own");
        // It speaks for its server, or for what stands in the job as an example and is not to be reached from here.
        assert!(found(&format!("sage_up{{job=\"{name}\"}}")).is_some(), "{binary}");
    }
}
