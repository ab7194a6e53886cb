//! The Redis exporter while its server is away, frozen, hostile, busy, full or closed to us. In each fault: an answer inside
//! the scraper's timeout, what could be read is there, the reason is named, at most two connections as counted on the server,
//! no growth, recovery without restart, and the password in no output.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::io::ErrorKind;
use std::time::Duration;

use e2e::fault::{FaultProxy, Mode};
use e2e::page::Page;
use e2e::poll;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::watched::{BUDGET, CANARY, LIMIT, TIMEOUT_HEADER, does_not_grow, errors, keeps_its_secret, scrape, until};
use e2e::watched_redis::{BRISK, MONITOR, grant, server, wait_fine, watch, watch_as};

const SHORT: Duration = Duration::from_secs(2);
const USUAL: Duration = Duration::from_secs(5);

fn with(settings: &[&str]) -> RedisOptions {
    RedisOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..RedisOptions::default() }
}

fn up(page: &Page) -> f64 {
    page.value("sage_up", &[]).expect("sage_up is on every page")
}

/// A page of a server that cannot be reached: the reason is named, and no value of the server is there.
#[track_caller]
fn is_down(page: &Page, reasons: &[&str]) {
    let errors = errors(page);
    assert_eq!((up(page), page.value("redis_up", &[])), (0.0, Some(0.0)), "{errors:?}");
    let reason = errors.get("connect").map_or("none", String::as_str);
    assert!(reasons.contains(&reason), "{reason} is none of {reasons:?}: {errors:?}");
    assert_eq!(page.value("redis_exporter_last_scrape_error", &[("err", reason)]), Some(1.0));
    assert!(
        !page.has("redis_memory_used_bytes") && !page.has("redis_db_keys") && !page.has("redis_connections"),
        "values of a server that did not answer"
    );
}

#[test]
fn a_server_that_comes_goes_and_comes_back() {
    let mut server = server(RedisOptions::default());
    server.kill();
    let exporter = watch(server.port(), BRISK);
    for _ in 0..3 {
        is_down(&scrape(&exporter, SHORT), &["refused"]);
    }
    server.restart();
    grant(&server); // users live in memory
    wait_fine(&exporter);
    let before = exporter.open_fds();
    server.kill();
    let page = scrape(&exporter, SHORT);
    is_down(&page, &["refused", "connect"]);
    assert_eq!(page.value("redis_server_processes", &[("kind", "main")]), Some(0.0), "its process is gone");
    does_not_grow(&exporter, before, SHORT);
    server.restart();
    grant(&server); // users live in memory
    let page = wait_fine(&exporter);
    assert_eq!(page.value("redis_server_processes", &[("kind", "main")]), Some(1.0));
    assert!(server.connections() <= BUDGET);
    keeps_its_secret(&exporter);
}

#[test]
fn a_frozen_server_is_told_in_time_and_forgotten_when_it_thaws() {
    let server = server(RedisOptions::default());
    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    server.freeze();
    for timeout in [USUAL, SHORT, Duration::from_secs(1)] {
        let page = scrape(&exporter, timeout);
        is_down(&page, &["timeout"]);
        assert_eq!(page.value("redis_server_processes", &[("kind", "main")]), Some(1.0), "its process is there");
    }
    for _ in 0..20 {
        let error = exporter.try_get("/metrics", &[(TIMEOUT_HEADER, "10")], Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    is_down(&scrape(&exporter, SHORT), &["timeout", "overloaded"]);
    server.thaw();
    wait_fine(&exporter);
    does_not_grow(&exporter, before, SHORT);
    poll::until("the server has let go of all but ours", LIMIT, || (server.connections() <= BUDGET).then_some(()));

    // As a script or a large key would: the server itself is busy and answers late.
    let sleeper = server.spawn(&["debug", "sleep", "3"]);
    until("the sleep is felt", &exporter, |p| up(p) == 0.0 || p.value("sage_scrape_duration_seconds", &[]).is_some_and(|s| s > 0.5));
    drop(sleeper);
    wait_fine(&exporter);
    keeps_its_secret(&exporter);
}

#[test]
fn a_hostile_or_broken_server_costs_a_reason_and_no_memory() {
    let server = server(RedisOptions::default());
    let proxy = FaultProxy::start(server.address());
    let exporter = watch(proxy.port(), BRISK);
    wait_fine(&exporter);
    let before = exporter.open_fds();
    let modes: [(Mode, &[&str]); 14] = [
        (Mode::Refuse, &["refused"]),
        (Mode::BlackHole, &["timeout"]),
        (Mode::Garbage, &["decode"]),
        (Mode::Drip, &["timeout"]),
        (Mode::Reset, &["connect"]),
        (Mode::ResetMidAnswer(3), &["connect"]),
        (Mode::CloseAtOnce, &["connect"]),
        (Mode::Say(b"*2000000000\r\n"), &["limit"]),
        (Mode::Say(b"$2000000000\r\n"), &["limit"]),
        (Mode::Say(b"%1000000000\r\n"), &["limit"]),
        (Mode::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), &["decode"]),
        (Mode::Endless(b"*400000\r\n+a\r\n"), &["limit", "decode", "timeout", "connect"]),
        (Mode::Endless(b"+aaaaaaaaaaaaaaa"), &["limit", "connect"]),
        (Mode::Endless(b">1\r\n+x\r\n"), &["limit", "connect", "timeout"]),
    ];
    for (mode, reasons) in modes {
        proxy.set(mode);
        // The first meets the session that was open before, the second has to connect anew.
        for turn in ["warm", "fresh"] {
            let page = scrape(&exporter, SHORT);
            println!("{mode:?} {turn}: {:?}", errors(&page));
            is_down(&page, reasons);
        }
        let rss = exporter.rss_bytes();
        assert!(rss < 64 * 1024 * 1024, "{mode:?}: RSS {rss}");
        proxy.set(Mode::Pass);
        until(&format!("recovery from {mode:?}"), &exporter, |p| up(p) == 1.0 && errors(p).keys().all(|part| part == "clients"));
    }
    wait_fine(&exporter);
    does_not_grow(&exporter, before, SHORT);
    keeps_its_secret(&exporter);
}

#[test]
fn a_wrong_password_is_told_and_right_again_without_restart() {
    let server = server(RedisOptions::default());
    let set = |password: &str| server.run(&["acl", "setuser", MONITOR, "resetpass", &format!(">{password}")]);
    set("another");
    let exporter = watch(server.port(), BRISK);
    for _ in 0..10 {
        is_down(&scrape(&exporter, SHORT), &["auth"]);
    }
    let told = exporter.logs().lines().filter(|l| l.contains("fails") && l.contains("auth") && l.contains("part=\"connect\"")).count();
    assert_eq!(told, 1, "{}", exporter.logs());
    set(CANARY);
    wait_fine(&exporter);
    // Changed while a session is open: that one keeps working, new logins do not, and both are said.
    set("another");
    let page = until("the login probe fails", &exporter, |p| p.value("sage_login_success", &[]) == Some(0.0));
    assert_eq!((up(&page), errors(&page)["login"].as_str()), (1.0, "auth"));
    assert!(page.has("redis_memory_used_bytes"), "the warm session still reads");
    set(CANARY);
    wait_fine(&exporter);
    keeps_its_secret(&exporter);

    // No password given, and one is asked for.
    server.run(&["acl", "setuser", "default", "off"]);
    is_down(&scrape(&watch_as(server.port(), BRISK, None, ""), SHORT), &["auth"]);
}

#[test]
fn a_command_renamed_away_is_not_here_and_nothing_is_made_up() {
    let server = Redis::start_with(with(&["rename-command CONFIG \"\"", "rename-command SLOWLOG hidden-slowlog"]));
    let exporter = watch_as(server.port(), BRISK, None, "");
    let page = until("the commands were tried", &exporter, |p| {
        !p.series("sage_collector_success").iter().any(|s| s.labels["collector"] == "config")
    });
    assert!(errors(&page).is_empty(), "{:?}", errors(&page));
    for command in ["config|get", "slowlog|len"] {
        assert_eq!(page.value("redis_exporter_capability", &[("command", command)]), Some(0.0), "{command}");
    }
    assert!(!page.has("redis_config_maxmemory") && !page.has("redis_slowlog_length"));
    assert!(!page.has("redis_db_keys"), "how many databases there are is not known: {:?}", page.series("redis_db_keys"));
    server.run(&["set", "a", "1"]);
    let page = scrape(&exporter, USUAL);
    assert_eq!((page.series("redis_db_keys").len(), page.value("redis_keys", &[])), (1, Some(1.0)));
    assert_eq!(page.value("redis_memory_max_bytes", &[]), Some(0.0), "INFO tells the limit as well");
}

#[test]
fn a_user_with_info_and_ping_alone_reads_what_info_says() {
    let server = server(RedisOptions::default());
    server.run(&["acl", "setuser", "poor", "on", &format!(">{CANARY}"), "-@all", "+info", "+ping"]);
    let exporter = watch_as(server.port(), BRISK, Some("poor"), CANARY);
    let denied = ["clients", "config", "latency", "slowlog"];
    let page = until("the refusals are told", &exporter, |p| errors(p).len() == denied.len());
    assert_eq!(errors(&page).keys().map(String::as_str).collect::<Vec<_>>(), denied);
    assert!(errors(&page).values().all(|reason| reason == "permission"));
    assert_eq!((up(&page), page.value("sage_login_success", &[])), (1.0, Some(1.0)));
    assert!(page.has("redis_memory_used_bytes") && page.has("redis_commands_total") && page.has("redis_connected_clients"));
}

#[test]
fn a_full_a_busy_and_a_crowded_server_are_told_apart() {
    let server = server(with(&["maxmemory 1mb", "busy-reply-threshold 100", "maxclients 20"]));
    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    let refused = |s: &str| s.contains("OOM");
    let full = (0..100).any(|n| refused(&server.cli(&["set", &format!("k{n}"), &"x".repeat(50_000)]).unwrap()));
    assert!(full, "memory does not become full: {}", server.info("used_memory"));
    let page = wait_fine(&exporter);
    assert!(page.value("redis_memory_used_bytes", &[]) >= Some(900_000.0));
    assert!(page.value("redis_errors_total", &[("err", "OOM")]) >= Some(1.0));

    let script = server.spawn(&["eval", "while true do end", "0"]);
    // A scrape that the script has overtaken still holds what was read before.
    until("the script is told", &exporter, |p| errors(p).values().any(|r| r == "busy") && !p.has("redis_memory_used_bytes"));
    server.run(&["script", "kill"]);
    drop(script);
    wait_fine(&exporter);

    // No room for another connection; the kept one goes on.
    let mut crowd = Vec::new();
    poll::until("all connections are taken", LIMIT, || {
        crowd.push(std::net::TcpStream::connect(server.address()).unwrap());
        let page = scrape(&exporter, USUAL);
        (errors(&page).get("login").map(String::as_str) == Some("overloaded")).then_some(())
    });
    let page = scrape(&exporter, USUAL);
    assert_eq!(up(&page), 1.0);
    assert!(page.value("redis_rejected_connections_total", &[]) >= Some(1.0), "{:?}", page.series("redis_rejected_connections_total"));
    let turned_away = scrape(&watch(server.port(), BRISK), SHORT);
    is_down(&turned_away, &["overloaded"]);
    drop(crowd);
    wait_fine(&exporter);
}
