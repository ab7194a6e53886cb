//! One process with very many targets, most of which accept and never answer: the others are answered on time.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::servers::redis::Redis;
use e2e::temp::TempFolder;

/// More than the exporter has room for beside the targets.
const HUNG: usize = 150;
const PATIENCE: (&str, &str) = ("X-Prometheus-Scrape-Timeout-Seconds", "4");
const LIMIT: Duration = Duration::from_secs(6);

#[test]
fn hung_targets_keep_nobody_waiting() {
    let server = Redis::start();
    let silent: Vec<TcpListener> = (0..HUNG).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let folder = TempFolder::new("fleet");
    let mut config = format!("targets:\n  healthy: {{host: 127.0.0.1, port: {}}}\n", server.port());
    for (n, listener) in silent.iter().enumerate() {
        config += &format!("  hung{n}: {{host: 127.0.0.1, port: {}}}\n", listener.local_addr().unwrap().port());
    }
    let file = folder.write("fleet.yml", &config);
    let exporter = Exporter::start("sage-redis-exporter", &[&format!("--config.file={}", file.display())], &[]);
    let value = |path: &str, name: &str| {
        let answer = exporter.try_get(path, &[PATIENCE], LIMIT).map(|answer| answer.text()).unwrap_or_default();
        Page::parse(&answer).unwrap_or_default().value(name, &[])
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..HUNG)
            .map(|n| {
                let (value, over) = (&value, &over);
                scope.spawn(move || {
                    let up = value(&format!("/probe?target=hung{n}"), "sage_up");
                    (up, over.load(Ordering::Relaxed))
                })
            })
            .collect();
        for _ in 0..10 {
            let answer = exporter.try_get("/probe?target=healthy", &[PATIENCE], LIMIT).expect("an answer");
            assert_eq!(Page::parse(&answer.text()).unwrap().value("sage_up", &[]), Some(1.0));
            assert!(answer.elapsed < Duration::from_secs(1), "{:?}", answer.elapsed);
        }
        over.store(true, Ordering::Relaxed);
        // Each had an answer of its own that says so, and all were still waiting while the healthy one was asked.
        let answers: Vec<_> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(answers.iter().filter(|answer| **answer == (Some(0.0), true)).count(), HUNG, "{answers:?}\n{}", exporter.logs());
    });
}
