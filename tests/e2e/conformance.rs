//! What every exporter of the workspace must do, held to each one that is found in `exporters/`: commands, routes, formats,
//! files that ship, a target that hangs, and no password in anything that is shown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test file")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::exporter::{self, Exporter};
use e2e::fault::{FaultProxy, Mode};
use e2e::http::{self, Connection};
use e2e::page::Page;
use e2e::poll;
use e2e::process::{self, Process};
use e2e::said::{Aimed, aimed, prints, says};
use e2e::servers::apache::{Apache, ApacheOptions};
use e2e::servers::nginx::{Nginx, NginxOptions};
use e2e::servers::postgres::PostgresOptions;
use e2e::servers::redis::Redis;
use e2e::temp::{TempFolder, free_port};
use e2e::watched::{CANARY, LIMIT, MONITOR, TIMEOUT_HEADER, environment, server, tells};
use serde_json::Value;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Where programs show their inside.
const DEBUG: [&str; 30] = [
    "/debug",
    "/debug/",
    "/debug/pprof",
    "/debug/pprof/",
    "/debug/pprof/heap",
    "/debug/pprof/goroutine",
    "/debug/pprof/profile",
    "/debug/pprof/cmdline",
    "/debug/pprof/symbol",
    "/debug/pprof/trace",
    "/debug/vars",
    "/debug/requests",
    "/debug/events",
    "/debug/fgprof",
    "/debug/statsviz/",
    "/pprof",
    "/pprof/",
    "/actuator",
    "/actuator/env",
    "/actuator/heapdump",
    "/actuator/threaddump",
    "/jolokia",
    "/server-status",
    "/status",
    "/env",
    "/heapdump",
    "/trace",
    "/.env",
    "/.git/config",
    "/-/quitquitquit",
];
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// `postgres` of `sage-postgres-exporter`.
fn short(binary: &str) -> &str {
    binary.trim_start_matches("sage-").trim_end_matches("-exporter")
}

/// Hands `text` to a checker.
#[track_caller]
fn accepts(program: &str, args: &[&str], text: &str, about: &str) {
    let mut command = Command::new(program);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{about}: {program} {args:?}:\n{said}");
}

/// What bash offers behind these words of a command line, once it has read the script.
fn completions(script: &str, binary: &str, words: &str) -> Vec<String> {
    // The last word is the one under the cursor.
    let ask = "source \"$0\"; declare -a COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); set -- $(complete -p \"$1\"); \
               while [ $# -gt 0 ] && [ \"$1\" != -F ]; do shift; done; \
               \"$2\" \"${COMP_WORDS[0]}\" \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let folder = TempFolder::new("completions");
    let file = folder.write("script", script);
    let output = Command::new("bash").args(["-c", ask]).arg(file).arg(binary).args(words.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{binary} {words}: {said}");
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_commands_of_all() {
    for binary in &exporter::all() {
        let name = short(binary);
        assert_eq!(prints(binary, &["version"]), format!("{binary} {}\n", env!("CARGO_PKG_VERSION")));
        let help = prints(binary, &["--help"]);
        for command in
            ["check", "print-config", "scrape-config", "grants", "rules", "dashboards", "probe", "discover", "bundle", "completions", "man"]
        {
            assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{binary}: no {command}:\n{help}");
        }

        let folder = TempFolder::new(name);
        let file = folder.write("config.yml", &prints(binary, &["print-config"]));
        let config = format!("--config.file={}", file.display());
        assert_eq!(prints(binary, &["config", "validate", &config]), "the configuration is valid\n");
        let unknown =
            says(binary, &["config", "validate", &format!("--config.file={}", folder.write("bad.yml", "nonsense: 1\n").display())], &[]);
        assert!(
            unknown.code == Some(1) && unknown.err.contains("bad.yml:1:1: unknown key `nonsense`\nhint: "),
            "{binary}: {}",
            unknown.err
        );
        let typo = says(binary, &["chek"], &[]);
        assert!(typo.code == Some(2) && typo.err.contains("hint: did you mean `check`?\ncode: SG-0502\n"), "{binary}: {}", typo.err);

        let job = prints(binary, &["scrape-config", "--web.listen-address=192.0.2.1:9999"]);
        assert!(job.contains("192.0.2.1:9999") && job.contains(&format!("job_name: {name}\n")), "{binary}: {job}");
        let job = folder.write("prometheus.yml", &job);
        accepts("promtool", &["check", "config", job.to_str().unwrap()], "", binary);

        for shell in SHELLS {
            let script = prints(binary, &["completions", shell]);
            assert!(script.contains(binary.as_str()) && script.contains("web.listen-address"), "{binary} {shell}");
            if shell == "bash" {
                let completed = |words: &str| completions(&script, binary, words);
                assert_eq!(completed("chec"), ["check"], "{binary}");
                assert!(completed("check --").contains(&"--json".to_owned()), "{binary}");
                assert!(completed("--web.").contains(&"--web.config.file".to_owned()), "{binary}");
                let switches = completed("--no-collector.");
                assert_eq!(switches.is_empty(), !help.contains("--collector."), "{binary}: {switches:?}");
            }
        }
        assert!(prints(binary, &["grants"]).lines().count() > 5, "{binary}: what it must be allowed");
        // One page, on which each command that the help lists stands with its own options.
        let page = prints(binary, &["man"]).replace("\\-", "-");
        assert!(page.contains(&format!(".TH {binary} 1")) && page.contains(&format!("\\fB{binary}\\fR [OPTIONS] [COMMAND]\n")), "{binary}");
        let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        for command in listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let command = command.split_whitespace().next().unwrap();
            assert!(page.contains(&format!("\\fB{command}\\fR\n")) || page.contains(&format!("\\fB{command} ")), "{binary}: {command}");
        }
        for option in ["--json", "--timeout", "--directory", "--web.listen-address", "--config.file"] {
            assert!(page.contains(&format!("\\fB{option}\\fR")), "{binary}: {option}");
        }
    }
}

/// A file that every exporter brings.
#[track_caller]
fn kept(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn what_ships_is_what_stands_in_the_repository() {
    for binary in &exporter::all() {
        let name = short(binary);
        let folder = TempFolder::new(name);
        let text = prints(binary, &["rules"]);
        let file = folder.write("rules.yml", &text);
        accepts("promtool", &["check", "rules", file.to_str().unwrap()], "", binary);
        assert!(text.contains("alert: SageExporterDown"), "{binary}");
        let directory = folder.join("rules");
        let to = ["rules", "--directory", directory.to_str().unwrap()];
        let written = prints(binary, &to);
        let own = fs::read_dir(root().join("alert-rules")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let own = own.filter(|f| f.ends_with(".yml") && !f.ends_with(".test.yml"));
        let own: Vec<String> = own.filter(|f| *f == format!("{name}.yml") || f.starts_with(&format!("{name}-"))).collect();
        assert!(!own.is_empty(), "{binary}: there is no alert-rules/{name}.yml");
        for file in &own {
            let rules = kept(&format!("alert-rules/{file}"));
            // A new file beside those that a program has is not seen by cargo.
            let packed = fs::read_to_string(directory.join(file));
            assert_eq!(packed.as_ref().ok(), Some(&rules), "{binary} was built without this {file}: touch common/embed.rs and build again");
            for alert in rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")) {
                let page = kept(&format!("alert-rules/runbooks/{alert}.md"));
                assert_eq!(prints(binary, &["rules", "--page", alert]), page);
                assert_eq!(fs::read_to_string(directory.join(format!("runbooks/{alert}.md"))).unwrap(), page);
            }
        }
        assert!(written.lines().count() > own.len(), "{written}");
        // Again is no change, and what somebody has edited stays.
        assert_eq!(prints(binary, &to), written);
        fs::write(directory.join("sage.yml"), "edited").unwrap();
        let refused = says(binary, &to, &[]);
        assert!(refused.code == Some(1) && refused.err.contains("sage.yml") && refused.err.contains("--force"), "{}", refused.err);
        assert_eq!(fs::read_to_string(directory.join("sage.yml")).unwrap(), "edited");
        let other = says(binary, &["rules", "--page", "SageExporterDwn"], &[]);
        assert!(other.err.contains("did you mean `SageExporterDown`?"), "{}", other.err);

        let boards = fs::read_dir(root().join("dashboards")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let several = boards.into_iter().any(|board| board.starts_with(&format!("{name}-")));
        let args: &[&str] = if several { &["dashboards", "--name", name] } else { &["dashboards"] };
        assert_eq!(prints(binary, args), kept(&format!("dashboards/{name}.json")));
    }
}

#[test]
fn the_catalogue_is_sorted_and_complete() {
    for binary in &exporter::all() {
        let catalogue: Vec<Value> = serde_json::from_str(&prints(binary, &["metrics", "--json"])).unwrap();
        let mut names = BTreeSet::new();
        for metric in &catalogue {
            assert!(names.insert(metric["name"].as_str().unwrap()), "{binary}: {metric} is declared twice");
            assert!(!metric["help"].as_str().unwrap().is_empty(), "{binary}: {metric}");
        }
        let mut collectors: Vec<&str> = catalogue.iter().filter_map(|m| m["collector"].as_str()).filter(|c| !c.is_empty()).collect();
        collectors.dedup();
        // A prober has no table of collectors: its sections stand in the order in which they are read.
        let table = prints(binary, &["--help"]).contains("--collector.");
        assert!(!table || collectors.is_sorted(), "{binary}: the table of collectors is not sorted: {collectors:?}");
        let markdown = prints(binary, &["metrics", "--markdown"]);
        let page = fs::read_to_string(root().join(format!("exporters/{}/README.md", short(binary)))).unwrap();
        for name in names {
            assert!(markdown.contains(&format!("| `{name}")) && page.contains(&format!("| `{name}")), "{binary}: {name}");
        }
    }
}

/// Pages of real servers are kept in `tests/golden`: what is on none of them is said to be absent, with the reason.
#[test]
fn every_declared_family_is_on_a_kept_page_or_said_to_be_absent() {
    let folder = root().join("tests/golden");
    let files = |ending: &str| {
        let files = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.to_string_lossy().ends_with(ending));
        files.collect::<Vec<PathBuf>>()
    };
    let pages: String = files(".prom").iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let kept: BTreeSet<&str> = pages.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for binary in &exporter::all() {
        let name = short(binary);
        let mut absent = Vec::new();
        for file in files(".toml").iter().filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(name)) {
            let text = fs::read_to_string(file).unwrap();
            let mut section = "";
            for line in text.lines() {
                if line.starts_with('[') {
                    section = line;
                } else if let Some((pattern, reason)) = line.split_once(" = ").filter(|_| section.starts_with("[absent")) {
                    assert!(reason.trim_matches('"').len() > 3, "{}: {line}: no reason", file.display());
                    absent.push(pattern.trim_matches('"').to_owned());
                }
            }
        }
        assert!(!absent.is_empty(), "{binary}: there is no tests/golden/{name}*.toml: see step 8 of CONTRIBUTING.md");
        let declared: Vec<Value> = serde_json::from_str(&prints(binary, &["metrics", "--json"])).unwrap();
        for family in declared {
            let family_name = family["name"].as_str().unwrap();
            let is_kept = match family["pattern"] == true {
                true => kept.iter().any(|kept| kept.starts_with(family_name)),
                false => kept.contains(family_name),
            };
            let is_absent = absent.iter().any(|pattern| match pattern.split_once('*') {
                Some((head, tail)) => family_name.starts_with(head) && family_name.ends_with(tail),
                None => pattern == family_name,
            });
            assert!(is_kept || is_absent, "{binary}: {family_name} is on no kept page and not said to be absent");
        }
    }
}

#[test]
fn each_bad_configuration_is_refused_with_its_reason() {
    for binary in &exporter::all() {
        let folder = root().join(format!("exporters/{}/config-tests", short(binary)));
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let mut refused = 0;
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).unwrap();
            let ended = says(binary, &["config", "validate", &format!("--config.file={}", file.display())], &[]);
            if name.starts_with("valid-") {
                assert_eq!((ended.code, ended.out.as_str()), (Some(0), "the configuration is valid\n"), "{name}: {}", ended.err);
                continue;
            }
            let said = |what: &str| text.lines().take_while(|l| l.starts_with('#')).find_map(|l| l.strip_prefix(what)).map(str::trim);
            // Files without this line have their words in a table of a unit test.
            let expect = said("# expect:").unwrap_or("error: ");
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{name}: {}", ended.err);
            assert!(ended.err.starts_with("error") && ended.err.contains(expect), "{name}: {expect:?} is not in {}", ended.err);
            assert!(said("# hint:").is_none_or(|hint| ended.err.contains(hint)), "{name}: the hint is not in {}", ended.err);
            let code = said("# code:").map_or_else(|| "\ncode: SG-01".to_owned(), |code| format!("\ncode: {code}\n"));
            assert!(ended.err.contains(&code) && !ended.err.contains("SG-0100"), "{name}: {code:?} is not in {}", ended.err);
            assert!(!ended.err.contains("canary"), "{name}: {}", ended.err);
            refused += 1;
        }
        assert!(refused >= 5, "{binary}: {refused} files");
        let example = root().join(format!("exporters/{}/example.yml", short(binary)));
        assert_eq!(
            prints(binary, &["config", "validate", &format!("--config.file={}", example.display())]),
            "the configuration is valid\n"
        );
        // Ten names for ten times the one before: ten thousand million in a few lines.
        let layers = (1..10).map(|n| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(", ")));
        let bomb = TempFolder::new("bomb").write("bomb.yml", &format!("l0: &l0 [x]\n{}", layers.collect::<String>()));
        let (begun, bombed) = (Instant::now(), says(binary, &["config", "validate", &format!("--config.file={}", bomb.display())], &[]));
        assert!(bombed.code == Some(1) && bombed.err.contains("code: SG-01"), "{binary}: {}", bombed.err);
        assert!(begun.elapsed() < Duration::from_secs(5), "{binary}: {:?}", begun.elapsed());
        let missing = says(binary, &["config", "validate", "--config.file=nowhere.yml"], &[]);
        assert!(missing.code == Some(1) && missing.err.contains("nowhere.yml") && missing.err.contains("hint: "), "{}", missing.err);
    }
}

#[test]
fn the_routes_of_all() {
    for binary in &exporter::all() {
        let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let Aimed { config, path, .. } = aimed(binary, closed, None);
        let folder = TempFolder::new(short(binary));
        let exporter = Exporter::start(binary, &[&format!("--config.file={}", folder.write("c.yml", &config).display())], &[]);
        for (path, status) in [("/", 200), ("/metrics", 200), ("/-/healthy", 200), ("/-/ready", 200), ("/probe", 400)] {
            assert_eq!(exporter.get(path).status, status, "{binary} {path}");
        }
        for path in ["/nothing", "/-/quit", "/metrics/", "/../etc/passwd", "/config", "/-/Reload"].iter().chain(&DEBUG) {
            assert_eq!(exporter.get(path).status, 404, "{binary} {path}");
        }
        assert_eq!(exporter.get("/-/reload").status, 403, "{binary}");
        for method in ["POST", "DELETE", "OPTIONS", "TRACE"] {
            let answer = Connection::open(exporter.address(), LIMIT).unwrap().send(method, "/metrics", &[], LIMIT).unwrap();
            assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD")), "{binary} {method}");
        }
        assert_eq!(exporter.get_with("/probe?target=x", &[(TIMEOUT_HEADER, "soon")]).status, 400, "{binary}");

        let catalogue: Vec<Value> = serde_json::from_str(&prints(binary, &["metrics", "--json"])).unwrap();
        let declared = |name: &str| {
            catalogue.iter().any(|m| {
                let known = m["name"].as_str().unwrap();
                if m["pattern"] == true { name.starts_with(known) } else { name == known }
            })
        };
        for path in ["/metrics", path.as_str()] {
            let (text, again) = (exporter.get(path).text(), exporter.get(path).text());
            accepts("promtool", &["check", "metrics", "--extended"], &text, binary);
            let page = Page::parse(&text).unwrap();
            assert!(page.types.keys().all(|name| declared(name)), "{binary} {path}: {:?}", page.types.keys());
            let series = |text: &str| text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>();
            let kept = |text: &str| {
                series(text).into_iter().filter(|line| !line.starts_with("sage_error{collector=\"login\"")).collect::<Vec<_>>()
            };
            assert_eq!(kept(&text), kept(&again), "{binary} {path}: the second page has other series");
            let open = exporter.get_with(path, &[("Accept", "application/openmetrics-text;version=1.0.0")]);
            assert_eq!(open.header("Content-Type"), Some(OPENMETRICS), "{binary} {path}");
            assert!(open.text().ends_with("\n# EOF\n"), "{binary} {path}");
        }
        assert_eq!(exporter.page(&path).value("sage_up", &[]), Some(0.0), "{binary}: nobody listens there");
    }
}

#[test]
fn a_target_that_hangs_is_told_in_time_and_holds_nothing() {
    let binaries = exporter::all();
    thread::scope(|scope| {
        for binary in &binaries {
            scope.spawn(move || hangs(binary));
        }
    });
}

/// The time of the scraper leaves room for a machine that is busy: a tenth of it is kept back for the answer.
fn hangs(binary: &str) {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], free_port())));
    proxy.set(Mode::BlackHole);
    let Aimed { config, path, .. } = aimed(binary, proxy.address(), None);
    let folder = TempFolder::new(short(binary));
    let exporter = Exporter::start(binary, &[&format!("--config.file={}", folder.write("c.yml", &config).display())], &[]);
    let before = exporter.open_fds();
    for _ in 0..2 {
        thread::scope(|scope| {
            for _ in 0..17 {
                scope.spawn(|| {
                    let answer = exporter.get_with(&path, &[(TIMEOUT_HEADER, "4")]);
                    assert!(answer.status == 200 && answer.elapsed < TIMEOUT, "{binary}: {} {:?}", answer.status, answer.elapsed);
                    let page = Page::parse(&answer.text()).unwrap();
                    assert_eq!(page.value("sage_up", &[]), Some(0.0), "{binary}");
                    let reasons = page.series("sage_error");
                    assert!(reasons.iter().any(|s| s.labels.get("reason").is_some_and(|r| r == "timeout")), "{binary}: {reasons:?}");
                });
            }
        });
    }
    assert!(proxy.open() <= 2, "{binary}: {} connections", proxy.open());
    poll::until("connections are closed", LIMIT, || (exporter.open_fds() <= before + 2).then_some(()));
    proxy.set(Mode::Refuse);
    assert_eq!(exporter.page(&path).value("sage_up", &[]), Some(0.0), "{binary}");
}

/// All that an archive of `bundle` holds, and what the command says of it.
fn bundled(binary: &str, args: &[&str], env: &[(&str, &str)]) -> (String, String) {
    let folder = TempFolder::new("bundle");
    let file = folder.join("bundle.tar.gz");
    let Output { status, stdout, stderr } = exporter::run(binary, &[&["bundle", "--output", file.to_str().unwrap()], args].concat(), env);
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{binary}: {said}");
    let out = Command::new("tar").args(["--extract", "--gzip", "--to-stdout", "--file"]).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    (String::from_utf8(out.stdout).unwrap(), said)
}

/// Gives back what it is sent where that is HTTP, so that a secret comes from both sides; else it says nothing that any product says.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let (mut sent, mut part) = (Vec::new(), [0; 4096]);
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    sent.extend_from_slice(&part[..count]);
                }
                let answer = match sent.windows(5).any(|bytes| bytes == b"HTTP/") {
                    true => [format!("HTTP/1.1 403 No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", sent.len()).as_bytes(), &sent]
                        .concat(),
                    false => b"-ERR go away\r\n".to_vec(),
                };
                let _ = stream.write_all(&answer);
            });
        }
    });
    address
}

#[test]
fn a_password_is_in_nothing_that_is_shown() {
    for binary in &exporter::all() {
        let address = echo();
        let folder = TempFolder::new(short(binary));
        let password = folder.write_secret("password", CANARY);
        let Aimed { config, path, .. } = aimed(binary, address, Some(&password));
        let file = folder.write("c.yml", &config);
        let mut flag = format!("--config.file={}", file.display());
        // Where targets have no password in a file, all else holds as well.
        if says(binary, &["config", "validate", &flag], &[]).code != Some(0) {
            flag = format!("--config.file={}", folder.write("d.yml", &aimed(binary, address, None).config).display());
        }
        // Who knows more kinds of secrets brings a file with all of them.
        let kinds = root().join(format!("tests/fixtures/canary/{}.yml", short(binary)));
        let mut modules = Vec::new();
        if let Ok(text) = fs::read_to_string(&kinds) {
            let text = text.replace("{ADDRESS}", &address.to_string()).replace("{SECRET}", &password.display().to_string());
            let tree = sage_common::config::tree::parse(&text, "canary").unwrap();
            let section = tree.pairs().unwrap().iter().find(|(key, _)| key.text() == Some("modules")).unwrap();
            modules = section.1.pairs().unwrap().iter().map(|(key, _)| key.text().unwrap().to_owned()).collect();
            flag = format!("--config.file={}", folder.write("e.yml", &text).display());
            assert_eq!(prints(binary, &["config", "validate", &flag]), "the configuration is valid\n");
        }
        let exporter = Exporter::start(binary, &[&flag, "--log.level=debug"], &[]);
        for path in ["/", "/metrics", &path, "/-/healthy", "/-/ready", "/nothing", "/-/reload"] {
            assert!(!tells(&exporter.get(path).text()), "{binary} {path}");
        }
        for module in modules {
            let target = format!("http://{address}/");
            let page = exporter.get(&format!("/probe?module={module}&target={}", http::encode(&target)));
            assert!(page.status == 200 && !tells(&page.text()), "{binary} {module}: {}", page.text());
            let args = [
                "check",
                "--timeout=2s",
                "--log.level=debug",
                &flag,
                &format!("--check.module={module}"),
                &format!("--check.target={target}"),
            ];
            // What it says is searched by `says`.
            assert!(says(binary, &args, &[]).out.contains(&target), "{binary} {module}");
        }
        assert!(!tells(&exporter.logs()), "{binary}: {}", exporter.logs());
        for args in [
            &["check", "--timeout=2s"][..],
            &["print-config"],
            &["scrape-config"],
            &["bundle", "--timeout=2s"],
            &["probe", "x", "--timeout=1s"],
        ] {
            let ended = says(binary, &[args, &[&flag, "--log.level=debug"]].concat(), &[]);
            assert!(!tells(&ended.out) && !tells(&ended.err), "{binary} {args:?}: {}{}", ended.out, ended.err);
        }
        let (text, said) = bundled(binary, &[&flag, "--timeout=2s"], &[]);
        assert!(!tells(&text) && text.contains("sage_build_info{"), "{binary}: {text}");
        // Of the own port: neither key nor hash.
        let made = prints(binary, &["tls-init", "--directory", folder.path().to_str().unwrap()]);
        let own = [fs::read_to_string(folder.join("web.yml")).unwrap(), fs::read_to_string(folder.join("web.key")).unwrap(), made].concat();
        let secrets: Vec<&str> = own.split_whitespace().filter(|word| word.starts_with("$2") || word.len() == 64).collect();
        assert!(secrets.len() >= 2, "{binary}: a hash and lines of a key are looked for: {own}");
        let web = format!("--web.config.file={}", folder.join("web.yml").display());
        let archive = bundled(binary, &[&flag, &web, "--timeout=2s"], &[]).0;
        let shown =
            ["print-config", "scrape-config", "check"].map(|command| says(binary, &[command, &flag, &web], &[])).map(|e| e.out + &e.err);
        for secret in secrets {
            assert!(!archive.contains(secret) && !shown.iter().any(|text| text.contains(secret)), "{binary}: {secret}");
        }
        for name in ["about.txt", "config.yml", "check.json", "metrics.prom", "sizes.txt", "log.txt"] {
            assert!(said.contains(name), "{binary}: {said}");
        }
        assert!(said.find("log.txt").unwrap() < said.find("written: ").unwrap(), "the list comes first: {said}");
    }
}

#[test]
fn a_bundle_of_a_real_server_holds_what_support_asks_for() {
    let server = server(PostgresOptions::default());
    let env = environment(server.port(), CANARY);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (text, said) = bundled("sage-postgres-exporter", &[], &env);
    assert!(!tells(&text) && !tells(&said), "{said}");
    for part in ["\nsage_up 1\n", "\"up\": true", &format!("user: {MONITOR}"), "DATA_SOURCE_PASS", "DEBUG", "series by name"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let listed = exporter::run("sage-postgres-exporter", &["bundle"], &env);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("nothing is written"));
}

#[test]
fn local_servers_are_found_and_their_configuration_works() {
    let postgres = server(PostgresOptions::default());
    let redis = Redis::start();
    let (nginx, apache) = (Nginx::start(&NginxOptions::default()), Apache::start(&ApacheOptions::default()));
    for (binary, told) in [
        ("sage-postgres-exporter", format!("port: {}\n", postgres.port())),
        ("sage-redis-exporter", format!("port: {}\n", redis.port())),
        ("sage-nginx-exporter", format!("url: {}\n", nginx.url("/stub_status"))),
        ("sage-apache-exporter", format!("url: {}\n", apache.url("/server-status?auto"))),
    ] {
        let connections = postgres.count_connections(MONITOR);
        let found = prints(binary, &["discover"]);
        assert!(found.contains(&told), "{binary}: {found}");
        let folder = TempFolder::new("found");
        let file = folder.write("found.yml", &found);
        assert_eq!(prints(binary, &["config", "validate", &format!("--config.file={}", file.display())]), "the configuration is valid\n");
        assert_eq!(postgres.count_connections(MONITOR), connections);
    }
    // Each port of a web server is a page to probe; the file is short, and one that works.
    let found = prints("sage-http-exporter", &["discover"]);
    assert!(found.contains(&format!("'{}'", nginx.url("/"))) && found.contains(&format!("'{}'", apache.url("/"))), "{found}");
    let folder = TempFolder::new("found");
    let flag = format!("--config.file={}", folder.write("found.yml", &found).display());
    let probed = exporter::run("sage-http-exporter", &["probe", &nginx.url("/"), &flag], &[]);
    assert!(String::from_utf8_lossy(&probed.stdout).contains("\nprobe_success 1\n") && found.lines().count() < 10, "{found}");
    // A Redis that listens on its socket alone; its exporter asks it there with what was printed for it.
    let socket = folder.join("cache");
    let mut command = process::command("/usr/bin/redis-server", folder.path());
    command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket);
    let mut hidden = Process::start("redis", command, folder.path());
    hidden.wait_ready(LIMIT, || UnixStream::connect(&socket).is_ok());
    let found = prints("sage-redis-exporter", &["discover"]);
    assert!(found.contains(&format!("host: {}", socket.display())) && found.contains(&format!("port: {}\n", redis.port())), "{found}");
    let probed =
        exporter::run("sage-redis-exporter", &["probe", "default", &format!("--redis.addr=redis://127.0.0.1:{}", redis.port())], &[]);
    let page = String::from_utf8(probed.stdout).unwrap();
    assert!(probed.status.success() && page.contains("\nsage_up 1\n"), "{page}{}", String::from_utf8_lossy(&probed.stderr));
    let down = exporter::run("sage-http-exporter", &["probe", &format!("http://127.0.0.1:{}/", free_port())], &[]);
    assert_eq!((down.status.code(), String::from_utf8_lossy(&down.stdout).contains("\nprobe_success 0\n")), (Some(1), true));
}

#[test]
fn sockets_of_the_service_manager_are_served() {
    for binary in &exporter::all() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = TempFolder::new(short(binary));
        let mut command = process::command("/bin/sh", folder.path());
        // The first descriptor of a service manager is 3.
        let script = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" --web.systemd-socket";
        command.arg("-c").arg(script).arg(exporter::binary(binary)).stdin(Stdio::from(OwnedFd::from(listener)));
        let mut process = Process::start(binary, command, folder.path());
        process.wait_ready(LIMIT, || http::get(address, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == 200));
        let page = http::get(address, "/metrics", &[], LIMIT).unwrap().text();
        assert!(page.contains("\nsage_build_info{"), "{binary}: {page}");
        assert!(process.logs().contains(&address.to_string()) && process.stop().success(), "{binary}: {}", process.logs());
    }
}
