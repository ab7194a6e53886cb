//! Keeps platform code in `common/src/os`: elsewhere in common and exporters nothing is compiled for one system only and
//! nothing of one system is named, so that what builds on one builds on all. The end-to-end tests are of Unix and stay out.

use std::path::{Path, PathBuf};

/// The only folder with platform code.
const HOME: &str = "common/src/os";

/// Systems, where a condition names them.
const CONDITIONS: [&str; 4] = ["unix", "windows", "target_os", "target_family"];
/// Modules and crates that other systems do not have.
const MODULES: [&str; 6] = ["std::os::", "net::Unix", "signal::unix", "libc::", "rustix::", "procfs::"];

/// The lines of platform code that stand elsewhere, each with file and number.
///
/// # Panics
/// When there are no sources to be read.
#[must_use]
pub fn check(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["common/src", "exporters"] {
        sources(&root.join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() > 100, "{} has no sources", root.display());
    let outside = files.iter().filter(|path| !path.starts_with(root.join(HOME)));
    outside.flat_map(|path| found(&path.strip_prefix(root).unwrap_or(path).display().to_string(), &read(path))).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn found(name: &str, text: &str) -> Vec<String> {
    let code = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
    let traces = code.filter_map(|(line, number)| Some((number, trace(line)?)));
    traces.map(|(number, trace)| format!("{name}:{number}: {trace} is platform code: it belongs to {HOME}")).collect()
}

/// What makes a line one of platform code.
fn trace(line: &str) -> Option<&'static str> {
    let conditions = CONDITIONS.iter().filter(|_| line.contains("cfg"));
    conditions.chain(&MODULES).find(|trace| line.contains(**trace)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_code_stands_in_one_place() {
        let findings = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap());
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }

    #[test]
    fn what_is_of_one_system_is_found() {
        let text = "// cfg(unix)\nfn unix(unix: bool) {}\n#[cfg(all(test, target_os = \"linux\"))]\nuse tokio::net::TcpStream;\n#[cfg(not(unix))]\n";
        let lines: Vec<String> = found("a.rs", text).iter().map(|f| f.split(" is ").next().unwrap().to_owned()).collect();
        assert_eq!(lines, ["a.rs:3: target_os", "a.rs:5: unix"]);
    }
}
