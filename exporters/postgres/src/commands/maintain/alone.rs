//! One run at a time: a locked file on this machine, and an advisory lock on the server for runs from elsewhere.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use sage_common::error::{CollectError, ErrorKind};

use super::worker::Worker;

/// Takes the file; the system gives it free when the process ends, however it ends.
///
/// # Errors
/// Who has it, or why it cannot be had.
pub fn on_this_machine(path: &Path) -> Result<File, CollectError> {
    let shown = path.display();
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(|e| {
        CollectError::new(ErrorKind::Permission, format!("open the lock file {shown}"))
            .caused_by(e)
            .hint("make the folder and give it to the user that maintains, or write --state-folder")
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = file.take(200).read_to_string(&mut who);
            return Err(CollectError::new(ErrorKind::Overloaded, format!("a run is under way on this machine: {}", who.trim()))
                .hint("let it end, or stop it: systemctl stop sage-postgres-maintain"));
        }
        Err(TryLockError::Error(e)) => return Err(CollectError::io(format!("lock {shown}"), e)),
    }
    let seconds = crate::maintenance::unix(SystemTime::now()) as u64;
    let note = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}, since {seconds} (Unix time)", std::process::id())
    };
    let mut note = note;
    note().map_err(|e| CollectError::io(format!("write {shown}"), e))?;
    Ok(file)
}

/// Takes the advisory lock, for as long as the session lives. Such locks count in one database each, so that those of
/// others are looked for in all of them.
///
/// # Errors
/// Who has it.
pub async fn on_the_server(control: &Worker) -> Result<(), CollectError> {
    // 'SAGE' and the number of this task.
    const TAKE: &str = "SELECT pg_try_advisory_lock(1396787013, 1)";
    const OTHERS: &str = "SELECT format('process %s of role %s in database %s, from %s', l.pid, a.usename, a.datname, coalesce(host(a.client_addr), 'a socket or elsewhere'))
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.classid = 1396787013 AND l.objid = 1 AND l.objsubid = 2 AND l.granted AND l.pid <> pg_backend_pid() LIMIT 1";
    let taken = control.rows(TAKE, &[]).await?.first().and_then(|row| row.try_get::<_, bool>(0).ok()).unwrap_or(false);
    let other = control.rows(OTHERS, &[]).await?.first().and_then(|row| row.try_get::<_, String>(0).ok());
    if taken && other.is_none() {
        return Ok(());
    }
    let who = other.unwrap_or_else(|| "it has just ended".to_owned());
    Err(CollectError::new(ErrorKind::Overloaded, format!("a run is under way on the server: {who}"))
        .hint("let it end; pg_terminate_backend of that process ends it"))
}
