//! The file that is read now, and how it is known again.
//!
//! By its identity where the system has one, and by bytes that were read before: a file may be truncated and written anew
//! between two looks.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::os::files;

/// So many bytes before the offset, and at the file's beginning, are read again to see that it is still what we read.
pub const MARK: usize = 48;

/// An open log file.
#[derive(Debug)]
pub struct Open {
    pub file: File,
    path: PathBuf,
    pub offset: u64,
    /// The last bytes before the offset.
    pub mark: Vec<u8>,
    /// The first bytes of the file, none of them behind the offset.
    pub head: Vec<u8>,
    /// When the file was written last, as of the time when all of it had been read.
    pub modified: Option<SystemTime>,
}

impl Open {
    /// Opens a regular file: opening a pipe would wait for its writer.
    pub fn new(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { file: File::open(path)?, path: path.to_owned(), offset: 0, mark: Vec::new(), head: Vec::new(), modified: None })
    }

    /// Opens a file to read what is appended from now on; what is the last of it now is remembered.
    pub fn at_end(path: &Path) -> io::Result<Self> {
        let mut open = Self::new(path)?;
        let start = open.file.metadata()?.len().saturating_sub(MARK as u64);
        open.file.seek(SeekFrom::Start(start))?;
        let count = open.file.by_ref().take(MARK as u64).read_to_end(&mut open.mark)?;
        open.offset = start + count as u64;
        Ok(open)
    }

    /// The first bytes of the file, as many as are read again and lie before `end`.
    pub fn read_head(&mut self, end: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.by_ref().take(end.min(MARK as u64)).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Whether the file is still the one found under the path.
    pub fn is(&self, path: &Path, found: &Metadata) -> io::Result<bool> {
        let own = self.file.metadata()?;
        // As long as we hold the file open, its identity is not given to another one.
        Ok(files::same(&own, found).unwrap_or_else(|| {
            // No identity to be had, and a new file may inherit the time of creation of one just renamed. But the same file
            // cannot be shorter than what we read of it, nor longer than it is a moment later.
            let created = own.created().ok() == found.created().ok();
            self.path == path && created && (self.offset..=own.len()).contains(&found.len())
        }))
    }
}
