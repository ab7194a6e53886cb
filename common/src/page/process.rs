//! The main process of a server on this machine, by the file in which it keeps its number.

use std::path::{Path, PathBuf};

use super::{PageOptions, Product};
use crate::error::{CollectError, ErrorKind};
use crate::os::footprint::{Footprint, FootprintError};

/// The server's processes, the main one first. `None` where the server runs elsewhere, is not running, or keeps its number
/// where we do not look.
///
/// # Errors
/// The named file or /proc may not be read.
pub fn read<P: Product>(options: &PageOptions<P>) -> Result<Option<Footprint>, CollectError> {
    if !options.is_local() {
        return Ok(None);
    }
    let named = options.pid_file.clone().map(|file| vec![file]);
    for file in named.unwrap_or_else(|| P::PID_FILES.iter().map(PathBuf::from).collect()) {
        let Some(pid) = number(&file, options.pid_file.is_some())? else { continue };
        match Footprint::read(pid) {
            // The number may have gone to somebody else since.
            Ok(found) if found.processes.first().is_some_and(|p| P::PROGRAMS.contains(&p.name.as_str())) => return Ok(Some(found)),
            Ok(_) | Err(FootprintError::NoProcess(_) | FootprintError::Unsupported) => {}
            Err(error) => return Err(CollectError::new(ErrorKind::Permission, "read /proc").caused_by(error)),
        }
    }
    Ok(None)
}

fn number(file: &Path, named: bool) -> Result<Option<u32>, CollectError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(e) if named && e.kind() != std::io::ErrorKind::NotFound => {
            let refused = CollectError::new(ErrorKind::Permission, format!("read the pid file {}", file.display())).caused_by(e);
            Err(refused.hint("the exporter's user must be able to read it"))
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Plain;
    use super::*;

    #[test]
    fn only_a_local_server_of_the_right_name_is_taken() {
        let file = std::env::temp_dir().join(format!("sage-pid-{}", std::process::id()));
        let options = PageOptions::<Plain> { pid_file: Some(file.clone()), ..PageOptions::default() };
        assert_eq!(read(&options).unwrap(), None, "there is no file");
        std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        // We are no server of that name.
        assert_eq!(read(&options).unwrap(), None);
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(read(&options).unwrap(), None);
        std::fs::remove_file(&file).unwrap();
        let folder = PageOptions::<Plain> { pid_file: Some(std::env::temp_dir()), ..PageOptions::default() };
        assert_eq!(read(&folder).unwrap_err().kind, ErrorKind::Permission);
        let elsewhere = PageOptions::<Plain> { url: "http://web.example/".into(), ..folder };
        assert_eq!(read(&elsewhere).unwrap(), None);
    }
}
