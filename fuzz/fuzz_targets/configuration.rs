//! Feeds arbitrary text to the reader of configuration files, with settings of each kind that the exporters have.
//!
//! Beyond not crashing: a refusal is one line that begins with the file's name, so is its hint; what is taken is taken again
//! as `print-config` writes it, with the same meaning. Run with `cargo +nightly fuzz run configuration`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sage_common::config::{self, Named, Span};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    targets: Named<Target>,
    modules: Named<Module>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Target {
    host: Option<String>,
    port: Option<u16>,
    password_file: Option<String>,
    tls: Tls,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Tls {
    #[default]
    Disable,
    VerifyFull,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Module {
    timeout: Option<Span>,
    max_series: Option<usize>,
    enabled: bool,
    sources: Vec<BTreeMap<String, String>>,
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::parse::<File>(text, "folder/x.yml") {
        Ok(file) => {
            let written = serde_saphyr::to_string(&file).unwrap();
            let again = config::parse::<File>(&written, "written").unwrap_or_else(|e| panic!("{e}\n{written}"));
            assert_eq!(format!("{again:?}"), format!("{file:?}"), "{written}");
        }
        Err(error) => {
            assert!(error.message.starts_with("folder/x.yml"), "{error}");
            assert!(!error.message.contains('\n') && !error.hint.as_deref().unwrap_or_default().contains('\n'), "{error}");
        }
    }
});
