//! How much memory of the machine is held: the allocator's pools, and pages that only the start has used.

#[cfg(target_os = "linux")]
mod imp {
    /// Lets all threads share one pool of memory (mallopt(3), `M_ARENA_MAX`).
    pub fn share() {
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code, reason = "the allocator has no other way in")]
        // SAFETY: it takes two numbers and no memory of ours. Where it refuses, all is as it was.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }

    /// Gives back what the start has left (madvise(2), `MADV_DONTNEED`; malloc_trim(3)).
    pub fn give_back() {
        let Ok(mappings) = procfs::process::Process::myself().and_then(|me| me.smaps()) else { return };
        for mapping in mappings.iter().filter(|mapping| as_in_its_file(mapping)) {
            let (Ok(begin), Ok(end)) = (usize::try_from(mapping.address.0), usize::try_from(mapping.address.1)) else { continue };
            #[allow(unsafe_code, reason = "the kernel has no other way in")]
            // SAFETY: each page there is that of the file, since nobody may write to it and none was written to; whoever
            // uses it again gets the same bytes.
            let _ = unsafe { libc::madvise(begin as *mut libc::c_void, end.saturating_sub(begin), libc::MADV_DONTNEED) };
        }
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code, reason = "the allocator has no other way in")]
        // SAFETY: it takes a number and touches free memory alone.
        let _ = unsafe { libc::malloc_trim(0) };
    }

    /// Pages of a program or library that only can be read and of which none differs from the file, as those do that the
    /// loader has filled in.
    fn as_in_its_file(mapping: &procfs::process::MemoryMap) -> bool {
        use procfs::process::{MMPermissions, MMapPath};
        let own = mapping.extension.map.get("Anonymous").is_none_or(|&bytes| bytes > 0);
        matches!(mapping.pathname, MMapPath::Path(_)) && !mapping.perms.intersects(MMPermissions::WRITE | MMPermissions::SHARED) && !own
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    pub fn share() {}
    pub fn give_back() {}
}

/// Lets all threads share one pool of memory. glibc gives each thread one of its own, of which each grows to the largest page
/// that its thread ever wrote; an exporter allocates too little at a time for its threads to get in each other's way.
/// To be called before there are threads. Elsewhere than on Linux nothing is to be done.
pub fn share() {
    imp::share();
}

/// Gives back what only the start has used: pages of the program that read flags and files, some 2 MB that no scrape touches
/// again, and what the allocator keeps of it. What is used after all comes back from the page cache. Only on Linux.
pub fn give_back() {
    imp::give_back();
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_program_goes_on_after_its_start_was_given_back() {
        let kept = vec![7_u8; 1 << 20];
        super::give_back();
        assert!(kept.iter().all(|&byte| byte == 7));
        assert_eq!(format!("{:.1}", 1.25_f64.sqrt()), "1.1");
    }
}
