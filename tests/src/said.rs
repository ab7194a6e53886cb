//! What a command of a shipped binary says, and configurations that are made of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use crate::exporter::run;
use crate::http::encode;
use crate::watched::tells;

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command of a binary to its end with a clean environment.
///
/// # Panics
/// When it cannot be started, says what is not text, or shows the password of the tests.
#[track_caller]
pub fn says(binary: &str, args: &[&str], env: &[(&str, &str)]) -> Ended {
    let Output { status, stdout, stderr } = run(binary, args, env);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ended = Ended { code: status.code(), out: text(stdout), err: text(stderr) };
    assert!(!tells(&ended.out) && !tells(&ended.err), "{binary} {args:?} shows the password:\n{}\n{}", ended.out, ended.err);
    ended
}

/// What the command prints, which must end well and without a word on standard error.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn prints(binary: &str, args: &[&str]) -> String {
    let ended = says(binary, args, &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{binary} {args:?}: {}", ended.out);
    ended.out
}

/// A configuration of one target, or of modules for free targets.
#[derive(Debug)]
pub struct Aimed {
    /// The file.
    pub config: String,
    /// Path of the page.
    pub path: String,
    /// Whether targets are free: then none stands in the file.
    pub free: bool,
}

/// Aims an exporter at the server at `address`. Made from what the exporter itself prints, so that no exporter is named here.
///
/// # Panics
/// When it prints nothing.
pub fn aimed(binary: &str, address: SocketAddr, password: Option<&Path>) -> Aimed {
    let printed = prints(binary, &["print-config"]);
    let mut config = String::new();
    let mut aimed = false;
    for line in printed.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        // Keys of the first target alone: modules have none of these names.
        let key = line.trim_start().split(':').next().unwrap_or_default();
        match key {
            "host" | "port" | "url" | "address" => {
                aimed = true;
                let value = match key {
                    "host" => "127.0.0.1".to_owned(),
                    "port" => address.port().to_string(),
                    // The page keeps its path.
                    "url" => {
                        let (_, rest) = line.split_once("://").unwrap();
                        format!("http://{address}/{}", rest.split_once('/').map_or("", |(_, path)| path))
                    }
                    _ => address.to_string(),
                };
                config.push_str(&format!("{indent}{key}: {value}\n"));
                if let Some(password) = password.filter(|_| matches!(key, "host" | "url" | "address")) {
                    config.push_str(&format!("{indent}password_file: {}\n", password.display()));
                }
            }
            "password_file" => {}
            _ => config.push_str(&format!("{line}\n")),
        }
    }
    let path = if aimed { "/metrics".to_owned() } else { format!("/probe?target={}", encode(&format!("http://{address}/"))) };
    Aimed { config: if aimed { config } else { printed }, path, free: !aimed }
}
