//! How the allocator of the system holds memory.

/// Lets all threads share one pool of memory. glibc gives each thread one of its own, of which each grows to the largest page
/// that its thread ever wrote; an exporter allocates too little at a time for its threads to get in each other's way.
/// To be called before there are threads. Elsewhere nothing is to be done.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share() {
    /// M_ARENA_MAX of malloc.h: most pools.
    const MOST_POOLS: std::ffi::c_int = -8;
    #[allow(unsafe_code, reason = "the allocator has no other way in")]
    unsafe extern "C" {
        fn mallopt(what: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
    }
    // SAFETY: it takes two numbers and no memory of ours. Where it refuses, all is as it was.
    #[allow(unsafe_code, reason = "the allocator has no other way in")]
    let _ = unsafe { mallopt(MOST_POOLS, 1) };
}

/// See above.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share() {}
