//! Redis servers that change roles between two scrapes: a Sentinel's failover, a switch by hand, a cluster with replicas whose
//! primary dies. No role of before stays on a page, no key is counted twice, and no session is left over.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fmt::Write as _;
use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::redis::{Redis, RedisOptions};
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{BUDGET, LIMIT, errors, scrape_at};
use e2e::watched_redis::BINARY;

const TIMEOUT: Duration = Duration::from_secs(10);

/// One exporter for all of them, by name.
struct Watch {
    exporter: Exporter,
    _folder: TempFolder,
}

impl Watch {
    fn start(servers: &[(&str, u16)]) -> Self {
        let folder = TempFolder::new("failover");
        let mut config = String::from("targets:\n");
        for (name, port) in servers {
            writeln!(config, "  {name}: {{host: 127.0.0.1, port: {port}}}").unwrap();
        }
        let file = folder.write("redis.yml", &config);
        Self { exporter: Exporter::start(BINARY, &[&format!("--config.file={}", file.display())], &[]), _folder: folder }
    }

    fn page(&self, name: &str) -> Page {
        scrape_at(&self.exporter, &format!("/scrape?target={name}"), TIMEOUT)
    }

    #[track_caller]
    fn until(&self, what: &str, name: &str, check: impl Fn(&Page) -> bool) -> Page {
        let mut last = Page::default();
        let found = poll::within(LIMIT, || {
            last = self.page(name);
            check(&last).then_some(())
        });
        assert!(found.is_some(), "{what}: {:?} {:?}\n{}", errors(&last), last.series("redis_replication_role"), self.exporter.logs());
        last
    }
}

fn with(settings: &[&str]) -> RedisOptions {
    RedisOptions { settings: settings.iter().map(|s| (*s).to_owned()).collect(), ..RedisOptions::default() }
}

/// The page shows this role and nothing of the other.
#[track_caller]
fn is_only(page: &Page, role: &str) {
    let other = if role == "primary" { "replica" } else { "primary" };
    let value = |role| page.value("redis_replication_role", &[("role", role)]);
    assert_eq!((value(role), value(other)), (Some(1.0), Some(0.0)));
    let known = if role == "primary" { "master" } else { "slave" };
    assert_eq!(page.series("redis_instance_info")[0].labels["role"], known);
    let link = ["redis_slave_info", "redis_master_link_up", "redis_master_last_io_seconds_ago", "redis_slave_repl_offset"];
    assert!(role == "replica" || link.iter().all(|name| !page.has(name)), "a primary has no link");
}

fn is(role: &'static str) -> impl Fn(&Page) -> bool {
    move |page| page.value("redis_replication_role", &[("role", role)]) == Some(1.0)
}

#[test]
fn a_sentinel_fails_over_between_two_scrapes() {
    let mut first = Redis::start();
    let second = Redis::start_replica(&first, with(&[]));
    let name = ["sentinel monitor shop 127.0.0.1", &first.port().to_string(), "1"].join(" ");
    // Long enough that nothing is down because this machine is busy: the Sentinel would fail over a second time, back again.
    let settings = [name.as_str(), "sentinel down-after-milliseconds shop 3000", "sentinel failover-timeout shop 5000"];
    let sentinel = Redis::start_with(RedisOptions { sentinel: true, ..with(&settings) });
    let watch = Watch::start(&[("first", first.port()), ("second", second.port()), ("sentinel", sentinel.port())]);
    is_only(&watch.until("the first is primary", "first", is("primary")), "primary");
    is_only(&watch.until("the second is replica", "second", is("replica")), "replica");
    let page = watch
        .until("the Sentinel knows the replica", "sentinel", |p| p.series("redis_sentinel_master_slaves").iter().any(|s| s.value == 1.0));
    let address = |page: &Page| page.series("redis_sentinel_master_status")[0].labels["master_address"].clone();
    assert_eq!(address(&page), first.address().to_string());

    first.kill();
    // The next scrape of the dead one says so at once, with nothing of what it was.
    let page = watch.page("first");
    assert_eq!(page.value("redis_up", &[]), Some(0.0));
    assert!(!page.has("redis_replication_role") && !page.has("redis_instance_info"), "a role of a server that is gone");
    is_only(&watch.until("the second is promoted", "second", is("primary")), "primary");
    let page = watch.until("the Sentinel has the new address", "sentinel", |p| address(p) == second.address().to_string());
    assert_eq!(page.series("redis_sentinel_master_status").len(), 1, "no series of the former primary");

    // The former primary comes back and is made a replica; the session that was opened in between sees it.
    first.restart();
    watch.until("it is back", "first", |p| p.value("redis_up", &[]) == Some(1.0));
    let page = watch.until("it follows", "first", |p| is("replica")(p) && p.series("redis_master_link_up").iter().any(|s| s.value == 1.0));
    is_only(&page, "replica");
    assert_eq!(page.series("redis_slave_info")[0].labels["master_port"], second.port().to_string());
    let page = watch.until("it is seen by its primary", "second", |p| p.value("redis_connected_slaves", &[]) == Some(1.0));
    assert_eq!(page.series("redis_connected_slave_lag_seconds").len(), 1);
    for server in [&first, &second, &sentinel] {
        assert!(server.connections() <= BUDGET, "{} sessions", server.connections());
    }
}

#[test]
fn a_switch_by_hand_leaves_no_role_behind() {
    let (first, second) = (Redis::start(), Redis::start());
    second.run(&["replicaof", "127.0.0.1", &first.port().to_string()]);
    let watch = Watch::start(&[("first", first.port()), ("second", second.port())]);
    watch.until("in step", "second", |p| p.series("redis_master_link_up").iter().any(|s| s.value == 1.0));
    first.run(&["set", "a", "1"]);
    watch.until("the key is there", "second", |p| p.value("redis_keys", &[]) == Some(1.0));
    for (primary, replica, names) in [(&second, &first, ("second", "first")), (&first, &second, ("first", "second"))] {
        primary.run(&["replicaof", "no", "one"]);
        replica.run(&["replicaof", "127.0.0.1", &primary.port().to_string()]);
        // The very next scrapes, over the sessions of before.
        is_only(&watch.page(names.0), "primary");
        let page = watch.page(names.1);
        is_only(&page, "replica");
        assert_eq!(page.series("redis_master_link_up").len(), 1, "one link, to {}", primary.port());
        assert_eq!(page.series("redis_master_link_up")[0].labels["master_port"], primary.port().to_string());
        watch.until("in step again", names.1, |p| p.series("redis_master_link_up").iter().any(|s| s.value == 1.0));
        // What the two hold is one set of keys: those of primaries are counted.
        let pages = [watch.page("first"), watch.page("second")];
        assert_eq!(keys_of_primaries(&pages), 1.0);
    }
    for server in [&first, &second] {
        assert!(server.connections() <= BUDGET);
    }
}

/// `sum(redis_keys * on (instance) redis_replication_role{role="primary"})`, as the README has it.
fn keys_of_primaries(pages: &[Page]) -> f64 {
    let value = |page: &Page| Some(page.value("redis_keys", &[])? * page.value("redis_replication_role", &[("role", "primary")])?);
    pages.iter().filter_map(value).sum()
}

#[test]
fn a_cluster_with_replicas_counts_each_key_once_and_survives_a_primary() {
    const NAMES: [&str; 6] = ["n0", "n1", "n2", "n3", "n4", "n5"];
    // The bus has a port of its own, which must be free and below 65536.
    let mut nodes: Vec<Redis> = (0..6)
        .map(|n| {
            let (file, port) = (format!("cluster-config-file nodes-{n}.conf"), format!("cluster-port {}", free_port()));
            Redis::start_with(with(&["cluster-enabled yes", "cluster-node-timeout 1000", &file, &port]))
        })
        .collect();
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
    let made = nodes[0].cli(&create).unwrap();
    assert!(made.contains("All 16384 slots covered"), "{made}");
    let named: Vec<(&str, u16)> = NAMES.into_iter().zip(nodes.iter().map(Redis::port)).collect();
    let watch = Watch::start(&named);
    let nodes_by = |page: &Page, role, state| page.value("redis_cluster_nodes", &[("role", role), ("state", state)]);
    for name in NAMES {
        let page = watch.until("the cluster serves", name, |p| {
            p.value("redis_cluster_state", &[]) == Some(1.0) && nodes_by(p, "replica", "up") == Some(3.0)
        });
        assert_eq!((nodes_by(&page, "primary", "up"), page.value("redis_cluster_known_nodes", &[])), (Some(3.0), Some(6.0)));
        assert_eq!(page.series("redis_cluster_node_up").len(), 6);
    }
    for n in 0..30 {
        nodes[0].cli(&["-c", "set", &format!("key:{n}"), "1"]).unwrap();
    }
    let pages = || NAMES.iter().map(|name| watch.page(name)).collect::<Vec<_>>();
    // Each node tells its own keys: together twice as many as there are, on primaries just those.
    poll::until("the replicas have them", LIMIT, || {
        let all: f64 = pages().iter().filter_map(|p| p.value("redis_keys", &[])).sum();
        (all == 60.0).then_some(())
    });
    assert_eq!(keys_of_primaries(&pages()), 30.0);
    assert!(pages().iter().all(|p| p.value("redis_keys", &[]) < Some(30.0)), "no node holds them all");

    // A primary dies: the majority says so, its replica takes over, and the sum is what it was.
    let dead = 1;
    nodes[dead].kill();
    for name in ["n0", "n2"] {
        let page = watch.until("the majority has told", name, |p| {
            p.value("redis_cluster_node_up", &[("node", &addresses[dead])]) == Some(0.0) && p.value("redis_cluster_state", &[]) == Some(1.0)
        });
        assert_eq!((nodes_by(&page, "primary", "failed"), nodes_by(&page, "primary", "up")), (Some(1.0), Some(3.0)));
    }
    assert_eq!(watch.page(NAMES[dead]).value("redis_up", &[]), Some(0.0));
    assert_eq!(keys_of_primaries(&pages()), 30.0);
    for (at, node) in nodes.iter().enumerate().filter(|(at, _)| *at != dead) {
        assert!(node.connections() <= BUDGET, "{} sessions at {}", node.connections(), NAMES[at]);
    }
    // Back, it is a replica of its former replica, and nobody has failed.
    nodes[dead].restart();
    let page = watch.until("it is back", NAMES[dead], |p| {
        is("replica")(p) && nodes_by(p, "primary", "failed") == Some(0.0) && nodes_by(p, "replica", "up") == Some(3.0)
    });
    assert_eq!(nodes_by(&page, "primary", "up"), Some(3.0));
}
