//! The alerts on what goes wrong inside a PostgreSQL that is up, each once on a real fault: forgotten transactions, held
//! horizons, ids and sequences that run out, deadlocks, slow logins, a failing archive, a damaged page, a certificate that
//! ends, backups and maintenance that are too old. Limits are lowered to what seconds can reach; `e2e::drill` has the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::drill::{self, EVER, FIRING, Lowered, PASSWORD, alerts, is_of_a_busy_machine, job, named, watch};
use e2e::fault::{FaultProxy, Mode};
use e2e::poll;
use e2e::servers::postgres::{Background, Postgres, PostgresOptions};
use e2e::servers::prometheus::{Job, Prometheus, PrometheusOptions};
use e2e::temp::TempFolder;

/// Of a step, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Of all alerts together: the longest `for` is 20 s here.
const ALL: Duration = Duration::from_secs(120);

/// Transactions whose ids are used up for the alerts on ids and horizons, and the limit that they pass.
const BURNT: u32 = 8000;
const AGED: f64 = 5000.0;
const IDS: f64 = 2_147_483_648.0;

/// Alert, host, limit: lowered so that a fault of seconds passes it.
const OVERRIDES: [Lowered; 8] = [
    ("PostgresOldTransaction", "db01", 3.0),
    ("PostgresIdleInTransaction", "db01", 3.0),
    ("PostgresWraparoundNear", "db01", AGED / IDS),
    ("PostgresWraparoundImminent", "db01", AGED / IDS),
    ("PostgresXminHorizonHeld", "db01", AGED),
    ("PostgresLoginSlow", "db02", 0.3),
    ("PostgresArchivingFailing", "db03", 5.0),
    // So long after its fault this one ends.
    ("PostgresChecksumFailures", "db04", 20.0),
];

/// What must fire: alert, host, severity.
const EXPECTED: [(&str, &str, &str); 13] = [
    ("PostgresOldTransaction", "db01", "warning"),
    ("PostgresIdleInTransaction", "db01", "warning"),
    ("PostgresDeadlocks", "db01", "warning"),
    ("PostgresWraparoundNear", "db01", "warning"),
    ("PostgresWraparoundImminent", "db01", "critical"),
    ("PostgresXminHorizonHeld", "db01", "warning"),
    ("PostgresSequenceNearLimit", "db01", "warning"),
    ("PostgresLoginSlow", "db02", "warning"),
    ("PostgresArchivingFailing", "db03", "critical"),
    ("PostgresCertificateEnding", "db03", "warning"),
    ("PostgresChecksumFailures", "db04", "critical"),
    ("PostgresBackupTooOld", "db04", "warning"),
    ("PostgresMaintenanceOverdue", "db04", "warning"),
];

/// What the slow road to db02 may raise besides, when this machine is slow: some logins take longer than they may.
const BESIDES: [(&str, &str); 2] = [("SageServiceDown", "db02"), ("PostgresLoginFailing", "db02")];

/// How some of them name what their labels leave out: the alert is one for the instance, its text asks for the worst.
const TOLD: [(&str, &str); 9] = [
    ("PostgresDeadlocks", "in the database postgres."),
    ("PostgresWraparoundNear", "most in the database "),
    ("PostgresXminHorizonHeld", "held by: transaction."),
    ("PostgresSequenceNearLimit", "88.48% of the numbers of a sequence of db01.example:9187 are used: tickets in postgres."),
    ("PostgresArchivingFailing", "archive_command of db03.example:9187 keeps failing"),
    ("PostgresCertificateEnding", "db03.example:9187 shows to its clients ends in 9d 23h"),
    ("PostgresChecksumFailures", "in the database postgres."),
    ("PostgresBackupTooOld", "db04.example:9187 has had no good backup for 3d 0h"),
    ("PostgresMaintenanceOverdue", "db04.example:9187 has had no complete vacuum-analyze for 3d 0h"),
];

fn server(settings: &[&str], checksums: bool) -> Postgres {
    let settings = settings.iter().map(|s| (*s).to_owned()).collect();
    let server = Postgres::start(PostgresOptions { settings, checksums, ..PostgresOptions::default() });
    server.create_monitor("sage", PASSWORD, 4);
    server
}

/// Two clients that lock the same two rows in an order of chance, ten times a second each. A statement of its own each
/// time: the server counts a session's deadlocks when its statement has ended.
fn deadlocks(server: &Postgres) -> [Background; 2] {
    server.psql("create table pair(id int primary key); insert into pair values (1), (2)").unwrap();
    let turn = "\\set first random(1, 2)\n\\set second 3 - :first\n\
        do $$ begin update pair set id = id where id = :first; perform pg_sleep(0.05); update pair set id = id where id = :second; \
        exception when deadlock_detected then null; end $$;\n";
    [(); 2].map(|()| server.pgbench_script("postgres", turn, 10.0))
}

/// Uses up transaction ids.
fn burn(server: &Postgres) {
    server.psql(&format!("do $$ begin for i in 1..{BURNT} loop perform pg_current_xact_id(); commit; end loop; end $$")).unwrap();
}

/// Freezes all rows of all databases, also of the one that nobody may connect to; again until no session that is still
/// ending holds it back.
fn freeze(server: &Postgres) {
    server.psql("alter database template0 allow_connections true").unwrap();
    poll::until("all rows are frozen", LIMIT, || {
        for database in ["template0", "template1", "postgres"] {
            server.psql_in(database, "vacuum (freeze)").unwrap();
        }
        let young = format!("select max(age(datfrozenxid)) < {AGED} from pg_database");
        (server.psql(&young).as_deref() == Ok("t")).then_some(())
    });
}

/// Writes over a part of a table's first page on the disk of a stopped server, as a disk that lies does.
fn damage(server: &Postgres) {
    server.psql("create table damaged as select i, repeat('x', 100) from generate_series(1, 100) i; checkpoint").unwrap();
    let file = server.data().join(server.psql("select pg_relation_filepath('damaged')").unwrap());
    server.stop();
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(4000)).and_then(|_| file.write_all(b"damaged")).unwrap();
    server.restart();
}

/// The file that a backup script touches when it is done, and the state file of `maintain`.
struct Upkeep {
    backup: PathBuf,
    maintenance: PathBuf,
}

impl Upkeep {
    /// Both as of `age` ago.
    fn was(&self, age: Duration) {
        let at = SystemTime::now() - age;
        std::fs::File::create(&self.backup).and_then(|file| file.set_modified(at)).unwrap();
        let at = at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let tables = r#"{"ok": 1, "skipped_busy": 0, "failed": 0, "not_started": 0}"#;
        let times = format!(r#""first_run": {at}, "last_run": {at}, "last_success": {at}, "duration_seconds": 1.0"#);
        let record =
            format!(r#"{{"form": 1, "tasks": {{"vacuum-analyze": {{"postgres": {{{times}, "tables": {tables}, "slow": {{}}}}}}}}}}"#);
        std::fs::write(&self.maintenance, record).unwrap();
    }
}

#[test]
fn every_alert_fires_on_a_real_fault_and_ends_with_it() {
    let folder = TempFolder::new("alerts-postgres");
    let db01 = server(&["deadlock_timeout = 50ms"], false);
    let db02 = server(&[], false);
    let db03 = server(&["archive_mode = on", "archive_command = '/bin/true'"], false);
    let db04 = server(&[], true);
    db01.psql("create sequence tickets as integer; grant select on sequence tickets to sage; select nextval('tickets')").unwrap();
    damage(&db04);
    db03.offer_tls(60);
    let upkeep = Upkeep { backup: folder.join("last-good"), maintenance: folder.join("maintain.json") };
    upkeep.was(Duration::from_secs(60));
    let settings = "probe_interval: 3s, collectors: {sequences: {interval: 1s}}";
    let files = format!(
        "probe_interval: 3s, collectors: {{maintenance: {{state_file: {}}}, backups: {{sources: [{{name: dump, tool: file, path: {}}}]}}}}",
        upkeep.maintenance.display(),
        upkeep.backup.display()
    );
    let road = FaultProxy::start(db02.address());
    let watched = [(db01.port(), settings), (road.port(), settings), (db03.port(), settings), (db04.port(), files.as_str())];
    let exporters = watched.map(|(port, settings)| watch(&folder, port, "sage", settings));
    let jobs: Vec<Job> = (1..).zip(&exporters).map(|(n, e)| job(&format!("db0{n}"), e.address().to_string())).collect();
    let rules = drill::rules(&folder, &OVERRIDES, &jobs);
    let prometheus = Prometheus::start(&PrometheusOptions { jobs, rules, ..PrometheusOptions::default() });
    let up = || {
        let fine = prometheus.query("sage_up == 1 and sage_login_success == 1").len() == exporters.len();
        (fine && !prometheus.query("pg_ssl_certificate_expiry_timestamp_seconds").is_empty()).then_some(())
    };
    poll::until("all servers are up", LIMIT, up);
    let early: Vec<_> = alerts(&prometheus, FIRING).into_keys().filter(|pair| !is_of_a_busy_machine(pair)).collect();
    assert!(early.is_empty(), "{early:?} before any fault");

    // The faults, all at once.
    let mut forgotten = db01.session("postgres");
    forgotten.query("begin isolation level repeatable read; create table held()").unwrap();
    let fights = deadlocks(&db01);
    burn(&db01);
    db01.psql("select setval('tickets', 1900000000)").unwrap();
    road.set(Mode::LateStart(Duration::from_millis(400)));
    db03.psql("alter system set archive_command = '/bin/false'").unwrap();
    db03.psql("select pg_reload_conf(); create table lost(); select pg_switch_wal()").unwrap();
    db03.offer_tls(10);
    assert!(db04.psql("select count(*) from damaged").unwrap_err().contains("invalid page in block 0"));
    upkeep.was(Duration::from_secs(3 * 86_400));
    let expected = named(EXPECTED.map(|(alert, host, _)| (alert, host)));
    let (mut fired, mut texts) = (BTreeMap::new(), BTreeMap::new());
    poll::within(ALL, || {
        fired.extend(alerts(&prometheus, FIRING));
        let all = prometheus.alerts().into_iter();
        texts.extend(all.map(|mut alert| (alert.labels["alertname"].clone(), alert.annotations.remove("description").unwrap_or_default())));
        expected.iter().all(|pair| fired.contains_key(pair)).then_some(())
    });
    let silent: Vec<_> = expected.iter().filter(|pair| !fired.contains_key(*pair)).collect();
    assert!(silent.is_empty(), "these do not fire: {silent:?}\n{:?}", prometheus.alerts());
    drill::assert_complete(&fired, &EXPECTED, &prometheus);
    for (alert, text) in TOLD {
        assert!(texts[alert].contains(text), "{alert}: {}", texts[alert]);
    }

    // All faults end.
    drop((forgotten, fights));
    freeze(&db01);
    db01.psql("select setval('tickets', 1)").unwrap();
    upkeep.was(Duration::from_secs(60));
    road.set(Mode::Pass);
    db03.offer_tls(60);
    db03.psql("alter system reset archive_command").unwrap();
    db03.psql("select pg_reload_conf(); create table kept(); select pg_switch_wal()").unwrap();
    let calm = poll::within(ALL, || alerts(&prometheus, FIRING).is_empty().then_some(()));
    assert!(calm.is_some(), "these do not end: {:?}", alerts(&prometheus, FIRING).into_keys());
    let besides = named(BESIDES);
    let ever: BTreeSet<_> = alerts(&prometheus, EVER).into_keys().collect();
    assert!(ever.is_superset(&expected), "{:?} are not kept in Prometheus", expected.difference(&ever));
    let unasked: Vec<_> = ever.difference(&expected).filter(|pair| !besides.contains(*pair) && !is_of_a_busy_machine(pair)).collect();
    assert!(unasked.is_empty(), "these fired without a fault of theirs: {unasked:?}");
}
