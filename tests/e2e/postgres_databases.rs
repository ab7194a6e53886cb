//! The collectors that visit every database: what they tell of tables, indexes and sequences, that the largest of the whole
//! instance are shown and nothing is lost in between, and that one odd, closed, locked or vanishing database costs the
//! others nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::time::Duration;

use e2e::exporter::Exporter;
use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::{PostgresOptions, identifier};
use e2e::watched::{BRISK, BUDGET, LIMIT, MONITOR, TIMED, errors, scrape, server, wait_fine, watch};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Scrapes until `done` returns something for the page.
#[track_caller]
fn seen<T>(what: &str, exporter: &Exporter, mut done: impl FnMut(&Page) -> Option<T>) -> T {
    let mut last = Page::default();
    poll::within(LIMIT, || {
        last = scrape(exporter, TIMEOUT);
        done(&last)
    })
    .unwrap_or_else(|| panic!("{what}: in vain; errors {:?}", errors(&last)))
}

/// A page made after the walk has visited all databases anew.
#[track_caller]
fn walked(exporter: &Exporter) -> Page {
    let asked = std::time::Instant::now();
    seen("a whole walk", exporter, |p| {
        let (age, took) = (p.value("sage_walk_age_seconds", &[])?, p.value("sage_walk_duration_seconds", &[])?);
        (age + took < asked.elapsed().as_secs_f64()).then(|| p.clone())
    })
}

fn of<'a>(page: &'a Page, name: &str, label: &str) -> Vec<(&'a str, f64)> {
    page.series(name).iter().map(|s| (s.labels[label].as_str(), s.value)).collect()
}

#[test]
fn tables_indexes_and_sequences_of_a_database() {
    let server = server(PostgresOptions { settings: vec!["autovacuum = off".to_owned()], ..PostgresOptions::default() });
    let hostile = format!("a\nb\"c\\{}", "\u{1f418}".repeat(14));
    assert_eq!(hostile.len(), 62);
    server.psql("create database shop").unwrap();
    let seed = format!(
        "create table item (id int generated always as identity primary key, name text);
         insert into item (name) select repeat('x', 300) from generate_series(1, 3000); create index unused on item (name);
         create table {hostile} as select 1 as n; create table twice as select 1 as n from generate_series(1, 2);
         create sequence near as bigint; create table narrow (id smallint default nextval('near'), n int);
         select setval('near', 30000); create sequence round maxvalue 10 cycle; select setval('round', 9);
         create sequence down increment -1 minvalue -100 maxvalue -1; select setval('down', -80);
         create sequence half maxvalue 100; select setval('half', 49); create sequence mine maxvalue 10; select setval('mine', 9);
         create sequence taken maxvalue 10; select setval('taken', 9);
         grant select on sequence near, round, down, half, taken to {MONITOR};
         update item set name = 'y' where id <= 10; delete from item where id > 2990; select pg_stat_force_next_flush()",
        hostile = identifier(&hostile),
    );
    server.psql_in("shop", &seed).unwrap();
    server.psql_in("shop", "vacuum analyze item; select count(*) from item where id = 5; select pg_stat_force_next_flush()").unwrap();
    assert!(server.psql_in("shop", "create unique index concurrently broken on twice (n)").is_err());
    let mut holder = server.session("shop");
    holder.query("begin; alter sequence taken maxvalue 20").unwrap();

    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    let page = walked(&exporter);
    assert!(errors(&page).is_empty(), "{:?}", errors(&page));
    let shop = |name: &str, labels: &[(&str, &str)]| {
        let labels = [&[("datname", "shop")], labels].concat();
        page.value(name, &labels).unwrap_or_else(|| panic!("{name}{labels:?} is missing"))
    };
    let ask = |sql: &str| server.psql_in("shop", sql).unwrap().parse::<f64>().unwrap();

    // tables, with an index and without
    let item = [("schemaname", "public"), ("relname", "item")];
    for column in [
        "seq_scan",
        "seq_tup_read",
        "idx_scan",
        "idx_tup_fetch",
        "n_tup_ins",
        "n_tup_upd",
        "n_tup_hot_upd",
        "n_tup_del",
        "n_live_tup",
        "n_dead_tup",
        "n_mod_since_analyze",
        "n_ins_since_vacuum",
        "vacuum_count",
        "autovacuum_count",
        "analyze_count",
        "autoanalyze_count",
    ] {
        let want = ask(&format!("select {column} from pg_stat_user_tables where relname = 'item'"));
        assert_eq!(shop(&format!("pg_stat_user_tables_{column}"), &item), want, "{column}");
    }
    assert_eq!(shop("pg_stat_user_tables_n_tup_upd", &item), 10.0);
    assert!(shop("pg_stat_user_tables_idx_scan", &item) >= 1.0);
    // Without the free space and visibility maps, which VACUUM's page count does not hold.
    let (heap, indexes) = (ask("select pg_relation_size('item')"), ask("select pg_indexes_size('item')"));
    assert_eq!(shop("pg_stat_user_tables_table_size_bytes", &item), heap + 8192.0, "and the empty TOAST table's index");
    assert_eq!(shop("pg_stat_user_tables_index_size_bytes", &item), indexes);
    for name in ["pg_stat_user_tables_idx_scan", "pg_statio_user_tables_idx_blocks_hit"] {
        assert_eq!(page.value(name, &[("datname", "shop"), ("relname", "narrow")]), None, "{name} of a table without an index");
    }
    assert_eq!(shop("pg_stat_user_tables_n_tup_ins", &[("relname", &hostile)]), 1.0);
    for (column, theirs) in
        [("heap_blocks_hit", "heap_blks_hit"), ("heap_blocks_read", "heap_blks_read"), ("idx_blocks_hit", "idx_blks_hit")]
    {
        let want = ask(&format!("select {theirs} from pg_statio_user_tables where relname = 'item'"));
        assert_eq!(shop(&format!("pg_statio_user_tables_{column}"), &item), want, "{column}");
    }
    assert!(shop("pg_statio_user_tables_heap_blocks_hit", &item) > 100.0);

    // indexes
    assert_eq!(shop("pg_indexes", &[]), 3.0);
    assert_eq!((shop("pg_indexes_unused", &[]), shop("pg_indexes_invalid", &[])), (1.0, 1.0));
    let unused = ask("select pg_relation_size('unused')");
    assert_eq!(shop("pg_indexes_unused_size_bytes", &[]), unused);
    assert_eq!(shop("pg_index_size_bytes", &[("indexrelname", "unused")]), unused);
    assert_eq!((shop("pg_index_valid", &[("indexrelname", "unused")]), shop("pg_index_valid", &[("indexrelname", "broken")])), (1.0, 0.0));
    assert!(shop("pg_stat_user_indexes_idx_scan", &[("indexrelname", "item_pkey")]) >= 1.0);
    assert_eq!(shop("pg_stat_user_indexes_idx_scan", &[("indexrelname", "unused")]), 0.0);

    // sequences: the column's type counts, half is the least, a round has no end, what is not ours to read is counted
    let mut sequences = of(&page, "pg_sequence_used_ratio", "sequencename");
    sequences.sort_by(|a, b| a.0.cmp(b.0));
    assert_eq!(sequences.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["down", "near"]);
    assert_eq!(shop("pg_sequence_used_ratio", &[("sequencename", "near")]), 29999.0 / 32766.0);
    assert_eq!(shop("pg_sequence_used_ratio", &[("sequencename", "down")]), 79.0 / 99.0);
    for (state, count) in [("read", 3.0), ("denied", 2.0), ("busy", 1.0)] {
        assert_eq!(shop("pg_sequences", &[("state", state)]), count, "{state}");
    }
    drop(holder);
    seen("the changed sequence is read", &exporter, |p| p.value("pg_sequence_used_ratio", &[("sequencename", "taken")]));
}

#[test]
fn the_largest_of_all_databases_are_shown_and_the_rest_is_summed_up() {
    let server = server(PostgresOptions { settings: vec!["autovacuum = off".to_owned()], ..PostgresOptions::default() });
    let fill = |database: &str, tables: &[(&str, u32)]| {
        server.psql(&format!("create database {database}")).unwrap();
        let sql =
            |(name, rows): &(&str, u32)| format!("create table {name} as select repeat('x', 500) as t from generate_series(1, {rows});");
        server.psql_in(database, &(tables.iter().map(sql).collect::<String>() + "select pg_stat_force_next_flush()")).unwrap();
        server.psql_in(database, "analyze").unwrap();
    };
    fill("one", &[("a", 1000), ("b", 20), ("c", 60)]);
    fill("two", &[("a", 2000), ("b", 100)]);
    fill("three", &[("a", 10)]);
    let brisk = BRISK.replace("tables: {interval: 1s}", "tables: {interval: 1s, top: 3}");
    let exporter = watch(server.port(), &brisk);
    wait_fine(&exporter);
    let shown = |page: &Page| {
        let mut shown: Vec<String> = page
            .series("pg_stat_user_tables_seq_scan")
            .iter()
            .map(|s| format!("{}.{}", s.labels["datname"], s.labels["relname"]))
            .collect();
        shown.sort();
        shown.join(" ")
    };
    let rows = |page: &Page, database: &str| {
        page.series("pg_table_rows").iter().filter(|s| s.labels["datname"] == database).map(|s| s.value).sum::<f64>()
    };
    let page = walked(&exporter);
    assert_eq!(shown(&page), "one.a two.a two.b");
    assert_eq!((rows(&page, "one"), rows(&page, "two"), rows(&page, "three")), (1080.0, 2100.0, 10.0));
    assert_eq!(page.value("pg_table_rows", &[("datname", "one"), ("relname", "_other")]), Some(80.0));
    assert_eq!(page.value("pg_table_rows", &[("datname", "two"), ("relname", "_other")]), Some(0.0));
    assert_eq!(page.value("pg_table_rows", &[("datname", "three"), ("relname", "_other")]), Some(10.0));
    assert!(!page.has("sage_series_dropped") && !page.has("sage_member_success"));
    // All on a timer but the one that reads the whole instance.
    for collector in TIMED.into_iter().filter(|name| *name != "memory") {
        assert_eq!(page.value("sage_collector_members", &[("collector", collector), ("state", "ok")]), Some(4.0), "{collector}");
        assert_eq!(page.value("sage_collector_members", &[("collector", collector), ("state", "failed")]), Some(0.0), "{collector}");
    }
    // A database that goes makes room at the next walk.
    server.psql("drop database two").unwrap();
    seen("others move up", &exporter, |p| (shown(p) == "one.a one.b one.c").then_some(()));
}

/// One that pg_hba.conf closes to us, one that takes no more connections, one with locks.
#[test]
fn a_closed_a_full_and_a_locked_database_cost_the_others_nothing() {
    let server = server(PostgresOptions::default());
    for name in ["b_closed", "c_full", "d_locked", "e_fine"] {
        server.psql(&format!("create database {name}")).unwrap();
    }
    server.psql_in("d_locked", "create table t as select 1 as n").unwrap();
    let exporter = watch(server.port(), BRISK);
    wait_fine(&exporter);
    walked(&exporter);
    let watcher = server.watch_connections(MONITOR);

    let hba = server.data().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("host b_closed {MONITOR} all reject\n{rules}")).unwrap();
    server.psql("select pg_reload_conf(); alter database c_full connection limit 0").unwrap();
    let mut holder = server.session("d_locked");
    holder.query("begin; lock table t in access exclusive mode; lock table pg_catalog.pg_sequence in access exclusive mode").unwrap();
    server.psql_in("e_fine", "create table seen as select 1 as n").unwrap();

    let page = seen("the walk tells all three", &exporter, |p| {
        let failed = |collector| p.value("sage_collector_members", &[("collector", collector), ("state", "failed")]);
        let new = p.value("pg_tables", &[("datname", "e_fine")]) == Some(1.0);
        (failed("tables") == Some(2.0) && failed("sequences") == Some(3.0) && new).then(|| p.clone())
    });
    let failed = |collector, member| page.value("sage_member_success", &[("collector", collector), ("member", member)]);
    for member in ["b_closed", "c_full"] {
        assert_eq!(failed("tables", member), Some(0.0), "{member}");
        // What was read before stays, with its age.
        assert!(page.value("sage_member_age_seconds", &[("collector", "tables"), ("member", member)]).is_some_and(|age| age > 0.0));
        assert!(page.value("pg_tables", &[("datname", member)]).is_some(), "{member}");
    }
    // The locked table costs nothing, and the locked catalogue only the collector that reads it.
    assert_eq!((failed("tables", "d_locked"), failed("indexes", "d_locked"), failed("sequences", "d_locked")), (None, None, Some(0.0)));
    assert_eq!((failed("tables", "e_fine"), failed("sequences", "e_fine")), (None, None));
    assert_eq!(page.value("sage_login_success", &[]), Some(1.0));
    assert!(page.value("sage_login_age_seconds", &[]).unwrap() < 10.0);
    assert_eq!(page.value("sage_up", &[]), Some(1.0));

    drop(holder);
    std::fs::write(&hba, rules).unwrap();
    server.psql("select pg_reload_conf(); alter database c_full connection limit -1").unwrap();
    let page = wait_fine(&exporter);
    assert!(!page.has("sage_member_success"));
    assert!((1..=BUDGET).contains(&watcher.stop()));
}

#[test]
fn a_database_dropped_during_the_walk_is_gone() {
    let server = server(PostgresOptions::default());
    for n in 10..30 {
        server.psql(&format!("create database d{n} strategy file_copy")).unwrap();
    }
    // A login into a database with a locked catalogue hangs: time to drop what the walk has not reached yet.
    let mut holder = server.session("d10");
    holder.query("begin; lock table pg_catalog.pg_index in access exclusive mode").unwrap();
    let exporter = watch(server.port(), BRISK);
    let left = seen("the walk is under way", &exporter, |p| p.value("sage_walk_members_left", &[]).filter(|left| *left >= 20.0));
    assert!(left <= 21.0, "{left}");
    server.psql("drop database d29").unwrap();
    drop(holder);
    let page = wait_fine(&exporter);
    assert!(page.samples.iter().all(|s| s.labels.values().all(|v| v != "d29")));
    let page = walked(&exporter);
    assert_eq!(of(&page, "pg_tables", "datname").len(), 20);
}
