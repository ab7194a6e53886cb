//! Custom queries: files as postgres_exporter's users have them, and that no entry harms another one, the server or the page:
//! bad SQL, a name that is ours, the same rows twice, a query that sleeps, one that writes, one without end.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use e2e::exporter::{self, Exporter};
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{Postgres, PostgresOptions};
use e2e::temp::TempFolder;
use e2e::watched::{BINARY, BRISK, BUDGET, CANARY, LIMIT, MONITOR, environment, errors, scrape, scrape_at, server, wait_fine};

const TIMEOUT: Duration = Duration::from_secs(5);
const FAILING: &str = "sage_collector_success";

struct Watched {
    exporter: Exporter,
    _folder: TempFolder,
}

/// Starts the exporter with a file of queries, as the peer is told of it, and with these further arguments.
fn watch(server: &Postgres, queries: &str, config: &str, more: &[&str]) -> Watched {
    let (folder, file) = write(queries);
    let config = folder.write("postgres.yml", config);
    let path = file.display().to_string();
    let mut env: Vec<(&str, String)> = environment(server.port(), CANARY).to_vec();
    env.push(("PG_EXPORTER_EXTEND_QUERY_PATH", path));
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = format!("--config.file={}", config.display());
    let args: Vec<&str> = [config.as_str()].iter().chain(more).copied().collect();
    Watched { exporter: Exporter::start(BINARY, &args, &env), _folder: folder }
}

fn write(queries: &str) -> (TempFolder, PathBuf) {
    let folder = TempFolder::new("queries");
    let file = folder.write("queries.yaml", queries);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    (folder, file)
}

fn success(page: &Page, query: &str) -> Option<f64> {
    page.value("pg_custom_query_success", &[("query", query)])
}

const GOOD: &str = r#"
shop_orders:
  query: |
    SELECT region, "Open", state, waited, since, checked, big, 'x' AS note
    FROM (VALUES (E'no\nrth "1"', 5, 'ok', '1m30s', timestamptz '2020-01-01 00:00:00+00', true, 1e300::numeric),
                 (NULL, 7, 'odd', '250ms', NULL, false, 12345678901234567890)) AS v (region, "Open", state, waited, since, checked, big); -- all
  master: true
  metrics:
    - region: {usage: "LABEL", description: "Region"}
    - Open: {usage: "GAUGE", description: "Open orders"}
    - state: {usage: "MAPPEDMETRIC", metric_mapping: {ok: 1, bad: 0}, description: "State"}
    - waited: {usage: "DURATION", description: "Waited"}
    - since: {usage: "GAUGE", description: "Since"}
    - checked: {usage: "GAUGE", description: "Checked"}
    - big: {usage: "COUNTER", description: "Big"}
    - note: {usage: "DISCARD"}
shop_latency:
  query: "SELECT '{0.1,1,10}'::numeric[] AS seconds, '{2,5,9}'::bigint[] AS seconds_bucket, 12.5 AS seconds_sum, 10 AS seconds_count"
  metrics:
    - seconds: {usage: HISTOGRAM, description: "How long"}
shop_old:
  query: "SELECT 1 AS value"
  runonserver: "<10.0.0"
  metrics: [{value: {usage: GAUGE}}]
shop_now:
  query: "SELECT extract(epoch FROM clock_timestamp()) AS seconds, current_setting('transaction_read_only') = 'on' AS read_only"
  runonserver: ">=10.0.0"
  cache_seconds: 3600
  metrics: [{seconds: {usage: GAUGE}}, {read_only: {usage: GAUGE}}]
"#;

#[test]
fn a_file_of_the_peer_gives_its_metrics() {
    let server = server(PostgresOptions::default());
    let watched = watch(&server, GOOD, BRISK, &[]);
    wait_fine(&watched.exporter);
    let text = watched.exporter.get("/metrics").text();
    let page = Page::parse(&text).unwrap();
    let value = |name: &str, region: &str| page.value(name, &[("region", region)]);
    let odd = "no\nrth \"1\"";
    assert_eq!((value("shop_orders_Open", odd), value("shop_orders_Open", "")), (Some(5.0), Some(7.0)));
    assert_eq!((value("shop_orders_state", odd), value("shop_orders_state", "")), (Some(1.0), None));
    assert_eq!(
        (value("shop_orders_waited_milliseconds", odd), value("shop_orders_waited_milliseconds", "")),
        (Some(90_000.0), Some(250.0))
    );
    assert_eq!((value("shop_orders_since", odd), value("shop_orders_since", "")), (Some(1_577_836_800.0), None));
    assert_eq!((value("shop_orders_checked", odd), value("shop_orders_checked", "")), (Some(1.0), Some(0.0)));
    assert_eq!((value("shop_orders_big", odd), value("shop_orders_big", "")), (Some(1e300), Some(12_345_678_901_234_567_890.0)));
    assert_eq!(page.help["shop_orders_Open"], "Open orders");
    assert_eq!((page.types["shop_orders_Open"].as_str(), page.types["shop_orders_big"].as_str()), ("gauge", "counter"));
    assert!(!page.samples.iter().any(|s| s.name.contains("note") || s.name.starts_with("shop_old")));

    assert_eq!(page.types["shop_latency_seconds"], "histogram");
    for (bound, count) in [("0.1", 2.0), ("1", 5.0), ("10", 9.0), ("+Inf", 10.0)] {
        assert_eq!(page.value("shop_latency_seconds_bucket", &[("le", bound)]), Some(count), "{bound}");
    }
    assert_eq!((page.value("shop_latency_seconds_sum", &[]), page.value("shop_latency_seconds_count", &[])), (Some(12.5), Some(10.0)));

    // Shown again until it is an hour old, with its age; in a transaction that cannot write.
    assert_eq!(page.value("shop_now_read_only", &[]), Some(1.0));
    let (first, age) =
        (page.value("shop_now_seconds", &[]).unwrap(), page.value("pg_custom_query_age_seconds", &[("query", "shop_now")]).unwrap());
    let later = poll::until("it grows older", LIMIT, || {
        let page = scrape(&watched.exporter, TIMEOUT);
        (page.value("pg_custom_query_age_seconds", &[("query", "shop_now")])? > age + 0.5).then_some(page)
    });
    assert_eq!(later.value("shop_now_seconds", &[]), Some(first));
    for query in ["shop_orders", "shop_latency", "shop_now"] {
        assert_eq!(success(&later, query), Some(1.0), "{query}");
        assert!(later.value("pg_custom_query_duration_seconds", &[("query", query)]).is_some(), "{query}");
    }
    assert_eq!(success(&later, "shop_old"), None);
    // OpenMetrics takes it as well.
    let open = watched.exporter.get_with("/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")]).text();
    assert!(open.contains("shop_latency_seconds_bucket{le=\"10\"} 9\n") && open.ends_with("# EOF\n"));
}

const BAD: &str = r#"
a_sleeps:
  query: "SELECT pg_sleep(60)::text AS label, 1 AS value"
  metrics: [{label: {usage: LABEL}}, {value: {usage: GAUGE}}]
b_broken: {query: "SELECT nonsense FROM nowhere", metrics: [{nonsense: {usage: GAUGE}}]}
c_writes: {query: "SELECT harm() AS value", metrics: [{value: {usage: GAUGE}}]}
d_escapes:
  query: "SELECT 1 AS value) AS q; COMMIT; SET default_transaction_read_only = off; INSERT INTO written VALUES (2); SELECT * FROM (SELECT 1 AS value"
  metrics: [{value: {usage: GAUGE}}]
e_sets: {query: "SELECT set_config('default_transaction_read_only', 'off', false)::text AS l, pg_advisory_lock(7)::text AS k, 1 AS value", metrics: [{l: {usage: LABEL}}, {value: {usage: GAUGE}}]}
f_commits: {query: "COMMIT", metrics: [{value: {usage: GAUGE}}]}
g_twice: {query: "SELECT 'x' AS label, n AS value FROM generate_series(1, 2) n", metrics: [{label: {usage: LABEL}}, {value: {usage: GAUGE}}]}
h_text: {query: "SELECT 'many' AS value", metrics: [{value: {usage: GAUGE}}]}
i_column: {query: "SELECT 1 AS other", metrics: [{value: {usage: GAUGE}}]}
j_endless: {query: "SELECT n::text AS label, n AS value FROM generate_series(1, 50000) n", metrics: [{label: {usage: LABEL}}, {value: {usage: GAUGE}}]}
k_unusable: {query: "SELECT 1 AS value", metrics: [{value: {usage: GAUGY}}]}
pg_stat_user_tables: {query: "SELECT 1 AS seq_scan", metrics: [{seq_scan: {usage: COUNTER}}]}
z_fine: {query: "SELECT 42 AS value", metrics: [{value: {usage: GAUGE}}]}
z_fine: {query: "SELECT 43 AS value", metrics: [{value: {usage: GAUGE}}]}
locked: {query: "SELECT count(*) AS value FROM held", metrics: [{value: {usage: GAUGE}}]}
"#;

#[test]
fn one_bad_query_spoils_nothing_else() {
    let server = server(PostgresOptions::default());
    server
        .psql(&format!(
            "create table written (n int); create table held (n int); grant select on held to {MONITOR};
             grant insert on written to {MONITOR};
             create function harm() returns int language sql as 'insert into written values (1) returning n'"
        ))
        .unwrap();
    let mut holder = server.session("postgres");
    holder.query("begin; lock table held in access exclusive mode").unwrap();
    let watched = watch(&server, BAD, BRISK, &[]);
    let watcher = server.watch_connections(MONITOR);
    for _ in 0..3 {
        let page = scrape(&watched.exporter, TIMEOUT);
        assert_eq!(page.value("sage_up", &[]), Some(1.0));
        for query in ["a_sleeps", "b_broken", "c_writes", "d_escapes", "f_commits", "g_twice", "h_text", "i_column", "k_unusable", "locked"]
        {
            assert_eq!(success(&page, query), Some(0.0), "{query}");
        }
        assert_eq!(success(&page, "pg_stat_user_tables"), Some(0.0), "its name is ours");
        assert_eq!(success(&page, "z_fine"), Some(0.0), "it stands there twice");
        assert_eq!(page.value("z_fine_value", &[]), Some(42.0), "and the first one counts");
        assert_eq!((success(&page, "e_sets"), success(&page, "j_endless")), (Some(1.0), Some(1.0)));
        assert_eq!(page.series("j_endless_value").len(), 1000);
        assert_eq!(page.value("sage_series_dropped", &[("family", "j_endless_value")]), Some(49_000.0));
        assert!(["a_sleeps_value", "g_twice_value", "k_unusable_value"].iter().all(|name| !page.has(name)));
        // The collector counts as failed, and the others are what they were.
        assert_eq!(page.value(FAILING, &[("collector", "custom_queries")]), Some(0.0));
        for collector in ["activity", "database", "locks", "settings"] {
            assert_eq!(page.value(FAILING, &[("collector", collector)]), Some(1.0), "{collector}");
        }
        assert!(page.has("pg_settings_max_connections"));
    }
    assert_eq!(server.psql("select count(*) from written").unwrap(), "0");
    let locks = format!(
        "select count(*) from pg_locks l join pg_stat_activity a using (pid) where locktype = 'advisory' and usename = '{MONITOR}'"
    );
    assert_eq!(server.psql(&locks).unwrap(), "0");
    drop(holder);
    poll::until("the lock is gone", LIMIT, || success(&scrape(&watched.exporter, TIMEOUT), "locked").filter(|s| *s == 1.0));
    assert!((1..=BUDGET).contains(&watcher.stop()));
    // No text of a query or an error reaches a label.
    let text = watched.exporter.get("/metrics").text();
    assert!(!text.contains("nonsense") && !text.contains("nowhere"));
    assert!(watched.exporter.logs().contains("unknown usage `GAUGY`"), "{}", watched.exporter.logs());
}

#[test]
fn check_names_the_query_and_what_to_do() {
    let server = server(PostgresOptions::default());
    let (_folder, file) = write(BAD);
    let mut env: Vec<(&str, String)> = environment(server.port(), CANARY).to_vec();
    env.push(("PG_EXPORTER_EXTEND_QUERY_PATH", file.display().to_string()));
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = exporter::run(BINARY, &["check"], &env);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let row = text.lines().find(|line| line.starts_with("custom_queries ")).unwrap_or_else(|| panic!("{text}"));
    for part in [
        "query k_unusable: ",
        "queries.yaml:",
        "did you mean `GAUGE`?",
        "query z_fine: ",
        "a second time",
        "query b_broken: ",
        "nowhere",
        "seq_scan is a metric of tables already",
    ] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
}

#[test]
fn queries_in_every_database_and_those_of_the_instance() {
    let server = server(PostgresOptions::default());
    for name in ["one", "two"] {
        server.psql(&format!("create database {name}")).unwrap();
        server.psql_in(name, &format!("create table t as select 1 as n; grant select on t to {MONITOR}")).unwrap();
    }
    server.psql_in("two", "insert into t values (2)").unwrap();
    let queries = "
each: {query: 'SELECT count(*) AS rows FROM pg_tables WHERE schemaname = $$public$$', metrics: [{rows: {usage: GAUGE}}]}
own: {query: 'SELECT current_database() AS datname, count(*) AS rows FROM t', metrics: [{datname: {usage: LABEL}}, {rows: {usage: GAUGE}}]}
once: {query: 'SELECT count(*) AS value FROM pg_database', master: true, metrics: [{value: {usage: GAUGE}}]}
";
    let brisk = format!("{BRISK}      custom_queries_each: {{interval: 1s}}\n");
    let watched = watch(&server, queries, &brisk, &["--auto-discover-databases"]);
    let page = poll::until("the walk has been everywhere", LIMIT, || {
        let page = scrape(&watched.exporter, TIMEOUT);
        (page.series("each_rows").len() == 3).then_some(page)
    });
    let rows = |name: &str, datname: &str| page.value(name, &[("datname", datname)]);
    assert_eq!((rows("each_rows", "one"), rows("each_rows", "two"), rows("each_rows", "postgres")), (Some(1.0), Some(1.0), Some(0.0)));
    assert_eq!((rows("own_rows", "one"), rows("own_rows", "two"), rows("own_rows", "postgres")), (Some(1.0), Some(2.0), None));
    assert_eq!(page.value("once_value", &[]), Some(5.0));
    // In the database without the table the query fails, and only there and only that one.
    let failed: Vec<_> = page
        .series("pg_custom_query_success")
        .iter()
        .filter(|s| s.value == 0.0)
        .map(|s| (s.labels["datname"].as_str(), s.labels["query"].as_str()))
        .collect();
    assert_eq!(failed, [("postgres", "own")]);
    assert_eq!(errors(&page).keys().map(String::as_str).collect::<Vec<_>>(), ["custom_queries_each"]);
}

#[test]
fn a_file_that_others_can_write_or_that_is_none_is_refused() {
    let server = server(PostgresOptions::default());
    let refused = |file: &std::path::Path, want: &str| {
        let env = environment(server.port(), CANARY);
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = format!("--extend.query-path={}", file.display());
        let output = exporter::run(BINARY, &["config", "validate", &path], &env);
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains(want), "{want}: {text}");
        assert!(text.contains("\nhint: ") && text.contains("\ncode: SG-01"), "{want}: {text}");
    };
    let (folder, file) = write(GOOD);
    for (mode, want) in [(0o664, "others than its owner may change it"), (0o646, "others than its owner may change it")] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        refused(&file, want);
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    // Only root can give a file away.
    if chown(&file, Some(65534), None).is_ok() {
        refused(&file, "it belongs neither to root nor to the user of this service");
        chown(&file, Some(0), None).unwrap();
    }
    refused(&folder.join("missing.yaml"), "No such file");
    refused(&folder.write("list.yaml", "- a\n"), "list.yaml:1:1: names of queries are expected here");
    refused(&folder.write("open.yaml", "a: {query: [\n"), "open.yaml:");
}

/// Only what the peer calls them is asked for.
#[test]
fn without_a_file_there_is_nothing() {
    let server = server(PostgresOptions::default());
    let exporter = e2e::watched::watch(server.port(), BRISK);
    let page = wait_fine(&exporter);
    assert_eq!(page.value(FAILING, &[("collector", "custom_queries")]), None);
    let page = scrape_at(&exporter, "/metrics?collect[]=custom_queries", TIMEOUT);
    assert!(!page.samples.iter().any(|s| s.name.starts_with("pg_custom")));
}
