//! Build script of every exporter: packs the rules, the pages of their alerts and the dashboards that belong to it, so that
//! the commands `rules` and `dashboards` of the installed program have them. `common/src/commands/shipped.rs` unpacks.

#![allow(clippy::print_stdout, reason = "the way in which a build script speaks to cargo")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let package = env::var("CARGO_PKG_NAME")?;
    let name = package.strip_prefix("sage-").and_then(|name| name.strip_suffix("-exporter")).ok_or("a name like sage-NAME-exporter")?;
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let release = env::var("PROFILE")? == "release";
    let mut packer =
        flate2::write::GzEncoder::new(fs::File::create(Path::new(&env::var("OUT_DIR")?).join("shipped.gz"))?, flate2::Compression::best());
    let mut alerts = BTreeSet::new();
    for folder in ["alert-rules", "dashboards"] {
        if release {
            println!("cargo::rerun-if-changed={}", root.join(folder).display());
        }
        for path in sorted(&root.join(folder))? {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((stem, kind)) = file.split_once('.') else { continue };
            let own = stem == name || stem.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
            if !matches!(kind, "yml" | "json") || !own && file != "sage.yml" {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            alerts.extend(text.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).map(|alert| (alert.to_owned(), own)));
            pack(&mut packer, &format!("{folder}/{file}"), &text)?;
            if own {
                // While others' rules are written this program need not be built again; a release is built from all of them.
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    let limits = "alert-rules/generated/thresholds.rules.yml";
    pack(&mut packer, limits, &fs::read_to_string(root.join(limits))?)?;
    // An alert may have several rules, and has one page.
    for (alert, own) in alerts {
        let page = format!("alert-rules/runbooks/{alert}.md");
        if own {
            println!("cargo::rerun-if-changed={}", root.join(&page).display());
        }
        if let Ok(text) = fs::read_to_string(root.join(&page)) {
            pack(&mut packer, &page, &text)?;
        }
    }
    // What is missing is looked for at each build until it is there. Of further files (NAME-*.yml) the build learns by a change of these.
    for first in [format!("alert-rules/{name}.yml"), format!("dashboards/{name}.json")] {
        println!("cargo::rerun-if-changed={}", root.join(first).display());
    }
    println!("cargo::rerun-if-changed=../../common/embed.rs");
    packer.finish()?;
    Ok(())
}

/// One file: its name and length in a line, then its text.
fn pack(out: &mut impl io::Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{name} {}", text.len())?;
    out.write_all(text.as_bytes())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
