//! Who may read a file.

use std::path::Path;

/// True for a file that others than owner and group can read, or others than the owner can write.
#[cfg(unix)]
pub fn open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o027 != 0)
}

/// True for a file that everybody can read. Elsewhere than on Unix access lists are looked at where services are
/// installed, not here.
#[cfg(not(unix))]
pub fn open_to_all(_: &Path) -> bool {
    false
}
