//! Follows a log file and counts what it says.
//!
//! `Tail` reads the lines that are appended to a path and survives every sort of rotation; `Window` counts events of the
//! last minute. Nothing runs by itself: a task polls, so that its rhythm and its end are in one place. A log is written
//! by others, so lines, reads and memory are bounded.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, mem};

mod open;
mod window;

pub use window::Window;

use open::{MARK, Open};

/// A line beyond this many bytes is cut there.
const MAX_LINE: usize = 64 << 10;
/// One poll reads at most about this many bytes, so that a backlog cannot hold up its task.
const MAX_POLL: usize = 1 << 20;
const BUFFER: usize = 64 << 10;

/// Whether the path can be read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can.
    Readable,
    /// There is no such file. It will be read from its start when it appears.
    Missing,
    /// It may not be read.
    Denied,
    /// Anything else, in the words of the system.
    Error(String),
}

impl From<&io::Error> for State {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Error(error.to_string()),
        }
    }
}

/// What one poll did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Lines given to the caller.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// More is waiting: poll again soon.
    pub more: bool,
}

/// A piece of a line, at most 64 KiB of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its text without the line end; bytes that are not UTF-8 are replaced.
    pub text: &'a str,
    /// The line begins here.
    pub begins: bool,
    /// The line ends here.
    pub ends: bool,
    /// The file begins here, so that nothing read before goes on.
    pub new_file: bool,
}

/// Follows the lines appended to a path.
///
/// The first file is read from its end: old lines do not count. A file that appears later under the path (rotation by
/// renaming, or a path that was missing) is read from its start, after the old one was read to its end. A file that
/// was truncated is read from its start. Of a file that was rotated away twice between two polls nothing is known.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// Whether the next file to be opened is new, so that all its lines count.
    from_start: bool,
    polled: bool,
    state: State,
    caught_up_at: Instant,
    /// The beginning of a line whose end is not yet written.
    partial: Vec<u8>,
    /// The beginning of the line was given already.
    begun: bool,
    /// The line is passed over: its beginning stood there before we came.
    skip: bool,
    /// Nothing of this file was given yet, and its start will be.
    new_file: bool,
    cut: u64,
    buffer: Vec<u8>,
}

impl Tail {
    /// Follows a path from its present end on. Nothing is opened before the first poll.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            open: None,
            from_start: false,
            polled: false,
            state: State::Missing,
            caught_up_at: Instant::now(),
            partial: Vec::new(),
            begun: false,
            skip: false,
            new_file: true,
            cut: 0,
            buffer: Vec::new(),
        }
    }

    /// Follows another path from now on. What is left of the old file is read first, then the new one from its start.
    /// Before the first poll it only replaces the path. Setting the same path again changes nothing.
    pub fn follow(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        if path != self.path {
            self.path = path;
            self.from_start |= self.polled;
        }
    }

    /// The path that is followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path could be read at the last poll; `Missing` before the first one.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When a poll last had read all there was; when the tail was made, if none has.
    #[must_use]
    pub fn caught_up_at(&self) -> Instant {
        self.caught_up_at
    }

    /// The age of what has been read: lines written since then may not have been seen.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.caught_up_at)
    }

    /// How many lines were longer than 64 KiB and therefore given in parts, or cut.
    #[must_use]
    pub fn cut_lines(&self) -> u64 {
        self.cut
    }

    /// Reads what was written since the last poll, at most about 1 MiB, and gives each finished line to `on` without its
    /// line end; of a line longer than 64 KiB the first 64 KiB. Bytes that are not UTF-8 are replaced. A shorter line still
    /// being written is held back until it is finished or its file is rotated away. Failures are told by [`Tail::state`],
    /// and the next poll tries again. Blocks on the disk like any read.
    pub fn poll(&mut self, mut on: impl FnMut(&str)) -> Progress {
        self.poll_parts(|part| {
            if part.begins {
                on(part.text);
            }
        })
    }

    /// As [`Tail::poll`], but a line longer than 64 KiB comes whole, in several parts.
    pub fn poll_parts(&mut self, mut on: impl FnMut(Part<'_>)) -> Progress {
        self.polled = true;
        let mut progress = Progress::default();
        // Finishing the old file and opening its successor may both happen in one poll; more often than that is not ours.
        for _ in 0..3 {
            if self.open.is_none() && !self.first() {
                return progress;
            }
            match self.drain(&mut progress, &mut on) {
                Ok(true) => {
                    progress.more = true;
                    self.state = State::Readable;
                    return progress;
                }
                Ok(false) => {}
                Err(error) => {
                    self.state = State::from(&error);
                    // A file on a lost server gives errors for ever; its path may lead to a new one.
                    self.reopen();
                    return progress;
                }
            }
            match self.successor() {
                Ok(None) => {
                    self.state = State::Readable;
                    self.caught_up_at = Instant::now();
                    return progress;
                }
                Ok(Some(next)) => {
                    // Its writer may have added lines between our last read and the rotation.
                    if let Ok(true) = self.drain(&mut progress, &mut on) {
                        progress.more = true;
                        return progress;
                    }
                    self.flush(&mut progress, &mut on);
                    self.open = Some(next);
                    self.new_file = true;
                }
                Err(error) => {
                    self.state = State::from(&error);
                    return progress;
                }
            }
        }
        progress.more = true;
        progress
    }

    /// Opens the path while no file is open.
    fn first(&mut self) -> bool {
        let opened = if self.from_start { Open::new(&self.path) } else { Open::at_end(&self.path) };
        match opened {
            Ok(open) => {
                // Half a line would be no line: its beginning was written before we came.
                self.skip = open.mark.last().is_some_and(|last| *last != b'\n');
                self.new_file = open.offset == 0;
                self.open = Some(open);
                self.from_start = true;
                self.state = State::Readable;
                true
            }
            Err(error) => {
                self.state = State::from(&error);
                self.from_start |= self.state == State::Missing;
                false
            }
        }
    }

    /// After a failed read: the same file at the same place through a new handle, if the path still leads to it.
    fn reopen(&mut self) {
        let Some(old) = &self.open else {
            return;
        };
        if let Ok(mut new) = Open::new(&self.path)
            && let Ok(found) = new.file.metadata()
        {
            if matches!(old.is(&self.path, &found), Ok(true)) {
                new.offset = old.offset;
                new.mark.clone_from(&old.mark);
                new.head.clone_from(&old.head);
            } else {
                self.forget_line();
            }
            self.open = Some(new);
        }
    }

    /// The file now found under the path, if it is another one and has something to read. While it is empty the old
    /// one is watched on: many programs go on writing to it until they are told to open the new one.
    fn successor(&self) -> io::Result<Option<Open>> {
        let found = fs::metadata(&self.path)?;
        let Some(open) = &self.open else {
            return Ok(None);
        };
        if open.is(&self.path, &found)? {
            return Ok(None);
        }
        let next = Open::new(&self.path)?;
        Ok((next.file.metadata()?.len() > 0).then_some(next))
    }

    /// Reads the open file to its end, or until this poll has read enough: then true.
    fn drain(&mut self, progress: &mut Progress, on: &mut impl FnMut(Part<'_>)) -> io::Result<bool> {
        let Some(mut open) = self.open.take() else {
            return Ok(false);
        };
        let mut buffer = mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        let result = self.drain_open(&mut open, &mut buffer, progress, on);
        self.open = Some(open);
        self.buffer = buffer;
        result
    }

    fn drain_open(
        &mut self,
        open: &mut Open,
        buffer: &mut [u8],
        progress: &mut Progress,
        on: &mut impl FnMut(Part<'_>),
    ) -> io::Result<bool> {
        loop {
            let about = open.file.metadata()?;
            let (len, modified) = (about.len(), about.modified().ok());
            if len < open.offset {
                self.rewind(open);
            }
            // A file that was truncated may have grown to the very same length.
            if len == open.offset && (modified == open.modified || len == 0) {
                return Ok(false);
            }
            if progress.bytes >= MAX_POLL as u64 {
                return Ok(true);
            }
            let head = open.read_head(open.offset)?;
            if !head.starts_with(&open.head) {
                self.rewind(open);
                continue;
            }
            open.head = head;
            open.file.seek(SeekFrom::Start(open.offset - open.mark.len() as u64))?;
            let count = match open.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count?,
            };
            let read = buffer.get(..count).unwrap_or_default();
            let Some(new) = read.strip_prefix(open.mark.as_slice()) else {
                // Truncated, and already written beyond the place where we were.
                self.rewind(open);
                continue;
            };
            if new.is_empty() {
                open.modified = modified;
                return Ok(false);
            }
            open.offset += new.len() as u64;
            progress.bytes += new.len() as u64;
            open.mark = read.get(read.len().saturating_sub(MARK)..).unwrap_or_default().to_vec();
            self.split(new, progress, on);
        }
    }

    /// Starts again with a file that was truncated. The beginning of a line that we hold has no end any more.
    fn rewind(&mut self, open: &mut Open) {
        open.offset = 0;
        open.mark.clear();
        open.head.clear();
        self.forget_line();
    }

    /// Nothing that was read before goes on.
    fn forget_line(&mut self) {
        self.partial.clear();
        (self.begun, self.skip, self.new_file) = (false, false, true);
    }

    fn split(&mut self, mut bytes: &[u8], progress: &mut Progress, on: &mut impl FnMut(Part<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.partial.is_empty() && !self.skip && !self.begun && line.len() <= MAX_LINE {
                self.give(line, true, progress, on);
            } else {
                self.hold(line, progress, on);
                self.flush(progress, on);
            }
        }
        self.hold(bytes, progress, on);
    }

    /// Keeps a part of a line, as far as it may go, and gives what is more.
    fn hold(&mut self, mut part: &[u8], progress: &mut Progress, on: &mut impl FnMut(Part<'_>)) {
        while !self.skip && !part.is_empty() {
            let room = MAX_LINE - self.partial.len().min(MAX_LINE);
            let Some((first, rest)) = part.split_at_checked(room).filter(|(_, rest)| !rest.is_empty()) else {
                self.partial.extend_from_slice(part);
                return;
            };
            self.partial.extend_from_slice(first);
            part = rest;
            self.cut += u64::from(!self.begun);
            let mut full = mem::take(&mut self.partial);
            self.give(&full, false, progress, on);
            full.clear();
            self.partial = full;
        }
    }

    /// Gives the line that is held, or what is left of it.
    fn flush(&mut self, progress: &mut Progress, on: &mut impl FnMut(Part<'_>)) {
        let mut line = mem::take(&mut self.partial);
        if !self.skip && (self.begun || !line.is_empty()) {
            self.give(&line, true, progress, on);
        }
        line.clear();
        self.partial = line;
        self.skip = false;
    }

    fn give(&mut self, text: &[u8], ends: bool, progress: &mut Progress, on: &mut impl FnMut(Part<'_>)) {
        let text = if ends { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        let begins = !mem::replace(&mut self.begun, !ends);
        progress.lines += u64::from(begins);
        let text: Cow<'_, str> = String::from_utf8_lossy(text);
        on(Part { text: &text, begins, ends, new_file: mem::take(&mut self.new_file) });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!("sage-tail-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn join(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn append(path: &Path, bytes: impl AsRef<[u8]>) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// The lines of one poll.
    fn poll(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        let progress = tail.poll(|line| lines.push(line.to_owned()));
        assert_eq!(progress.lines, lines.len() as u64);
        assert!(!progress.more);
        lines
    }

    /// A tail of a file that already has a line, at its end.
    fn tail(folder: &Folder) -> (PathBuf, Tail) {
        let path = folder.join("log");
        append(&path, "old\n");
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), [""; 0]);
        assert_eq!(*tail.state(), State::Readable);
        (path, tail)
    }

    #[test]
    fn gives_what_is_appended() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "one\n\ntwo\r\n");
        assert_eq!(poll(&mut tail), ["one", "", "two"]);
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "thr");
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "ee");
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "\nfour\nfi");
        assert_eq!(poll(&mut tail), ["three", "four"]);
        append(&path, "ve\n");
        assert_eq!(poll(&mut tail), ["five"]);
        append(&path, b"caf\xe9 \xff\n");
        assert_eq!(poll(&mut tail), ["caf\u{fffd} \u{fffd}"]);
    }

    #[test]
    fn passes_over_a_line_begun_before() {
        let folder = Folder::new();
        let path = folder.join("log");
        append(&path, "old\nhalf of ");
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "a line");
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "\nnew\n");
        assert_eq!(poll(&mut tail), ["new"]);
    }

    #[test]
    fn follows_renaming() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "one\n");
        fs::rename(&path, folder.join("log.1")).unwrap();
        append(&folder.join("log.1"), "two\nunfinished");
        assert_eq!(poll(&mut tail), ["one", "two"]);
        assert_eq!(*tail.state(), State::Missing);
        // The new file is there, but its writer has not turned to it.
        append(&path, "");
        append(&folder.join("log.1"), " three\nfour");
        assert_eq!(poll(&mut tail), ["unfinished three"]);
        assert_eq!(*tail.state(), State::Readable);
        append(&path, "five\n");
        assert_eq!(poll(&mut tail), ["four", "five"]);
        append(&path, "six\n");
        assert_eq!(poll(&mut tail), ["six"]);
    }

    #[test]
    fn follows_renaming_between_two_polls() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "one\n");
        fs::rename(&path, folder.join("log.1")).unwrap();
        append(&path, "two\n");
        assert_eq!(poll(&mut tail), ["one", "two"]);
        fs::remove_file(&path).unwrap();
        append(&path, "three\n");
        assert_eq!(poll(&mut tail), ["three"]);
    }

    #[test]
    fn follows_truncation() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "a long line\nand its succ");
        assert_eq!(poll(&mut tail), ["a long line"]);
        fs::write(&path, "").unwrap();
        assert_eq!(poll(&mut tail), [""; 0]);
        append(&path, "one\n");
        assert_eq!(poll(&mut tail), ["one"]);
        fs::write(&path, "x\n").unwrap();
        assert_eq!(poll(&mut tail), ["x"]);
    }

    #[test]
    fn follows_copytruncate_even_when_it_has_grown_again() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "one\n");
        assert_eq!(poll(&mut tail), ["one"]);
        fs::copy(&path, folder.join("log.1")).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        append(&path, "two\nthree\nand four\nfive\n");
        assert_eq!(poll(&mut tail), ["two", "three", "and four", "five"]);
        // To the very same length.
        assert_eq!(poll(&mut tail), [""; 0]);
        let later = SystemTime::now() + Duration::from_secs(1);
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap().set_modified(later).unwrap();
        append(&path, "six\nseven\nand nine\nten!\n");
        assert_eq!(poll(&mut tail), ["six", "seven", "and nine", "ten!"]);
        // And with the same end, as records of one form have it.
        let end = "x".repeat(MARK);
        append(&path, format!("{end}\n"));
        assert_eq!(poll(&mut tail), [end.as_str()]);
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap().set_modified(later + Duration::from_secs(1)).unwrap();
        append(&path, format!("SIX\nseven\nand nine\nten!\n{end}\nmore\n"));
        assert_eq!(poll(&mut tail), ["SIX", "seven", "and nine", "ten!", end.as_str(), "more"]);
    }

    #[test]
    fn reads_a_file_that_appears_from_its_start() {
        let folder = Folder::new();
        let path = folder.join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), [""; 0]);
        assert_eq!(*tail.state(), State::Missing);
        let before = tail.caught_up_at();
        append(&path, "one\n");
        assert_eq!(poll(&mut tail), ["one"]);
        assert_eq!(*tail.state(), State::Readable);
        assert!(tail.caught_up_at() > before);
        assert_eq!(tail.lag(tail.caught_up_at() + Duration::from_secs(3)), Duration::from_secs(3));
    }

    #[test]
    fn follows_another_path() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, "one\n");
        let next = folder.join("log.2");
        tail.follow(&next);
        assert_eq!(poll(&mut tail), ["one"]);
        assert_eq!((tail.state(), tail.path()), (&State::Missing, next.as_path()));
        append(&path, "two\n");
        append(&next, "three\n");
        assert_eq!(poll(&mut tail), ["two", "three"]);
        append(&path, "lost\n");
        append(&next, "four\n");
        assert_eq!(poll(&mut tail), ["four"]);
        tail.follow(&next);
        assert_eq!(poll(&mut tail), [""; 0]);
    }

    #[test]
    fn says_why_it_cannot_read() {
        let folder = Folder::new();
        let mut tail = Tail::new(&folder.0);
        assert_eq!(poll(&mut tail), [""; 0]);
        assert_eq!(*tail.state(), State::Error("not a regular file".into()));
        assert_eq!(State::from(&io::Error::from(ErrorKind::PermissionDenied)), State::Denied);
    }

    #[test]
    fn says_that_it_may_not_read() {
        use crate::os::files::permit;
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        fs::rename(&path, folder.join("log.1")).unwrap();
        append(&path, "one\n");
        permit(&path, 0o000).unwrap();
        // Root may read everything, and on some systems the owner always may.
        let denied = File::open(&path).is_err();
        assert_eq!(poll(&mut tail).is_empty(), denied);
        assert_eq!(*tail.state() == State::Denied, denied);
        permit(&path, 0o600).unwrap();
        append(&path, "two\n");
        let lines = poll(&mut tail);
        assert_eq!(lines.last().map(String::as_str), Some("two"));
        assert_eq!(lines.len(), if denied { 2 } else { 1 });
    }

    #[test]
    fn cuts_long_lines() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        append(&path, format!("{}\n{}\nshort\n", "a".repeat(MAX_LINE), "b".repeat(3 * MAX_LINE)));
        let lines = poll(&mut tail);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 5]);
        assert_eq!(tail.cut_lines(), 1);
        append(&path, "c".repeat(MAX_LINE + 1));
        assert_eq!(poll(&mut tail)[0].len(), MAX_LINE);
        append(&path, "c\n");
        assert_eq!(poll(&mut tail), [""; 0]);
        assert_eq!(tail.cut_lines(), 2);
    }

    #[test]
    fn gives_long_lines_in_parts() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        let parts = |tail: &mut Tail| {
            let mut parts = Vec::new();
            tail.poll_parts(|part| parts.push((part.text.len(), part.begins, part.ends, part.new_file)));
            parts
        };
        append(&path, format!("{}\nshort\n", "a".repeat(2 * MAX_LINE + 3)));
        let want = [(MAX_LINE, true, false, false), (MAX_LINE, false, false, false), (3, false, true, false), (5, true, true, false)];
        assert_eq!(parts(&mut tail), want);
        append(&path, "b".repeat(MAX_LINE + 1));
        assert_eq!(parts(&mut tail), [(MAX_LINE, true, false, false)]);
        // Truncated in the middle of a line: what comes is a new one.
        fs::write(&path, "new\nnext\n").unwrap();
        assert_eq!(parts(&mut tail), [(3, true, true, true), (4, true, true, false)]);
        append(&path, "c".repeat(MAX_LINE + 1));
        fs::rename(&path, folder.join("log.1")).unwrap();
        append(&path, "other\n");
        assert_eq!(parts(&mut tail), [(MAX_LINE, true, false, false), (1, false, true, false), (5, true, true, true)]);
    }

    #[test]
    fn reads_a_backlog_in_pieces() {
        let folder = Folder::new();
        let (path, mut tail) = tail(&folder);
        let lines: Vec<_> = (0..100_000).map(|number| format!("line {number} with some more words in it")).collect();
        append(&path, lines.join("\n") + "\n");
        fs::rename(&path, folder.join("log.1")).unwrap();
        append(&path, "last\n");
        let (mut read, mut polls) = (Vec::new(), 0);
        loop {
            let progress = tail.poll(|line| read.push(line.to_owned()));
            polls += 1;
            assert!(progress.bytes <= (MAX_POLL + BUFFER) as u64);
            if !progress.more {
                break;
            }
            assert!(polls < 10);
        }
        assert_eq!(polls, 4);
        assert_eq!(read.len(), 100_001);
        assert!(read.iter().zip(&lines).all(|(read, line)| read == line));
        assert_eq!(read.last().map(String::as_str), Some("last"));
    }
}
