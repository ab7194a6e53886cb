//! Secrets: where they come from, never what they are.
//!
//! A secret is read when it is used, so a rotated file needs no restart. It has no Display; its Debug and its
//! serialised form name the source.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::codes::{self, Code};
use crate::error::{CollectError, ErrorKind};
use crate::os;

/// The secrets that were read since `keep_in_mind`; nothing is kept before.
static USED: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// From now on this process remembers which secrets it has read. For `bundle`, which takes them out of what it writes.
pub fn keep_in_mind() {
    USED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// The secrets that were read since `keep_in_mind`, longest first.
pub(crate) fn used() -> Vec<String> {
    USED.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

fn note(secret: &str) {
    if let Some(used) = USED.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        && !used.iter().any(|known| known == secret)
    {
        used.push(secret.to_owned());
        used.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }
}

/// Where a secret is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file; its last newline does not belong to the secret.
    File(PathBuf),
    /// A value from the environment of the process.
    Environment(&'static str, Box<str>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "<from file {}>", path.display()),
            Self::Environment(name, _) => write!(f, "<from environment {name}>"),
        }
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

/// Whether two texts are the same, in a time that tells nothing but their lengths.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// A systemd credential of this name, where the service manager hands us credentials (`LoadCredential=`).
pub fn credential(name: &str) -> Option<Secret> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.is_file().then_some(Secret::File(path))
}

impl Secret {
    /// Reads the secret.
    ///
    /// # Errors
    /// `Auth` when the file cannot be read, is empty, or may be read by every user of this machine.
    pub fn read(&self) -> Result<String, CollectError> {
        self.get().inspect(|secret| note(secret))
    }

    fn get(&self) -> Result<String, CollectError> {
        match self {
            Self::Environment(_, value) => Ok(value.to_string()),
            Self::File(path) => {
                let shown = path.display();
                let fail = |text: &str, hint: String, code: Code| {
                    Err(CollectError::new(ErrorKind::Auth, format!("{text} {shown}")).hint(hint).coded(code))
                };
                if os::files::open_to_all(path) {
                    return fail(
                        "every user of this machine can read or change the secret file",
                        format!("chmod 640 {shown}"),
                        codes::SECRET_OPEN,
                    );
                }
                match std::fs::read_to_string(path) {
                    Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                        fail("there is nothing in the secret file", format!("write the password into {shown}"), codes::NO_PASSWORD)
                    }
                    Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(e) => Err(CollectError::new(ErrorKind::Auth, format!("read the secret file {shown}"))
                        .coded(codes::of_file(&e))
                        .caused_by(e)
                        .hint(format!("the service user must be able to read it: ls -l {shown}"))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::Environment("PGPASSWORD", "canary".into());
        assert_eq!(format!("{secret:?}"), "<from environment PGPASSWORD>");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<from environment PGPASSWORD>\"");
        assert_eq!(secret.read().unwrap(), "canary");
    }

    #[test]
    fn files_open_to_all_are_refused_with_the_line_to_run() {
        use crate::os::files::{PERMISSIONS, permit};
        let path = std::env::temp_dir().join(format!("sage-secret-{}", std::process::id()));
        std::fs::write(&path, "p@ss word \n").unwrap();
        permit(&path, 0o644).unwrap();
        let refused = Secret::File(path.clone()).read().err();
        permit(&path, 0o600).unwrap();
        let read = Secret::File(path.clone()).read();
        std::fs::write(&path, "\n").unwrap();
        let empty = Secret::File(path.clone()).read().unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refused.and_then(|e| e.hint), PERMISSIONS.then(|| format!("chmod 640 {}", path.display())));
        assert_eq!(read.unwrap(), "p@ss word ");
        assert_eq!(empty.kind, ErrorKind::Auth);
        assert!(Secret::File(path).read().unwrap_err().to_string().contains("read the secret file"));
    }
}
