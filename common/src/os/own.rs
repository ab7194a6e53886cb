//! This process as the system sees it: from /proc/self on Linux; elsewhere nothing is known of it.

/// What the system tells of this process; what it does not tell is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// CPU time, user and system, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<i64>,
    /// When it was started, as a Unix time.
    pub started: Option<f64>,
    /// Open file descriptors.
    pub open_files: Option<usize>,
    /// Most file descriptors that it may open.
    pub max_files: Option<u64>,
}

/// Whether this system tells of it.
pub const SEEN: bool = cfg!(target_os = "linux");

/// Reads it.
#[cfg(target_os = "linux")]
pub fn read() -> Own {
    use std::sync::OnceLock;

    use procfs::process::{LimitValue, Process};
    use procfs::{CurrentSI as _, WithCurrentSystemInfo as _};
    // Neither changes while we run, and both are dear to read: /proc/stat has a line for each interrupt.
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    static MAX_FILES: OnceLock<Option<u64>> = OnceLock::new();
    let Ok(me) = Process::myself() else { return Own::default() };
    let mut own = Own::default();
    if let Ok(stat) = me.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        let started = || procfs::KernelStats::current().ok().map(|k| k.btime as f64 + stat.starttime as f64 / ticks);
        own.cpu_seconds = Some((stat.utime + stat.stime) as f64 / ticks);
        own.resident_bytes = Some(stat.rss_bytes().get());
        own.virtual_bytes = Some(stat.vsize);
        own.threads = Some(stat.num_threads);
        own.started = *STARTED.get_or_init(started);
    }
    own.open_files = me.fd_count().ok();
    own.max_files = *MAX_FILES.get_or_init(|| match me.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(max) => Some(max),
        LimitValue::Unlimited => None,
    });
    own
}

/// Nothing is known.
#[cfg(not(target_os = "linux"))]
pub fn read() -> Own {
    Own::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_where_it_is_seen() {
        let own = read();
        assert_eq!(own.threads.is_some_and(|n| n >= 1), SEEN);
        assert_eq!(own.resident_bytes.is_some_and(|n| n > 100_000), SEEN);
        assert_eq!(own.started.is_some_and(|at| at > 1.6e9), SEEN);
        assert_eq!(own.open_files.zip(own.max_files).is_some_and(|(open, max)| open as u64 <= max), SEEN);
    }
}
