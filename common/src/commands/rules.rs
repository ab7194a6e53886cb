//! `rules` and `dashboards`: prints or writes what ships with the exporter.

use std::path::Path;

use crate::codes;
use crate::commands::shipped::File;
use crate::config;
use crate::error::Invalid;

const RULES: &str = "alert-rules/";
const PAGES: &str = "alert-rules/runbooks/";
const DASHBOARDS: &str = "dashboards/";

/// All groups of rules as one file.
///
/// # Errors
/// This exporter has none.
pub fn rules(files: &[File]) -> Result<String, Invalid> {
    let mut out = String::from("groups:\n");
    for (name, text) in files.iter().filter(|(name, _)| name.starts_with(RULES) && !name.starts_with(PAGES)) {
        let Some((_, groups)) = text.split_once("\ngroups:\n") else {
            return Err(Invalid::new(format!("{name} has no groups; this is a bug of the exporter")).code(codes::INTERNAL));
        };
        out.push_str(&format!("  # {name}\n{}", groups.trim_end()));
        out.push('\n');
    }
    if out.lines().count() > 1 { Ok(out) } else { Err(none()) }
}

/// Nothing is packed into this program.
fn none() -> Invalid {
    Invalid::new("nothing of the kind ships with this exporter")
        .hint("build it with its `build.rs`: see common/embed.rs")
        .code(codes::FAILED)
}

/// The page of an alert.
///
/// # Errors
/// There is none of this name.
pub fn page<'a>(files: &'a [File], alert: &str) -> Result<&'a str, Invalid> {
    let pages = || files.iter().filter_map(|(name, text)| Some((name.strip_prefix(PAGES)?.strip_suffix(".md")?, text.as_str())));
    pages().find(|(name, _)| *name == alert).map(|(_, text)| text).ok_or_else(|| {
        let known: Vec<&str> = pages().map(|(name, _)| name).collect();
        config::unknown_name(&format!("no alert {alert:?} ships with this exporter"), alert, &known)
    })
}

/// The dashboard of this name, or the only one.
///
/// # Errors
/// There is none of this name, or there are several and no name is given.
pub fn dashboard<'a>(files: &'a [File], wanted: Option<&str>) -> Result<&'a str, Invalid> {
    let all: Vec<(&str, &str)> =
        files.iter().filter_map(|(name, text)| Some((name.strip_prefix(DASHBOARDS)?.strip_suffix(".json")?, text.as_str()))).collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    match (wanted, all.as_slice()) {
        (_, []) => Err(none()),
        (None, [(_, text)]) => Ok(text),
        (None, _) => Err(Invalid::new("several dashboards ship with this exporter")
            .hint(format!("name one: --name {}", names.join(", --name ")))
            .code(codes::FLAG_MISSING)),
        (Some(wanted), _) => all
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, text)| *text)
            .ok_or_else(|| config::unknown_name(&format!("no dashboard {wanted:?} ships with this exporter"), wanted, &names)),
    }
}

/// Writes rules and pages, or else the dashboards, below `folder`, and says what was written.
///
/// # Errors
/// A file that is there with another content, or that cannot be written. Nothing is written in the first case.
pub fn write(files: &[File], folder: &Path, dashboards: bool, force: bool) -> Result<String, Invalid> {
    let prefix = if dashboards { DASHBOARDS } else { RULES };
    let mine: Vec<_> = files.iter().filter_map(|(name, text)| Some((folder.join(name.strip_prefix(prefix)?), text))).collect();
    if mine.is_empty() {
        return Err(none());
    }
    let other = mine.iter().find(|(path, text)| std::fs::read_to_string(path).is_ok_and(|there| there != **text));
    if let Some((path, _)) = other.filter(|_| !force) {
        let text = format!("{}: a file with another content is there and is not overwritten", path.display());
        return Err(Invalid::new(text).hint("write to another --directory, or overwrite what is there: --force").code(codes::EXISTS));
    }
    let mut said = String::new();
    for (path, text) in mine {
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| {
            Invalid::new(format!("{}: {e}", path.display())).hint("name a folder that you can write to: --directory").code(codes::OUTPUT)
        })?;
        said.push_str(&format!("{}\n", path.display()));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        [
            ("alert-rules/a.yml", "# head\ngroups:\n  - name: a\n"),
            ("alert-rules/b.yml", "# head\ngroups:\n  - name: b\n"),
            ("alert-rules/runbooks/ADown.md", "# ADown\n"),
            ("dashboards/a.json", "{}\n"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec()
    }

    #[test]
    fn groups_of_all_files_become_one_list() {
        let want = "groups:\n  # alert-rules/a.yml\n  - name: a\n  # alert-rules/b.yml\n  - name: b\n";
        assert_eq!(rules(&files()).unwrap(), want);
        assert!(rules(&[]).is_err());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let files = files();
        assert_eq!(page(&files, "ADown").unwrap(), "# ADown\n");
        assert_eq!(page(&files, "ADwn").unwrap_err().hint.unwrap(), "did you mean `ADown`?");
        assert_eq!(dashboard(&files, None).unwrap(), "{}\n");
        assert!(dashboard(&files, Some("b")).unwrap_err().hint.unwrap().ends_with('a'));
    }
}
