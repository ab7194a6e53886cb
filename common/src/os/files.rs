//! Who may read or change a file, and files that others read while they are written.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Lets this process open as many files and sockets as the machine allows it: a target takes up to three, and the usual
/// limit of 1024 is there for programs that cannot count higher.
#[cfg(unix)]
pub fn allow_many() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn allow_many() {}

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

/// Whether both are of one file; nothing where files have no identity to be had.
#[cfg(unix)]
pub fn same(a: &Metadata, b: &Metadata) -> Option<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Some((a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Not to be told here.
#[cfg(not(unix))]
pub fn same(_: &Metadata, _: &Metadata) -> Option<bool> {
    None
}

/// Whether files have the permissions of Unix here; elsewhere [`permit`] does nothing.
pub const PERMISSIONS: bool = cfg!(unix);

/// Sets who may do what with a file, as chmod does.
///
/// # Errors
/// It is not our file.
#[cfg(unix)]
pub fn permit(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Leaves it as it is: access lists come with the folder.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn permit(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Why the file is not to be trusted with what we do for it: others than root and ourselves own it or may change it.
#[cfg(unix)]
pub fn changed_by_others(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of our own entry is whom we run as.
    let own = std::fs::metadata("/proc/self").map_or(0, |m| m.uid());
    let file = std::fs::metadata(path).ok()?;
    if file.uid() != 0 && file.uid() != own {
        Some("it belongs neither to root nor to the user of this service")
    } else if file.mode() & 0o022 != 0 {
        Some("others than its owner may change it")
    } else {
        None
    }
}

/// As on Unix; elsewhere access lists are looked at where services are installed, not here.
#[cfg(not(unix))]
pub fn changed_by_others(_: &Path) -> Option<&'static str> {
    None
}

/// Replaces the file in one step, readable by everybody: a reader finds the old content or the new one, never a part.
///
/// # Errors
/// What could not be written.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(content)?;
    // Whatever the umask: who reads it is another user.
    permit(Path::new(&new), 0o644)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Makes a file that must not be there yet; a `secret` one is for its owner alone from the start.
///
/// # Errors
/// It is there, or cannot be made.
pub fn create_new(path: &Path, secret: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    options.open(path)
}
