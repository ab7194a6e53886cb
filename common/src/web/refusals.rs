//! Every file of `config-tests/web` is taken, or refused with the message, the number, and the hint if there is one, that it names.

use std::path::PathBuf;

use super::Web;

fn files(prefix: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("config-tests/web").unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    found.sort();
    found
}

#[test]
fn every_bad_file_is_refused_with_its_reason() {
    let mut wrong = Vec::new();
    for path in files("invalid-") {
        let text = std::fs::read_to_string(&path).unwrap();
        let said = |what: &str| text.lines().find_map(|line| line.strip_prefix(what)).map(str::trim);
        let (expect, hint, code) = (said("# expect:").unwrap(), said("# hint:"), said("# code:").unwrap());
        let Err(error) = Web::load(Some(&path)) else {
            wrong.push(format!("{}: taken", path.display()));
            continue;
        };
        let hinted = match (&error.hint, hint) {
            (Some(given), Some(wanted)) => given.contains(wanted),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !error.message.starts_with(&format!("{}:", path.display()))
            || !error.message.contains(expect)
            || !hinted
            || error.code.id != code
        {
            wrong.push(format!("{}: {error} ({})", path.display(), error.code));
        }
        if error.to_string().contains("canary") || error.to_string().contains("3JAmoD9r") {
            wrong.push(format!("{} shows a secret: {error}", path.display()));
        }
    }
    assert_eq!(wrong, [""; 0], "{}", wrong.join("\n"));
    assert!(files("invalid-").len() > 50);
}

#[test]
fn every_good_file_is_taken() {
    for path in files("valid-") {
        let web = Web::load(Some(&path)).map_err(|e| format!("{}: {e}", path.display())).unwrap();
        assert!(web.reload().is_some_and(|last| last.success));
    }
}

#[test]
fn the_example_has_every_setting() {
    let text = std::fs::read_to_string("../packaging/web/web.yml").unwrap();
    let settings = super::file::parse(&text, "web.yml").map_err(|e| e.to_string()).unwrap_or_else(|e| panic!("{e}"));
    assert!(settings.users.iter().all(|(name, hash)| name == "prometheus" && hash.fits(b"change-me")));
    let tls = settings.tls.unwrap();
    assert!(settings.http2 && settings.headers.len() == 5 && settings.rate.is_some() && settings.users.len() == 1);
    assert!(tls.client_ca.is_some() && tls.suites.is_some() && tls.curves.is_some() && tls.allowed_sans.len() == 1);
}

/// What the fuzz target asserts, over the files that it began with and found.
#[test]
fn replays_the_corpus() {
    let mut seen = 0;
    for entry in std::fs::read_dir("../fuzz/corpus/web").unwrap() {
        let Ok(text) = String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()) else { continue };
        match super::file::parse(&text, "folder/web.yml") {
            Ok(settings) => assert!(settings.users.iter().all(|(name, _)| !name.is_empty() && !name.contains(':'))),
            Err(error) => assert!(error.message.starts_with("folder/web.yml:") && !error.message.contains('\n'), "{error}"),
        }
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}
