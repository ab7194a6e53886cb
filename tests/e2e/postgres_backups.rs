//! The age of the last good backup as the shipped exporter tells it, from files as the tools leave them: also while the
//! server is down, and never 0 for what is not known.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::fs::{self, OpenOptions};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::page::Page;
use e2e::poll;
use e2e::servers::postgres::PostgresOptions;
use e2e::temp::TempFolder;
use e2e::watched::{LIMIT, scrape, server, wait_fine, watch};

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn the_last_good_backup_of_each_tool() {
    let folder = TempFolder::new("backups");
    let now = SystemTime::now();
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let touched = folder.write("touched", "");
    let touch = |time: SystemTime| OpenOptions::new().write(true).open(&touched).unwrap().set_modified(time).unwrap();
    touch(now - 3 * DAY);
    let stop = seconds(now - DAY);
    let info = format!(
        r#"[{{"name":"main","backup":[{{"label":"a","error":false,"timestamp":{{"start":1,"stop":{stop}}},"info":{{"size":4096}}}}]}}]"#
    );
    folder.write("info.json", &info);
    fs::create_dir_all(folder.join("base/20261120T000000")).unwrap();
    let barman = "begin_time=2026-11-20 00:59:00+00:00\nend_time=2026-11-20 01:00:00+00:00\nsize=70\nstatus=DONE\n";
    folder.write("base/20261120T000000/backup.info", barman);
    let list = r#"[{"backup_name":"base_000000010000000000000004","time":"2026-11-20T01:00:09Z","finish_time":"2026-11-20T01:00:00Z"}]"#;
    folder.write("list.json", list);
    folder.write("broken.json", "{");

    let source = |name: &str, tool: &str, file: &str| format!("{{name: {name}, tool: {tool}, path: {}}}", folder.join(file).display());
    let sources = [
        source("nightly", "file", "touched"),
        source("main", "pgbackrest", "info.json"),
        source("shop", "barman", "base"),
        source("cloud", "walg", "list.json"),
        source("broken", "walg", "broken.json"),
        source("none", "file", "nothing"),
    ];
    let config = format!("modules: {{default: {{collectors: {{backups: {{sources: [{}]}}}}}}}}\n", sources.join(", "));
    let server = server(PostgresOptions::default());
    let exporter = watch(server.port(), &config);
    let page = wait_fine(&exporter);
    let of = |page: &Page, family: &str, tool: &str, name: &str| page.value(family, &[("tool", tool), ("name", name)]);
    let end = |page: &Page, tool: &str, name: &str| of(page, "pg_backup_last_success_timestamp_seconds", tool, name);
    assert!((end(&page, "file", "nightly").unwrap() - seconds(now - 3 * DAY) as f64).abs() < 2.0);
    assert_eq!(end(&page, "pgbackrest", "main"), Some(stop as f64));
    assert_eq!(of(&page, "pg_backup_size_bytes", "pgbackrest", "main"), Some(4096.0));
    assert_eq!(end(&page, "barman", "shop"), Some(1_795_136_400.0));
    assert_eq!(end(&page, "walg", "cloud"), Some(1_795_136_400.0));
    for (tool, name, reason) in [("walg", "broken", "corrupt"), ("file", "none", "missing")] {
        assert_eq!((end(&page, tool, name), of(&page, "pg_backup_readable", tool, name)), (None, Some(0.0)));
        let told = page.value("pg_backup_problem_info", &[("tool", tool), ("name", name), ("reason", reason)]);
        assert_eq!(told, Some(1.0), "{name}");
    }

    // A file from the future is a clock that is wrong, and no backup; and all of it needs no server.
    touch(now + DAY);
    server.stop();
    let page = poll::until("the future is told", LIMIT, || {
        let page = scrape(&exporter, Duration::from_secs(5));
        (end(&page, "file", "nightly").is_none()).then_some(page)
    });
    assert_eq!(page.value("sage_up", &[]), Some(0.0));
    assert_eq!(page.value("pg_backup_problem_info", &[("name", "nightly"), ("reason", "future")]), Some(1.0));
    assert_eq!(end(&page, "pgbackrest", "main"), Some(stop as f64));
}
